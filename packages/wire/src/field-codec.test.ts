/** Goal: field tables survive encoding and decoding octet for octet. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { anyTable } from "../test/arbitraries.ts";
import { scanTable } from "./field-scan.ts";
import { FieldTable, type FieldValue, fieldNestingMax } from "./field-table.ts";
import { tableByteLength } from "./field-writer.ts";
import { MalformedError } from "./malformed-error.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

function encoded(table: FieldTable): Buffer {
  const writer = new WireWriter(1);
  writer.table(table);
  return writer.take();
}

function decoded(octets: Buffer): FieldTable {
  const reader = new WireReader(octets);
  const table = reader.table();
  assert.equal(reader.offset, octets.length);
  assert.equal(reader.end, octets.length, "the reader is whole again after a table");
  return table;
}

/** A table with one field "k" of these octets: type and payload. */
function tableOf(field: string | Buffer): Buffer {
  const octets = Buffer.isBuffer(field) ? field : Buffer.from(field.replaceAll(" ", ""), "hex");
  const table = Buffer.alloc(6 + octets.length);
  table.writeUInt32BE(2 + octets.length);
  table.write("\x01k", 4);
  octets.copy(table, 6);
  return table;
}

/** `levels` tables, each but the last with one field that is the next. */
function nestedTables(levels: number): Buffer {
  let table: Buffer = Buffer.alloc(4);
  for (let i = 1; i < levels; i++) table = tableOf(Buffer.concat([Buffer.from("F"), table]));
  return table;
}

function nestedArrays(levels: number): Buffer {
  let array: Buffer = Buffer.alloc(4);
  for (let i = 1; i < levels; i++) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(1 + array.length);
    array = Buffer.concat([length, Buffer.from("A"), array]);
  }
  return tableOf(Buffer.concat([Buffer.from("A"), array]));
}

/** Decodes or says why not; whatever the octets, the scan and the decoder agree. */
function attempt(octets: Buffer): FieldTable | MalformedError {
  const scanned = scanTable(octets, 0, octets.length);
  const reader = new WireReader(octets);
  try {
    const table = reader.table();
    assert.equal(scanned, reader.offset, "the scan measures what the decoder consumes");
    return table;
  } catch (error) {
    assert.ok(error instanceof MalformedError, String(error));
    assert.equal(scanned, -1, "the scan refuses what the decoder refuses");
    return error;
  }
}

test("tables survive the wire, with their order, duplicates and every type", () => {
  fc.assert(
    fc.property(anyTable, (table) => {
      const octets = encoded(table);
      assert.equal(octets.length, tableByteLength(table));
      assert.deepEqual(decoded(octets), table);
      assert.equal(scanTable(octets, 0, octets.length), octets.length);
    }),
    { numRuns: 500 },
  );
});

test("every type has the octets that the protocol says", () => {
  const examples: [hex: string, value: FieldValue][] = [
    ["74 01", { type: "t", value: true }],
    ["62 80", { type: "b", value: -128 }],
    ["42 ff", { type: "B", value: 255 }],
    ["73 8000", { type: "s", value: -32768 }],
    ["75 ffff", { type: "u", value: 65535 }],
    ["49 80000000", { type: "I", value: -(2 ** 31) }],
    ["69 ffffffff", { type: "i", value: 2 ** 32 - 1 }],
    ["6c fffffffffffffffe", { type: "l", value: -2 }],
    ["6c 001fffffffffffff", { type: "l", value: Number.MAX_SAFE_INTEGER }],
    ["6c 0020000000000000", { type: "l", value: 2n ** 53n }],
    ["6c ffe0000000000001", { type: "l", value: Number.MIN_SAFE_INTEGER }],
    ["6c 8000000000000000", { type: "l", value: -(2n ** 63n) }],
    ["66 c0200000", { type: "f", value: -2.5 }],
    ["64 8000000000000000", { type: "d", value: -0 }],
    ["64 7ff0000000000000", { type: "d", value: Number.POSITIVE_INFINITY }],
    ["44 02 ffffffff", { type: "D", value: { scale: 2, unscaled: 2 ** 32 - 1 } }],
    ["53 00000001 ff", { type: "S", value: Buffer.from([255]) }],
    [
      "41 00000003 56 7400",
      {
        type: "A",
        value: [
          { type: "V", value: null },
          { type: "t", value: false },
        ],
      },
    ],
    ["54 ffffffffffffffff", { type: "T", value: 2n ** 64n - 1n }],
    ["46 00000000", { type: "F", value: new FieldTable() }],
    ["56", { type: "V", value: null }],
    ["78 00000000", { type: "x", value: Buffer.alloc(0) }],
  ];
  for (const [hex, value] of examples) {
    const table = new FieldTable([{ name: "k", value }]);
    assert.deepEqual(encoded(table), tableOf(hex), hex);
    assert.deepEqual(decoded(tableOf(hex)), table, hex);
  }
});

