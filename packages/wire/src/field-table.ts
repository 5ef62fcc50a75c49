// A field table: AMQP's map of typed values, used for arguments, headers and peer properties. The
// broker keeps them, compares them and sends them on, so a table is the ordered list of entries
// that was on the wire, duplicates included, and encodes to the very octets it was decoded from.
//
// Lookups are linear: tables hold a handful of entries, and a decoded table is read once or twice.

import { decodeText, encodeText, textByteLength } from "./text.ts";

/** A type octet of the wire and the JavaScript value that stands for it. */
export type FieldValue =
  | { type: "t"; value: boolean; raw?: Buffer }
  | { type: "b" | "B" | "s" | "u" | "I" | "i"; value: number }
  | { type: "l"; value: number | bigint }
  | { type: "f" | "d"; value: number; raw?: Buffer }
  | { type: "D"; value: DecimalValue }
  | { type: "S" | "x"; value: Buffer }
  | { type: "A"; value: FieldValue[] }
  | { type: "T"; value: number | bigint }
  | { type: "F"; value: FieldTable }
  | { type: "V"; value: null };

/** unscaled / 10^scale. RabbitMQ reads the unscaled part as unsigned. */
export interface DecimalValue {
  scale: number;
  unscaled: number;
}

export interface FieldEntry {
  name: string;
  value: FieldValue;
}

/** How deep tables and arrays may nest. The decoder refuses more, and so does FieldTable.from. */
export const fieldNestingMax = 100;

export class FieldTable {
  entries: FieldEntry[];

  constructor(entries: FieldEntry[] = []) {
    this.entries = entries;
  }

  /**
   * strings become S, booleans t, integers I or l, other numbers d, arrays A, objects F, and so on.
   */
  static from(object: Readonly<Record<string, unknown>>): FieldTable {
    return tableFrom(object, 1);
  }

  get size(): number {
    return this.entries.length;
  }

  /** The first entry of that name, as RabbitMQ looks names up. */
  get(name: string): FieldValue | undefined {
    for (const entry of this.entries) {
      if (entry.name === name) return entry.value;
    }
    return undefined;
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  /** Replaces the first entry of that name, or appends one. */
  set(name: string, value: FieldValue): this {
    const entry = this.entries.find((candidate) => candidate.name === name);
    if (entry) entry.value = value;
    else this.entries.push({ name, value });
    return this;
  }

  /** Removes every entry of that name. */
  delete(name: string): boolean {
    const before = this.entries.length;
    this.entries = this.entries.filter((entry) => entry.name !== name);
    return this.entries.length < before;
  }

  /**
   * Plain JavaScript values, for people and for JSON; of duplicates the first counts, as in get().
   */
  toObject(): Record<string, unknown> {
    const values = new Map<string, unknown>();
    for (const { name, value } of this.entries) {
      if (!values.has(name)) values.set(name, plainValue(value));
    }
    return Object.fromEntries(values);
  }
}

/** The text of a string value (S or x), undefined for every other type. */
export function fieldText(value: FieldValue | undefined): string | undefined {
  if (value?.type !== "S" && value?.type !== "x") return undefined;
  return decodeText(value.value, 0, value.value.length);
}

/** A string value (S) holding that text. */
export function textField(text: string): FieldValue {
  const octets = Buffer.allocUnsafe(textByteLength(text));
  encodeText(text, octets.length, octets, 0);
  return { type: "S", value: octets };
}

function plainValue(field: FieldValue): unknown {
  switch (field.type) {
    case "S":
      return fieldText(field);
    case "A":
      return field.value.map(plainValue);
    case "F":
      return field.value.toObject();
    case "D":
      return field.value.unscaled / 10 ** field.value.scale;
    case "T":
      return new Date(Number(field.value) * 1000);
    default:
      return field.value;
  }
}

function tableFrom(object: Readonly<Record<string, unknown>>, depth: number): FieldTable {
  const entries: FieldEntry[] = [];
  for (const [name, value] of Object.entries(object)) {
    if (value !== undefined) entries.push({ name, value: fieldFrom(value, depth) });
  }
  return new FieldTable(entries);
}

function fieldFrom(value: unknown, depth: number): FieldValue {
  switch (typeof value) {
    case "string":
      return textField(value);
    case "boolean":
      return { type: "t", value };
    case "number":
      return numberField(value);
    case "bigint":
      if (BigInt.asIntN(64, value) !== value)
        throw new RangeError(`not a 64-bit integer: ${value}`);
      return { type: "l", value };
    case "undefined":
      return { type: "V", value: null };
    case "object":
      return value === null ? { type: "V", value } : objectField(value, depth);
    default:
      throw new TypeError(`a field table cannot hold a ${typeof value}`);
  }
}

function numberField(value: number): FieldValue {
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return { type: "d", value };
  return { type: (value | 0) === value ? "I" : "l", value };
}

function objectField(value: object, depth: number): FieldValue {
  if (Buffer.isBuffer(value)) return { type: "x", value };
  if (value instanceof Uint8Array) return { type: "x", value: Buffer.from(value) };
  if (value instanceof Date) return { type: "T", value: Math.floor(value.getTime() / 1000) };
  if (value instanceof FieldTable) return { type: "F", value };
  if (depth >= fieldNestingMax) throw new RangeError(`nested deeper than ${fieldNestingMax}`);
  if (Array.isArray(value)) {
    return { type: "A", value: value.map((item) => fieldFrom(item, depth + 1)) };
  }
  return { type: "F", value: tableFrom(value as Record<string, unknown>, depth + 1) };
}
