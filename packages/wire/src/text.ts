// Text on the wire: UTF-8, with a lossless escape for what is not UTF-8. Called by the reader and
// the writer for every name, key and tag.
//
// RabbitMQ treats names as plain bytes. A JavaScript string cannot hold arbitrary bytes as UTF-8,
// so an octet that is not part of a valid UTF-8 sequence is decoded as the lone surrogate
// U+DC80..U+DCFF (U+DC00 + octet; Python calls this "surrogateescape") and encoded back to that
// octet. Invariant: encodeText(decodeText(octets)) equals octets, for all octets. Two different
// byte strings therefore never become the same name.
//
// Hot file: names are nearly always short and ASCII, which takes a loop without a native call.

import { isUtf8 } from "node:buffer";

// Node's own encoders, without the encoding lookup of toString() and write(). They are as old as
// Node and widely used, but @types/node does not list them.
declare global {
  interface Buffer {
    latin1Slice(start: number, end: number): string;
    utf8Slice(start: number, end: number): string;
    latin1Write(text: string, offset: number, length: number): number;
    utf8Write(text: string, offset: number, length: number): number;
  }
}

const nativeCallPaysOffLength = 24;
const escapeBase = 0xdc00;
const anySurrogate = /[\ud800-\udfff]/;

/** The number of octets encodeText will write for this string. */
export function textByteLength(text: string): number {
  const length = text.length;
  for (let i = 0; i < length; i++) {
    if (text.charCodeAt(i) >= 0x80) return unicodeByteLength(text);
  }
  return length;
}

/** textByteLength, for a string whose length is one octet on the wire. */
export function shortStringByteLength(text: string): number {
  const byteLength = textByteLength(text);
  if (byteLength > 255) throw new RangeError(`a short string of ${byteLength} octets (max 255)`);
  return byteLength;
}

/**
 * Writes the text's octets at `offset`, where `byteLength` (from textByteLength) octets are free.
 */
export function encodeText(text: string, byteLength: number, into: Buffer, offset: number): void {
  if (byteLength !== text.length) {
    encodeUnicode(text, byteLength, into, offset);
  } else if (byteLength > nativeCallPaysOffLength) {
    // An escaped octet is one character and one octet too, and latin1 keeps the low octet of
    // U+DCxx.
    into.latin1Write(text, offset, byteLength);
  } else {
    for (let i = 0; i < byteLength; i++) into[offset + i] = text.charCodeAt(i);
  }
}

/** Decodes the octets from `start` up to `end`, which must lie inside the buffer. */
export function decodeText(buffer: Buffer, start: number, end: number): string {
  for (let i = start; i < end; i++) {
    if ((buffer[i] as number) >= 0x80) return decodeUnicode(buffer.subarray(start, end));
  }
  return buffer.latin1Slice(start, end);
}

/**
 * Whether RabbitMQ would take the octets for UTF-8. It is a little more generous than Unicode: it
 * also accepts surrogates and four-octet sequences beyond U+10FFFF, but no overlong ones.
 */
export function isAcceptedUtf8(buffer: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && (buffer[at] as number) < 0x80) at += 1;
  if (at === end || isUtf8(buffer.subarray(at, end))) return true;
  while (at < end) {
    const lead = buffer[at] as number;
    const next = at + 1 < end ? (buffer[at + 1] as number) : 0;
    if (lead < 0x80) {
      at += 1;
      continue;
    }
    const overlong =
      lead < 0xc2 || (lead === 0xe0 && next < 0xa0) || (lead === 0xf0 && next < 0x90);
    if (overlong || lead > 0xf7) return false;
    const sequenceEnd = at + (lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2);
    if (sequenceEnd > end) return false;
    for (at += 1; at < sequenceEnd; at += 1) {
      if (((buffer[at] as number) & 0xc0) !== 0x80) return false;
    }
  }
  return true;
}

function unicodeByteLength(text: string): number {
  if (!anySurrogate.test(text)) return Buffer.byteLength(text, "utf8");
  let bytes = 0;
  for (const character of text)
    bytes += isEscapedOctet(character) ? 1 : Buffer.byteLength(character);
  return bytes;
}

function encodeUnicode(text: string, byteLength: number, into: Buffer, offset: number): void {
  if (!anySurrogate.test(text)) {
    into.utf8Write(text, offset, byteLength);
    return;
  }
  let at = offset;
  for (const character of text) {
    if (isEscapedOctet(character)) into[at++] = character.charCodeAt(0) - escapeBase;
    else at += into.write(character, at, "utf8");
  }
}

function isEscapedOctet(character: string): boolean {
  const code = character.charCodeAt(0);
  return character.length === 1 && code >= 0xdc80 && code <= 0xdcff;
}

function decodeUnicode(octets: Buffer): string {
  if (isUtf8(octets)) return octets.utf8Slice(0, octets.length);
  let text = "";
  let at = 0;
  while (at < octets.length) {
    const length = sequenceLength(octets, at);
    if (length === 0) text += String.fromCharCode(escapeBase + (octets[at] as number));
    else text += octets.utf8Slice(at, at + length);
    at += Math.max(length, 1);
  }
  return text;
}

/** The length of the valid UTF-8 sequence that starts at `at`, or 0 if none does. */
function sequenceLength(octets: Buffer, at: number): number {
  const lead = octets[at] as number;
  if (lead < 0x80) return 1;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (at + length > octets.length) return 0;
  return isUtf8(octets.subarray(at, at + length)) ? length : 0;
}
