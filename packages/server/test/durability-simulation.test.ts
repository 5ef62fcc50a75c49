/**
 * Goal: over random work, crashes, power losses and failures of the disk the broker keeps every
 * promise of the models in simulate/. Some hundred seeds: "npm run simulate -- broker" runs more.
 */

import { describe, it } from "node:test";
import { simulateBroker } from "../simulate/broker-simulation.ts";

const first = Number(process.env.HAREMQ_SEED ?? 1);
const seeds = process.env.HAREMQ_SEED === undefined ? 200 : 1;

describe("a broker on a machine that fails", () => {
  it(`keeps every promise, seeds ${first} to ${first + seeds - 1}`, async () => {
    for (let seed = first; seed < first + seeds; seed++) {
      try {
        await simulateBroker(seed);
      } catch (error) {
        throw new Error(`npm run simulate -- broker --seed ${seed}`, { cause: error });
      }
    }
  });
});
