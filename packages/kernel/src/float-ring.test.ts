/** Goal: the ring behaves like an array used as a queue, and gives memory back. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ByteCount } from "./byte-count.ts";
import { CHUNK_LENGTH, FloatRing } from "./float-ring.ts";

type Kind = "push" | "shift" | "set" | "clear";

function operationOf(kind: Kind, min: number, max = min) {
  return fc.record({ kind: fc.constant(kind), count: fc.integer({ min, max }) });
}

const short = [
  operationOf("push", 1, 40),
  operationOf("shift", 1, 60),
  operationOf("push", 1500),
  operationOf("shift", 4000),
  operationOf("clear", 0),
];
/** So that chunks come and go, and end where others begin. */
const long = [
  operationOf("push", CHUNK_LENGTH - 1, CHUNK_LENGTH + 1),
  operationOf("push", 1, 3 * CHUNK_LENGTH),
  operationOf("shift", CHUNK_LENGTH - 1, CHUNK_LENGTH + 1),
  operationOf("shift", 1, 2 * CHUNK_LENGTH),
  operationOf("push", 1),
  operationOf("shift", 1),
  operationOf("set", 1, 40),
  operationOf("clear", 0),
];

/** An array as a queue, without the cost of moving it at every shift. */
class Model {
  readonly #numbers: number[] = [];
  #first = 0;

  get length(): number {
    return this.#numbers.length - this.#first;
  }

  push(number: number): void {
    this.#numbers.push(number);
  }

  set(index: number, number: number): void {
    this.#numbers[this.#first + index] = number;
  }

  shift(): number {
    return this.length === 0 ? Number.NaN : this.#numbers[this.#first++]!;
  }

  at(index: number): number {
    return index < 0 ? Number.NaN : (this.#numbers[this.#first + index] ?? Number.NaN);
  }

  clear(): void {
    this.#first = this.#numbers.length;
  }
}

function assertLikeArray(operations: readonly { kind: Kind; count: number }[]): void {
  const memory = new ByteCount();
  const ring = new FloatRing(memory);
  const model = new Model();
  let next = 0.5;
  for (const { kind, count } of operations) {
    if (kind === "clear") {
      ring.clear();
      model.clear();
    }
    for (let index = 0; index < count; index++) {
      if (kind === "set") {
        // All over, and several times into some chunks.
        if (model.length === 0) break;
        const at = (index * 3001) % model.length;
        ring.set(at, -index);
        model.set(at, -index);
      } else if (kind === "push") {
        ring.push(next);
        model.push(next);
        // Mostly even steps, like positions; sometimes not a whole number.
        next += next % 5000 < 1 ? 1_000_000.25 : 17;
      } else {
        const [shifted, expected] = [ring.shift(), model.shift()];
        // Not assert.equal for each: there are many.
        if (!Object.is(shifted, expected)) assert.fail(`shift gave ${shifted}, not ${expected}`);
      }
    }
    const { length } = model;
    assert.equal(ring.length, length);
    assert.equal(ring.peek(), model.at(0));
    for (const index of [0, 1, length >> 2, length >> 1, length - 2, length - 1, length, -1]) {
      assert.equal(ring.at(index), model.at(index));
    }
    if (ring.bytes > 8192) assert.equal(memory.bytes, ring.bytes);
    else assert.equal(memory.bytes, 0, "what an empty ring may keep is not counted");
  }
}

test("a ring gives what an array gives, and counts its memory", () => {
  const operations = fc.array(fc.oneof(...short), { maxLength: 40, size: "max" });
  fc.assert(fc.property(operations, assertLikeArray), { numRuns: 300 });
});

test("so does a long one", () => {
  const operations = fc.array(fc.oneof(...long), { maxLength: 20, size: "max" });
  fc.assert(fc.property(operations, assertLikeArray), { numRuns: 60 });
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
  const memory = new ByteCount();
  const ring = new FloatRing(memory);
  assert.equal(ring.bytes, 0);
  for (let index = 0; index < 100_000; index++) ring.push(index);
  while (ring.length > 0) ring.shift();
  assert.ok(ring.bytes <= 8192);
  for (let index = 0; index < 100_000; index++) ring.push(index);
  ring.clear();
  assert.ok(ring.bytes <= 8192);
  assert.equal(memory.bytes, 0);
});

test("a backlog of a million takes less than half a megabyte, and one of random sizes little", () => {
  const ring = new FloatRing();
  for (let index = 0; index < 1_000_000; index++) ring.push(2 ** 40 + index * 17);
  assert.ok(ring.bytes < 500_000, `${ring.bytes}`);
  ring.clear();
  let position = 2 ** 40;
  for (let index = 0; index < 1_000_000; index++) {
    ring.push(position);
    position += 10 + ((Math.imul(index, 2654435761) >>> 8) % 1000);
  }
  assert.ok(ring.bytes < 2_500_000, `${ring.bytes}`);
});

test("set replaces what at gives, also across the end of the array", () => {
  const ring = new FloatRing();
  for (let i = 0; i < 8; i++) ring.push(i);
  for (let i = 0; i < 5; i++) ring.shift();
  for (let i = 8; i < 12; i++) ring.push(i);
  ring.set(0, 50);
  ring.set(6, 56);
  assert.deepEqual(
    Array.from({ length: ring.length }, (_, i) => ring.at(i)),
    [50, 6, 7, 8, 9, 10, 56],
  );
  assert.throws(() => ring.set(7, 1), RangeError);
  assert.throws(() => ring.set(-1, 1), RangeError);
});
