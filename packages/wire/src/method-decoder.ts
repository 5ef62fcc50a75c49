// Decodes method frames as RabbitMQ does: the arguments must fill their frame exactly, and what
// does not decode is reported with RabbitMQ's text. Called for every method except publish, deliver
// and the acknowledgements, which the connections read by hand.
//
//   ┌ class id u16 ┬ method id u16 ┬ arguments ┐

import { decodeArguments, type Method } from "./generated/method.ts";
import { MalformedError, OverrunError } from "./malformed-error.ts";
import type { WireReader } from "./wire-reader.ts";

const idBytes = 4;
/** Enough to fill a reply text of 255 octets; whoever sends it cuts it to that. */
const reportedBytesMax = 130;

/** Decodes a method frame's payload, which is all that the reader has. */
export function decodeMethod(reader: WireReader): Method {
  const { buffer, offset: start, end } = reader;
  if (end - start < idBytes) {
    const octets = erlangBinary(buffer, start, end);
    throw new MalformedError(501, `type 1, all octets = ${octets}: unknown_frame`);
  }
  const classId = reader.uint16();
  const methodId = reader.uint16();
  let method: Method;
  try {
    method = decodeArguments(reader, classId, methodId);
    if (reader.offset !== end) throw new OverrunError();
  } catch (error) {
    if (error instanceof OverrunError) {
      const octets = erlangBinary(buffer, start + idBytes, end);
      throw new MalformedError(501, `cannot decode ${octets}`, classId, methodId);
    }
    if (error instanceof MalformedError && error.replyCode === 502) {
      throw new MalformedError(502, error.message, classId, methodId);
    }
    throw error;
  }
  return method;
}

/** <<0,0,4>> */
function erlangBinary(buffer: Buffer, start: number, end: number): string {
  const octets = Array.from(buffer.subarray(start, Math.min(end, start + reportedBytesMax)));
  return `<<${octets.join(",")}>>`;
}
