// Reads the flags before a block of message properties. Called by the generated decodeProperties.

import { MalformedError } from "./malformed-error.ts";
import type { WireReader } from "./wire-reader.ts";

const undefinedFlag = 0x0002;
const continuationFlag = 0x0001;

/** The flags of the 14 properties of class basic. */
export function decodePropertyFlags(reader: WireReader): number {
  const flags = reader.uint16();
  let word = flags;
  if (word & undefinedFlag) throw new MalformedError(502, "undefined message property");
  while (word & continuationFlag) {
    word = reader.uint16();
    // What an undefined property's value looks like is undefined too, so nothing after it can be read.
    if (word & ~continuationFlag) throw new MalformedError(502, "undefined message property");
  }
  return flags & ~continuationFlag;
}
