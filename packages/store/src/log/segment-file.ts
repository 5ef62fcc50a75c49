/**
 * The files of a segment, by name and format. Recovery reads them, flush and compaction write them.
 *
 *     00000007.0.seg   the records, as they lie in memory
 *     00000007.1.pak   the records that lived when the segment was compacted, one after the other
 *     00000007.1.idx   what recovery needs to know of them without reading them
 *     00000007.ack     settlements, appended in batches
 *
 *     index:   | magic | flags | tail | count | length | entries' checksum | head's checksum | 0 |
 *              | entry | entry | ...
 *     entry:   | unit | bytes | kind and targets | user's words 1, 2, 3 | queue number ... |
 *     batch:   | magic and count | checksum | unit | queue number | unit | queue number | ...
 *
 * The number after the first dot counts how often the segment was written anew; its records' units
 * stay the same, so its settlements do, too. A packed record has its unit in its first word, so
 * that even without an index it can be told which it is. All words are 32 bits, little-endian.
 */

import { crc32c } from "./crc32c.ts";
import { noQueue, RecordKind } from "./record.ts";

export type RecordsKind = "seg" | "pak";
export type FileKind = RecordsKind | "idx" | "ack";

export interface SegmentFileName {
  readonly number: number;
  readonly generation: number;
  readonly kind: FileKind;
}

export function segmentFileName(number: number, generation: number, kind: FileKind): string {
  const name = String(number).padStart(8, "0");
  return kind === "ack" ? `${name}.ack` : `${name}.${generation}.${kind}`;
}

export function parseSegmentFileName(name: string): SegmentFileName | undefined {
  const match = /^(\d{8,})(?:\.(\d+))?\.(seg|pak|idx|ack)$/.exec(name);
  if (match === null || (match[3] === "ack") !== (match[2] === undefined)) return undefined;
  return {
    number: Number(match[1]),
    generation: Number(match[2] ?? 0),
    kind: match[3] as FileKind,
  };
}

const indexMagic = 0x32584948; // "HIX2"
const headWords = 8;
const flagsAt = 1;
const tailAt = 2;
const countAt = 3;
const lengthAt = 4;
const entriesChecksumAt = 5;
const headChecksumAt = 6;
/** Of its user's words, the index has all but the first. */
export const notedWords = 3;
const notedAt = 3;
const entryHeadWords = notedAt + notedWords;

export const indexHeadBytes = headWords * 4;

/** What an index says of its segment as a whole. */
export const IndexFlag = {
  /** Its records are in a packed file. */
  Compact: 1,
  /** Some of its records are settlements, which recovery has to know before all messages. */
  Settlements: 2,
} as const;

/**
 * Receives the records of an index: what is noted of them begins at words[notedAt], and their queue
 * numbers are words[queuesAt, queuesAt + targets).
 */
export type IndexVisitor = (
  unit: number,
  bytes: number,
  kindAndTargets: number,
  words: Int32Array,
  notedAt: number,
  queuesAt: number,
) => void;

/** Builds an index, record after record in the order of their units. */
export class IndexWriter {
  #words = new Int32Array(1024);
  #length = headWords;
  #count = 0;
  #flags = 0;

