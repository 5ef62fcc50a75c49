/** Goal: names decode as text and lose no octet. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  decodeText,
  encodeText,
  isAcceptedUtf8,
  shortStringByteLength,
  textByteLength,
} from "./text.ts";

function encoded(text: string): Buffer {
  const into = Buffer.alloc(textByteLength(text) + 2, 0x55);
  encodeText(text, into.length - 2, into, 1);
  assert.deepEqual([into[0], into.at(-1)], [0x55, 0x55], "nothing outside its place is touched");
  return into.subarray(1, -1);
}

test("any octets survive as a string", () => {
  const anything = fc.uint8Array({ maxLength: 80 });
  const nearlyText = fc
    .tuple(fc.string({ unit: "binary", maxLength: 30 }), fc.nat(), fc.nat(255))
    .map(([text, at, octet]) => {
      const octets = Buffer.from(text);
      if (octets.length > 0) octets[at % octets.length] = octet;
      return octets;
    });
  fc.assert(
    fc.property(fc.oneof(anything, nearlyText), (octets) => {
      const buffer = Buffer.from(octets);
      assert.deepEqual(encoded(decodeText(buffer, 0, buffer.length)), buffer);
    }),
    { numRuns: 1000 },
  );
});

test("valid UTF-8 decodes to the text it is", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (text) => {
      const buffer = Buffer.from(`_${text}_`);
      assert.equal(decodeText(buffer, 1, buffer.length - 1), text);
      assert.deepEqual(encoded(text), Buffer.from(text));
      assert.ok(isAcceptedUtf8(buffer, 0, buffer.length));
    }),
  );
});

test("an octet that is not UTF-8 becomes a lone surrogate of its own", () => {
  const decode = (hex: string) => decodeText(Buffer.from(hex, "hex"), 0, hex.length / 2);
  assert.equal(decode("636166e9"), "caf\udce9");
  assert.equal(decode("ff"), "\udcff");
  assert.equal(decode("c3a9c3"), "é\udcc3");
  assert.equal(decode("eda080"), "\udced\udca0\udc80");
  assert.equal(decode("c080"), "\udcc0\udc80");
  assert.equal(decode("f09f988080"), "😀\udc80");
  assert.equal(decode("f09f98"), "\udcf0\udc9f\udc98");
});

test("a surrogate that stands for no octet is written as U+FFFD", () => {
  assert.deepEqual(encoded("a\ud800b\udd00"), Buffer.from("a\ufffdb\ufffd"));
  assert.deepEqual(encoded("\udc7f\udc80"), Buffer.from("efbfbd80", "hex"));
});

test("long texts take the native path with the same result", () => {
  for (const text of [
    "x".repeat(255),
    "é".repeat(100),
    `${"y".repeat(40)}\udcff`,
    "\udc80".repeat(30),
  ]) {
    const octets = encoded(text);
    assert.equal(decodeText(octets, 0, octets.length), text);
  }
});

test("a short string has at most 255 octets", () => {
  assert.equal(shortStringByteLength("é".repeat(127)), 254);
  assert.throws(() => shortStringByteLength("é".repeat(128)), RangeError);
});

// What a RabbitMQ 3.10 said to queue names of these octets.
test("UTF-8 is what RabbitMQ takes for it", () => {
  const verdicts = (list: string) =>
    list.split(" ").map((hex) => isAcceptedUtf8(Buffer.from(hex, "hex"), 0, hex.length / 2));
  const accepted = "f4908080 f7bfbfbf eda080 edbfbf edb080 f09f9880 00 ed9fbf";
  const refused =
    "c080 c1bf e08080 e09fbf f0808080 f08fbfbf f888808080 fc8480808080 80 c3 c328 e28228 feff";
  assert.deepEqual(new Set(verdicts(accepted)), new Set([true]));
  assert.deepEqual(new Set(verdicts(refused)), new Set([false]));
  const cut = Buffer.from("61eda080eda080", "hex");
  assert.deepEqual(
    [4, 5, 6, 7].map((end) => isAcceptedUtf8(cut, 0, end)),
    [true, false, false, true],
  );
});
