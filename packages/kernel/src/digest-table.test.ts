/** Goal: the table behaves like a Map by digest that keeps its order, and gives memory back. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DigestTable } from "./digest-table.ts";

/** Digests whose first words collide as often as not, which chance would not bring about. */
function digestOf(value: number): Int32Array {
  return Int32Array.of(value % 7, value, value >>> 3, -value);
}

const operation = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("add" as const), value: fc.nat(300) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("remove" as const), value: fc.nat(300) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drop" as const), value: fc.nat(40) }) },
);

test("the table has what a Map has, in its order", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 600, size: "max" }), (operations) => {
      const table = new DigestTable();
      const model = new Map<number, { slot: number; first: number }>();
      for (const [i, { kind, value }] of operations.entries()) {
        const digest = digestOf(value);
        const known = model.get(value);
        assert.equal(table.find(digest), known?.slot ?? -1);
        if (kind === "add" && known === undefined) {
          const slot = table.add(digest, i + 0.5, i * 2);
          model.set(value, { slot, first: i + 0.5 });
        } else if (kind === "remove" && known !== undefined) {
          table.remove(known.slot);
          model.delete(value);
        } else if (kind === "drop") {
          for (let left = value; left > 0 && model.size > 0; left--) {
            const [oldest, { slot }] = model.entries().next().value!;
            assert.equal(table.oldest, slot);
            table.remove(slot);
            model.delete(oldest);
          }
        }
        assert.equal(table.size, model.size);
      }
      for (const { slot, first } of model.values()) {
        assert.equal(table.oldest, slot);
        assert.deepEqual([table.first(slot), table.second(slot)], [first, first * 2 - 1]);
        table.remove(slot);
      }
      assert.deepEqual([table.oldest, table.capacity], [-1, 0]);
    }),
  );
});

test("digests that differ in one word only are different", () => {
  const table = new DigestTable();
  const digests = [0, 1, 2, 3].map((word) =>
    Int32Array.from([9, 9, 9, 9], (v, i) => v + +(i === word)),
  );
  for (const [i, digest] of digests.entries()) table.add(digest, i, 0);
  assert.deepEqual(
    digests.map((digest) => table.first(table.find(digest))),
    [0, 1, 2, 3],
  );
  assert.equal(table.find(Int32Array.of(9, 9, 9, 9)), -1);
});

test("it says what it takes and what one more will, and nothing is left of it when it is empty", () => {
  const table = new DigestTable();
  assert.equal(table.bytes, 0);
  for (let value = 0; value < 1000; value++) {
    const announced = table.bytesWithOneMore;
    table.add(digestOf(value), 0, 0);
    assert.equal(table.bytes, announced);
  }
  assert.ok(table.bytes <= 1024 * 48);
  while (table.size > 0) table.remove(table.oldest);
  assert.equal(table.bytes, 0);
});
