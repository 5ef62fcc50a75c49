// Goal: whatever a client sends, HareMQ answers frame for frame what RabbitMQ answers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestBroker, type TestBroker } from "@haremq/testkit";
import { compare, oracleUrl, skipWithoutOracle } from "./differential/comparison.ts";
import { knownDifferences } from "./differential/known-differences.ts";
import type { Scenario } from "./differential/scenario.ts";
import { areas } from "./differential/scenarios/areas.ts";

/** Scenarios that wait for a broker's time limits run side by side with many others. */
const sideBySide = 12;

let broker: TestBroker;
if (!skipWithoutOracle) {
  before(async () => {
    broker = await startTestBroker();
  });
  after(() => broker.stop());
}

for (const { name, scenarios } of areas) {
  describe(name, { skip: skipWithoutOracle, concurrency: sideBySide }, () => {
    for (const scenario of scenarios) {
      test(scenario.name, () => agree(`${name}: ${scenario.name}`, scenario));
    }
  });
}

async function agree(fullName: string, scenario: Scenario): Promise<void> {
  const difference = await compare(broker.url, oracleUrl as string, scenario);
  if (knownDifferences.has(fullName)) {
    assert.ok(difference, "they agree by now: take it out of known-differences.ts");
  } else assert.equal(difference, undefined, difference?.report);
}
