/**
 * How RabbitMQ writes field types and values into its error texts: the types by the names of its
 * codec, the values as Erlang terms. The checks of declarations use it, on the control plane only.
 *
 * RabbitMQ breaks a term that does not fit into 80 columns over several lines. That is done here
 * for the pairs that clients can really provoke; tables and arrays stay on one line.
 */

import {
  type DecimalValue,
  decodeText,
  encodeText,
  type FieldValue,
  textByteLength,
} from "@haremq/wire";

const typeNames = {
  t: "bool",
  b: "byte",
  B: "unsignedbyte",
  s: "short",
  u: "unsignedshort",
  I: "signedint",
  i: "unsignedint",
  l: "long",
  f: "float",
  d: "double",
  D: "decimal",
  S: "longstr",
  A: "array",
  T: "timestamp",
  F: "table",
  V: "void",
  x: "binary",
} as const satisfies Record<FieldValue["type"], string>;

/** The characters with an escape of their own, by code, in Erlang's notation. */
const escapes = new Map([
  [0x08, "\\b"],
  [0x09, "\\t"],
  [0x0a, "\\n"],
  [0x0b, "\\v"],
  [0x0c, "\\f"],
  [0x0d, "\\r"],
  [0x1b, "\\e"],
  [0x22, '\\"'],
  [0x5c, "\\\\"],
]);

/** Where a line of a printed term ends. */
const lineEndColumn = 78;

/** Floats from here on are always written with an exponent: not every integer is one any more. */
const exactIntegers = 2 ** 53;

export function fieldTypeName(type: FieldValue["type"]): string {
  return typeNames[type];
}

/** A value as it stands between quotes in a text: strings plainly, everything else as a term. */
export function fieldValueText(field: FieldValue): string {
  if (field.type === "S" || field.type === "x") {
    return decodeText(field.value, 0, field.value.length);
  }
  return erlangTerm(field);
}

/**
 * The value as an Erlang term. Two fields have the same term if and only if RabbitMQ holds them for
 * the same value, whatever their types: an integer of any width is just an integer.
 */
export function erlangTerm(field: FieldValue): string {
  switch (field.type) {
    case "f":
    case "d":
      return floatTerm(field.value);
    case "D":
      return decimalTerm(field.value);
    case "S":
    case "x":
      return binaryTerm(field.value);
    case "A":
      return `[${field.value.map((item) => `{${typeNames[item.type]},${erlangTerm(item)}}`)}]`;
    case "F":
      return `[${field.value.entries.map(({ name, value }) => erlangEntry(name, value))}]`;
    case "V":
      return "undefined";
    default:
      return String(field.value);
  }
}

/** A string: quoted if all of it is printable, otherwise the list of its octets. */
export function erlangString(text: string): string {
  const octets = octetsOf(text);
  return isPrintable(octets) ? quoted(octets) : `[${octets.join()}]`;
}

/** {tag,term} as it is printed behind that text, in columns of an octet each. */
export function erlangPair(tag: string, term: string, precedingText: string): string {
  const pair = `{${tag},${term}}`;
  const column = textByteLength(precedingText);
  if (column + textByteLength(pair) <= lineEndColumn) return pair;
  return `{${tag},\n${" ".repeat(column + 1)}${term}}`;
}

/** An entry of a table as RabbitMQ holds it: its name, its type, its value. */
export function erlangEntry(name: string, value: FieldValue): string {
  return `{${binaryTerm(octetsOf(name))},${typeNames[value.type]},${erlangTerm(value)}}`;
}

function decimalTerm(decimal: DecimalValue): string {
  return `{${decimal.scale},${decimal.unscaled}}`;
}

function binaryTerm(octets: Buffer): string {
  if (octets.length === 0) return "<<>>";
  return isPrintable(octets) ? `<<${quoted(octets)}>>` : `<<${octets.join()}>>`;
}

function quoted(octets: Buffer): string {
  const parts: Uint8Array[] = [];
  for (let i = 0; i < octets.length; i++) {
    const escaped = escapes.get(octets[i]!);
    parts.push(escaped === undefined ? octets.subarray(i, i + 1) : Buffer.from(escaped));
  }
  const text = Buffer.concat(parts);
  return `"${decodeText(text, 0, text.length)}"`;
}

function octetsOf(text: string): Buffer {
  const octets = Buffer.allocUnsafe(textByteLength(text));
  encodeText(text, octets.length, octets, 0);
  return octets;
}

/** Whether Erlang takes the octets for Latin-1 text. */
function isPrintable(octets: Buffer): boolean {
  for (const octet of octets) {
    if ((octet < 0x20 && !escapes.has(octet)) || (octet > 0x7e && octet < 0xa0)) return false;
  }
  return true;
}

/**
 * The shortest digits that mean the number, as JavaScript finds them too, but with a digit on
 * either side of the point, and with an exponent wherever that is shorter.
 */
function floatTerm(value: number): string {
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const sign = value < 0 ? "-" : "";
  const [mantissa, exponentText] = Math.abs(value).toExponential().split("e");
  const digits = mantissa!.replace(".", "");
  const exponent = Number(exponentText);
  const pointAt = exponent + 1;
  if (pointAt > 0 && pointAt < digits.length) {
    return `${sign}${digits.slice(0, pointAt)}.${digits.slice(pointAt)}`;
  }
  const exponentLength = String(exponent).length + (digits.length === 1 ? 3 : 2);
  if (pointAt <= 0) {
    if (pointAt === 0 || 2 - pointAt <= exponentLength) {
      return `${sign}0.${"0".repeat(-pointAt)}${digits}`;
    }
  } else if (pointAt - digits.length + 2 <= exponentLength && Math.abs(value) < exactIntegers) {
    return `${sign}${digits.padEnd(pointAt, "0")}.0`;
  }
  return `${sign}${digits[0]}.${digits.slice(1) || "0"}e${exponent}`;
}
