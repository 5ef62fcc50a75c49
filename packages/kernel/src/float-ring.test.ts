/** Goal: the ring behaves like an array used as a queue, and gives memory back. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { FloatRing } from "./float-ring.ts";

const operation = fc.oneof(
  fc.record({ kind: fc.constant("push" as const), count: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ kind: fc.constant("shift" as const), count: fc.integer({ min: 1, max: 60 }) }),
  fc.record({ kind: fc.constant("push" as const), count: fc.constant(1500) }),
  fc.record({ kind: fc.constant("shift" as const), count: fc.constant(4000) }),
  fc.record({ kind: fc.constant("clear" as const), count: fc.constant(0) }),
);

test("the ring gives what an array gives", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 40, size: "max" }), (operations) => {
      const ring = new FloatRing();
      const model: number[] = [];
      let next = 0.5;
      for (const { kind, count } of operations) {
        if (kind === "clear") {
          ring.clear();
          model.length = 0;
        }
        for (let index = 0; index < count; index++) {
          if (kind === "push") {
            ring.push(next);
            model.push(next++);
          } else {
            assert.equal(ring.shift(), model.shift() ?? Number.NaN);
          }
        }
        assert.equal(ring.length, model.length);
        assert.equal(ring.peek(), model[0] ?? Number.NaN);
        for (const index of [0, 1, model.length >> 1, model.length - 1, model.length, -1]) {
          assert.equal(ring.at(index), model[index] ?? Number.NaN);
        }
      }
    }),
    { numRuns: 300 },
  );
});

test("numbers beyond 32 bits and fractions keep their value", () => {
  const ring = new FloatRing();
  for (const value of [Number.MAX_SAFE_INTEGER, -0.25, 2 ** 40 + 1]) ring.push(value);
  assert.deepEqual(
    [ring.shift(), ring.shift(), ring.shift()],
    [Number.MAX_SAFE_INTEGER, -0.25, 2 ** 40 + 1],
  );
});

test("a ring that ran empty after a backlog does not keep the backlog's memory", () => {
  const ring = new FloatRing();
  assert.equal(ring.capacity, 0);
  for (let index = 0; index < 100_000; index++) ring.push(index);
  assert.equal(ring.capacity, 131_072);
  while (ring.length > 0) ring.shift();
  assert.ok(ring.capacity <= 1024);
  for (let index = 0; index < 3000; index++) ring.push(index);
  ring.clear();
  assert.ok(ring.capacity <= 1024);
});
