// Goal: whatever a client sends, HareMQ answers frame for frame what RabbitMQ answers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startTestBroker, type TestBroker } from "@haremq/testkit";
import { compare } from "./differential/comparison.ts";
import { knownDifferences } from "./differential/known-differences.ts";
import {
  exchangeTypesOf,
  findOracles,
  type Oracle,
  skipWithoutOracle,
} from "./differential/oracles.ts";
import type { Area, Scenario } from "./differential/scenario.ts";
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

const pluginTypes = new Set(
  areas.flatMap(({ scenarios }) => scenarios.flatMap(({ options }) => options.exchangeType ?? [])),
);

for (const oracle of await findOracles()) {
  const types = await exchangeTypesOf(oracle, pluginTypes);
  describe(`RabbitMQ ${oracle.version}`, () => {
    for (const area of areas) {
      describeArea(area, types, (name, scenario) => agree(oracle, name, scenario));
    }
  });
}
if (skipWithoutOracle) {
  for (const area of areas) describeArea(area, pluginTypes, async () => {});
}

function describeArea(
  { name, scenarios, patient }: Area,
  exchangeTypes: ReadonlySet<string>,
  check: (fullName: string, scenario: Scenario) => Promise<void>,
): void {
  const concurrency = patient ? patientSideBySide : sideBySide;
  describe(name, { skip: skipWithoutOracle, concurrency }, () => {
    for (const scenario of scenarios) {
      const { exchangeType } = scenario.options;
      // There is nothing to compare with where RabbitMQ does not know the type.
      if (exchangeType !== undefined && !exchangeTypes.has(exchangeType)) continue;
      test(scenario.name, () => check(`${name}: ${scenario.name}`, scenario));
    }
  });
}

async function agree(oracle: Oracle, fullName: string, scenario: Scenario): Promise<void> {
  const difference = await compare(broker as TestBroker, oracle, scenario);
  // RabbitMQ compared with itself, which proves the scenarios, differs nowhere.
  if (knownDifferences(oracle.major).has(fullName) && broker?.url !== oracle.url) {
    assert.ok(difference, "they agree by now: take it out of known-differences.ts");
  } else if (difference) assert.fail(difference.report);
}
