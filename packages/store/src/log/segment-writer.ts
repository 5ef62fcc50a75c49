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

import { type LogDirectory, writeSafely } from "./log-directory.ts";
import type { MessageLog } from "./message-log.ts";
import type { Segment } from "./segment.ts";
import { indexOf, sealRecords } from "./segment-seal.ts";

export interface SegmentWriterOptions {
  readonly log: MessageLog;
  readonly directory: LogDirectory;
  readonly roundBytes: number;
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
  }

  /**
   * Writes the next records of the segment, as many as are written at once. Returns their bytes.
   */
  async write(segment: Segment): Promise<number> {
    const { directory, roundBytes } = this.#options;
    const from = segment.writtenTo;
    this.#mark(segment);
    const sealed = sealRecords(segment, roundBytes);
    segment.hold();
    try {
      segment.file ??= await directory.create(directory.pathIn(segment, "seg"));
      segment.fileBytes = Math.max(segment.fileBytes, sealed.end);
      await segment.file.write(segment.bytes!, from, sealed.end - from, from);
      segment.writtenTo = sealed.end;
      segment.writtenRecords = sealed.records;
    } finally {
      segment.letGo();
    }
    return sealed.end - from;
  }

  /** A mark tells recovery besides that all segments before this one are safe. */
  #mark(segment: Segment): void {
    const { log } = this.#options;
    const isNews = segment.syncedTo > segment.markedTo;
    if (isNews && log.durablePosition >= segment.positionBase) log.appendMark(segment);
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

  /** A full segment that is safe gets its index, so that recovery need not read its records. */
  async finish(segment: Segment): Promise<void> {
    const { directory } = this.#options;
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
