/**
 * The streams of a node: one directory with the files of all of them, the memory they share, and
 * how many of them write at a time. The broker opens one, over the data directory's disk or over a
 * disk in memory, and asks for the log of each stream it knows of; files of streams that it does
 * not know are removed.
 */

import { dirname, join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import { SlabPool } from "../log/slab-pool.ts";
import { ReadMemory } from "./read-memory.ts";
import { StreamLog } from "./stream-log.ts";
import {
  findSummary,
  makeSafe,
  type StreamCut,
  takeChunks,
  takeLastChunks,
} from "./stream-recovery.ts";
import { parseSegmentFileName, StreamSegment } from "./stream-segment.ts";

/** How large the pieces of streams are. Tests make them small. */
export interface StreamSizes {
  /** A segment becomes full at this size, unless its stream says otherwise. */
  readonly segmentBytes: number;
  /** The most that goes into one chunk, unless a single record is larger. */
  readonly chunkBytes: number;
  /** About what is read at once. */
  readonly blockBytes: number;
  /** What readers may have in memory, all together. */
  readonly readMemoryBytes: number;
}

export const defaultStreamSizes: StreamSizes = {
  segmentBytes: 500_000_000,
  chunkBytes: 256 * 1024,
  blockBytes: 256 * 1024,
  readMemoryBytes: 64 * 1024 * 1024,
};

export interface StreamStoreOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly sizes?: StreamSizes;
}

/** Who is told what happens to streams. */
export interface StreamListener {
  /** So many bytes more, or less, are in memory that wait to be written. */
  onMemory(change: number): void;
  /** So many bytes more, or less, are in files. */
  onFiles(change: number): void;
  onDamage(description: string): void;
}

const nobody: StreamListener = {
  onMemory: () => undefined,
  onFiles: () => undefined,
  onDamage: () => undefined,
};

/** Memory that is kept for the next chunk or block. */
const spareBytesMax = 8 * 1024 * 1024;
/** Enough to keep a disk busy. */
const loadsMax = 16;
const recoveriesMax = 16;
const smallestSlabBytes = 8 * 1024;
const middleSlabBytes = 64 * 1024;

export class StreamStore {
  readonly disk: Disk;
  readonly directory: string;
  readonly sizes: StreamSizes;
  readonly #chunkPool: SlabPool;
  readonly readMemory: ReadMemory;
  #listener = nobody;
  /** Bytes in the files of all streams. */
  fileBytes = 0;
  /** What was found of each stream. */
  readonly #found = new Map<number, StreamSegment[]>();
  readonly #cuts = new Map<number, StreamCut>();

  private constructor(options: StreamStoreOptions) {
    this.disk = options.disk;
    this.directory = options.directory;
    this.sizes = options.sizes ?? defaultStreamSizes;
    const { chunkBytes } = this.sizes;
    const chunkSizes = [smallestSlabBytes, middleSlabBytes, chunkBytes];
    this.#chunkPool = new SlabPool(spareBytesMax, chunkSizes);
    const { readMemoryBytes } = this.sizes;
    this.readMemory = new ReadMemory(readMemoryBytes, loadsMax, this.readSlabBytes(0));
  }

  /** Finds the files of these streams, and removes all others. */
  static async open(
    options: StreamStoreOptions,
    streams: ReadonlySet<number>,
  ): Promise<StreamStore> {
    const store = new StreamStore(options);
    const { disk, directory } = store;
    await disk.makeDirectory(directory);
    await disk.syncDirectory(dirname(directory));
    for (const name of await disk.list(directory)) {
      const file = parseSegmentFileName(name);
      if (file === undefined) continue;
      if (!streams.has(file.stream)) await disk.remove(join(directory, name));
      else if (file.kind === "chunks") store.#note(file.stream, file.firstOffset);
    }
    await store.#recoverAll();
    return store;
  }

  /** Several at a time: most of it is waiting for the disk. */
  async #recoverAll(): Promise<void> {
    const left = [...this.#found];
    const work = async (): Promise<void> => {
      for (let next = left.pop(); next !== undefined; next = left.pop()) {
        await this.#recover(...next);
      }
    };
    await Promise.all(Array.from({ length: recoveriesMax }, work));
  }

  #note(stream: number, firstOffset: number): void {
    const segments = this.#found.get(stream) ?? [];
    this.#found.set(stream, segments);
    segments.push(this.newSegment(stream, firstOffset));
  }

  async #recover(stream: number, segments: StreamSegment[]): Promise<void> {
    segments.sort((one, other) => one.firstOffset - other.firstOffset);
    const whole: StreamSegment[] = [];
    for (const [i, segment] of segments.entries()) {
      const next = segments[i + 1]?.firstOffset;
      const summary = await findSummary(this.disk, segment, next);
      if (summary !== undefined) {
        segment.restore(summary);
        segment.noteIndexed();
      } else {
        await this.#scan(stream, segment, next);
      }
      if (segment.bytes > 0) whole.push(segment);
      else await segment.remove();
      this.fileBytes += segment.bytes;
    }
    this.#found.set(stream, whole);
  }

  async #scan(stream: number, segment: StreamSegment, next: number | undefined): Promise<void> {
    if (next === undefined) {
      const tail = await takeLastChunks(this.disk, segment, stream);
      if (tail.cut !== undefined) this.#cuts.set(stream, tail.cut);
      if (segment.bytes > 0) await makeSafe(this.disk, segment, tail);
    } else {
      await takeChunks(this.disk, segment, stream, next);
      if (segment.bytes > 0) await segment.finish();
    }
  }

  listen(listener: StreamListener): void {
    this.#listener = listener;
  }

  newSegment(stream: number, firstOffset: number): StreamSegment {
    const { disk, directory, sizes } = this;
    return new StreamSegment(disk, directory, stream, firstOffset, sizes.blockBytes);
  }

  /** The highest segment of the message log that a place in what was found names. */
  get lastLogSegment(): number {
    let last = 0;
    for (const segments of this.#found.values()) {
      last = Math.max(last, segments.at(-1)?.place.segment ?? 0);
    }
    return last;
  }

  /** The log of a stream, with what was found of it. */
  log(stream: number): StreamLog {
    const segments = this.#found.get(stream) ?? [];
    this.#found.delete(stream);
    return new StreamLog({ store: this, number: stream, segments, cut: this.#cuts.get(stream) });
  }

  /** Memory for a chunk of so many bytes. */
  takeChunk(bytes: number): Buffer {
    const slab = this.#chunkPool.take(this.#chunkSlabBytes(bytes));
    this.#listener.onMemory(slab.length);
    return slab;
  }

  giveChunk(slab: Buffer): void {
    this.#listener.onMemory(-slab.length);
    this.#chunkPool.give(slab);
  }

  #chunkSlabBytes(bytes: number): number {
    if (bytes <= smallestSlabBytes) return smallestSlabBytes;
    if (bytes <= middleSlabBytes) return middleSlabBytes;
    return Math.max(bytes, this.sizes.chunkBytes);
  }

  /** The slab for a block of so many bytes. */
  readSlabBytes(bytes: number): number {
    return Math.max(bytes, this.sizes.blockBytes + this.sizes.chunkBytes);
  }

  noteFileBytes(change: number): void {
    this.fileBytes += change;
    this.#listener.onFiles(change);
  }

  noteDamage(description: string): void {
    this.#listener.onDamage(description);
  }
}
