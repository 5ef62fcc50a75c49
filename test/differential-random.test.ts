// Goal: after any sequence of operations HareMQ has shown its clients what RabbitMQ shows them.
//
// Every sequence comes from a seed. HAREMQ_SEED=7 plays that one again; HAREMQ_SEQUENCES=500 plays
// as many new ones. A sequence that fails is shortened before it is reported.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestBroker, type TestBroker } from "@haremq/testkit";
import { compare } from "./differential/comparison.ts";
import { findOracles, type Oracle, skipWithoutOracle } from "./differential/oracles.ts";
import { randomScenario } from "./differential/random-sequence.ts";
import { type Scenario, scenario } from "./differential/scenario.ts";
import { shrink } from "./differential/shrink.ts";
import type { Step } from "./differential/step.ts";

const usualSeeds = Array.from({ length: 24 }, (_, index) => index + 1);
const shrinkAttemptsMax = 120;

let broker: TestBroker | undefined;
if (!skipWithoutOracle) {
  before(async () => {
    broker = await startTestBroker();
  });
  after(() => broker?.stop());
}

for (const oracle of await findOracles()) {
  describe(`random sequences against RabbitMQ ${oracle.version}`, { concurrency: 6 }, () => {
    for (const seed of seeds()) test(`seed ${seed}`, () => agree(oracle, seed));
  });
}
describe("random sequences", { skip: skipWithoutOracle }, () => {
  if (skipWithoutOracle) for (const seed of seeds()) test(`seed ${seed}`, () => {});
});

function seeds(): number[] {
  if (process.env.HAREMQ_SEED) return [Number(process.env.HAREMQ_SEED)];
  if (!process.env.HAREMQ_SEQUENCES) return usualSeeds;
  const first = Date.now() % 1_000_000_000;
  return Array.from({ length: Number(process.env.HAREMQ_SEQUENCES) }, (_, index) => first + index);
}

async function agree(oracle: Oracle, seed: number): Promise<void> {
  // RabbitMQ 4 routes within a transaction at other times, which has scenarios of its own.
  const whole = randomScenario(seed, { transactions: oracle.major < 4 });
  const difference = await compare(broker as TestBroker, oracle, whole);
  if (difference === undefined) return;
  const shortest = await shrink(
    operationsOf(whole.steps),
    (operations) => differ(oracle, operations),
    shrinkAttemptsMax,
  );
  const last = await compare(broker as TestBroker, oracle, named(seed, shortest));
  assert.fail(`replay with HAREMQ_SEED=${seed}\n${(last ?? difference).report}`);
}

/** Each operation with the reopening of its channel, which stay together. */
function operationsOf(steps: readonly Step[]): Step[][] {
  const operations: Step[][] = [];
  for (const step of steps) {
    if (step.kind === "reopen") operations.at(-1)?.push(step);
    else operations.push([step]);
  }
  return operations;
}

async function differ(oracle: Oracle, operations: readonly Step[][]): Promise<boolean> {
  try {
    return (await compare(broker as TestBroker, oracle, named(0, operations))) !== undefined;
  } catch {
    // What is left makes no sense any more, such as a step on a connection that is never made.
    return false;
  }
}

function named(seed: number, operations: readonly Step[][]): Scenario {
  return scenario(`seed ${seed}, shortened`, operations.flat());
}