test("bits that a JavaScript value cannot hold survive too", () => {
  for (const hex of [
    "74 02",
    "66 7fa00001",
    "66 ffc12345",
    "64 7ff0000000000001",
    "64 fff8deadbeef0001",
  ]) {
    assert.deepEqual(encoded(decoded(tableOf(hex))), tableOf(hex), hex);
  }
  assert.equal(decoded(tableOf("74 02")).get("k")?.value, true);
  assert.deepEqual(encoded(FieldTable.from({ k: Number.NaN })), tableOf("64 7ff8000000000000"));
});

test("L means l, as for RabbitMQ", () => {
  const table = decoded(tableOf("4c ffffffffffffffff"));
  assert.deepEqual(table.get("k"), { type: "l", value: -1 });
});

test("a table cut anywhere, or with a wrong octet, is refused or decoded, nothing else", () => {
  fc.assert(
    fc.property(anyTable, fc.nat(), fc.nat(255), (table, at, octet) => {
      const octets = encoded(table);
      for (let end = 0; end < octets.length; end++) {
        assert.ok(attempt(octets.subarray(0, end)) instanceof MalformedError, `cut at ${end}`);
      }
      octets[at % octets.length] = octet;
      attempt(octets);
    }),
    { numRuns: 200 },
  );
});

test("random octets after a true length are refused or decoded, nothing else", () => {
  // Octets that mean something make deeper paths likely.
  const octet = fc.oneof(
    fc.nat(255),
    fc.nat(4),
    fc.constantFrom(...Buffer.from("tbBsuIilfdDSATFVxL")),
  );
  fc.assert(
    fc.property(fc.array(octet, { maxLength: 60 }), (contents) => {
      const table = Buffer.from([0, 0, 0, contents.length, ...contents]);
      const result = attempt(table);
      if (result instanceof FieldTable && !contents.includes(0x4c)) {
        assert.deepEqual(encoded(result), table, "what decodes encodes to the same octets");
      }
    }),
    { numRuns: 3000 },
  );
});

test("a table that does not fit its frame is a frame error, a broken field a syntax error", () => {
  const codeOf = (octets: Buffer) => {
    const result = attempt(octets);
    return result instanceof MalformedError ? result.replyCode : 0;
  };
  assert.equal(codeOf(Buffer.from("ffffffff00", "hex")), 501);
  assert.equal(codeOf(Buffer.from("0000", "hex")), 501);
  for (const field of [
    "5a 00",
    "53 ffffffff",
    "53 00",
    "46 00000001",
    "41 ffffffff",
    "6c 00",
    "41 00000001 5a",
  ]) {
    assert.equal(codeOf(tableOf(field)), 502, field);
  }
  assert.equal(codeOf(Buffer.from("00000003 20 6b 56".replaceAll(" ", ""), "hex")), 502);
});

test("nesting is bounded, for tables and arrays, on the way in and out", () => {
  for (const nested of [nestedTables, nestedArrays]) {
    const levels = nested === nestedTables ? fieldNestingMax : fieldNestingMax - 1;
    const deepest = nested(levels);
    assert.deepEqual(encoded(decoded(deepest)), deepest);
    const result = attempt(nested(levels + 1));
    assert.ok(result instanceof MalformedError && result.replyCode === 502);
  }
  const tooDeep = new FieldTable([
    { name: "k", value: { type: "F", value: decoded(nestedTables(100)) } },
  ]);
  assert.throws(() => tableByteLength(tooDeep), RangeError);
  attempt(nestedTables(3000));
  attempt(nestedArrays(5000));
});

test("values out of their type's range are refused before anything is written", () => {
  const bad: FieldValue[] = [
    { type: "b", value: 128 },
    { type: "B", value: -1 },
    { type: "s", value: 0x8000 },
    { type: "u", value: 0.5 },
    { type: "I", value: 2 ** 31 },
    { type: "i", value: Number.NaN },
    { type: "l", value: 2 ** 53 },
    { type: "l", value: 2n ** 63n },
    { type: "T", value: -1 },
    { type: "T", value: 2n ** 64n },
    { type: "D", value: { scale: 256, unscaled: 0 } },
    { type: "A", value: [{ type: "B", value: 256 }] },
  ];
  const writer = new WireWriter();
  for (const value of bad) {
    assert.throws(() => writer.table(new FieldTable([{ name: "k", value }])), RangeError);
  }
  assert.throws(() => writer.table(FieldTable.from({ ["k".repeat(256)]: 1 })), RangeError);
  assert.equal(writer.offset, 0);
});

test("decoded strings are copies", () => {
  const octets = tableOf("53 00000001 61");
  const table = decoded(octets);
  octets.fill(0);
  assert.deepEqual(table.get("k")?.value, Buffer.from("a"));
});
