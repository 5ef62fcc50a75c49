/**
 * A process that commits to a metadata store as fast as it can and reports on its standard output
 * each commit that has resolved, before anything else happens: writing to a pipe is synchronous
 * where there is SIGKILL. metadata-kill.test.ts starts it and kills it.
 *
 *   node metadata-committer.fixture.ts DIRECTORY WORKERS
 *
 * Each worker counts: commit n sets ["counter", worker] to n, on condition that nobody else did,
 * adds ["item", worker, n] and removes ["item", worker, n - keptItems]. So any state that is not
 * that after some commit of each worker can be told from the records alone.
 */

import { LmdbMetadataStore } from "../src/metadata/lmdb-metadata-store.ts";

const keptItems = 10;

const [directory = "", workers = "1"] = process.argv.slice(2);
const store = await LmdbMetadataStore.open(directory);
process.stdout.write("open\n");
await Promise.all(Array.from({ length: Number(workers) }, (_, worker) => count(String(worker))));

async function count(worker: string): Promise<void> {
  const counter = ["counter", worker];
  for (;;) {
    const { value = 0, version = 0 } = store.get(counter) ?? {};
    const n = (value as number) + 1;
    const done = await store.commit(
      [
        { key: counter, value: n },
        { key: ["item", worker, String(n)], value: "x".repeat((n % 7) * 400) },
        { key: ["item", worker, String(n - keptItems)], value: undefined },
      ],
      [{ key: counter, version }],
    );
    process.stdout.write(done ? `${worker} ${n}\n` : `${worker} was refused\n`);
  }
}
