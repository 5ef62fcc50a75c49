/** Goal: counts are what was set, however large they become, and cost a bit each while they may. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ReferenceCounts } from "./reference-counts.ts";

describe("reference counts", () => {
  test("are what was set", () => {
    const count = fc.oneof(
      ...[0, 1, 2, 255, 256, 65_536, 2 ** 31].map((each) => fc.constant(each)),
    );
    const change = fc.tuple(fc.nat(99), count);
    fc.assert(
      fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
        const counts = new ReferenceCounts(100);
        const model = new Array<number>(100).fill(0);
        for (const [index, each] of changes) {
          counts.set(index, each);
          model[index] = each;
        }
        assert.deepEqual(
          model.map((_, index) => counts.at(index)),
          model,
        );
      }),
    );
  });

  test("take a bit, a byte or four each, as the largest needs", () => {
    const counts = new ReferenceCounts(1000);
    counts.set(3, 1);
    assert.equal(counts.bytes, 125);
    counts.set(3, 2);
    assert.equal(counts.bytes, 1000);
    counts.set(4, 256);
    assert.equal(counts.bytes, 4000);
  });
});
