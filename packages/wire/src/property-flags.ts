// Reads the flags before a block of message properties. Called by the generated decodeProperties.
//
//   ┌ flag of property 1 .. 15 ┬ continues u1 ┐ ┌ flag of property 16 .. 30 ┬ continues u1 ┐ ...
//
// Class basic has 14 properties. The flag of a 15th is ignored, as RabbitMQ ignores it.

import { MalformedError } from "./malformed-error.ts";
import type { WireReader } from "./wire-reader.ts";

const continuationFlag = 0x0001;

/** The first word, which has the flags of all properties of class basic. */
export function decodePropertyFlags(reader: WireReader): number {
  const flags = reader.uint16();
  let word = flags;
  while (word & continuationFlag) {
    word = reader.uint16();
    // Nobody knows what the value of such a property looks like, so nothing after it can be read.
    if (word & ~continuationFlag) throw new MalformedError(502, "undefined message property");
  }
  return flags;
}
