/**
 * Goal: over random work, crashes, power losses and failures of the disk streams keep every promise
 * of the model in simulate/. Some seeds: "npm run simulate -- streams" runs more.
 */

import { describe, it } from "node:test";
import { simulateStreams } from "../simulate/stream-simulation.ts";

const first = Number(process.env.HAREMQ_SEED ?? 1);
const seeds = process.env.HAREMQ_SEED === undefined ? 60 : 1;

describe("streams on a machine that fails", () => {
  it(`keep every promise, seeds ${first} to ${first + seeds - 1}`, async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        await simulateStreams(seed);
      } catch (error) {
        throw new Error(`npm run simulate -- streams --seed ${seed}`, { cause: error });
      }
    }
  });
});
