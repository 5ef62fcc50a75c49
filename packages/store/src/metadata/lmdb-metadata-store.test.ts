/** Goal: the metadata store in LMDB keeps the contract, and everything else through a restart. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { checkLmdbFile } from "./lmdb-file.ts";
import { LmdbMetadataStore } from "./lmdb-metadata-store.ts";
import { metadataContract } from "./metadata.contract.ts";

metadataContract("metadata in LMDB", async (t, errors) => {
  const store = await LmdbMetadataStore.open(scratchFolder(t), {
    onListenerError: (error) => errors?.push(error),
  });
  t.after(() => store.close());
  return store;
});

function scratchFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "haremq-metadata-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe("metadata in LMDB: restarts", () => {
  it("entries, their versions and the next version outlive the store", async (t) => {
    const folder = scratchFolder(t);
    let store = await LmdbMetadataStore.open(folder);
    await store.commit([{ key: ["a", "\udc80"], value: { bytes: new Uint8Array([0, 255]) } }]);
    await store.commit([{ key: ["b"], value: 1 }]);
    await store.commit([{ key: ["b"], value: undefined }]);
    const before = [...store.scan([])];
    await store.close();
    store = await LmdbMetadataStore.open(folder);
    t.after(() => store.close());
    assert.deepEqual([...store.scan([])], before);
    await store.commit([{ key: ["b"], value: 2 }]);
    assert.equal(store.get(["b"])?.version, 4, "the removal was the third commit");
  });

  it("a directory is made with all above it, and holds two files when closed", async (t) => {
    const folder = join(scratchFolder(t), "x", "y");
    const store = await LmdbMetadataStore.open(folder);
    await store.close();
    assert.deepEqual(readdirSync(folder), ["metadata.mdb", "metadata.mdb-lock"]);
  });

  it("what was left of an interrupted first start is in nobody's way", async (t) => {
    const folder = scratchFolder(t);
    writeFileSync(join(folder, "metadata.mdb.new"), "half a page");
    writeFileSync(join(folder, "metadata.mdb.new-lock"), "");
    const store = await LmdbMetadataStore.open(folder);
    assert.equal(await store.commit([{ key: ["a"], value: 1 }]), true);
    await store.close();
    assert.ok(!existsSync(join(folder, "metadata.mdb.new")));
  });

  it("the file grows with its contents, beyond the map it began with", async (t) => {
    const folder = scratchFolder(t);
    let store = await LmdbMetadataStore.open(folder);
    const value = "x".repeat(100_000);
    for (let round = 0; round < 30; round++) {
      const changes = Array.from({ length: 10 }, (_, index) => ({
        key: ["v", String(round), String(index)],
        value,
      }));
      await store.commit(changes);
    }
    await store.close();
    assert.ok(statSync(join(folder, "metadata.mdb")).size > 30_000_000);
    assert.equal(checkLmdbFile(join(folder, "metadata.mdb")).entries, 301, "and the head");
    store = await LmdbMetadataStore.open(folder);
    let entries = 0;
    for (const entry of store.scan(["v"])) {
      assert.equal(entry.value, value);
      entries++;
    }
    assert.equal(entries, 300);
    await store.close();
  });

  it("space of what was removed is used again", async (t) => {
    const folder = scratchFolder(t);
    const store = await LmdbMetadataStore.open(folder);
    t.after(() => store.close());
    let sizeAfterTen = 0;
    for (let round = 1; round <= 40; round++) {
      await store.commit([{ key: ["v"], value: String(round).padStart(200_000) }]);
      if (round === 10) sizeAfterTen = statSync(join(folder, "metadata.mdb")).size;
    }
    assert.equal(statSync(join(folder, "metadata.mdb")).size, sizeAfterTen);
  });
});

describe("metadata in LMDB: loading", () => {
  it("a broker in memory does not load LMDB", () => {
    const script = `
      import { MemoryMetadataStore } from "${new URL("../index.ts", import.meta.url)}";
      await new MemoryMetadataStore().commit([{ key: ["a"], value: 1 }]);
      const { sharedObjects } = process.report.getReport();
      process.stdout.write(JSON.stringify(sharedObjects.filter((path) => path.includes("lmdb"))));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ["--conditions=source", "--import", "tsx", "--input-type=module", "--eval", script],
      { cwd: new URL("../..", import.meta.url), encoding: "utf8" },
    );
    assert.equal(stdout, "[]", stderr);
  });
});
