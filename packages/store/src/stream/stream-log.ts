/**
 * The log of one stream: records in the order of their offsets, which begin at 0 and have no gaps
 * while nothing is damaged. The end is in memory, in chunks; what has been written is in segments,
 * of which only a summary is in memory.
 *
 *     | segment | segment | segment being filled |  chunk  | chunk | open chunk |
 *     firstOffset                       memoryOffset                     endOffset
 *
 * Its user appends records, which costs no I/O, and has them written when they may be: chunks leave
 * memory once they are safe in a file. Readers stand at offsets (see stream-reader.ts).
 *
 * Invariants:
 * - One write at a time. A file that a write or a sync has failed on is given up where it was safe.
 * - Timestamps never fall.
 * - The last segment is never removed, so that offsets are never used again.
 */

import { DiskError, type DiskFile } from "../disk/disk.ts";
import { createAnew } from "../log/log-directory.ts";
import { beforeAllPlaces, chunkBytesFor, type LogPlace, StreamChunk } from "./stream-chunk.ts";
import type { StreamReader } from "./stream-reader.ts";
import type { StreamCut } from "./stream-recovery.ts";
import type { StreamSegment } from "./stream-segment.ts";
import type { StreamStore } from "./stream-store.ts";

export interface StreamLogOptions {
  readonly store: StreamStore;
  /** What the message log calls the stream. */
  readonly number: number;
  /** What was found of it, in order. */
  readonly segments: readonly StreamSegment[];
  readonly cut: StreamCut | undefined;
}

/** What a stream may keep. */
export interface StreamRetention {
  readonly bytesMax: number;
  readonly ageMaxMs: number;
}

interface Writing {
  readonly segment: StreamSegment;
  readonly file: DiskFile;
}

export class StreamLog {
  readonly number: number;
  readonly #store: StreamStore;
  /** What was cut off at the end when the stream was found. */
  readonly cut: StreamCut | undefined;
  readonly segments: StreamSegment[];
  /** Bytes in files. */
  fileBytes = 0;
  /** Those in memory, the open one last. */
  readonly #chunks: StreamChunk[] = [];
  /** When each chunk's last record came. */
  readonly #lastTimes: number[] = [];
  #isOpen = false;
  /** A segment was removed, and may come back over a power loss. */
  #isRemovalUnsafe = false;
  #writing: Writing | undefined;
  #lastTimestampMs = 0;
  /** Readers that stand in chunks in memory. */
  readonly readers = new Set<StreamReader>();
  endOffset: number;
  /** From here on, records are in memory. */
  memoryOffset: number;
  /** A segment becomes full at this size. */
  segmentBytes: number;

  /** Where the record that was last appended goes: into these bytes... */
  bytes: Buffer = Buffer.alloc(0);
  /** ...from here. */
  contentStart = 0;

  constructor(options: StreamLogOptions) {
    this.number = options.number;
    this.#store = options.store;
    this.segments = [...options.segments];
    this.cut = options.cut;
    const last = this.segments.at(-1);
    this.endOffset = last?.endOffset ?? 0;
    this.memoryOffset = this.endOffset;
    this.#lastTimestampMs = last?.lastTimestampMs ?? 0;
    this.segmentBytes = options.store.sizes.segmentBytes;
    for (const { bytes } of this.segments) this.fileBytes += bytes;
  }

  get store(): StreamStore {
    return this.#store;
  }

  get firstOffset(): number {
    return this.segments[0]?.firstOffset ?? this.memoryOffset;
  }

  /** Where the message log has the last record that is in a file. */
  get lastPlace(): LogPlace {
    return this.segments.at(-1)?.place ?? beforeAllPlaces;
  }

  /**
   * Nothing has been appended yet, and offsets before that one have been used for what is lost: the
   * stream goes on there.
   */
  skipTo(offset: number): void {
    this.endOffset = offset;
    this.memoryOffset = offset;
  }

  // Appending

