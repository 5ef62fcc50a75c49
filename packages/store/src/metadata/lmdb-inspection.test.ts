/** Goal: an inspection counts what is there, makes nothing that was not, and finds damage. */

import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { inspectMetadata } from "./lmdb-inspection.ts";
import { LmdbMetadataStore } from "./lmdb-metadata-store.ts";

it("metadata at rest can be inspected", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "haremq-inspection-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  assert.equal(await inspectMetadata(folder), undefined);
  assert.deepEqual(readdirSync(folder), []);

  const store = await LmdbMetadataStore.open(folder);
  await store.commit([
    { key: ["queue", "/", "a"], value: { marker: "aaaa" } },
    { key: ["queue", "/", "b"], value: {} },
    { key: ["vhost", "/"], value: {} },
  ]);
  await store.close();
  const report = await inspectMetadata(folder);
  assert.deepEqual(
    [...(report?.entries ?? [])],
    [
      ["queue", 2],
      ["vhost", 1],
    ],
  );
  assert.equal(report?.path, join(folder, "metadata.mdb"));
  assert.ok((report?.file.fileBytes ?? 0) > 0);

  const path = join(folder, "metadata.mdb");
  const bytes = readFileSync(path);
  for (let at = bytes.indexOf("aaaa"); at !== -1; at = bytes.indexOf("aaaa")) bytes[at] = 0x62;
  writeFileSync(path, bytes);
  await assert.rejects(inspectMetadata(folder), { code: "damaged", message: /queue \/ a/ });
});
