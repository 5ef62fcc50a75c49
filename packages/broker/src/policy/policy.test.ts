/** Goal: a policy is made of good input only, and applies to what it is meant for. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { newPolicy, type PolicyInput } from "./policy.ts";

const someDefinition = { "max-length": 1 };

function refusalOf(input: Partial<PolicyInput>, name = "p"): string {
  try {
    newPolicy(name, { pattern: "^q", definition: someDefinition, ...input }, false);
    return "";
  } catch (error) {
    return (error as Error).message.replace("Validation failed\n\n", "").trimEnd();
  }
}

describe("a policy is refused", () => {
  test("for a pattern that is none", () => {
    const complaint = "pattern should be regular expression but is invalid: ";
    assert.equal(refusalOf({ pattern: "(" }), `${complaint}{"missing )",1}`);
    assert.equal(
      refusalOf({ pattern: "[" }),
      `${complaint}{"missing terminating ] for character class",\n${" ".repeat(54)}1}`,
    );
    assert.equal(
      refusalOf({ pattern: "\\" }),
      `${complaint}{"\\\\ at end of pattern",\n${" ".repeat(54)}1}`,
    );
    assert.equal(refusalOf({ pattern: 1 }), "pattern should be a binary but was 1");
    assert.equal(refusalOf({ pattern: null }), "pattern should be a binary but was null");
    assert.equal(refusalOf({ pattern: undefined }), 'Key "pattern" not found in p');
  });

  test("for a priority that is no number", () => {
    assert.equal(refusalOf({ priority: "1" }), 'priority should be a number, actually was <<"1">>');
    assert.equal(refusalOf({ priority: null }), "priority should be a number, actually was null");
    for (const priority of [0, -1, 1.5, 1e30]) assert.equal(refusalOf({ priority }), "");
  });

  test("for objects that there are none of", () => {
    const choices =
      "unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', 'streams', " +
      "'exchanges', or 'all'";
    assert.equal(refusalOf({ applyTo: "x" }), `apply-to 'x' ${choices}`);
    assert.equal(refusalOf({ applyTo: null }), `apply-to 'null' ${choices}`);
    assert.equal(refusalOf({ applyTo: 1 }), `apply-to '1' ${choices}`);
    for (const applyTo of ["all", "queues", "classic_queues", "quorum_queues", "streams"]) {
      assert.equal(refusalOf({ applyTo }), "");
    }
    assert.equal(refusalOf({ applyTo: "exchanges" }), "");
  });

  test("for a definition that is no dictionary, or empty", () => {
    assert.equal(refusalOf({ definition: {} }), "no policy provided");
    assert.equal(refusalOf({ definition: [1] }), "definition must be a dictionary: [1]");
    assert.equal(refusalOf({ definition: undefined }), 'Key "definition" not found in p');
  });

  test("for everything at once, and for a name that is too long", () => {
    assert.equal(
      refusalOf({ definition: { foo: 1 }, pattern: "(", priority: [] }),
      '[{<<"foo">>,1}] are not recognised policy settings\n' +
        'pattern should be regular expression but is invalid: {"missing )",1}\n' +
        "priority should be a number, actually was []",
    );
    assert.equal(refusalOf({}, "é".repeat(128)), "name is too long");
    assert.equal(refusalOf({}, "x".repeat(255)), "");
  });
});

describe("a policy applies", () => {
  const objects = ["exchange", "classic", "quorum", "stream"] as const;

  function coveredBy(
    applyTo: string,
    definition: object = { "alternate-exchange": "x" },
  ): string[] {
    const policy = newPolicy("p", { pattern: "^q", definition, applyTo }, false);
    return objects.filter((type) =>
      type === "exchange" ? policy.appliesToExchange("q1") : policy.appliesToQueue("q1", type),
    );
  }

  test("to the kinds of objects that it names", () => {
    assert.deepEqual(coveredBy("all"), [...objects]);
    assert.deepEqual(coveredBy("queues"), ["classic", "quorum", "stream"]);
    assert.deepEqual(coveredBy("classic_queues"), ["classic"]);
    assert.deepEqual(coveredBy("quorum_queues"), ["quorum"]);
    assert.deepEqual(coveredBy("streams"), ["stream"]);
    assert.deepEqual(coveredBy("exchanges"), ["exchange"]);
  });

  test("to queues that know all of its keys", () => {
    assert.deepEqual(coveredBy("queues", { "message-ttl": 1 }), ["classic", "quorum"]);
    assert.deepEqual(coveredBy("queues", { "max-length-bytes": 1 }), [
      "classic",
      "quorum",
      "stream",
    ]);
    assert.deepEqual(coveredBy("queues", { "max-age": "1h" }), ["stream"]);
    assert.deepEqual(coveredBy("queues", { "max-in-memory-length": 1 }), ["quorum"]);
    assert.deepEqual(coveredBy("queues", { "queue-mode": "lazy" }), ["classic"]);
    assert.deepEqual(coveredBy("queues", { "ha-mode": "all" }), ["classic"]);
    assert.deepEqual(coveredBy("queues", { "target-group-size": 1 }), ["quorum"]);
    assert.deepEqual(coveredBy("queues", { "max-length": 1, "max-age": "1h" }), []);
    assert.deepEqual(coveredBy("all", { "max-length": 1, "max-age": "1h" }), ["exchange"]);
    assert.deepEqual(coveredBy("queues", { "queue-version": 2 }), ["classic", "quorum", "stream"]);
  });

  test("where its pattern matches anywhere in the name", () => {
    const policy = newPolicy("p", { pattern: "b", definition: someDefinition }, false);
    assert.equal(policy.appliesToExchange("abc"), true);
    assert.equal(policy.appliesToExchange("ac"), false);
    assert.equal(policy.appliesToQueue("abc", "classic"), true);
    assert.equal(policy.appliesToQueue("ac", "classic"), false);
  });

  test("as it was given, whatever becomes of what it was made of", () => {
    const definition = { "max-length": 1 };
    const policy = newPolicy("p", { pattern: "", definition }, false);
    definition["max-length"] = 2;
    assert.deepEqual(policy.definition, { "max-length": 1 });
  });
});
