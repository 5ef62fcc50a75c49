/** Goal: a table says the same of its records whether it is packed or not, and packed in little. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { RecordTable } from "./record-table.ts";

interface Record {
  readonly unit: number;
  readonly length: number;
}

function assertHas(table: RecordTable, records: readonly Record[], tail: number): void {
  assert.equal(table.count, records.length);
  for (const [i, { unit, length }] of records.entries()) {
    const found = [table.unitAt(i), table.lengthAt(i, tail), table.indexOf(unit)];
    if (found[0] !== unit || found[1] !== length || found[2] !== i) {
      assert.fail(`record ${i} at unit ${unit} of ${length} bytes is ${found}`);
    }
  }
}

const lengths = fc.array(fc.integer({ min: 4, max: 400 }), { maxLength: 700, size: "max" });

describe("a table of records", () => {
  test("is the same packed and unpacked, as often as it changes", () => {
    fc.assert(
      fc.property(lengths, (units) => {
        const table = new RecordTable();
        const records: Record[] = [];
        let tail = 0;
        for (const length of units) {
          records.push({ unit: tail, length: length * 8 });
          table.add(tail);
          tail += length;
        }
        for (let i = 0; i < 2; i++) {
          assertHas(table, records, tail * 8);
          table.pack();
          assertHas(table, records, tail * 8);
          table.unpack();
          assertHas(table, records, tail * 8);
          // As the end is to a segment that recovery has found without one.
          records.push({ unit: tail, length: 32 });
          table.add(tail);
          tail += 4;
        }
        assertHas(table, records, tail * 8);
      }),
      { numRuns: 60 },
    );
  });

  test("is so with gaps between the records as well", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(300), fc.integer({ min: 4, max: 400 }))), (pairs) => {
        const records: Record[] = [];
        let tail = 0;
        for (const [gap, length] of pairs) {
          records.push({ unit: tail + gap, length: length * 8 });
          tail += gap + length;
        }
        const table = new RecordTable();
        table.add(0);
        table.pack();
        table.replace(
          Uint32Array.from(records, ({ unit }) => unit),
          Uint32Array.from(records, ({ length }) => length),
        );
        assertHas(table, records, tail * 8);
        table.pack();
        assertHas(table, records, tail * 8);
        table.unpack();
        assertHas(table, records, tail * 8);
      }),
    );
  });

  test("packed takes a fraction of a byte for records of one size", () => {
    const table = new RecordTable();
    for (let i = 0; i < 100_000; i++) table.add(i * 17 + Math.floor(i / 1000) * 4);
    assert.ok(table.bytes >= 400_000);
    table.pack();
    assert.ok(table.bytes <= 50_000, `${table.bytes} bytes`);
  });

  test("finds the first record behind a unit that is none's", () => {
    const table = new RecordTable();
    for (const unit of [0, 10, 30]) table.add(unit);
    assert.deepEqual(
      [9, 10, 11, 30, 31].map((unit) => table.indexOf(unit)),
      [1, 1, 2, 2, 2],
    );
  });
});
