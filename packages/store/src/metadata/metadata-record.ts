/**
 * A record of the metadata file: the value beside an encoded key. Little-endian.
 *
 *   0        4        8                 16
 *   ┌────────┬────────┬─────────────────┬─────────────┐
 *   │ format │ CRC-32C│ version         │ JSON, UTF-8 │
 *   └────────┴────────┴─────────────────┴─────────────┘
 *
 * The checksum is that of version, JSON and key, with zeros up to a multiple of eight bytes, so
 * that a record is only believed in the place where it was put. A store that reads a format it does
 * not know was made by a later release and refuses.
 */

import { crc32c } from "../log/crc32c.ts";
import { MetadataError } from "./metadata-error.ts";
import type { StoredRecord } from "./metadata-table.ts";

const format = 1;
const headBytes = 16;

/**
 * What is checked, laid out in words. It grows with the largest record and is overwritten by each.
 */
let words = new Int32Array(256);
let scratch = Buffer.from(words.buffer);

/** `key` is a byte string, see metadata-key.ts. */
export function encodeRecord(key: string, record: StoredRecord): Buffer {
  const bytes = Buffer.allocUnsafe(headBytes + Buffer.byteLength(record.text));
  bytes.writeUInt32LE(format, 0);
  bytes.writeUInt32LE(record.version >>> 0, 8);
  bytes.writeUInt32LE(Math.floor(record.version / 2 ** 32), 12);
  bytes.write(record.text, headBytes, "utf8");
  bytes.writeInt32LE(checksum(key, bytes), 4);
  return bytes;
}

/** Throws a MetadataError if this is not what was written for `key`. */
export function decodeRecord(key: string, bytes: Buffer): StoredRecord {
  if (bytes.length < headBytes) throw damaged(key, `of ${bytes.length} bytes`);
  const found = bytes.readUInt32LE(0);
  if (bytes.readInt32LE(4) !== checksum(key, bytes)) throw damaged(key, "with a bad checksum");
  if (found !== format) throw damaged(key, `of unknown format ${found}`);
  const version = bytes.readUInt32LE(8) + bytes.readUInt32LE(12) * 2 ** 32;
  return { version, text: bytes.toString("utf8", headBytes) };
}

function checksum(key: string, record: Buffer): number {
  const bodyBytes = record.length - 8;
  const count = ((bodyBytes + key.length + 7) >>> 3) << 1;
  if (words.length < count) {
    words = new Int32Array(count * 2);
    scratch = Buffer.from(words.buffer);
  }
  record.copy(scratch, 0, 8);
  scratch.write(key, bodyBytes, "latin1");
  scratch.fill(0, bodyBytes + key.length, count * 4);
  return crc32c(words, 0, count);
}

function damaged(key: string, what: string): MetadataError {
  const name = JSON.stringify(key.replaceAll("\0", " ").trim());
  return new MetadataError("damaged", `The metadata file holds a record ${what}: ${name}`);
}
