/**
 * Goal: over random work, crashes, power losses and failures of the disk every message of a queue
 * with limits is where it has to be, once, and nowhere else. Some seeds: "npm run simulate --
 * broker" runs more.
 */

import { describe, it } from "node:test";
import { simulateLimits } from "../simulate/limits-simulation.ts";

const first = Number(process.env.HAREMQ_SEED ?? 1);
const seeds = process.env.HAREMQ_SEED === undefined ? 100 : 1;

describe("queues with limits on a machine that fails", () => {
  it(`keep every promise, seeds ${first} to ${first + seeds - 1}`, async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        await simulateLimits(seed);
      } catch (error) {
        throw new Error(`npm run simulate -- broker --seed ${seed}`, { cause: error });
      }
    }
  });
});
