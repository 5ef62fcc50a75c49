/**
 * A message as a stream stores it: as it will be delivered, with its offset among its headers, so
 * that a delivery copies bytes and nothing else.
 *
 *     record:      | address length | properties length |     its two words
 *                  | address | properties with x-stream-offset | body |
 *
 * The header goes behind all others of the message. This is a hot file.
 */

import type { StreamLog, StreamReader } from "@haremq/store";
import { streamRecordHeadBytes } from "@haremq/store";
import { PropertyFlag, PropertyScan, removeHeader, scanProperties } from "@haremq/wire";
import { copyBytes } from "../../message/copy-bytes.ts";
import type { MessageView } from "../../message/message-view.ts";

const headerName = "x-stream-offset";
/** Its length, its letters, the type and the eight bytes of the offset. */
const header = Buffer.from(`${String.fromCharCode(headerName.length)}${headerName}l`, "latin1");
const headerBytes = header.length + 8;
const tableLengthBytes = 4;
const twoTo32 = 0x1_0000_0000;

const scan = new PropertyScan();

/** The properties of the message that is being appended. */
const source: { bytes: Buffer; start: number; length: number } = {
  bytes: Buffer.alloc(0),
  start: 0,
  length: 0,
};

/** Appends the message to the log. */
export function appendMessage(log: StreamLog, view: MessageView, wallMs: number): void {
  const { addressLength, bodyLength } = view;
  setSource(view.properties, view.propertiesStart, view.propertiesLength);
  const hasHeaders = (scan.flags & PropertyFlag.Headers) !== 0;
  if (hasHeaders && hasOffsetHeader()) dropOffsetHeader();
  const propertiesLength =
    source.length + (hasHeaders ? headerBytes : tableLengthBytes + headerBytes);
  const offset = log.endOffset;
  const length = addressLength + propertiesLength + bodyLength;
  log.append(length, addressLength, propertiesLength, wallMs);
  const { bytes } = log;
  let at = log.contentStart;
  copyBytes(view.address, view.addressStart, addressLength, bytes, at);
  at += addressLength;
  if (hasHeaders) addHeader(offset, bytes, at);
  else addHeaders(offset, bytes, at);
  at += propertiesLength;
  copyBytes(view.body, view.bodyStart, bodyLength, bytes, at);
}

function setSource(bytes: Buffer, start: number, length: number): void {
  source.bytes = bytes;
  source.start = start;
  source.length = length;
  scanProperties(bytes, start, start + length, scan);
}

/** Points the view at the record that the reader has found. */
export function viewRecord(reader: StreamReader, view: MessageView): void {
  const { words, word, bytes } = reader;
  const addressLength = words[word + 2]!;
  const propertiesLength = words[word + 3]!;
  const start = (word << 2) + streamRecordHeadBytes;
  view.address = bytes;
  view.addressStart = start;
  view.addressLength = addressLength;
  view.properties = bytes;
  view.propertiesStart = start + addressLength;
  view.propertiesLength = propertiesLength;
  view.body = bytes;
  view.bodyStart = start + addressLength + propertiesLength;
  view.bodyLength = words[word]! - streamRecordHeadBytes - addressLength - propertiesLength;
}

/** Whether the letters stand anywhere among the headers; mostly not. */
function hasOffsetHeader(): boolean {
  const found = source.bytes.indexOf(headerName, scan.headersStart, "latin1");
  return found >= 0 && found < scan.headersStart + scan.headersLength;
}

/** A message that was taken from a stream loses the offset that it had there. */
function dropOffsetHeader(): void {
  const { bytes, start, length } = source;
  const without = removeHeader(bytes, start, start + length, headerName);
  setSource(without, 0, without.length);
}

/** Copies the properties with one more header. */
function addHeader(offset: number, bytes: Buffer, to: number): void {
  const { start, length } = source;
  const tableStart = scan.headersStart - start;
  const before = tableStart + scan.headersLength;
  copyBytes(source.bytes, start, before, bytes, to);
  bytes.writeUInt32BE(scan.headersLength - tableLengthBytes + headerBytes, to + tableStart);
  const at = writeHeader(offset, bytes, to + before);
  copyBytes(source.bytes, start + before, length - before, bytes, at);
}

/** Copies the properties of a message that has no headers. */
function addHeaders(offset: number, bytes: Buffer, to: number): void {
  const { start, length } = source;
  const before = beforeHeaders();
  copyBytes(source.bytes, start, before, bytes, to);
  const flags = scan.flags | PropertyFlag.Headers;
  bytes[to] = flags >>> 8;
  bytes[to + 1] = flags;
  bytes.writeUInt32BE(headerBytes, to + before);
  const at = writeHeader(offset, bytes, to + before + tableLengthBytes);
  copyBytes(source.bytes, start + before, length - before, bytes, at);
}

/** How much of the properties stands before the headers. */
function beforeHeaders(): number {
  const { bytes, start } = source;
  let at = start + 2;
  if ((scan.flags & PropertyFlag.ContentType) !== 0) at += 1 + bytes[at]!;
  if ((scan.flags & PropertyFlag.ContentEncoding) !== 0) at += 1 + bytes[at]!;
  return at - start;
}

function writeHeader(offset: number, bytes: Buffer, start: number): number {
  copyBytes(header, 0, header.length, bytes, start);
  bytes.writeUInt32BE(Math.floor(offset / twoTo32), start + header.length);
  bytes.writeUInt32BE(offset % twoTo32, start + header.length + 4);
  return start + headerBytes;
}
