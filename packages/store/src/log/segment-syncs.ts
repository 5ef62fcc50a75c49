/**
 * Syncs segments, in the order of the log and one at a time: who wants it done at once waits for
 * it, and the files of the log have it done in the background for the rest. It knows how far the
 * log is safe.
 *
 *     | synced | synced | written, being synced | written | filling |
 *                       ^ position
 *
 * Invariants:
 * - A segment is not synced before all segments before it are safe, or gone for good.
 * - Only what was written when a sync began counts as synced by it.
 * - A segment whose sync has failed is not synced again before it has got another file.
 */

import type { DiskFile } from "../disk/disk.ts";
import type { LogDirectory } from "./log-directory.ts";
import type { MessageLog } from "./message-log.ts";
import type { Segment } from "./segment.ts";

export interface SegmentSyncsOptions {
  readonly log: MessageLog;
  readonly directory: LogDirectory;
  /** The log is safe up to this position, which may be no news. */
  onSynced(position: number): void;
  /** Its file is not to be trusted any more. */
  onFailed(segment: Segment): void;
}

export class SegmentSyncs {
  readonly #options: SegmentSyncsOptions;
  /** Segments with records that are not known to be safe, in the order of their numbers. */
  readonly #unsafe: Segment[] = [];
  /** The sync that is under way, and up to where... */
  #running: Promise<void> | undefined;
  #runningTo = 0;
  /** ...and the one that comes next. */
  #next: Promise<void> | undefined;
  #nextTo = 0;
  /** Where the last segment ends that was safe as a whole. */
  #safeTo = 0;

  constructor(options: SegmentSyncsOptions) {
    this.#options = options;
  }

  /** Resolves when no sync is under way. */
  get idle(): Promise<void> {
    return (this.#next ?? this.#running ?? Promise.resolve()).catch(() => undefined);
  }

  /** Records are appended to the segment, the last there is. */
  add(segment: Segment): void {
    if (this.#unsafe.at(-1) !== segment) this.#unsafe.push(segment);
  }

  /** The segment's records are not to survive, and are not on the disk. */
  drop(segment: Segment): void {
    segment.writtenTo = segment.tail;
    segment.syncedTo = segment.tail;
    this.#tellPosition();
  }

  /**
   * Resolves when what has been written up to this position is safe, as far as no file has been
   * given up; rejects if it cannot be made safe.
   */
  sync(upTo: number): Promise<void> {
    if (this.#running === undefined) return this.#begin(upTo);
    if (upTo <= this.#runningTo) return this.#running;
    this.#nextTo = Math.max(this.#nextTo, upTo);
    const begin = (): Promise<void> => this.#begin(this.#nextTo);
    this.#next ??= this.#running.then(begin, begin);
    return this.#next;
  }

  #begin(upTo: number): Promise<void> {
    this.#next = undefined;
    this.#nextTo = 0;
    this.#runningTo = Math.min(upTo, this.#options.log.writtenPosition);
    const running = this.#syncTo(this.#runningTo).finally(() => {
      this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #syncTo(position: number): Promise<void> {
    for (let segment = this.#first(); segment !== undefined; segment = this.#first()) {
      const { positionBase, syncedTo, writtenTo } = segment;
      const isSafe = positionBase + syncedTo >= position || syncedTo === writtenTo;
      if (isSafe || segment.suspicion !== undefined) return;
      // It is being removed, and tells when it has gone.
      if (segment.file === null) return;
      await this.#sync(segment, segment.file);
      if (segment.syncedTo < segment.tail) return;
    }
  }

  /** The first segment that is not safe, or may not be for long. */
  #first(): Segment | undefined {
    for (;;) {
      const first = this.#unsafe[0];
      if (first === undefined || !first.isFull || first.syncedTo < first.tail) return first;
      this.#unsafe.shift();
      this.#safeTo = first.positionBase + first.tail;
    }
  }

  /** Bytes whose file may have no name are no safer than bytes that may not be in it. */
  async #sync(segment: Segment, file: DiskFile): Promise<void> {
    const { directory, onFailed } = this.#options;
    const { writtenTo } = segment;
    segment.hold();
    try {
      await file.sync();
      await directory.syncCreations();
      segment.syncedTo = writtenTo;
    } catch (error) {
      segment.suspicion = error as Error;
      onFailed(segment);
      throw error;
    } finally {
      segment.letGo();
    }
    this.#dropAbandoned(segment);
    this.#tellPosition();
  }

  /** Earlier files may go once everything that was safe in them is safe in this one. */
  #dropAbandoned(segment: Segment): void {
    if (segment.abandoned.length === 0 || segment.syncedTo < segment.abandonedBytes) return;
    const { directory } = this.#options;
    const bytes = segment.abandonedBytes;
    segment.lastRemoval = directory.removeRecords(segment.abandoned, bytes, segment.lastRemoval);
    segment.abandoned = [];
    segment.abandonedBytes = 0;
  }

  #tellPosition(): void {
    const first = this.#first();
    const isBegun = first !== undefined && first.syncedTo > 0;
    this.#options.onSynced(isBegun ? first.positionBase + first.syncedTo : this.#safeTo);
  }
}
