/**
 * Goal: over random work, crashes, power losses and failures of the disk nothing is doubled that
 * was confirmed, and nothing is taken for a duplicate of what is not there. Some seeds: "npm run
 * simulate -- deduplication" runs more.
 */

import { describe, it } from "node:test";
import { simulateDeduplication } from "../simulate/deduplication-simulation.ts";

const first = Number(process.env.HAREMQ_SEED ?? 1);
const seeds = process.env.HAREMQ_SEED === undefined ? 100 : 1;

describe("deduplication on a machine that fails", () => {
  it(`keeps every promise, seeds ${first} to ${first + seeds - 1}`, async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        await simulateDeduplication(seed);
      } catch (error) {
        throw new Error(`npm run simulate -- deduplication --seed ${seed}`, { cause: error });
      }
    }
  });
});
