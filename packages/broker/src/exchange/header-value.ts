/**
 * When two header values are equal to a headers exchange.
 *
 * RabbitMQ compares the Erlang terms that it decodes values to, without their types: all integers,
 * floats and timestamps are numbers, both kinds of strings are binaries, and an empty array and an
 * empty table are the same empty list. Inside arrays and tables the types are part of the term.
 */

import type { FieldTable, FieldValue } from "@haremq/wire";

export function sameHeaderValue(left: FieldValue, right: FieldValue): boolean {
  switch (left.type) {
    case "t":
      return right.type === "t" && left.value === right.value;
    case "V":
      return right.type === "V";
    case "S":
    case "x":
      return (right.type === "S" || right.type === "x") && left.value.equals(right.value);
    case "D":
      return (
        right.type === "D" &&
        left.value.scale === right.value.scale &&
        left.value.unscaled === right.value.unscaled
      );
    case "A":
      if (right.type === "F") return left.value.length === 0 && right.value.size === 0;
      return right.type === "A" && sameElements(left.value, right.value);
    case "F":
      if (right.type === "A") return left.value.size === 0 && right.value.length === 0;
      return right.type === "F" && sameEntries(left.value, right.value);
    default:
      return sameNumber(left.value, right.value);
  }
}

export type IndexedValue = string | number | bigint | boolean;

/**
 * A Map key that values share if they are the same, undefined for values that have none: tables,
 * arrays, decimals and absent values. Values that share one need not be the same (NaN is not).
 */
export function indexedValue({ type, value }: FieldValue): IndexedValue | undefined {
  switch (typeof value) {
    case "boolean":
    case "number":
      return value;
    case "bigint": {
      const double = Number(value);
      return BigInt(double) === value ? double : value;
    }
    default:
      return type === "S" || type === "x" ? value.toString("latin1") : undefined;
  }
}

function sameTypedValue(left: FieldValue, right: FieldValue): boolean {
  return left.type === right.type && sameHeaderValue(left, right);
}

function sameElements(left: readonly FieldValue[], right: readonly FieldValue[]): boolean {
  if (left.length !== right.length) return false;
  return left.every((value, index) => sameTypedValue(value, right[index] as FieldValue));
}

function sameEntries(left: FieldTable, right: FieldTable): boolean {
  if (left.size !== right.size) return false;
  return left.entries.every((entry, index) => {
    const other = right.entries[index];
    return other?.name === entry.name && sameTypedValue(entry.value, other.value);
  });
}

/** Exact also between a 64-bit integer, which may be a bigint, and a double. */
function sameNumber(left: number | bigint, right: FieldValue["value"]): boolean {
  if (typeof left === typeof right) return left === right;
  if (typeof left === "bigint") return typeof right === "number" && sameWhole(right, left);
  return typeof right === "bigint" && sameWhole(left, right);
}

function sameWhole(double: number, integer: bigint): boolean {
  return Number.isInteger(double) && BigInt(double) === integer;
}
