/** Goal: packed numbers are the numbers that were packed, and those that grow evenly small. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type NumberArray, PackedNumbers } from "./packed-numbers.ts";

function assertSame(numbers: NumberArray): void {
  const packed = new PackedNumbers(numbers, numbers.length);
  assert.equal(packed.length, numbers.length);
  const unpacked = new Float64Array(numbers.length);
  packed.copyTo(unpacked);
  for (const [i, number] of numbers.entries()) {
    // Not assert.equal for each: there are many.
    if (!Object.is(packed.at(i), number)) assert.fail(`at(${i}) is ${packed.at(i)}, not ${number}`);
    if (!Object.is(unpacked[i], number))
      assert.fail(`copied ${i} is ${unpacked[i]}, not ${number}`);
  }
}

/** Numbers that grow by steps of one kind for a while and then by another's. */
const growing = fc
  .tuple(
    fc.integer({ min: 0, max: 2 ** 40 }),
    fc.array(
      fc.record({
        count: fc.integer({ min: 1, max: 700 }),
        step: fc.constantFrom(0, 1, 17, 300, 70_000, 2 ** 21, 2 ** 33, -5, -(2 ** 21)),
        spread: fc.constantFrom(0, 1, 200, 60_000),
        seed: fc.nat(),
      }),
      { maxLength: 6 },
    ),
  )
  .map(([start, runs]) => {
    const numbers: number[] = [];
    let number = start;
    for (const { count, step, spread, seed } of runs) {
      for (let i = 0; i < count; i++) {
        numbers.push(number);
        number += step + (spread === 0 ? 0 : (Math.imul(seed + i, 2654435761) >>> 0) % spread);
      }
    }
    return Float64Array.from(numbers);
  });

const extremes = [2 ** 52, -(2 ** 52), 2 ** 53 - 1, 1 - 2 ** 53, 2 ** 32, Number.POSITIVE_INFINITY];
/** Whatever a ring may be given; the sign of zero is nobody's business. */
const anything = fc
  .array(
    fc.tuple(
      fc.oneof(
        fc.double().map((number) => number + 0),
        fc.constantFrom(0, 1, -1, 0.5, Number.NaN, ...extremes),
      ),
      fc.constantFrom(1, 1, 2, 300),
    ),
    { maxLength: 100, size: "max" },
  )
  .map((runs) => Float64Array.from(runs.flatMap(([number, count]) => Array(count).fill(number))));

describe("PackedNumbers", () => {
  test("are the numbers that were packed", () => {
    fc.assert(fc.property(growing, assertSame), { numRuns: 300 });
    fc.assert(fc.property(anything, assertSame), { numRuns: 300 });
  });

  test("are exact at both ends of every width", () => {
    for (const edge of [255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 2 ** 52, 2 ** 53 - 1]) {
      assertSame(Float64Array.of(7, 7 + edge, 7));
      assertSame(Float64Array.of(edge, 0, edge));
      assertSame(Float64Array.of(-edge, 0, -edge, edge));
    }
  });

  test("take the first numbers of an array only", () => {
    const packed = new PackedNumbers(Uint32Array.of(4, 5, 6, 7), 2);
    const into = Uint32Array.of(0, 0, 9, 9);
    packed.copyTo(into);
    assert.deepEqual([packed.length, ...into], [2, 4, 5, 9, 9]);
  });

  test("take hardly any memory where they grow evenly, and little where they nearly do", () => {
    const even = Float64Array.from({ length: 100_000 }, (_, i) => 5e9 + i * 17);
    assert.ok(new PackedNumbers(even, even.length).bytes <= 0.1 * even.length);
    for (const same of [Number.POSITIVE_INFINITY, Number.NaN]) {
      const all = even.map(() => same);
      assert.ok(new PackedNumbers(all, all.length).bytes <= 0.1 * all.length);
    }
    // Some 32 bytes of the log's own between every thousand messages.
    const nearly = even.map((number, i) => number + Math.floor(i / 1000) * 4);
    assert.ok(new PackedNumbers(nearly, nearly.length).bytes <= 0.5 * even.length);
    // Messages from 100 to 1,000 bytes.
    let at = 0;
    const sizes = even.map((_, i) => {
      at += 12 + ((Math.imul(i, 2654435761) >>> 8) % 113);
      return at;
    });
    assert.ok(new PackedNumbers(sizes, sizes.length).bytes <= 2.2 * even.length);
  });
});
