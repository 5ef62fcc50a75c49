/** Goal: the checksum is CRC-32C as everybody else computes it, at any offset and length. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { crc32c } from "./crc32c.ts";

/** CRC-32C by its definition, a bit at a time, over bytes. */
function bitwise(bytes: Uint8Array, crc = 0xffffffff): number {
  let rest = crc;
  for (const byte of bytes) {
    rest ^= byte;
    for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ 0x82f63b78 : rest >>> 1;
  }
  return ~rest >>> 0;
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(Uint8Array.from(bytes).buffer);
}

test("the bitwise model agrees with the check value of the catalogue", () => {
  assert.equal(bitwise(Buffer.from("123456789")), 0xe3069283);
});

test("nothing has checksum zero", () => {
  assert.equal(crc32c(new Int32Array(0), 0, 0), 0);
  assert.equal(crc32c(Int32Array.of(1, 2, 3), 2, 0), 0);
});

// RFC 3720, appendix B.4.
for (const [name, bytes, expected] of [
  ["32 zeros", Buffer.alloc(32), 0x8a9136aa],
  ["32 bytes of ones", Buffer.alloc(32, 0xff), 0x62a8ab43],
  ["32 bytes going up", Buffer.from(Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e],
  ["32 bytes going down", Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i)), 0x113fdb5c],
] as const) {
  test(`${name} have the checksum that iSCSI says`, () => {
    assert.equal(crc32c(wordsOf(bytes), 0, bytes.length >>> 2) >>> 0, expected);
    assert.equal(bitwise(bytes), expected);
  });
}

test("any run of words at any offset has the checksum of the bitwise model", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(7), (drawn, from) => {
      const count = (drawn.length >>> 3) << 1;
      const bytes = new Uint8Array((from + count) * 4);
      bytes.set(drawn.subarray(0, count * 4), from * 4);
      const expected = bitwise(bytes.subarray(from * 4));
      assert.equal(crc32c(wordsOf(bytes), from, count) >>> 0, expected);
    }),
  );
});
