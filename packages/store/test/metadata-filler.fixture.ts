/**
 * A process that commits to a metadata store until there is no more room, waits for a line on its
 * standard input, and goes on. metadata-disk-full.test.ts starts it with a limit on the size of
 * files.
 *
 *   node metadata-filler.fixture.ts DIRECTORY prepared|unprepared
 *
 * "unprepared" lets the store believe that its file is long enough already, so that it is LMDB that
 * meets the limit. Reports are lines of JSON.
 */

import { once } from "node:events";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { openDatabase } from "../src/metadata/lmdb-database.ts";
import { LmdbMetadataStore, metadataFileName } from "../src/metadata/lmdb-metadata-store.ts";
import { LmdbTable } from "../src/metadata/lmdb-table.ts";
import type { MetadataError } from "../src/metadata/metadata-error.ts";
import type { MetadataStore } from "../src/metadata/metadata-store.ts";
import { TableMetadataStore } from "../src/metadata/table-metadata-store.ts";

const [directory = "", mode = ""] = process.argv.slice(2);
const store =
  mode === "prepared" ? await LmdbMetadataStore.open(directory) : await openUnprepared();
let next = 0;

const full = await fill();
report({ ...full, visible: countVisible(), again: (await fill()).code });
await once(process.stdin, "data");
await store.commit([{ key: ["n", String(next)], value: "x".repeat(20_000) }]);
report({ committed: ++next, visible: countVisible() });
await store.close();
process.stdin.destroy();

/** Commits in groups of three until one is refused; the rest of its group must be refused too. */
async function fill(): Promise<{ committed: number; code: string; outcomes: string[] }> {
  for (;;) {
    const outcomes = await Promise.all(
      [0, 1, 2].map(async (offset) => {
        const change = { key: ["n", String(next + offset)], value: "x".repeat(20_000) };
        try {
          return String(await store.commit([change]));
        } catch (error) {
          return (error as MetadataError).code;
        }
      }),
    );
    const code = outcomes.find((outcome) => outcome !== "true");
    if (code !== undefined) return { committed: next, code, outcomes };
    next += outcomes.length;
  }
}

function countVisible(): number {
  return [...store.scan(["n"])].length;
}

async function openUnprepared(): Promise<MetadataStore> {
  const path = join(directory, metadataFileName);
  await (await LmdbMetadataStore.open(directory)).close();
  const file = await open(path, "r+");
  file.stat = (async () => ({ size: 2 ** 40 })) as unknown as typeof file.stat;
  const table = new LmdbTable(await openDatabase(path), file);
  return new TableMetadataStore({ table, schedule: setImmediate });
}

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
