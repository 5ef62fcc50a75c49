/**
 * Goal: every metadata commit that has resolved is there after SIGKILL, at whatever moment it
 * comes, and no commit is there in part. A child process commits and reports; the parent kills it
 * after a random number of reports and looks at what is on the disk.
 */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { SeededRandom } from "@haremq/kernel";
import { LmdbMetadataStore } from "../src/metadata/lmdb-metadata-store.ts";

const fixture = fileURLToPath(new URL("metadata-committer.fixture.ts", import.meta.url));
const seed = Number(process.env.HAREMQ_SEED ?? 20_240_607);
const rounds = 20;
const workers = 10;
const keptItems = 10;

/** Starts the child, kills it after `reports` reports, gives the last report of each worker. */
async function killAfter(directory: string, reports: number): Promise<Map<string, number>> {
  const child = spawn(
    process.execPath,
    [...process.execArgv, fixture, directory, String(workers)],
    {
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const ended = once(child, "close");
  const last = new Map<string, number>();
  let count = 0;
  // What was written before the kill is still in the pipe after it, and counts.
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "open") continue;
    const [, worker, n] = /^(\d+) (\d+)$/.exec(line) ?? assert.fail(line);
    last.set(worker as string, Number(n));
    if (++count === reports) child.kill("SIGKILL");
  }
  const [code, signal] = await ended;
  assert.equal(signal, "SIGKILL", `the child ended by itself with ${code}`);
  return last;
}

function checkState(store: LmdbMetadataStore, reported: ReadonlyMap<string, number>): void {
  const counters = new Map<string, number>();
  for (const { key, value } of store.scan(["counter"])) counters.set(key[1]!, value as number);
  for (const [worker, n] of reported) {
    const found = counters.get(worker) ?? 0;
    // One more may have been made and not been reported.
    assert.ok(found === n || found === n + 1, `${worker} reported ${n}, the disk has ${found}`);
  }
  const items = new Map<string, number[]>();
  for (const { key, value } of store.scan(["item"])) {
    const [, worker = "", n = ""] = key;
    assert.equal((value as string).length, (Number(n) % 7) * 400);
    items.set(worker, [...(items.get(worker) ?? []), Number(n)]);
  }
  for (const [worker, n] of counters) {
    const first = Math.max(1, n - keptItems + 1);
    const expected = Array.from({ length: n - first + 1 }, (_, index) => first + index);
    assert.deepEqual(
      items.get(worker)?.sort((a, b) => a - b),
      expected,
      `items of ${worker}`,
    );
  }
}

describe("metadata in LMDB, killed", () => {
  it(`keeps every resolved commit, and each as a whole (seed ${seed})`, async (t) => {
    const random = new SeededRandom(seed);
    const plans = [0, 1].map(() => ({
      directory: mkdtempSync(join(tmpdir(), "haremq-metadata-kill-")),
      kills: Array.from({ length: rounds / 2 }, () => 1 + random.below(250)),
    }));
    t.after(() => {
      for (const { directory } of plans) rmSync(directory, { recursive: true, force: true });
    });
    // Two at a time, each in a directory of its own: most of the time goes into starting processes.
    await Promise.all(
      plans.map(async ({ directory, kills }) => {
        const reported = new Map<string, number>();
        for (const reports of kills) {
          for (const [worker, n] of await killAfter(directory, reports)) reported.set(worker, n);
          const store = await LmdbMetadataStore.open(directory);
          try {
            checkState(store, reported);
          } finally {
            await store.close();
          }
        }
      }),
    );
  });
});
