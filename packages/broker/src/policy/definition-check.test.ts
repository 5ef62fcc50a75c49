/** Goal: definitions are taken and refused as RabbitMQ does, with its texts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { recordedRows } from "../../test/recorded-answers.ts";
import { checkDefinition } from "./definition-check.ts";
import type { PolicyDefinition } from "./effective-policy.ts";

test("every key takes what it takes in RabbitMQ, and refuses the rest with its text", () => {
  const wrong: string[] = [];
  for (const [kind, definition, answer] of recordedRows("policy-definitions.tsv")) {
    const parsed = JSON.parse(definition!) as PolicyDefinition;
    const complaint = checkDefinition(parsed, kind === "operator-policies");
    const expected = answer === "" ? "" : (JSON.parse(answer!) as string);
    const actual = complaint === undefined ? "" : `Validation failed\n\n${complaint}\n`;
    if (actual !== expected) wrong.push(`${kind} ${definition}: ${actual} instead of ${expected}`);
  }
  assert.deepEqual(wrong, []);
});

test("what RabbitMQ fails over is refused like any other bad value", () => {
  assert.equal(checkDefinition({ "max-age": 5 }, false), "5 is not a valid max age");
  assert.equal(checkDefinition({ "max-age": "h" }, false), '<<"h">> is not a valid max age');
  assert.equal(checkDefinition({ "ha-mode": null }, false), "null is not a valid ha-mode value");
});

test("our own keys are checked like the others", () => {
  const good = {
    "expire-anywhere": true,
    "message-deduplication": false,
    "cache-size": 10,
    "cache-ttl": 1000,
    "cache-persistence": "disk",
    "deduplication-header": "x-id",
  };
  assert.equal(checkDefinition(good, false), undefined);
  const complaint = "1 is not a valid expire-anywhere value";
  assert.equal(checkDefinition({ "expire-anywhere": 1 }, false), complaint);
  assert.equal(checkDefinition({ "cache-size": 0 }, false), "0 is not a valid cache size");
  assert.match(checkDefinition(good, true) ?? "", /are not recognised policy settings$/);
});

test("what nests without end is cut where it is shown", () => {
  let deep: PolicyDefinition[string] = 1;
  for (let level = 0; level < 50_000; level++) deep = [deep];
  assert.match(checkDefinition({ "max-length": deep }, false) ?? "", /^\[{21}\.\.\.\]{21} is not/);
});
