/**
 * Writes segments to their files: the records as they come, an index once a segment is full. Called
 * by the rounds of the log's files; indexes are written beside them, for no confirm waits for one.
 *
 * Nothing is assumed about a file whose sync has failed: it is given up, and the segment, which is
 * still whole in memory, is written to another. The old file stays until the new one has all that
 * was safe in the old. A write that has failed was not synced, and may be done again in the same
 * place.
 *
 * Invariant: where there is an index that is whole, there is a file with all its records, and safe.
 */

import type { Clock } from "@haremq/kernel";
import type { LogCounters } from "./log-counters.ts";
import { type LogDirectory, writeSafely } from "./log-directory.ts";
import type { MessageLog } from "./message-log.ts";
import type { Segment } from "./segment.ts";
import { indexOf, sealRecords } from "./segment-seal.ts";

/** What a confirm stands for. */
export type ConfirmLevel = "disk" | "os";

export interface SegmentWriterOptions {
  readonly log: MessageLog;
  readonly directory: LogDirectory;
  readonly clock: Clock;
  readonly confirmLevel: ConfirmLevel;
  readonly counters: LogCounters;
  readonly roundBytes: number;
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /** Writes the next records of the segment, as many as go into one round. */
  async write(segment: Segment): Promise<void> {
    const { log, directory, clock, confirmLevel, counters, roundBytes } = this.#options;
    const from = segment.writtenTo;
    if (segment.syncedTo > 0) log.appendMark(segment);
    const sealed = sealRecords(segment, roundBytes);
    const startedMs = clock.nowMs();
    segment.hold();
    try {
      segment.file ??= await directory.create(directory.pathIn(segment, "seg"));
      segment.fileBytes = Math.max(segment.fileBytes, sealed.end);
      await segment.file.write(segment.bytes!, from, sealed.end - from, from);
      segment.writtenTo = sealed.end;
      segment.writtenRecords = sealed.records;
      if (confirmLevel === "disk") await this.#sync(segment);
      segment.syncedTo = sealed.end;
    } finally {
      segment.letGo();
    }
    counters.onFlush(sealed.end - from, clock.nowMs() - startedMs);
    if (segment.abandoned.length > 0) this.#dropAbandoned(segment);
  }

  /** Bytes whose file may have no name are no safer than bytes that may not be in it. */
  async #sync(segment: Segment): Promise<void> {
    try {
      await segment.file!.sync();
      await this.#options.directory.syncCreations();
    } catch (error) {
      segment.isSuspect = true;
      throw error;
    }
  }

  /** Earlier files may go once everything that was safe in them is safe in this one. */
  #dropAbandoned(segment: Segment): void {
    if (segment.syncedTo < segment.abandonedBytes) return;
    const { directory } = this.#options;
    const bytes = segment.abandonedBytes;
    segment.lastRemoval = directory.removeRecords(segment.abandoned, bytes, segment.lastRemoval);
    segment.abandoned = [];
    segment.abandonedBytes = 0;
  }

  /** Gives up the file of a segment whose sync has failed. */
  async abandon(segment: Segment): Promise<void> {
    const { directory } = this.#options;
    const file = segment.file;
    segment.file = null;
    segment.abandoned.push(directory.recordsPath(segment));
    segment.abandonedBytes = Math.max(segment.abandonedBytes, segment.fileBytes);
    segment.restart(segment.nextGeneration());
    await file?.close();
  }

  /** A full segment gets its index, so that recovery need not read its records. */
  async finish(segment: Segment): Promise<void> {
    const { directory, confirmLevel } = this.#options;
    if (confirmLevel === "os" && segment.file !== null) await this.#sync(segment);
    const index = indexOf(segment);
    await writeSafely(await directory.create(directory.pathIn(segment, "idx")), index);
    segment.indexBytes = index.length;
    segment.isIndexed = true;
    segment.keptUnits = undefined;
    const file = segment.file;
    segment.file = null;
    await file?.close();
  }
}
