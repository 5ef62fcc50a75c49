/** Goal: equal values have equal digests, others have others, whatever a publisher sends. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable, type FieldValue } from "@haremq/wire";
import { digestKey, newDigest } from "./message-key.ts";

function digestOf(value: FieldValue): string {
  const digest = newDigest();
  const headers = new FieldTable([{ name: "h", value }]);
  assert.ok(digestKey(headers, "h", digest));
  return digest.join();
}

const text = (value: string): FieldValue => ({ type: "S", value: Buffer.from(value) });

test("a message without the header has no key", () => {
  const digest = newDigest();
  assert.equal(digestKey(undefined, "h", digest), false);
  assert.equal(digestKey(FieldTable.from({ H: "v" }), "h", digest), false);
  assert.equal(digestKey(FieldTable.from({ h: null }), "h", digest), false);
  assert.deepEqual(digest, newDigest());
});

test("integers are the same by value, texts by bytes", () => {
  const five = digestOf({ type: "I", value: 5 });
  for (const type of ["b", "B", "s", "u", "i", "l", "T"] as const) {
    assert.equal(digestOf({ type, value: 5 }), five, type);
  }
  assert.equal(digestOf({ type: "l", value: 5n }), five);
  assert.equal(digestOf({ type: "f", value: 0.5 }), digestOf({ type: "d", value: 0.5 }));
  assert.equal(digestOf({ type: "x", value: Buffer.from("a") }), digestOf(text("a")));
});

test("values that differ have digests that differ", () => {
  const list = (...value: FieldValue[]): FieldValue => ({ type: "A", value });
  const values: FieldValue[] = [
    text(""),
    text("5"),
    text("true"),
    text("a".repeat(1_000_000)),
    text(`${"a".repeat(999_999)}b`),
    { type: "I", value: 5 },
    { type: "d", value: 5 },
    { type: "D", value: { scale: 0, unscaled: 5 } },
    { type: "l", value: 2n ** 62n },
    { type: "l", value: 2n ** 62n + 1n },
    { type: "t", value: true },
    { type: "t", value: false },
    list(),
    list({ type: "V", value: null }),
    list(text("a"), text("b")),
    list(text("ab")),
    { type: "F", value: new FieldTable() },
    { type: "F", value: FieldTable.from({ a: 1 }) },
  ];
  assert.equal(new Set(values.map(digestOf)).size, values.length);
});
