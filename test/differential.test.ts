// Goal: whatever a client sends, HareMQ answers frame for frame what RabbitMQ answers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestBroker, type TestBroker } from "@haremq/testkit";
import { compare, oracleUrl, skipWithoutOracle } from "./differential/comparison.ts";
import { knownDifferences } from "./differential/known-differences.ts";
import type { Scenario } from "./differential/scenario.ts";
import { areas } from "./differential/scenarios/areas.ts";

const sideBySide = 12;
const patientSideBySide = 60;

let broker: TestBroker | undefined;
if (!skipWithoutOracle) {
  before(async () => {
    broker = await startTestBroker();
  });
  after(() => broker?.stop());
}

for (const { name, scenarios, patient } of areas) {
  const concurrency = patient ? patientSideBySide : sideBySide;
  describe(name, { skip: skipWithoutOracle, concurrency }, () => {
    for (const scenario of scenarios) {
      test(scenario.name, () => agree(`${name}: ${scenario.name}`, scenario));
    }
  });
}

async function agree(fullName: string, scenario: Scenario): Promise<void> {
  const difference = await compare(broker?.url as string, oracleUrl as string, scenario);
  // RabbitMQ compared with itself, which proves the scenarios, differs nowhere.
  if (knownDifferences.has(fullName) && broker?.url !== oracleUrl) {
    assert.ok(difference, "they agree by now: take it out of known-differences.ts");
  } else if (difference) assert.fail(difference.report);
}
