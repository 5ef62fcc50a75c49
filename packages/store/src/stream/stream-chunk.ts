/**
 * A chunk: the run of records that a stream writes at once, in memory as in the file. Its first
 * word to its last are what is written, so that whoever reads an old chunk from disk and whoever
 * follows the end in memory read the same thing.
 *
 *     word  0        1         2         3       4       5
 *          +--------+---------+---------+-------+-------+--------+
 *          | magic  | checksum| checksum| bytes | count | stream |
 *          |        | of head | of data |       |       |        |
 *          +--------+---------+---------+-------+-------+--------+
 *           6  first offset  8  timestamp  10 place: segment, unit
 *          12  synced to    14  reserved   16 records...
 *
 *     record:  | bytes | age | two words of its user | the user's bytes, padded to 4 |
 *
 * `bytes` of a chunk counts its head and is a multiple of eight; `bytes` of a record counts its
 * head and no padding. `age` is how many milliseconds the record is younger than its chunk. `place`
 * is where the log has the chunk's last record. `synced to` says how much of the file was safe when
 * the chunk was written: only what lies behind the last one's can be torn.
 *
 * This is a hot file.
 */

import { crc32c } from "../log/crc32c.ts";

export const chunkHeadBytes = 64;
export const streamRecordHeadBytes = 16;
const chunkMagic = 0x31435348;

const headChecksumWord = 1;
const dataChecksumWord = 2;
const bytesWord = 3;
const countWord = 4;
const streamWord = 5;
const firstOffsetWord = 6;
const timestampWord = 8;
const placeWord = 10;
const syncedToWord = 12;
const headWords = chunkHeadBytes >>> 2;
/** Word offsets within a record. */
export const recordAgeWord = 1;
export const recordUserWord = 2;

const twoTo32 = 0x1_0000_0000;
const ageMax = 0x7fffffff;

/** Where the message log has a record. Of one stream, later records have higher places. */
export interface LogPlace {
  readonly segment: number;
  readonly unit: number;
}

export function isAfter(place: LogPlace, other: LogPlace): boolean {
  return (
    place.segment > other.segment || (place.segment === other.segment && place.unit > other.unit)
  );
}

export const beforeAllPlaces: LogPlace = { segment: 0, unit: 0 };

/** A chunk that takes records, or waits to be written. */
export class StreamChunk {
  readonly firstOffset: number;
  readonly timestampMs: number;
  bytes: Buffer;
  words: Int32Array;
  count = 0;
  /** Bytes so far, the head included. */
  tail = chunkHeadBytes;
  place: LogPlace = beforeAllPlaces;

  constructor(firstOffset: number, timestampMs: number, slab: Buffer) {
    this.firstOffset = firstOffset;
    this.timestampMs = timestampMs;
    this.bytes = slab;
    this.words = wordsOf(slab);
  }

  get endOffset(): number {
    return this.firstOffset + this.count;
  }

  /** Whether a record of `length` user's bytes fits into the memory that the chunk has. */
  hasRoom(length: number): boolean {
    return this.tail + recordStride(length) + 8 <= this.bytes.length;
  }

  /** Moves to a larger slab; returns the old one. */
  moveTo(slab: Buffer): Buffer {
    const old = this.bytes;
    old.copy(slab, 0, 0, this.tail);
    this.bytes = slab;
    this.words = wordsOf(slab);
    return old;
  }

  /** Room for a record, if there is room; returns where the user's bytes begin. */
  add(length: number, nowMs: number, first: number, second: number): number {
    const word = this.tail >>> 2;
    const words = this.words;
    const end = this.tail + recordStride(length);
    // What pads the record must not be left over from somebody else.
    words[(end >>> 2) - 1] = 0;
    words[word] = streamRecordHeadBytes + length;
    words[word + recordAgeWord] = Math.min(nowMs - this.timestampMs, ageMax);
    words[word + recordUserWord] = first;
    words[word + recordUserWord + 1] = second;
    const start = this.tail + streamRecordHeadBytes;
    this.tail = end;
    this.count++;
    return start;
  }

  /** Completes the chunk for the file. */
  seal(stream: number, syncedTo: number): void {
    const words = this.words;
    if ((this.tail & 7) !== 0) {
      words[this.tail >>> 2] = 0;
      this.tail += 4;
    }
    words.fill(0, 0, headWords);
    words[0] = chunkMagic;
    words[bytesWord] = this.tail;
    words[countWord] = this.count;
    words[streamWord] = stream;
    writeLong(words, firstOffsetWord, this.firstOffset);
    writeLong(words, timestampWord, this.timestampMs);
    words[placeWord] = this.place.segment;
    words[placeWord + 1] = this.place.unit;
    writeLong(words, syncedToWord, syncedTo);
    words[dataChecksumWord] = dataChecksum(words, 0);
    words[headChecksumWord] = headChecksum(words, 0);
  }
}

/** The bytes that a record with so many of its user's takes in a chunk. */
export function recordStride(length: number): number {
  return (streamRecordHeadBytes + length + 3) & ~3;
}

/** The bytes of a chunk with one record of so many of its user's. */
export function chunkBytesFor(length: number): number {
  return chunkHeadBytes + recordStride(length) + 8;
}

// Reading chunks; `word` is where one begins

/** Whether a head of this stream's stands here whole. Its length may be believed then. */
export function isChunkHead(words: Int32Array, word: number, stream: number): boolean {
  return (
    word + headWords <= words.length &&
    words[word] === chunkMagic &&
    words[word + streamWord] === stream &&
    words[word + headChecksumWord] === headChecksum(words, word) &&
    words[word + bytesWord]! >= chunkHeadBytes
  );
}

/** Whether the records are what was written; the whole chunk is in `words`. */
export function isChunkData(words: Int32Array, word: number): boolean {
  return words[word + dataChecksumWord] === dataChecksum(words, word);
}

export function chunkBytes(words: Int32Array, word: number): number {
  return words[word + bytesWord]!;
}

export function chunkCount(words: Int32Array, word: number): number {
  return words[word + countWord]!;
}

/** Leaves a chunk without records, for readers to pass over. */
export function emptyChunk(words: Int32Array, word: number): void {
  words[word + countWord] = 0;
}

export function chunkFirstOffset(words: Int32Array, word: number): number {
  return readLong(words, word + firstOffsetWord);
}

export function chunkTimestampMs(words: Int32Array, word: number): number {
  return readLong(words, word + timestampWord);
}

export function chunkPlace(words: Int32Array, word: number): LogPlace {
  return { segment: words[word + placeWord]!, unit: words[word + placeWord + 1]! };
}

export function chunkSyncedTo(words: Int32Array, word: number): number {
  return readLong(words, word + syncedToWord);
}

function headChecksum(words: Int32Array, word: number): number {
  return crc32c(words, word + dataChecksumWord, headWords - dataChecksumWord);
}

function dataChecksum(words: Int32Array, word: number): number {
  return crc32c(words, word + headWords, (words[word + bytesWord]! >>> 2) - headWords);
}

export function readLong(words: Int32Array, word: number): number {
  return (words[word]! >>> 0) + words[word + 1]! * twoTo32;
}

export function writeLong(words: Int32Array, word: number, value: number): void {
  words[word] = (value % twoTo32) | 0;
  words[word + 1] = Math.floor(value / twoTo32);
}

export function wordsOf(bytes: Buffer): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
}