  add(
    unit: number,
    bytes: number,
    kindAndTargets: number,
    words: Int32Array,
    notedFrom: number,
    queuesAt: number,
  ): void {
    const targets = kindAndTargets >>> 8;
    const end = this.#length + entryHeadWords + targets;
    if (end + 1 > this.#words.length) this.#grow(end + 1);
    const into = this.#words;
    const start = this.#length;
    let at = start + entryHeadWords;
    for (let i = queuesAt; i < queuesAt + targets; i++) {
      if (words[i] !== noQueue) into[at++] = words[i]!;
    }
    into[start] = unit;
    into[start + 1] = bytes;
    into[start + 2] = (kindAndTargets & 0xff) | ((at - start - entryHeadWords) << 8);
    for (let i = 0; i < notedWords; i++) into[start + notedAt + i] = words[notedFrom + i]!;
    this.#length = at;
    this.#count++;
    if ((kindAndTargets & 0xff) === RecordKind.Settlements) this.#flags |= IndexFlag.Settlements;
  }

  /** The finished index, a view of memory that belongs to this writer. */
  finish(tail: number, isCompact: boolean): Buffer {
    const length = this.#length + (this.#length & 1);
    const words = this.#words;
    if (length > this.#length) words[this.#length] = 0;
    words[0] = indexMagic;
    words[flagsAt] = this.#flags | (isCompact ? IndexFlag.Compact : 0);
    words[tailAt] = tail;
    words[countAt] = this.#count;
    words[lengthAt] = length << 2;
    words[entriesChecksumAt] = crc32c(words, headWords, length - headWords);
    words[headChecksumAt] = crc32c(words, 0, headChecksumAt);
    words[headChecksumAt + 1] = 0;
    return Buffer.from(words.buffer, 0, length << 2);
  }

  #grow(needed: number): void {
    const grown = new Int32Array(Math.max(needed, this.#words.length * 2));
    grown.set(this.#words.subarray(0, this.#length));
    this.#words = grown;
  }
}

/** An index that was read from disk. */
export class SegmentIndex {
  readonly #words: Int32Array;

  private constructor(words: Int32Array) {
    this.#words = words;
  }

  /** Undefined for a damaged or unfinished index; recovery reads the records then. */
  static read(bytes: Buffer): SegmentIndex | undefined {
    if (readIndexFlags(bytes, bytes.length) === undefined) return undefined;
    const words = wordsOf(bytes);
    const checksum = crc32c(words, headWords, words.length - headWords);
    return words[entriesChecksumAt] === checksum ? new SegmentIndex(words) : undefined;
  }

  get isCompact(): boolean {
    return (this.#words[flagsAt]! & IndexFlag.Compact) !== 0;
  }

  get hasSettlements(): boolean {
    return (this.#words[flagsAt]! & IndexFlag.Settlements) !== 0;
  }

  get tail(): number {
    return this.#words[tailAt]!;
  }

  get count(): number {
    return this.#words[countAt]!;
  }

  get bytes(): number {
    return this.#words.length << 2;
  }

  forEach(visit: IndexVisitor): void {
    const words = this.#words;
    let at = headWords;
    for (let i = 0; i < this.count; i++) {
      const kindAndTargets = words[at + 2]!;
      const queuesAt = at + entryHeadWords;
      visit(words[at]!, words[at + 1]!, kindAndTargets, words, at + notedAt, queuesAt);
      at = queuesAt + (kindAndTargets >>> 8);
    }
  }
}

/**
 * The flags of an index of `fileBytes`, from its head alone; undefined if that is damaged or the
 * file has not got its full length. Whether the entries are whole, only SegmentIndex.read can tell.
 */
export function readIndexFlags(head: Buffer, fileBytes: number): number | undefined {
  if (head.length < indexHeadBytes) return undefined;
  const words = wordsOf(head.subarray(0, indexHeadBytes));
  if (words[0] !== indexMagic || words[lengthAt] !== fileBytes) return undefined;
  if (words[headChecksumAt] !== crc32c(words, 0, headChecksumAt)) return undefined;
  return words[headChecksumAt + 1] === 0 ? words[flagsAt] : undefined;
}

/** How long an index says it is; undefined if it ends before it can say so. */
export function indexLengthOf(bytes: Buffer): number | undefined {
  return bytes.length < indexHeadBytes ? undefined : wordsOf(bytes)[lengthAt];
}

/** Marks a pair in a sidecar that says: the queue has delivered everything up to this unit. */
export const deliveredFlag = 0x80000000 | 0;
/** Marks a pair that says: the queue has got this record back once more. */
export const returnedFlag = 0x40000000;

const batchMagic = 0x41000000; // "A" above a count
const batchHeadWords = 2;
const batchSettlementsMax = 0xffffff;

/** Settlements as pairs of unit and queue number. */
export function encodeSettlements(pairs: readonly number[]): Buffer {
  const count = pairs.length >>> 1;
  if (count > batchSettlementsMax) throw new RangeError(`${count} settlements in one batch`);
  const words = new Int32Array(batchHeadWords + pairs.length);
  words[0] = batchMagic | count;
  words.set(pairs, batchHeadWords);
  words[1] = crc32c(words, batchHeadWords, pairs.length) ^ words[0]!;
  return Buffer.from(words.buffer);
}

/**
 * All whole batches, in order; what follows the first that is damaged or cut is not believed.
 * Returns where that begins.
 */
export function decodeSettlements(
  bytes: Buffer,
  take: (unit: number, queue: number) => void,
): number {
  const words = wordsOf(bytes);
  let at = 0;
  while (at + batchHeadWords <= words.length) {
    const head = words[at]!;
    const length = (head & batchSettlementsMax) * 2;
    const start = at + batchHeadWords;
    if ((head & ~batchSettlementsMax) !== batchMagic || start + length > words.length) break;
    if (words[at + 1] !== (crc32c(words, start, length) ^ head)) break;
    for (let i = start; i < start + length; i += 2) take(words[i]!, words[i + 1]!);
    at = start + length;
  }
  return at << 2;
}

/** The whole words of a buffer, copied if it does not lie on a word's boundary. */
function wordsOf(bytes: Buffer): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : Buffer.from(new Uint8Array(bytes).buffer);
  return new Int32Array(aligned.buffer, aligned.byteOffset, bytes.length >>> 2);
}
