/** Goal: the heap always gives the least key, with what was pushed with it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteCount } from "./byte-count.ts";
import { MinHeap } from "./min-heap.ts";

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ push: fc.constant(true), key: fc.nat(1000) }) },
  { weight: 2, arbitrary: fc.record({ push: fc.constant(false), key: fc.constant(0) }) },
);

test("the heap gives the least key with its own value and flags", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300, size: "max" }), (operations) => {
      const heap = new MinHeap();
      let model: number[] = [];
      for (const { push, key } of operations) {
        if (push) {
          heap.push(key, key * 2 ** 33 + 0.5, key ^ 0x80000000);
          model.push(key);
        } else {
          const least = Math.min(...model);
          assert.equal(heap.pop(), model.length > 0);
          const index = model.indexOf(least);
          model = model.filter((_, at) => at !== index);
        }
        assert.equal(heap.length, model.length);
        if (model.length === 0) {
          assert.deepEqual(
            [heap.peekKey(), heap.peekValue(), heap.peekFlags()],
            [Number.NaN, Number.NaN, 0],
          );
          continue;
        }
        const least = Math.min(...model);
        assert.equal(heap.peekKey(), least);
        assert.equal(heap.peekValue(), least * 2 ** 33 + 0.5);
        assert.equal(heap.peekFlags(), (least ^ 0x80000000) >>> 0);
      }
    }),
    { numRuns: 500 },
  );
});

test("a large heap drains in order while it shrinks", () => {
  const heap = new MinHeap();
  const count = 20_000;
  // 7919 is coprime to the count, so this is a permutation.
  for (let index = 0; index < count; index++) heap.push((index * 7919) % count, index, index);
  for (let expected = 0; expected < count; expected++) {
    assert.equal(heap.peekKey(), expected);
    heap.pop();
    assert.ok(heap.capacity <= Math.max(32, heap.length * 4), "memory follows the length");
  }
  assert.equal(heap.pop(), false);
});

test("memory is counted, but for what an empty heap may keep", () => {
  const memory = new ByteCount();
  const heap = new MinHeap(memory);
  for (let index = 0; index < 8; index++) heap.push(index, index, index);
  assert.equal(memory.bytes, 0);
  for (let index = 0; index < 1000; index++) heap.push(index, index, index);
  assert.equal(memory.bytes, 1024 * 20);
  while (heap.length > 100) heap.pop();
  assert.ok(memory.bytes <= 400 * 20 && memory.bytes >= 100 * 20);
  while (heap.length > 0) heap.pop();
  assert.equal(memory.bytes, 0);
  for (let index = 0; index < 1000; index++) heap.push(index, index, index);
  heap.clear();
  assert.equal(memory.bytes, 0);
});

test("clear empties the heap, which can be used again", () => {
  const heap = new MinHeap();
  for (let index = 0; index < 100; index++) heap.push(index, index, index);
  heap.clear();
  assert.equal(heap.length, 0);
  heap.push(7, 70, 1);
  assert.deepEqual([heap.peekKey(), heap.peekValue(), heap.peekFlags()], [7, 70, 1]);
});

test("forEach shows every entry, and valueAt finds one", () => {
  const heap = new MinHeap();
  for (const key of [5, 3, 9, 1]) heap.push(key, key * 10, 0);
  const seen: [number, number][] = [];
  heap.forEach((key, value) => {
    seen.push([key, value]);
  });
  assert.deepEqual(
    seen.sort((a, b) => a[0] - b[0]),
    [
      [1, 10],
      [3, 30],
      [5, 50],
      [9, 90],
    ],
  );
  assert.equal(heap.valueAt(9), 90);
  heap.pop();
  assert.equal(heap.valueAt(1), undefined);
});
