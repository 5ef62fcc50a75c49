/**
 * Makes the records of a segment in memory ready for a file: checksums before they are written, an
 * index once all are, and the living ones side by side for compaction.
 */

import {
  bytesWord,
  headBytes,
  isBookkeeping,
  kindAndTargets,
  kindOf,
  kindWord,
  noQueue,
  RecordKind,
  referencesWord,
  sealDeadRecord,
  sealRecord,
  targetsOf,
  userWord,
} from "./record.ts";
import type { Segment } from "./segment.ts";
import { IndexWriter } from "./segment-file.ts";

const headEnd = headBytes >>> 2;

/**
 * Seals the records that are to be written next, about `bytesMax` of them. Returns the byte offset
 * behind the last, and how many records lie before that.
 */
export function sealRecords(segment: Segment, bytesMax: number): { end: number; records: number } {
  const words = segment.words!;
  const start = segment.writtenTo;
  let records = segment.writtenRecords;
  let end = start;
  while (records < segment.recordCount && end - start < bytesMax) {
    const unit = segment.unitAt(records);
    const word = unit << 1;
    const isDead = words[word + referencesWord] === 0 && segment.keptUnits?.has(unit) !== true;
    if (isDead && kindOf(words, word) === RecordKind.Message) sealDeadRecord(words, word);
    else sealRecord(words, word);
    end += words[word + bytesWord]!;
    records++;
  }
  return { end, records };
}

/** The index of a full segment in memory: all records but those that were written as dead. */
export function indexOf(segment: Segment): Buffer {
  const words = segment.words!;
  const index = new IndexWriter();
  for (let i = 0; i < segment.recordCount; i++) {
    const unit = segment.unitAt(i);
    if (!isBookkeeping(kindOf(words, unit << 1))) addToIndex(index, words, unit);
  }
  return index.finish(segment.tail, false);
}

export interface Packed {
  readonly records: Buffer;
  readonly index: Buffer;
  readonly units: Uint32Array;
  readonly lengths: Uint32Array;
  readonly hasSettlements: boolean;
}

/** The living records of a segment in memory, one after the other, with their index. */
export function packRecords(segment: Segment): Packed {
  const words = segment.words!;
  const living: number[] = [];
  let bytes = 0;
  for (let i = 0; i < segment.recordCount; i++) {
    if (!segment.livesAt(i)) continue;
    const unit = segment.unitAt(i);
    living.push(unit);
    bytes += words[(unit << 1) + bytesWord]!;
  }
  const records = Buffer.allocUnsafeSlow(bytes);
  const lengths = new Uint32Array(living.length);
  const index = new IndexWriter();
  let hasSettlements = false;
  let at = 0;
  for (const [i, unit] of living.entries()) {
    const word = unit << 1;
    const kind = kindOf(words, word);
    if (kind === RecordKind.Settlements) hasSettlements = true;
    // Its group is complete, or it would not be here; it stands for itself from now on.
    if (kind === RecordKind.Grouped || kind === RecordKind.GroupEnd) {
      words[word + kindWord] = kindAndTargets(RecordKind.Message, targetsOf(words, word));
    }
    sealRecord(words, word);
    addToIndex(index, words, unit);
    const length = words[word + bytesWord]!;
    segment.bytes!.copy(records, at, word << 2, (word << 2) + length);
    records.writeInt32LE(unit, at + referencesWord * 4);
    lengths[i] = length;
    at += length;
  }
  const units = Uint32Array.from(living);
  return { records, index: index.finish(segment.tail, true), units, lengths, hasSettlements };
}

/** Notes in a record of a segment in memory, if it lives, that a queue has settled it. */
export function noteSettled(segment: Segment, unit: number, queue: number): void {
  const index = segment.indexOf(unit);
  if (segment.unitAt(index) !== unit || !segment.livesAt(index)) return;
  const words = segment.words!;
  const word = unit << 1;
  const targets = targetsOf(words, word);
  for (let i = word + headEnd; i < word + headEnd + targets; i++) {
    if (words[i] === queue) words[i] = noQueue;
  }
}

/** Adds a record that lies at its unit. */
export function addToIndex(index: IndexWriter, words: Int32Array, unit: number): void {
  const word = unit << 1;
  const kindAndTargets = words[word + kindWord]!;
  const notedFrom = word + userWord + 1;
  index.add(unit, words[word + bytesWord]!, kindAndTargets, words, notedFrom, word + headEnd);
}
