/**
 * The files of a segment, by name and format. Recovery reads them, flush and compaction write them.
 *
 *     00000007.0.seg   the records, as they lie in memory; or, compacted, the living ones only
 *     00000007.0.idx   what recovery needs to know of them without reading them
 *     00000007.ack     settlements, appended in batches
 *
 *     index:   | magic | flags | tail bytes | words | checksum | 0 | entry | entry | ...
 *     entry:   | unit | bytes | kind and targets | user's fourth word | queue number ... |
 *     batch:   | magic and count | checksum | unit | queue number | unit | queue number | ...
 *
 * The number after the first dot counts how often the segment was written anew; its records' units stay
 * the same, so its settlements do, too. All words are 32 bits, little-endian.
 */

import { crc32c } from "./crc32c.ts";

export type FileKind = "seg" | "idx" | "ack";

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
  const match = /^(\d{8,})(?:\.(\d+))?\.(seg|idx|ack)$/.exec(name);
  if (match === null || (match[3] === "ack") !== (match[2] === undefined)) return undefined;
  return {
    number: Number(match[1]),
    generation: Number(match[2] ?? 0),
    kind: match[3] as FileKind,
  };
}

const indexMagic = 0x31584948; // "HIX1"
const indexHeadWords = 6;
const compactFlag = 1;
const entryHeadWords = 4;

/** Receives the records of an index: their queue numbers are words[queuesAt, queuesAt + targets). */
export type IndexVisitor = (
  unit: number,
  bytes: number,
  kindAndTargets: number,
  userWord: number,
  words: Int32Array,
  queuesAt: number,
) => void;

/** Builds an index, record after record in the order of their units. */
export class IndexWriter {
  #words = new Int32Array(1024);
  #length = indexHeadWords;
  #count = 0;

  add(
    unit: number,
    bytes: number,
    kindAndTargets: number,
    userWord: number,
    words: Int32Array,
    queuesAt: number,
  ): void {
    const targets = kindAndTargets >>> 8;
    const end = this.#length + entryHeadWords + targets;
    if (end + 1 > this.#words.length) this.#grow(end + 1);
    const into = this.#words;
    let at = this.#length;
    into[at++] = unit;
    into[at++] = bytes;
    into[at++] = kindAndTargets;
    into[at++] = userWord;
    for (let i = 0; i < targets; i++) into[at++] = words[queuesAt + i]!;
    this.#length = at;
    this.#count++;
  }

  finish(tail: number, isCompact: boolean): Buffer {
    const length = this.#length + (this.#length & 1);
    const words = this.#words;
    if (length > this.#length) words[this.#length] = 0;
    words[0] = indexMagic;
    words[1] = isCompact ? compactFlag : 0;
    words[2] = tail;
    words[3] = this.#count;
    words[4] = indexChecksum(words, length);
    words[5] = 0;
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
    const words = wordsOf(bytes);
    if (words.length < indexHeadWords || (words.length & 1) !== 0) return undefined;
    if (words[0] !== indexMagic || words[4] !== indexChecksum(words, words.length))
      return undefined;
    return new SegmentIndex(words);
  }

  get isCompact(): boolean {
    return this.#words[1] === compactFlag;
  }

  get tail(): number {
    return this.#words[2]!;
  }

  get count(): number {
    return this.#words[3]!;
  }

  forEach(visit: IndexVisitor): void {
    const words = this.#words;
    let at = indexHeadWords;
    for (let i = 0; i < this.count; i++) {
      const kindAndTargets = words[at + 2]!;
      const queuesAt = at + entryHeadWords;
      visit(words[at]!, words[at + 1]!, kindAndTargets, words[at + 3]!, words, queuesAt);
      at = queuesAt + (kindAndTargets >>> 8);
    }
  }
}

function indexChecksum(words: Int32Array, length: number): number {
  return crc32c(words, 0, 4) ^ crc32c(words, indexHeadWords, length - indexHeadWords);
}

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
 * All whole batches, in order; what follows the first that is damaged or cut is not believed. Returns
 * where that begins.
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
