/** Goal: field tables are built from plain objects and turned back into them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable, fieldText, textField } from "./field-table.ts";

test("from() gives JavaScript values their AMQP types", () => {
  const table = FieldTable.from({
    text: "é",
    yes: true,
    int: -(2 ** 31),
    long: 2 ** 31,
    double: 0.5,
    minusZero: -0,
    huge: 2 ** 60,
    list: [1, "a", null, undefined],
    object: { inner: 1 },
    octets: Buffer.from([1]),
    bytes: new Uint8Array([2]),
    date: new Date(1_700_000_000_900),
    nothing: null,
    absent: undefined,
    big: 2n ** 62n,
    table: new FieldTable(),
  });
  const types = table.entries.map(({ name, value }) => `${name}:${value.type}`).join(" ");
  assert.equal(
    types,
    "text:S yes:t int:I long:l double:d minusZero:d huge:d list:A object:F octets:x bytes:x date:T " +
      "nothing:V big:l table:F",
  );
  assert.equal(table.get("date")?.value, 1_700_000_000);
  assert.deepEqual(table.get("list")?.value, [
    { type: "I", value: 1 },
    textField("a"),
    { type: "V", value: null },
    { type: "V", value: null },
  ]);
});

test("from() refuses what no field can hold", () => {
  assert.throws(() => FieldTable.from({ f: () => 1 }), TypeError);
  assert.throws(() => FieldTable.from({ s: Symbol("s") }), TypeError);
  assert.throws(() => FieldTable.from({ b: 2n ** 63n }), RangeError);
  const cyclic: Record<string, unknown> = {};
  cyclic.self = cyclic;
  assert.throws(() => FieldTable.from(cyclic), RangeError);
});

test("toObject() gives plain values back", () => {
  const object = {
    text: "é",
    yes: true,
    numbers: [1, 2 ** 40, 0.25],
    inner: { deep: { deeper: null } },
    octets: Buffer.from([1]),
    date: new Date(1_700_000_000_000),
    big: 2n ** 62n,
  };
  assert.deepEqual(FieldTable.from(object).toObject(), object);
  const decimal = new FieldTable([
    { name: "d", value: { type: "D", value: { scale: 2, unscaled: 5 } } },
  ]);
  assert.deepEqual(decimal.toObject(), { d: 0.05 });
});

test("a field named __proto__ is a field like any other", () => {
  const table = new FieldTable([{ name: "__proto__", value: textField("x") }]);
  const object = table.toObject();
  assert.equal(Object.getPrototypeOf(object), Object.prototype);
  assert.deepEqual(Object.entries(object), [["__proto__", "x"]]);
});

test("of several entries with one name the first counts, and all stay", () => {
  const table = new FieldTable([
    { name: "a", value: textField("first") },
    { name: "b", value: textField("b") },
    { name: "a", value: textField("second") },
  ]);
  assert.equal(fieldText(table.get("a")), "first");
  assert.deepEqual(table.toObject(), { a: "first", b: "b" });
  table.set("a", textField("changed")).set("c", textField("c"));
  assert.deepEqual(
    table.entries.map(({ name, value }) => `${name}=${fieldText(value)}`),
    ["a=changed", "b=b", "a=second", "c=c"],
  );
  assert.equal(table.delete("a"), true);
  assert.equal(table.delete("a"), false);
  assert.deepEqual([table.size, table.has("a"), table.has("b")], [2, false, true]);
});

test("only strings have text", () => {
  assert.equal(fieldText(undefined), undefined);
  assert.equal(fieldText({ type: "I", value: 1 }), undefined);
  assert.equal(fieldText({ type: "S", value: Buffer.from([0xff]) }), "\udcff");
  assert.equal(fieldText({ type: "x", value: Buffer.from("x") }), "x");
});
