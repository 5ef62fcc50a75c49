// Measures and encodes field tables. Called by WireWriter.table() and by the generated encoders,
// which need a frame's length before its first octet. The layout is drawn in field-reader.ts.
//
// A value out of its type's range is the caller's mistake and throws RangeError. Measuring visits
// and checks every value, so nothing of a bad table is ever written.

import { type FieldTable, type FieldValue, fieldNestingMax } from "./field-table.ts";
import { shortStringByteLength } from "./text.ts";
import type { WireWriter } from "./wire-writer.ts";

const twoTo32 = 0x1_0000_0000;

/** The octets that encodeTable will write, the table's own length included. */
export function tableByteLength(table: FieldTable, depth = 1): number {
  if (depth > fieldNestingMax) throw new RangeError(`nested deeper than ${fieldNestingMax}`);
  let bytes = 4;
  for (const { name, value } of table.entries) {
    const nameBytes = shortStringByteLength(name);
    bytes += 1 + nameBytes + valueByteLength(value, depth);
  }
  return bytes;
}

/** The writer must have room for tableByteLength(table) octets. */
export function encodeTable(writer: WireWriter, table: FieldTable): void {
  const start = writer.offset;
  writer.uint32(0);
  for (const { name, value } of table.entries) {
    writer.shortString(name);
    encodeValue(writer, value);
  }
  writeLengthSince(writer, start);
}

function encodeArray(writer: WireWriter, values: readonly FieldValue[]): void {
  const start = writer.offset;
  writer.uint32(0);
  for (const value of values) encodeValue(writer, value);
  writeLengthSince(writer, start);
}

// Written afterwards: measuring every nested table again would be quadratic in the depth.
function writeLengthSince(writer: WireWriter, start: number): void {
  const end = writer.offset;
  writer.offset = start;
  writer.uint32(end - start - 4);
  writer.offset = end;
}

function valueByteLength(field: FieldValue, depth: number): number {
  switch (field.type) {
    case "t":
      return 2;
    case "b":
      return integer(field.value, -0x80, 0x7f, 2);
    case "B":
      return integer(field.value, 0, 0xff, 2);
    case "s":
      return integer(field.value, -0x8000, 0x7fff, 3);
    case "u":
      return integer(field.value, 0, 0xffff, 3);
    case "I":
      return integer(field.value, -0x8000_0000, 0x7fff_ffff, 5);
    case "i":
      return integer(field.value, 0, 0xffff_ffff, 5);
    case "l":
    case "T":
      return wideInteger(field.value, field.type === "l");
    case "f":
      return 5;
    case "d":
      return 9;
    case "D":
      integer(field.value.scale, 0, 0xff, 0);
      return integer(field.value.unscaled, 0, 0xffff_ffff, 6);
    case "V":
      return 1;
    case "S":
    case "x":
      return 5 + field.value.length;
    case "F":
      return 1 + tableByteLength(field.value, depth + 1);
    case "A":
      return 1 + arrayByteLength(field.value, depth + 1);
  }
}

function arrayByteLength(values: readonly FieldValue[], depth: number): number {
  if (depth > fieldNestingMax) throw new RangeError(`nested deeper than ${fieldNestingMax}`);
  let bytes = 4;
  for (const value of values) bytes += valueByteLength(value, depth);
  return bytes;
}

function integer(value: number, min: number, max: number, byteLength: number): number {
  if (!(Number.isInteger(value) && value >= min && value <= max)) {
    throw new RangeError(`${value} is not an integer from ${min} to ${max}`);
  }
  return byteLength;
}

function wideInteger(value: number | bigint, signed: boolean): number {
  const fits =
    typeof value === "number"
      ? Number.isSafeInteger(value) && (signed || value >= 0)
      : (signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) === value;
  if (!fits) throw new RangeError(`${value} is not a 64-bit integer`);
  return 9;
}

function encodeValue(writer: WireWriter, field: FieldValue): void {
  writer.uint8(field.type.charCodeAt(0));
  switch (field.type) {
    case "t":
      if (field.raw) writer.bytes(field.raw);
      else writer.uint8(field.value ? 1 : 0);
      break;
    case "b":
    case "B":
      writer.uint8(field.value);
      break;
    case "s":
    case "u":
      writer.uint16(field.value);
      break;
    case "I":
    case "i":
      writer.uint32(field.value);
      break;
    case "l":
    case "T":
      encodeWideInteger(writer, field.value);
      break;
    case "f":
    case "d":
      encodeFloating(writer, field);
      break;
    case "D":
      writer.uint8(field.value.scale);
      writer.uint32(field.value.unscaled);
      break;
    case "S":
    case "x":
      writer.longString(field.value);
      break;
    case "F":
      encodeTable(writer, field.value);
      break;
    case "A":
      encodeArray(writer, field.value);
      break;
    case "V":
      break;
  }
}

/** Two's complement, so that l and T are written alike. */
function encodeWideInteger(writer: WireWriter, value: number | bigint): void {
  if (typeof value === "bigint") {
    writer.uint64(BigInt.asUintN(64, value));
  } else {
    writer.uint32(Math.floor(value / twoTo32));
    writer.uint32(value);
  }
}

function encodeFloating(writer: WireWriter, field: FieldValue & { type: "f" | "d" }): void {
  if (field.raw) {
    writer.bytes(field.raw);
    return;
  }
  const bytes = field.type === "f" ? 4 : 8;
  if (writer.offset + bytes > writer.buffer.length) writer.ensure(bytes);
  if (bytes === 4) writer.buffer.writeFloatBE(field.value, writer.offset);
  else writer.buffer.writeDoubleBE(field.value, writer.offset);
  writer.offset += bytes;
}