  /** Room for a record of `length` bytes and two words; `bytes` and `contentStart` say where. */
  append(length: number, first: number, second: number, wallMs: number): void {
    const nowMs = Math.max(this.#lastTimestampMs, Math.floor(wallMs));
    this.#lastTimestampMs = nowMs;
    const chunk = this.#chunkWithRoom(length, nowMs);
    this.contentStart = chunk.add(length, nowMs, first, second);
    this.bytes = chunk.bytes;
    this.#lastTimes[this.#chunks.length - 1] = nowMs;
    this.endOffset++;
  }

  #chunkWithRoom(length: number, nowMs: number): StreamChunk {
    const { sizes } = this.#store;
    const needed = chunkBytesFor(length);
    const open = this.#isOpen ? this.#chunks.at(-1)! : undefined;
    if (open !== undefined) {
      if (open.hasRoom(length)) return open;
      const bytes = open.tail + needed;
      if (bytes <= sizes.chunkBytes) {
        this.#store.giveChunk(open.moveTo(this.#store.takeChunk(bytes)));
        return open;
      }
    }
    const chunk = new StreamChunk(this.endOffset, nowMs, this.#store.takeChunk(needed));
    this.#chunks.push(chunk);
    this.#isOpen = true;
    return chunk;
  }

  /** Whether records wait to be written. */
  get hasUnwritten(): boolean {
    return this.#chunks.length > 0;
  }

  /** The chunk being filled takes no more. */
  closeChunk(): void {
    this.#isOpen = false;
  }

  /** The closed chunks that end no later than `endOffset`, up to about so many bytes. */
  closedChunks(endOffset: number, bytesMax: number): StreamChunk[] {
    const closed: StreamChunk[] = [];
    const count = this.#isOpen ? this.#chunks.length - 1 : this.#chunks.length;
    let bytes = 0;
    for (let i = 0; i < count && bytes < bytesMax; i++) {
      const chunk = this.#chunks[i]!;
      if (chunk.endOffset > endOffset) break;
      closed.push(chunk);
      bytes += chunk.tail;
    }
    return closed;
  }

  /** Whether there is a closed chunk that ends no later than `endOffset`. */
  hasClosedChunk(endOffset: number): boolean {
    const count = this.#isOpen ? this.#chunks.length - 1 : this.#chunks.length;
    return count > 0 && this.#chunks[0]!.endOffset <= endOffset;
  }

  /** The chunk in memory that has the offset. */
  chunkOf(offset: number): StreamChunk | undefined {
    return this.#chunks.find((chunk) => offset < chunk.endOffset);
  }

  // Writing

  /**
   * Makes the first of the chunks safe that are in memory, which have their places: as many of them
   * as go into one file. Returns them, which are not in memory any more. Throws a DiskError, and
   * can be called again then.
   */
  async write(chunks: readonly StreamChunk[]): Promise<readonly StreamChunk[]> {
    const writing = await this.#segmentFor(chunks[0]!.firstOffset);
    const { segment, file } = writing;
    const written: StreamChunk[] = [];
    try {
      let position = segment.bytes;
      for (const chunk of chunks) {
        if (written.length > 0 && position >= this.segmentBytes) break;
        chunk.seal(this.number, segment.bytes);
        await file.write(chunk.bytes, 0, chunk.tail, position);
        position += chunk.tail;
        written.push(chunk);
      }
      await file.sync();
    } catch (error) {
      await this.#giveUp(writing);
      throw error;
    }
    for (const [i, chunk] of written.entries()) {
      const { firstOffset, endOffset, timestampMs, place, tail: bytes } = chunk;
      const lastTimestampMs = this.#lastTimes[i]!;
      segment.addChunk({ firstOffset, endOffset, timestampMs, lastTimestampMs, place, bytes });
    }
    this.#noteFileBytes(written.reduce((sum, { tail }) => sum + tail, 0));
    this.#release(written.length);
    return written;
  }

  async #segmentFor(firstOffset: number): Promise<Writing> {
    const { disk, directory } = this.#store;
    const last = this.segments.at(-1);
    const goesOn = last?.endOffset === firstOffset && last.bytes < this.segmentBytes;
    if (this.#writing !== undefined) {
      if (goesOn) return this.#writing;
      await this.#finish(this.#writing);
    }
    if (goesOn && !last.isFull) {
      const file = await disk.open(last.chunksPath, "write");
      this.#writing = { segment: last, file };
      return this.#writing;
    }
    const segment = this.#store.newSegment(this.number, firstOffset);
    const file = await createAnew(disk, segment.chunksPath);
    try {
      await disk.remove(segment.indexPath);
      await disk.syncDirectory(directory);
    } catch (error) {
      await file.close();
      throw error;
    }
    this.segments.push(segment);
    this.#writing = { segment, file };
    return this.#writing;
  }

