/**
 * Goal: whatever was confirmed is there after SIGKILL, and what was committed as a whole, in order,
 * marked where somebody has seen it; what was settled is not. The real process, a real load, some
 * rounds of it: "npm run simulate -- kill --rounds 100" is the long run.
 */

import { describe, it } from "node:test";
import { simulateKills } from "../simulate/kill-simulation.ts";
import { scratchFolder } from "./durable-broker.ts";

const seed = Number(process.env.HAREMQ_SEED ?? 1);

describe("a broker that is killed under load", () => {
  it(`keeps every promise (HAREMQ_SEED=${seed})`, async (t) => {
    const directory = scratchFolder(t);
    await simulateKills({ rounds: 6, seed, directory, trace: (line) => t.diagnostic(line) });
  });
});
