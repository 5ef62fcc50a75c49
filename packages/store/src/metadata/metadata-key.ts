/**
 * Metadata keys as byte strings whose order is the order of the keys, for tables that know only
 * bytes. A byte string is a JavaScript string of characters up to U+00FF, one for each byte: it can
 * be compared, concatenated and used in a Map as it is.
 *
 *   ["queue", "/", "a\0b"]    q u e u e 00 / 00 a 00 ff b 00
 *
 * Each part is its UTF-8, ended by 00; a 00 inside becomes 00 ff. No UTF-8 contains ff, so an end
 * is less than anything that a part could go on with, and the keys below a prefix are those that
 * begin with its bytes and have no ff next. Lone surrogates are encoded in three bytes like other
 * characters of their size (WTF-8), because names whose bytes are not UTF-8 are carried in them.
 *
 * This is part of the file format: it must never change.
 */

import { MetadataError } from "./metadata-error.ts";
import type { MetadataKey } from "./metadata-store.ts";

/** In encoded bytes. Enough for four AMQP names of 255 bytes each in their longest encoding. */
export const keyBytesMax = 3900;

export interface KeyRange {
  readonly start: string;
  /** The first byte string behind the range. */
  readonly end: string;
}

/** Throws a MetadataError for keys that the store does not take. */
export function encodeKey(key: MetadataKey): string {
  if (key.length === 0) throw new MetadataError("bad-key", "A metadata key needs a part");
  const bytes = encodeParts(key);
  if (bytes.length <= keyBytesMax) return bytes;
  const text = JSON.stringify(key).slice(0, 60);
  throw new MetadataError(
    "bad-key",
    `A metadata key takes ${bytes.length} bytes, more than ${keyBytesMax}: ${text}...`,
  );
}

/** The keys that begin with all parts of `prefix`, itself included. */
export function rangeBelow(prefix: MetadataKey): KeyRange {
  const start = encodeParts(prefix);
  return { start, end: `${start}\xff` };
}

export function decodeKey(bytes: string): MetadataKey {
  const parts: string[] = [];
  let from = 0;
  for (let at = bytes.indexOf("\0"); at !== -1; at = bytes.indexOf("\0", at + 1)) {
    if (bytes.charCodeAt(at + 1) === 0xff) continue;
    parts.push(decodeText(bytes.slice(from, at).replaceAll("\0\xff", "\0")));
    from = at + 1;
  }
  return parts;
}

/** Whether `key` is in the range that rangeBelow() gave. */
export function isInRange(range: KeyRange, key: string): boolean {
  return key >= range.start && key < range.end;
}

function encodeParts(parts: MetadataKey): string {
  let bytes = "";
  for (const part of parts) bytes += `${encodeText(part).replaceAll("\0", "\0\xff")}\0`;
  return bytes;
}

function encodeText(text: string): string {
  if (/^[\0-\x7f]*$/.test(text)) return text;
  // Pieces alternate between well-formed text and single lone surrogates.
  return text
    .split(/(\p{Surrogate})/u)
    .map((piece, index) => (index % 2 === 0 ? utf8Bytes(piece) : surrogateBytes(piece)))
    .join("");
}

function utf8Bytes(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

function surrogateBytes(text: string): string {
  const code = text.charCodeAt(0);
  return String.fromCharCode(
    0xe0 | (code >>> 12),
    0x80 | ((code >>> 6) & 0x3f),
    0x80 | (code & 0x3f),
  );
}

function decodeText(bytes: string): string {
  if (/^[\0-\x7f]*$/.test(bytes)) return bytes;
  return bytes
    .split(/(\xed[\xa0-\xbf][\x80-\xbf])/)
    .map((piece, index) => (index % 2 === 0 ? utf8Text(piece) : surrogateText(piece)))
    .join("");
}

function utf8Text(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function surrogateText(bytes: string): string {
  return String.fromCharCode(
    0xd000 | ((bytes.charCodeAt(1) & 0x3f) << 6) | (bytes.charCodeAt(2) & 0x3f),
  );
}
