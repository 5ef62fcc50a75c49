/** Goal: what is written is what is read, and what cannot be written is refused with its place. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeValue, encodeValue } from "./metadata-value.ts";

const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number + 0),
    fc.string({ unit: "binary" }),
    fc.constantFrom("\ud800", "\udc80", "$bytes", '"$'),
    fc.uint8Array(),
    fc.array(tie("value")),
    fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom("$bytes", "$", "$$bytes", "__proto__")),
      tie("value"),
      { noNullPrototype: true },
    ),
  ),
}));

describe("metadata values", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(value, (before) => assert.deepEqual(decodeValue(encodeValue(before)), before)),
      { numRuns: 500 },
    );
  });

  it("are kept as JSON that never changes", () => {
    assert.equal(encodeValue({ durable: true, size: 1.5 }), '{"durable":true,"size":1.5}');
    assert.equal(encodeValue(new Uint8Array([1, 2, 255])), '{"$bytes":"AQL/"}');
    assert.equal(encodeValue(Buffer.from("hi")), '{"$bytes":"aGk="}');
    assert.equal(encodeValue({ $a: { $$b: 0 } }), '{"$$a":{"$$$b":0}}');
    assert.equal(encodeValue(-0), "0");
  });

  it("keep only their own bytes of a shared buffer", () => {
    const bytes = decodeValue(encodeValue(Buffer.from("abcdef").subarray(2, 4)));
    assert.deepEqual(bytes, new Uint8Array([99, 100]));
    assert.equal((bytes as Uint8Array).buffer.byteLength, 2);
  });

  it("are refused when JSON has no word for them", () => {
    const refused: [unknown, RegExp][] = [
      [undefined, /^value cannot .* undefined$/],
      [Number.NaN, /NaN/],
      [{ a: [1, Number.POSITIVE_INFINITY] }, /^value\.a\[1\] .* Infinity$/],
      [{ a: undefined }, /^value\.a .* undefined$/],
      [new Array(1), /^value\[0\] .* undefined$/],
      [1n, /1$/],
      [Symbol("s"), /Symbol\(s\)/],
      [() => 0, /=>/],
      [new Date(0), /Date$/],
      [new Map(), /Map$/],
      [new Uint16Array(1), /Uint16Array$/],
    ];
    for (const [each, message] of refused) {
      assert.throws(() => encodeValue(each), { code: "bad-value", message });
    }
  });

  it("are refused when they nest too deep, also without end", () => {
    const ring: unknown[] = [];
    ring.push(ring);
    assert.throws(() => encodeValue(ring), { code: "bad-value" });
    let deep: unknown = 0;
    for (let depth = 0; depth < 100; depth++) deep = [deep];
    assert.deepEqual(decodeValue(encodeValue(deep)), deep);
    assert.throws(() => encodeValue([deep]), { code: "bad-value" });
  });
});
