// Decodes field tables. Called by WireReader.table() only.
//
//   table   ┌ length u32 ┬ entry ┬ entry ┬ ... ┐     entry ┌ name: short string ┬ value ┐
//   array   ┌ length u32 ┬ value ┬ value ┬ ... ┐     value ┌ type octet ┬ payload ┐
//
// The bytes are hostile: a length must fit into what encloses it, nesting is bounded, and what is
// allocated is in proportion to the octets received.

import { type FieldEntry, FieldTable, type FieldValue, fieldNestingMax } from "./field-table.ts";
import { MalformedError, OverrunError } from "./malformed-error.ts";
import type { WireReader } from "./wire-reader.ts";

const voidValue: FieldValue = Object.freeze({ type: "V", value: null });

export function decodeTable(reader: WireReader): FieldTable {
  const length = reader.uint32();
  if (length > reader.remaining) throw new OverrunError();
  reader.offset -= 4;
  try {
    return tableAt(reader, 1);
  } catch (error) {
    // A table that does not fit its frame is the frame's fault, anything inside it the table's.
    if (error instanceof OverrunError) throw new MalformedError(502, "malformed field table");
    throw error;
  }
}

function tableAt(reader: WireReader, depth: number): FieldTable {
  const outerEnd = enter(reader, depth);
  const entries: FieldEntry[] = [];
  while (reader.offset < reader.end) {
    const name = reader.shortString();
    entries.push({ name, value: valueAt(reader, depth) });
  }
  reader.end = outerEnd;
  return new FieldTable(entries);
}

function arrayAt(reader: WireReader, depth: number): FieldValue[] {
  const outerEnd = enter(reader, depth);
  const values: FieldValue[] = [];
  while (reader.offset < reader.end) values.push(valueAt(reader, depth));
  reader.end = outerEnd;
  return values;
}

/**
 * Narrows the reader to the table or array that starts here; returns the end to restore after it.
 */
function enter(reader: WireReader, depth: number): number {
  if (depth > fieldNestingMax) throw new MalformedError(502, "field table nested too deeply");
  const length = reader.uint32();
  const outerEnd = reader.end;
  if (length > reader.remaining) throw new OverrunError();
  reader.end = reader.offset + length;
  return outerEnd;
}

function valueAt(reader: WireReader, depth: number): FieldValue {
  const type = reader.uint8();
  switch (type) {
    case 0x53: // S
      return { type: "S", value: reader.longString() };
    case 0x49: // I
      return { type: "I", value: reader.uint32() | 0 };
    case 0x74: // t
      return booleanAt(reader);
    case 0x6c: // l
    case 0x4c: // L, which RabbitMQ reads as l
      return { type: "l", value: signed64At(reader) };
    case 0x46: // F
      return { type: "F", value: tableAt(reader, depth + 1) };
    case 0x41: // A
      return { type: "A", value: arrayAt(reader, depth + 1) };
    case 0x54: // T
      return { type: "T", value: reader.exactUint64() };
    case 0x62: // b
      return { type: "b", value: (reader.uint8() << 24) >> 24 };
    case 0x42: // B
      return { type: "B", value: reader.uint8() };
    case 0x73: // s
      return { type: "s", value: (reader.uint16() << 16) >> 16 };
    case 0x75: // u
      return { type: "u", value: reader.uint16() };
    case 0x69: // i
      return { type: "i", value: reader.uint32() };
    case 0x66: // f
      return floatAt(reader);
    case 0x64: // d
      return doubleAt(reader);
    case 0x44: // D
      return { type: "D", value: { scale: reader.uint8(), unscaled: reader.uint32() } };
    case 0x56: // V
      return voidValue;
    case 0x78: // x
      return { type: "x", value: reader.longString() };
    default:
      throw new MalformedError(502, `unknown field type ${type}`);
  }
}

function signed64At(reader: WireReader): number | bigint {
  const high = reader.uint32() | 0;
  const low = reader.uint32();
  const value = high * 0x1_0000_0000 + low;
  if (Number.isSafeInteger(value)) return value;
  return (BigInt(high) << 32n) | BigInt(low);
}

// A value that JavaScript cannot write back bit by bit keeps its octets in `raw`.

function booleanAt(reader: WireReader): FieldValue {
  const at = reader.advance(1);
  const octet = reader.buffer[at] as number;
  if (octet <= 1) return { type: "t", value: octet === 1 };
  return { type: "t", value: true, raw: octetsOf(reader, at) };
}

function floatAt(reader: WireReader): FieldValue {
  const at = reader.advance(4);
  const value = reader.buffer.readFloatBE(at);
  if (!Number.isNaN(value)) return { type: "f", value };
  return { type: "f", value, raw: octetsOf(reader, at) };
}

function doubleAt(reader: WireReader): FieldValue {
  const at = reader.advance(8);
  const value = reader.buffer.readDoubleBE(at);
  if (!Number.isNaN(value)) return { type: "d", value };
  return { type: "d", value, raw: octetsOf(reader, at) };
}

function octetsOf(reader: WireReader, at: number): Buffer {
  return Buffer.from(reader.buffer.subarray(at, reader.offset));
}