  /** The segment is full. Without its index, a start has to look at all of its chunks. */
  async #finish({ segment, file }: Writing): Promise<void> {
    this.#writing = undefined;
    await file.close();
    await segment.finish();
  }

  /** Nothing is written to this file any more. */
  async #giveUp({ segment, file }: Writing): Promise<void> {
    this.#writing = undefined;
    try {
      await file.truncate(segment.bytes);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
    }
    await file.close();
    if (segment.bytes > 0) await segment.finish();
    else this.segments.splice(this.segments.indexOf(segment), 1);
  }

  /** The first chunks are not in memory any more. */
  #release(count: number): void {
    const released = this.#chunks.splice(0, count);
    this.#lastTimes.splice(0, count);
    if (this.#chunks.length === 0) this.#isOpen = false;
    this.memoryOffset = this.#chunks[0]?.firstOffset ?? this.endOffset;
    for (const chunk of released) {
      for (const reader of this.readers) reader.letGoOf(chunk);
      this.#store.giveChunk(chunk.bytes);
    }
  }

  // Retention

  /**
   * Removes the oldest segments that are more than the stream may keep, one after the other also on
   * the disk, so that there is never one missing in between. Throws a DiskError, and can be called
   * again then. Not to be called while it is under way.
   */
  async retain(limits: StreamRetention, wallMs: number): Promise<void> {
    while (this.segments.length > 1) {
      const oldest = this.segments[0]!;
      const isTooOld = oldest.lastTimestampMs < wallMs - limits.ageMaxMs;
      if (!isTooOld && this.fileBytes <= limits.bytesMax) return;
      oldest.removal = this.#removeOldest(oldest).finally(() => {
        oldest.removal = undefined;
      });
      await oldest.removal;
    }
  }

  async #removeOldest(oldest: StreamSegment): Promise<void> {
    if (this.#isRemovalUnsafe) {
      await this.#store.disk.syncDirectory(this.#store.directory);
      this.#isRemovalUnsafe = false;
    }
    await oldest.remove();
    this.segments.shift();
    this.#noteFileBytes(-oldest.bytes);
    this.#isRemovalUnsafe = true;
  }

  /** When the oldest segment that may go will be too old. */
  retentionDueMs(limits: StreamRetention): number {
    if (this.segments.length < 2) return Number.POSITIVE_INFINITY;
    return this.segments[0]!.lastTimestampMs + limits.ageMaxMs;
  }

  // Reading

  /** The segment that has the offset, or else the next one; undefined if there is none. */
  segmentOf(offset: number): StreamSegment | undefined {
    return (
      this.segments.findLast(
        (segment) => segment.firstOffset <= offset && offset < segment.endOffset,
      ) ?? this.segments.find((segment) => segment.firstOffset > offset)
    );
  }

  /** An offset before which nothing is as young as that; the first that may be. */
  async offsetBefore(timestampMs: number): Promise<number> {
    const { segments } = this;
    const segment = segments.findLast((each) => each.firstTimestampMs < timestampMs) ?? segments[0];
    if (segment === undefined) return this.memoryOffset;
    const { index } = await segment.acquire();
    try {
      return index.offsetAt(index.blockBefore(timestampMs));
    } finally {
      segment.release();
    }
  }

  // The end

  /** Closes the file until there is something to write again; not while something is written. */
  async close(): Promise<void> {
    const writing = this.#writing;
    this.#writing = undefined;
    await writing?.file.close();
  }

  /** Removes everything. The log is not used afterwards. */
  async destroy(): Promise<void> {
    this.#release(this.#chunks.length);
    await this.close();
    for (const segment of this.segments.splice(0)) {
      this.#noteFileBytes(-segment.bytes);
      await segment.remove();
    }
  }

  #noteFileBytes(change: number): void {
    this.fileBytes += change;
    this.#store.noteFileBytes(change);
  }
}
