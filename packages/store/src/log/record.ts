/**
 * The layout of a record, in memory and on disk alike. Records lie one after the other in a
 * segment, aligned to eight bytes.
 *
 *     word  0           1          2        3                4 .. 7
 *          +-----------+----------+--------+----------------+------------------------+
 *          | references| checksum | bytes  | kind | targets | four words of its user |
 *          +-----------+----------+--------+----------------+------------------------+
 *          | queue numbers, 32 bits each | the user's bytes, padded                  |
 *          +-----------------------------+-------------------------------------------+
 *
 * `references` counts the holders while the record is in memory; what is on disk of it means
 * nothing, so the checksum covers everything behind itself. A record that was dead before it was
 * ever written is marked `dead`, and its checksum covers its head only: nobody will read the rest.
 *
 * This is a hot file.
 */

import { crc32c } from "./crc32c.ts";

/** A record begins at a multiple of eight bytes; which one, its unit, is how it is known. */
export const unitBits = 3;
export const headWords = 8;
export const headBytes = headWords * 4;
/** Word offsets within a record. */
export const referencesWord = 0;
export const checksumWord = 1;
export const bytesWord = 2;
export const kindWord = 3;
/** The first of the user's words. */
export const userWord = 4;

export const RecordKind = {
  /** A message. */
  Message: 1,
  /** A message that nobody wanted any more when it was written. */
  Dead: 2,
  /** A message that belongs to a group whose end has not come yet. */
  Grouped: 3,
  /** The last message of a group, which makes all of it valid. */
  GroupEnd: 4,
  /**
   * Settlements that are valid with their group, before its end: their number in the first word,
   * then triples of segment number, unit, queue number. Who appends it settles the same with
   * `settle` at once and releases the record: the log sees to it that it goes no sooner than they
   * are noted.
   */
  Settlements: 5,
  /** Says in its first word how much of its segment had been synced when it was written. */
  Mark: 6,
  /** Stands in for a message that was found damaged, until its queues have settled it. */
  Lost: 7,
  /** The last record of a segment. */
  End: 8,
} as const;

/** Whether it is the log's own, which nobody holds and no index lists. */
export function isBookkeeping(kind: number): boolean {
  return kind === RecordKind.Dead || kind === RecordKind.Mark || kind === RecordKind.End;
}

/** In place of a queue's number: it has settled the record. */
export const noQueue = -1;

/** The kind in the low byte, the number of targets above it. */
export function kindAndTargets(kind: number, targets: number): number {
  return kind | (targets << 8);
}

export function kindOf(words: Int32Array, word: number): number {
  return words[word + kindWord]! & 0xff;
}

export function targetsOf(words: Int32Array, word: number): number {
  return words[word + kindWord]! >>> 8;
}

/** The whole length of a record whose user has `length` bytes. */
export function recordBytes(targets: number, length: number): number {
  return (headBytes + targets * 4 + length + 7) & ~7;
}

/** Writes the checksum of a complete record. */
export function sealRecord(words: Int32Array, word: number): void {
  words[word + checksumWord] = checksum(words, word);
}

/**
 * Marks a record as dead, and seals what is left of its meaning. Members of a group are never
 * marked, for the others depend on them.
 */
export function sealDeadRecord(words: Int32Array, word: number): void {
  words[word + kindWord] = kindAndTargets(RecordKind.Dead, 0);
  words[word + checksumWord] = checksum(words, word);
}

/** Makes a dead record of `bytes` out of whatever lies there. */
export function sealFiller(words: Int32Array, word: number, bytes: number): void {
  words.fill(0, word, word + headWords);
  words[word + bytesWord] = bytes;
  sealDeadRecord(words, word);
}

/**
 * Whether a whole, undamaged record begins at this word of a segment that ends at `endWord`; its
 * length may be believed then.
 */
export function isRecord(words: Int32Array, word: number, endWord: number): boolean {
  if (word + headWords > endWord) return false;
  const bytes = words[word + bytesWord]!;
  if (bytes < headBytes || (bytes & 7) !== 0 || word + (bytes >>> 2) > endWord) return false;
  const kind = kindOf(words, word);
  if (kind < RecordKind.Message || kind > RecordKind.End) return false;
  if (headBytes + targetsOf(words, word) * 4 > bytes) return false;
  return words[word + checksumWord] === checksum(words, word);
}

/** From the length on: the head alone for a dead record. Word counts are even by alignment. */
function checksum(words: Int32Array, word: number): number {
  const from = word + bytesWord;
  const isDead = kindOf(words, word) === RecordKind.Dead;
  const count = (isDead ? headWords : words[word + bytesWord]! >>> 2) - bytesWord;
  return crc32c(words, from, count);
}
