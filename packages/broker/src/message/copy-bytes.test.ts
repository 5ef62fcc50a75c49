/** Goal: a copy has the bytes asked for and touches no others, whichever way it was made. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { copyBytes } from "./copy-bytes.ts";

const source = Buffer.from(Array.from({ length: 300 }, (_, index) => (index * 7 + 1) & 0xff));

test("every length around the limit of the loop is copied whole, and no byte more", () => {
  for (let length = 0; length <= 200; length++) {
    for (const sourceStart of [0, 1, 99]) {
      for (const targetStart of [0, 3]) {
        const target = Buffer.alloc(length + 8, 0xee);
        const expected = Buffer.alloc(length + 8, 0xee);
        expected.set(source.subarray(sourceStart, sourceStart + length), targetStart);
        copyBytes(source, sourceStart, length, target, targetStart);
        assert.deepEqual(target, expected, `${length} bytes from ${sourceStart}`);
      }
    }
  }
});

test("the source stays as it is", () => {
  const before = Buffer.from(source);
  copyBytes(source, 10, 100, Buffer.alloc(100), 0);
  copyBytes(source, 10, 5, Buffer.alloc(100), 0);
  assert.deepEqual(source, before);
});
