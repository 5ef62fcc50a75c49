/** Goal: field types and values read as in RabbitMQ's texts. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable, type FieldValue, textField } from "@haremq/wire";
import {
  erlangPair,
  erlangString,
  erlangTerm,
  fieldTypeName,
  fieldValueText,
} from "./field-text.ts";

test("types have the names of RabbitMQ's codec", () => {
  const types = ["t", "b", "B", "s", "u", "I", "i", "l", "f", "d", "D", "S", "A", "T", "F", "V"];
  const names = (types as FieldValue["type"][]).map(fieldTypeName);
  assert.equal(
    names.join(" "),
    "bool byte unsignedbyte short unsignedshort signedint unsignedint long float double decimal " +
      "longstr array timestamp table void",
  );
  assert.equal(fieldTypeName("x"), "binary");
});

test("floats are printed by Erlang's rules", () => {
  // Printed by Erlang/OTP 25 with ~p.
  const printed = [
    "0.0 -0.0 1.0 -5.5 0.1 0.01 0.001 0.0001 1.0e-5 0.00123 1.5e-5 1.0e-7 5.0e-324 10.0 100.0",
    "1.0e3 1.2e4 1.0e5 1.0e10 123456.789 123456789.0 1234567890123456.0 9007199254740991.0",
    "9.007199254740992e15 1.2345678901234568e16 1.0e22 1.0e100 1.5e300",
  ];
  for (const text of printed.join(" ").split(" ")) {
    assert.equal(erlangTerm({ type: "d", value: Number(text) }), text);
  }
});

test("strings are quoted when they are printable, else listed", () => {
  assert.equal(
    erlangString('a "b" \\ c\n\t\r\b\f\v\u001b'),
    '"a \\"b\\" \\\\ c\\n\\t\\r\\b\\f\\v\\e"',
  );
  assert.equal(erlangString("\u0000"), "[0]");
  assert.equal(erlangString("a\u007f"), "[97,127]");
  // Octets count, not characters: those of é are printable Latin-1, one of those of É is not.
  assert.equal(erlangString("é"), '"é"');
  assert.equal(erlangString("É"), "[195,137]");
  // An octet that is no UTF-8 comes and goes as a lone surrogate.
  assert.equal(erlangString("\udcff"), '"\udcff"');
});

test("binaries, tables and arrays nest", () => {
  const inner = new FieldTable([
    { name: "k", value: textField("v") },
    { name: "\u0001", value: { type: "x", value: Buffer.from([0, 1]) } },
    { name: "", value: { type: "x", value: Buffer.alloc(0) } },
  ]);
  const array: FieldValue = {
    type: "A",
    value: [
      { type: "F", value: inner },
      { type: "V", value: null },
      { type: "D", value: { scale: 2, unscaled: 314 } },
      { type: "l", value: 2n ** 62n },
      { type: "A", value: [] },
    ],
  };
  assert.equal(
    fieldValueText(array),
    '[{table,[{<<"k">>,longstr,<<"v">>},{<<1>>,binary,<<0,1>>},{<<>>,binary,<<>>}]},' +
      "{void,undefined},{decimal,{2,314}},{long,4611686018427387904},{array,[]}]",
  );
});

test("a pair breaks behind its tag when it does not fit", () => {
  const before = "x".repeat(60);
  assert.equal(erlangPair("value_zero", "0", before), "{value_zero,0}");
  assert.equal(erlangPair("value_zero", "12345", before), "{value_zero,12345}");
  assert.equal(
    erlangPair("value_zero", "123456", before),
    `{value_zero,\n${" ".repeat(61)}123456}`,
  );
});
