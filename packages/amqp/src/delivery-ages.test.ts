/** Goal: an age is never overstated, and understated by little where it matters. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DeliveryAges, exactMarks } from "./delivery-ages.ts";

test("without a mark nothing is known", () => {
  const ages = new DeliveryAges();
  assert.equal(ages.latestBy(Number.MAX_VALUE), 0);
  assert.equal(ages.deliveredBy(1), Number.POSITIVE_INFINITY);
});

test("a mark says that what came before is as old, and nothing of what comes after", () => {
  const ages = new DeliveryAges();
  ages.mark(12, 0);
  ages.mark(40, 60);
  ages.mark(40, 75);
  ages.mark(41, 90);
  assert.deepEqual(
    [1, 12, 13, 40, 41, 42].map((tag) => ages.deliveredBy(tag)),
    [0, 0, 60, 60, 90, Number.POSITIVE_INFINITY],
  );
  assert.deepEqual(
    [-1, 0, 59, 60, 89, 90, 1000].map((timeMs) => ages.latestBy(timeMs)),
    [0, 12, 12, 40, 40, 41, 41],
  );
  ages.clear();
  assert.equal(ages.latestBy(1000), 0);
});

test("never too old, exact to a mark for the newest, and in proportion to the age before", () => {
  const steps = fc.array(fc.nat(3), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(steps, (deliveries) => {
      const ages = new DeliveryAges();
      // Deliveries are made right after the mark before them, so their age is one step more.
      const made: number[] = [];
      const marks: number[] = [];
      let tag = 0;
      deliveries.forEach((count, step) => {
        for (let i = 0; i < count; i++) made[++tag] = step;
        ages.mark(tag, step + 1);
        if (marks.at(-1) !== tag) marks.push(tag);
      });
      const end = deliveries.length;
      const firstExact = marks.at(-exactMarks) ?? 0;
      for (let each = 1; each <= tag; each++) {
        const claimed = ages.deliveredBy(each);
        assert.ok(claimed >= made[each]! + 1, "older than it is");
        if (each > firstExact) assert.equal(claimed, made[each]! + 1);
        const age = end - made[each]!;
        assert.ok(claimed - made[each]! <= Math.max(1, age / 2) + 3, `${claimed} of ${age}`);
      }
    }),
  );
});
