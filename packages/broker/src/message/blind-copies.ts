/**
 * The BCC keys of a message: its receivers are not to see them, but the route of its dead letter
 * follows them. They are kept with the message as short strings, one after the other.
 */

import { WireReader, WireWriter } from "@haremq/wire";

export function encodeBlindCopies(keys: readonly string[]): Buffer {
  const writer = new WireWriter(64);
  for (const key of keys) writer.shortString(key);
  return writer.take();
}

export function decodeBlindCopies(bytes: Buffer): string[] {
  const reader = new WireReader(bytes, 0, bytes.length);
  const keys: string[] = [];
  while (reader.offset < bytes.length) keys.push(reader.shortString());
  return keys;
}
