/**
 * Makes the records of a segment in memory ready for its file: checksums before they are written, an
 * index once all are. Called by the log's files.
 */

import {
  bytesWord,
  headBytes,
  kindOf,
  kindWord,
  RecordKind,
  referencesWord,
  sealDeadRecord,
  sealRecord,
  userWord,
} from "./record.ts";
import type { Segment } from "./segment.ts";
import { IndexWriter } from "./segment-file.ts";

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
    const word = segment.unitAt(records) << 1;
    const isDead = words[word + referencesWord] === 0;
    if (isDead && kindOf(words, word) === RecordKind.Message) sealDeadRecord(words, word);
    else sealRecord(words, word);
    end += words[word + bytesWord]!;
    records++;
  }
  return { end, records };
}

/** The index of a full segment in memory: the records that live, and the members of groups. */
export function indexOf(segment: Segment): Buffer {
  const words = segment.words!;
  const index = new IndexWriter();
  for (let i = 0; i < segment.recordCount; i++) {
    const unit = segment.unitAt(i);
    const word = unit << 1;
    const kind = kindOf(words, word);
    if (kind === RecordKind.Dead || kind === RecordKind.Mark) continue;
    const bytes = words[word + bytesWord]!;
    const queuesAt = word + (headBytes >>> 2);
    index.add(unit, bytes, words[word + kindWord]!, words[word + userWord + 3]!, words, queuesAt);
  }
  return index.finish(segment.tail, false);
}
