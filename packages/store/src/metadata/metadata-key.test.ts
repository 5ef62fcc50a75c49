/**
 * Goal: encoded keys sort as the contract says, come back as they were, and no prefix range holds a
 * key that does not begin with the prefix, whatever is in the parts.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeKey, encodeKey, isInRange, keyBytesMax, rangeBelow } from "./metadata-key.ts";

/** Every kind of character that can go wrong, often. */
const part = fc.string({
  unit: fc.constantFrom(
    "",
    "\0",
    "\x01",
    "a",
    "b",
    "\x7f",
    "\x80",
    "\xff",
    "\ud7ff",
    "\u{1f407}",
    ..."\ud83d \udc07 \udc80 \udcff \ue000 \uffff".split(" "),
  ),
  maxLength: 6,
});
const key = fc.array(part, { minLength: 1, maxLength: 4 });

describe("metadata keys", () => {
  it("have an encoding that never changes", () => {
    assert.equal(encodeKey(["queue", "/", "a\0b"]), "queue\0/\0a\0\xffb\0");
    assert.equal(encodeKey([""]), "\0");
    assert.equal(encodeKey(["é", "\u{1f407}"]), "\xc3\xa9\0\xf0\x9f\x90\x87\0");
    assert.equal(encodeKey(["\udc80"]), "\xed\xb2\x80\0");
  });

  it("come back as they were", () => {
    fc.assert(fc.property(key, (parts) => assert.deepEqual(decodeKey(encodeKey(parts)), parts)));
  });

  it("sort part by part, by code points", () => {
    fc.assert(
      fc.property(key, key, (left, right) => {
        const order = Math.sign(compareKeys(left, right));
        const [a, b] = [encodeKey(left), encodeKey(right)];
        assert.equal(a < b ? -1 : a > b ? 1 : 0, order);
        assert.equal(Math.sign(Buffer.from(a, "latin1").compare(Buffer.from(b, "latin1"))), order);
      }),
      { numRuns: 1000 },
    );
  });

  it("are in the range of a prefix exactly if they begin with its parts", () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 3 }), key, (prefix, parts) => {
        const begins = prefix.every((each, index) => each === parts[index]);
        assert.equal(isInRange(rangeBelow(prefix), encodeKey(parts)), begins);
      }),
      { numRuns: 1000 },
    );
  });

  it("are refused when they are empty or too long", () => {
    assert.throws(() => encodeKey([]), { code: "bad-key" });
    assert.throws(() => encodeKey(["x".repeat(keyBytesMax)]), { code: "bad-key" });
    assert.equal(encodeKey(["x".repeat(keyBytesMax - 1)]).length, keyBytesMax);
  });

  it("have room for four AMQP names at their longest", () => {
    const name = "\udc80".repeat(255);
    encodeKey(["binding", name, name, "queue", name, name, "0".repeat(64)]);
  });
});

/** The order as the contract words it. */
export function compareKeys(left: readonly string[], right: readonly string[]): number {
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const order = compareText(left[index] as string, right[index] as string);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function compareText(left: string, right: string): number {
  const [a, b] = [left, right].map((text) => Array.from(text, (each) => each.codePointAt(0) ?? 0));
  const differs = a?.findIndex((point, index) => point !== b?.[index]) ?? -1;
  if (differs === -1) return left.length - right.length;
  return (a?.[differs] ?? 0) - (b?.[differs] ?? -1);
}
