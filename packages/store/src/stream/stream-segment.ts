/**
 * One segment of a stream: a file of chunks, its place in the stream, and the index of its blocks.
 * The stream's log owns it; readers hold it open while they read.
 *
 *     NUMBER-FIRSTOFFSET.chunks     the chunks, one after the other
 *     NUMBER-FIRSTOFFSET.blocks     their index, once the segment is full
 */

import { join } from "node:path";
import { type Disk, DiskError, type DiskFile } from "../disk/disk.ts";
import { createAnew, readWhole, writeSafely } from "../log/log-directory.ts";
import { beforeAllPlaces, type LogPlace } from "./stream-chunk.ts";
import { type ChunkFacts, type SegmentSummary, StreamIndex } from "./stream-index.ts";
import { scanChunks } from "./stream-scan.ts";

const numberDigits = 10;
const offsetDigits = 16;
const namePattern = /^(\d{10})-(\d{16})\.(chunks|blocks)$/;

/** A segment's file, as its name tells. */
export interface SegmentFileName {
  readonly stream: number;
  readonly firstOffset: number;
  readonly kind: "chunks" | "blocks";
}

export function parseSegmentFileName(name: string): SegmentFileName | undefined {
  const match = namePattern.exec(name);
  if (match === null) return undefined;
  const kind = match[3] as "chunks" | "blocks";
  return { stream: Number(match[1]), firstOffset: Number(match[2]), kind };
}

/** The names of a segment's files, but for what kind they are. */
export function segmentFileStem(stream: number, firstOffset: number): string {
  const number = String(stream).padStart(numberDigits, "0");
  return `${number}-${String(firstOffset).padStart(offsetDigits, "0")}`;
}

export class StreamSegment {
  readonly firstOffset: number;
  readonly #disk: Disk;
  readonly #stream: number;
  readonly #path: string;
  readonly #blockBytes: number;
  endOffset: number;
  /** So much of the file is whole and safe. */
  bytes = 0;
  firstTimestampMs = 0;
  lastTimestampMs = 0;
  place: LogPlace = beforeAllPlaces;
  /** In memory while the segment is being filled or read. */
  index: StreamIndex | undefined;
  isFull = false;
  /** While it is being removed, which may fail. */
  removal: Promise<void> | undefined;
  #isIndexed = false;
  #readers = 0;
  #opening: Promise<DiskFile> | undefined;

  constructor(
    disk: Disk,
    directory: string,
    stream: number,
    firstOffset: number,
    blockBytes: number,
  ) {
    this.#disk = disk;
    this.#stream = stream;
    this.firstOffset = firstOffset;
    this.endOffset = firstOffset;
    this.#blockBytes = blockBytes;
    this.#path = join(directory, segmentFileStem(stream, firstOffset));
  }

  get chunksPath(): string {
    return `${this.#path}.chunks`;
  }

  get indexPath(): string {
    return `${this.#path}.blocks`;
  }

  /** A chunk has been found or made safe at the end of the file. */
  addChunk(chunk: ChunkFacts): void {
    this.index ??= new StreamIndex();
    this.index.addChunk(chunk, this.bytes, this.#blockBytes);
    if (this.bytes === 0) this.firstTimestampMs = chunk.timestampMs;
    this.lastTimestampMs = chunk.lastTimestampMs;
    this.endOffset = chunk.endOffset;
    this.place = chunk.place;
    this.bytes += chunk.bytes;
  }

  /** Takes over what the head of the index says. */
  restore(summary: SegmentSummary): void {
    this.bytes = summary.bytes;
    this.endOffset = summary.endOffset;
    this.firstTimestampMs = summary.firstTimestampMs;
    this.lastTimestampMs = summary.lastTimestampMs;
    this.place = summary.place;
  }

  /**
   * Nothing more is appended. If the index cannot be written it stays in memory, and the next start
   * makes it again.
   */
  async finish(): Promise<void> {
    this.isFull = true;
    try {
      const file = await createAnew(this.#disk, this.indexPath);
      await writeSafely(file, this.index!.encode(this));
      this.noteIndexed();
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
    }
  }

  /** The index is in its file. */
  noteIndexed(): void {
    this.isFull = true;
    this.#isIndexed = true;
    if (this.#readers === 0) this.index = undefined;
  }

  // Reading

  /** Keeps the file open, and the index in memory, until `release`. */
  async acquire(): Promise<{ readonly file: DiskFile; readonly index: StreamIndex }> {
    this.#readers++;
    try {
      const file = await this.#open();
      this.index ??= (await this.#readIndex()) ?? (await this.#makeIndex(file));
      return { file, index: this.index };
    } catch (error) {
      this.release();
      throw error;
    }
  }

  async #readIndex(): Promise<StreamIndex | undefined> {
    try {
      return StreamIndex.decode(await readWhole(this.#disk, this.indexPath));
    } catch (error) {
      if (error instanceof DiskError && error.code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** The index file is damaged, or was never whole. */
  async #makeIndex(file: DiskFile): Promise<StreamIndex> {
    const index = new StreamIndex();
    const { firstOffset, endOffset } = this;
    const scan = await scanChunks(file, this.#stream, firstOffset, endOffset);
    let position = 0;
    for (const chunk of scan.chunks) {
      index.addChunk(chunk, position, this.#blockBytes);
      position += chunk.bytes;
    }
    return index;
  }

  #open(): Promise<DiskFile> {
    if (this.#opening === undefined) {
      const opening = this.#disk.open(this.chunksPath, "read");
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  /** Keeps open what is open. */
  retain(): void {
    this.#readers++;
  }

  release(): void {
    this.#readers--;
    if (this.#readers > 0) return;
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.then((file) => file.close()).catch(() => undefined);
    if (this.#isIndexed) this.index = undefined;
  }

  /** Removes the files; whoever has them open can go on reading. */
  async remove(): Promise<void> {
    // Without its index it is still whole, if that is how far it gets.
    await this.#disk.remove(this.indexPath);
    await this.#disk.remove(this.chunksPath);
  }
}
