/**
 * Goal: whatever happens to a stream's files, in whatever order, it keeps its promises: some
 * hundreds of seeds of the crash simulator.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { simulateStream } from "../simulate/stream-simulation.ts";

async function simulate(seed: number): Promise<void> {
  try {
    await simulateStream(seed);
  } catch (error) {
    throw new Error(`npm run simulate -- stream-log --seed ${seed}`, { cause: error });
  }
}

test("a hundred and fifty seeds keep every promise", async () => {
  for (let seed = 1; seed <= 150; seed++) await simulate(seed);
});

test("a seed does the same every time", async () => {
  for (const seed of [3, 58]) {
    const traces = [[], []] as string[][];
    for (const trace of traces) await simulateStream(seed, (line) => trace.push(line));
    assert.ok(traces[0]!.length > 30);
    assert.deepEqual(traces[0], traces[1]);
  }
});
