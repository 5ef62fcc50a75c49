// Goal: the harness that compares brokers finds differences, and excuses only those that are
// explained. These tests need no RabbitMQ.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { FieldTable, fieldText } from "@haremq/wire";
import { firstDifference } from "./differential/comparison.ts";
import { knownDifferences, majors } from "./differential/known-differences.ts";
import { Names } from "./differential/names.ts";
import { addressesIn } from "./differential/oracles.ts";
import { randomScenario } from "./differential/random-sequence.ts";
import { areas } from "./differential/scenarios/areas.ts";
import { shrink } from "./differential/shrink.ts";

const gatheringSection = "Where RabbitMQ 4.0 differs from 3.x and HareMQ follows 3.x";
const unshownSection = "What the comparison leaves out";

test("every excused scenario exists, and docs/differences.md says why it differs", () => {
  const scenarios = new Set(
    areas.flatMap((area) => area.scenarios.map(({ name }) => `${area.name}: ${name}`)),
  );
  const headings = headingsOf(new URL("../docs/differences.md", import.meta.url));
  const used = new Set<string>();
  for (const [name, heading] of majors.flatMap((major) => [...knownDifferences(major)])) {
    assert.ok(scenarios.has(name), `there is no scenario "${name}"`);
    assert.ok(headings.has(heading), `docs/differences.md has no heading "${heading}"`);
    used.add(heading);
  }
  for (const heading of headings) assert.ok(used.has(heading), `no scenario shows "${heading}"`);
});

/** The headings of differences: sections, and below the sections that gather some, theirs. */
function headingsOf(document: URL): Set<string> {
  const headings = new Set<string>();
  let section = "";
  for (const line of readFileSync(document, "utf8").split("\n")) {
    const [, marks, heading] = /^(##|###) (.*)$/.exec(line) ?? [];
    if (heading === undefined) continue;
    if (marks === "##") section = heading;
    const gathers = section === gatheringSection;
    if (section !== unshownSection && gathers === (marks === "###")) headings.add(heading);
  }
  return headings;
}

test("one address or several name the oracles", () => {
  assert.deepEqual(addressesIn(undefined), []);
  assert.deepEqual(addressesIn(""), []);
  assert.deepEqual(addressesIn("amqp://one:5672"), ["amqp://one:5672"]);
  assert.deepEqual(addressesIn("amqp://one, amqp://two,"), ["amqp://one", "amqp://two"]);
});

test("a missing, a changed and an additional line are differences, where they first occur", () => {
  const same = { step: "first", lines: ["a/1 basic.qos-ok"] };
  const theirs = [same, { step: "second", lines: ["a/1 tx.select-ok", "a/1 basic.qos-ok"] }];
  const changed = (lines: string[]) => [same, { step: "second", lines }];
  assert.equal(firstDifference(theirs, theirs), undefined);
  assert.equal(firstDifference(changed(["a/1 tx.select-ok"]), theirs), 1);
  assert.equal(firstDifference(changed(["a/1 basic.qos-ok", "a/1 tx.select-ok"]), theirs), 1);
  assert.equal(firstDifference(changed([]), theirs), 1);
  assert.equal(firstDifference([same], theirs), 1);
});

test("names are the scenario's own on the way out and the transcript's on the way in", () => {
  const names = new Names("d1.");
  assert.equal(names.outward("~q"), "d1.q");
  assert.equal(names.outward("amq.direct"), "amq.direct");
  assert.equal(names.inward("no queue 'd1.q' in vhost '/'"), "no queue '~q' in vhost '/'");
  assert.deepEqual([...names.used], ["d1.q"]);
  const headers = FieldTable.from({ CC: ["~r", 1], nested: { deeper: "~s" } });
  const renamed = names.outwardFields({ headers }).headers.toObject();
  assert.deepEqual(renamed, { CC: ["d1.r", 1], nested: { deeper: "d1.s" } });
  assert.equal(fieldText(headers.get("CC")), undefined);
});

test("generated names are numbered as they come, and can be used again", () => {
  const names = new Names("d1.");
  const first = "amq.gen-tJ7iVdoYTQOnyV5eNOj1Gg";
  const second = "amq.gen-AAAAAAAAAAAAAAAAAAAAAA";
  assert.equal(names.inward(`${second} ${first} ${second}`), "<queue 1> <queue 2> <queue 1>");
  assert.equal(names.outward("<queue 2>"), first);
  assert.equal(names.inward("amq.gen-short"), "amq.gen-short");
});

test("a seed always stands for the same sequence, and each for its own", () => {
  const told = (seed: number, transactions = true): string =>
    JSON.stringify(randomScenario(seed, { transactions }).steps);
  assert.equal(told(7), told(7));
  assert.notEqual(told(7), told(8));
});

test("a sequence has no transactions when it is told so", () => {
  const begins = (transactions: boolean): boolean =>
    Array.from({ length: 10 }, (_, seed) => randomScenario(seed, { transactions })).some(
      ({ steps }) => JSON.stringify(steps).includes('"tx.select"'),
    );
  assert.equal(begins(true), true);
  assert.equal(begins(false), false);
});

test("shrinking finds the steps that matter", async () => {
  const steps = Array.from({ length: 60 }, (_, index) => index);
  const fails = async (candidate: readonly number[]) =>
    candidate.includes(11) && candidate.includes(42);
  assert.deepEqual(await shrink(steps, fails, 1000), [11, 42]);
});

test("shrinking keeps to its limit, and to sequences that fail", async () => {
  let attempts = 0;
  const fails = async (candidate: readonly number[]) => {
    attempts++;
    return candidate.includes(3);
  };
  const shortest = await shrink([0, 1, 2, 3, 4, 5, 6, 7], fails, 3);
  assert.equal(attempts, 3);
  assert.ok(shortest.includes(3));
});

test("what an operator is told has the scenario's names, also within patterns", () => {
  const names = new Names("p.1.");
  const operation = {
    name: "~p",
    vhost: "/",
    policy: { pattern: "^~q|~r$", definition: { a: "~x", b: ["~y", 1], c: "no ~name", d: null } },
  };
  assert.deepEqual(names.outwardData(operation), {
    name: "p.1.p",
    vhost: "/",
    policy: {
      pattern: "^p\\.1\\.q|p\\.1\\.r$",
      definition: { a: "p.1.x", b: ["p.1.y", 1], c: "no ~name", d: null },
    },
  });
});
