/**
 * What makes two messages duplicates: the value of one of their headers, as a 128-bit digest. So a
 * key costs the same whatever its length, and nobody can make two of them collide.
 *
 * Values are the same if RabbitMQ takes them for the same: integers by value, of whatever width;
 * texts by their bytes. A number and the text that looks like it differ. Without the header, or
 * with a void one, a message has no key and is a duplicate of nothing.
 */

import { createHash } from "node:crypto";
import { FieldTable, type FieldValue, WireWriter } from "@haremq/wire";

/** Four words. */
export function newDigest(): Int32Array {
  return new Int32Array(4);
}

/** Writes the digest of the message's key; false if it has none. */
export function digestKey(
  headers: FieldTable | undefined,
  header: string,
  into: Int32Array,
): boolean {
  const value = headers?.get(header);
  if (value === undefined || value.type === "V") return false;
  const hash = createHash("sha256").update(kindOf(value)).update(bytesOf(value)).digest();
  for (let word = 0; word < into.length; word++) into[word] = hash.readInt32LE(word * 4);
  return true;
}

/** Values of different kinds are different, whatever their bytes. */
function kindOf({ type }: FieldValue): string {
  switch (type) {
    case "S":
    case "x":
      return "text";
    case "f":
    case "d":
      return "real";
    case "t":
      return "bool";
    case "D":
    case "A":
    case "F":
      return "tree";
    default:
      return "whole";
  }
}

function bytesOf(value: FieldValue): Buffer | string {
  switch (value.type) {
    case "S":
    case "x":
      return value.value;
    case "D":
    case "A":
    case "F": {
      const writer = new WireWriter();
      writer.table(new FieldTable([{ name: "", value }]));
      return writer.take();
    }
    default:
      return String(value.value);
  }
}
