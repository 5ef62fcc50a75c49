/**
 * Goal: the pool hands every slab out once at a time, uses it again, and keeps no more than it may.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SlabPool } from "./slab-pool.ts";

test("a slab that was given back serves again, the last one first", () => {
  const pool = new SlabPool(1000, [100, 200]);
  const first = pool.take(100);
  const second = pool.take(100);
  pool.give(first);
  pool.give(second);
  assert.equal(pool.take(100), second);
  assert.equal(pool.take(100), first);
});

test("slabs of one size never serve as another", () => {
  const pool = new SlabPool(1000, [100, 200]);
  pool.give(pool.take(100));
  assert.equal(pool.take(200).length, 200);
});

test("no more is kept spare than allowed", () => {
  const pool = new SlabPool(250, [100]);
  const slabs = [pool.take(100), pool.take(100), pool.take(100)];
  for (const slab of slabs) pool.give(slab);
  assert.equal(pool.spareBytes, 200);
  assert.equal(pool.takenBytes, 0);
});

test("slabs of odd sizes are not kept: they would keep the usual ones out", () => {
  const pool = new SlabPool(1000, [100]);
  pool.give(pool.take(777));
  assert.equal(pool.spareBytes, 0);
  assert.equal(pool.takenBytes, 0);
});

test("whatever is taken and given back, the counts are right and no slab is with two", () => {
  const sizes = [64, 128, 256];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(100))), (steps) => {
      const pool = new SlabPool(600, sizes);
      const taken: Buffer[] = [];
      for (const [isTake, draw] of steps) {
        if (isTake || taken.length === 0) {
          const slab = pool.take(sizes[draw % sizes.length]!);
          assert.ok(!taken.includes(slab));
          taken.push(slab);
        } else {
          pool.give(taken.splice(draw % taken.length, 1)[0]!);
        }
        assert.equal(
          pool.takenBytes,
          taken.reduce((sum, slab) => sum + slab.length, 0),
        );
        assert.ok(pool.spareBytes <= 600);
      }
    }),
  );
});
