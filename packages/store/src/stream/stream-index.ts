/**
 * Where the blocks of one segment begin: runs of whole chunks that are read at once. One entry for
 * a quarter of a megabyte, so what it takes to find an offset or a time does not depend on how many
 * records there are. The segment that is being filled has its index in memory; that of a full one
 * is in a file of its own, and in memory while somebody reads the segment.
 *
 *     head:     | magic | checksum of head | checksum of entries | count |
 *               | bytes | end offset | last timestamp | place: segment, unit | first timestamp |
 *     entry:    | offset | timestamp | position |      each a float64
 *
 * The head alone tells what a start needs to know of the segment. An index that is not whole is
 * made anew from the heads of the chunks.
 */

import { crc32c } from "../log/crc32c.ts";
import { type LogPlace, readLong, wordsOf, writeLong } from "./stream-chunk.ts";

const indexMagic = 0x31495348;
export const indexHeadBytes = 64;
const headWords = indexHeadBytes >>> 2;
const entryNumbers = 3;

/** What is to be known of a chunk that is in a file. */
export interface ChunkFacts {
  readonly firstOffset: number;
  readonly endOffset: number;
  readonly timestampMs: number;
  readonly lastTimestampMs: number;
  /** Where the log has its last record. */
  readonly place: LogPlace;
  readonly bytes: number;
}

/** What is known of a full segment without reading more than the head of its index. */
export interface SegmentSummary {
  readonly bytes: number;
  readonly endOffset: number;
  readonly firstTimestampMs: number;
  readonly lastTimestampMs: number;
  /** Where the log has the segment's last record. */
  readonly place: LogPlace;
}

export class StreamIndex {
  #entries = new Float64Array(16 * entryNumbers);
  /** Blocks. */
  count = 0;

  /** The next chunk of the segment, at that position: part of the last block, or of a new one. */
  addChunk(chunk: ChunkFacts, position: number, blockBytes: number): void {
    const isPart = this.count > 0 && position - this.positionAt(this.count - 1) < blockBytes;
    if (!isPart) this.#add(chunk.firstOffset, chunk.timestampMs, position);
  }

  #add(offset: number, timestampMs: number, position: number): void {
    const at = this.count * entryNumbers;
    if (at === this.#entries.length) {
      const grown = new Float64Array(Math.max(at, entryNumbers) * 2);
      grown.set(this.#entries);
      this.#entries = grown;
    }
    this.#entries[at] = offset;
    this.#entries[at + 1] = timestampMs;
    this.#entries[at + 2] = position;
    this.count++;
  }

  offsetAt(block: number): number {
    return this.#entries[block * entryNumbers]!;
  }

  positionAt(block: number): number {
    return this.#entries[block * entryNumbers + 2]!;
  }

  /** The block that has the byte at this position. */
  blockAt(position: number): number {
    return Math.max(0, this.#firstFrom(2, position + 1) - 1);
  }

  /** The block that has the offset, if any has. */
  blockOf(offset: number): number {
    return Math.max(0, this.#firstFrom(0, offset + 1) - 1);
  }

  /** The last block that begins before that time: none before it has anything as young. */
  blockBefore(timestampMs: number): number {
    return Math.max(0, this.#firstFrom(1, timestampMs) - 1);
  }

  /** The first block of which that number is not lower; `count` if there is none. */
  #firstFrom(number: number, value: number): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#entries[middle * entryNumbers + number]! < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  encode(summary: SegmentSummary): Buffer {
    const entries = this.#entries.subarray(0, this.count * entryNumbers);
    const bytes = Buffer.alloc(indexHeadBytes + entries.byteLength);
    const words = wordsOf(bytes);
    new Float64Array(bytes.buffer, bytes.byteOffset + indexHeadBytes, entries.length).set(entries);
    words[0] = indexMagic;
    words[2] = crc32c(words, headWords, words.length - headWords);
    words[3] = this.count;
    writeLong(words, 4, summary.bytes);
    writeLong(words, 6, summary.endOffset);
    writeLong(words, 8, summary.lastTimestampMs);
    words[10] = summary.place.segment;
    words[11] = summary.place.unit;
    writeLong(words, 12, summary.firstTimestampMs);
    words[1] = headChecksum(words);
    return bytes;
  }

  /** Undefined if that is no whole index. */
  static decode(bytes: Buffer): StreamIndex | undefined {
    if (readSummary(bytes) === undefined) return undefined;
    const words = wordsOf(bytes);
    const count = words[3]!;
    if (bytes.length !== indexHeadBytes + count * entryNumbers * 8) return undefined;
    if (words[2] !== crc32c(words, headWords, words.length - headWords)) return undefined;
    const index = new StreamIndex();
    const from = bytes.byteOffset + indexHeadBytes;
    index.#entries = new Float64Array(bytes.buffer, from, count * entryNumbers).slice();
    index.count = count;
    return index;
  }
}

/** What the head of an index says; undefined if it is not whole. */
export function readSummary(head: Buffer): SegmentSummary | undefined {
  if (head.length < indexHeadBytes) return undefined;
  const words = wordsOf(head);
  if (words[0] !== indexMagic || words[1] !== headChecksum(words)) return undefined;
  return {
    bytes: readLong(words, 4),
    endOffset: readLong(words, 6),
    lastTimestampMs: readLong(words, 8),
    place: { segment: words[10]!, unit: words[11]! },
    firstTimestampMs: readLong(words, 12),
  };
}

function headChecksum(words: Int32Array): number {
  return crc32c(words, 2, headWords - 2);
}
