// Changes a stored block of message properties: direct reply-to sets reply-to, sender-selected
// routing removes the BCC header. Not for the hot path: it decodes and encodes the block.

import { decodeProperties, encodeProperties, type Properties } from "./generated/properties.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

/**
 * A new block (flags and properties) for the one in [start, end), after `change` has altered its
 * properties. What `change` leaves alone keeps its octets and its order
 * (but for a field of type L, which becomes the l that it means).
 */
export function rewriteProperties(
  buffer: Buffer,
  start: number,
  end: number,
  change: (properties: Properties) => void,
): Buffer {
  const properties = decodeProperties(new WireReader(buffer, start, end));
  change(properties);
  const writer = new WireWriter(end - start + 64);
  encodeProperties(writer, properties);
  return writer.take();
}

/** The block with another reply-to. */
export function replaceReplyTo(
  buffer: Buffer,
  start: number,
  end: number,
  replyTo: string,
): Buffer {
  return rewriteProperties(buffer, start, end, (properties) => {
    properties.replyTo = replyTo;
  });
}

/** The block without the headers of that name; a table that becomes empty stays, as in RabbitMQ. */
export function removeHeader(buffer: Buffer, start: number, end: number, name: string): Buffer {
  return rewriteProperties(buffer, start, end, (properties) => {
    properties.headers?.delete(name);
  });
}
