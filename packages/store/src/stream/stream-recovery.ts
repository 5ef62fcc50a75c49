/**
 * Finds out, when a stream opens, what is in its files. Of a full segment the head of its index is
 * read. Where there is none, and in the last segment, the heads of the chunks are followed from one
 * to the next; of the last segment, what was written after the last sync that is known of is
 * checked to the last byte. The file ends where the first chunk is not whole.
 */

import { type Disk, DiskError, type DiskFile } from "../disk/disk.ts";
import {
  chunkBytes,
  chunkCount,
  chunkFirstOffset,
  chunkHeadBytes,
  chunkPlace,
  chunkSyncedTo,
  chunkTimestampMs,
  isChunkData,
  isChunkHead,
  recordAgeWord,
  wordsOf,
} from "./stream-chunk.ts";
import { indexHeadBytes, readSummary, type SegmentSummary } from "./stream-index.ts";
import type { StreamSegment } from "./stream-segment.ts";

const windowBytes = 256 * 1024;

/** The head of the segment's index, if it is whole and says that the segment ends where it must. */
export async function findSummary(
  disk: Disk,
  segment: StreamSegment,
  nextOffset: number,
): Promise<SegmentSummary | undefined> {
  let file: DiskFile;
  try {
    file = await disk.open(segment.indexPath, "read");
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const head = Buffer.alloc(indexHeadBytes);
    await file.read(head, 0, head.length, 0);
    const summary = readSummary(head);
    return summary?.endOffset === nextOffset ? summary : undefined;
  } finally {
    await file.close();
  }
}

export interface ScannedSegment {
  readonly fileBytes: number;
  /** What lies behind may never have reached the disk. */
  readonly syncedTo: number;
}

interface FoundChunk {
  readonly position: number;
  readonly firstOffset: number;
  readonly endOffset: number;
  readonly timestampMs: number;
  readonly lastTimestampMs: number;
  readonly place: { readonly segment: number; readonly unit: number };
  readonly tail: number;
  readonly syncedTo: number;
}

/**
 * Makes the segment's index from its chunks, up to `nextOffset`, where the next segment begins.
 * `isLast` checks what may not have been synced.
 */
export async function scanSegment(
  disk: Disk,
  segment: StreamSegment,
  stream: number,
  nextOffset: number,
  isLast: boolean,
): Promise<ScannedSegment> {
  const file = await disk.open(segment.chunksPath, "read");
  try {
    const chunks: FoundChunk[] = [];
    const window = new FileWindow(file);
    let position = 0;
    let offset = segment.firstOffset;
    for (;;) {
      const chunk = await readChunkHead(window, position, stream);
      if (chunk === undefined || chunk.firstOffset !== offset) break;
      if (chunk.endOffset > nextOffset || chunk.tail > window.fileBytes - position) break;
      chunks.push(chunk);
      position += chunk.tail;
      offset = chunk.endOffset;
    }
    const whole = isLast ? await countWhole(window, chunks) : chunks.length;
    for (const chunk of chunks.slice(0, whole)) segment.addChunk(chunk);
    return { fileBytes: window.fileBytes, syncedTo: chunks[whole - 1]?.syncedTo ?? 0 };
  } finally {
    await file.close();
  }
}

/**
 * Cuts the file where its whole chunks end, and makes those safe that were not known to be. After a
 * sync that failed a file may show what is not on the disk, so these are written once more.
 */
export async function makeSafe(
  disk: Disk,
  segment: StreamSegment,
  { fileBytes, syncedTo }: ScannedSegment,
): Promise<void> {
  const file = await disk.open(segment.chunksPath, "write");
  try {
    if (fileBytes > segment.bytes) await file.truncate(segment.bytes);
    const bytes = Buffer.allocUnsafeSlow(segment.bytes - syncedTo);
    const length = await file.read(bytes, 0, bytes.length, syncedTo);
    await file.write(bytes, 0, length, syncedTo);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readChunkHead(
  window: FileWindow,
  position: number,
  stream: number,
): Promise<FoundChunk | undefined> {
  const word = await window.find(position, chunkHeadBytes);
  if (word < 0 || !isChunkHead(window.words, word, stream)) return undefined;
  const { words } = window;
  const firstOffset = chunkFirstOffset(words, word);
  const timestampMs = chunkTimestampMs(words, word);
  return {
    position,
    firstOffset,
    endOffset: firstOffset + chunkCount(words, word),
    timestampMs,
    lastTimestampMs: timestampMs,
    place: chunkPlace(words, word),
    tail: chunkBytes(words, word),
    syncedTo: chunkSyncedTo(words, word),
  };
}

/** How many of the chunks are whole, given that all that was synced is. */
async function countWhole(window: FileWindow, chunks: FoundChunk[]): Promise<number> {
  const syncedTo = chunks.at(-1)?.syncedTo ?? 0;
  for (let i = chunks.findLastIndex(({ position }) => position < syncedTo) + 1; ; i++) {
    const chunk = chunks[i];
    if (chunk === undefined) return chunks.length;
    const word = await window.find(chunk.position, chunk.tail);
    if (word < 0 || !isChunkData(window.words, word)) return i;
    const lastTimestampMs = chunk.timestampMs + lastAge(window.words, word, chunk);
    chunks[i] = { ...chunk, lastTimestampMs };
  }
}

function lastAge(words: Int32Array, word: number, chunk: FoundChunk): number {
  let at = word + (chunkHeadBytes >>> 2);
  let age = 0;
  for (let offset = chunk.firstOffset; offset < chunk.endOffset; offset++) {
    age = words[at + recordAgeWord]!;
    at += (words[at]! + 3) >>> 2;
  }
  return age;
}

/** Part of a file in memory, which moves along with what is looked for. */
class FileWindow {
  readonly #file: DiskFile;
  #bytes = Buffer.allocUnsafeSlow(windowBytes);
  words = wordsOf(this.#bytes);
  #from = 0;
  #to = 0;
  fileBytes = 0;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /** The word of `words` that stands at this position with so many bytes behind it; or -1. */
  async find(position: number, length: number): Promise<number> {
    if (position < this.#from || position + length > this.#to) {
      if (length > this.#bytes.length) {
        this.#bytes = Buffer.allocUnsafeSlow(length);
        this.words = wordsOf(this.#bytes);
      }
      this.fileBytes = await this.#file.size();
      this.#from = position;
      this.#to = position + (await this.#file.read(this.#bytes, 0, this.#bytes.length, position));
    }
    return position + length > this.#to ? -1 : (position - this.#from) >>> 2;
  }
}
