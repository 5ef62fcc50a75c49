/**
 * Reads what chunks a file has, from the heads of the chunks: from one to the next, until there is
 * one that is not whole or not the next. What may not have been synced is checked to the last byte.
 */

import type { DiskFile } from "../disk/disk.ts";
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
import type { ChunkFacts } from "./stream-index.ts";

const windowBytes = 256 * 1024;
/** What is read for one head where chunks are so large that the next one is not near. */
const headWindowBytes = 4096;

export interface FoundChunk extends ChunkFacts {
  readonly position: number;
  readonly syncedTo: number;
}

export interface ScannedChunks {
  readonly chunks: readonly FoundChunk[];
  readonly fileBytes: number;
}

/** The chunks of a file that begins with `firstOffset`, up to `endOffset` at most. */
export async function scanChunks(
  file: DiskFile,
  stream: number,
  firstOffset: number,
  endOffset: number,
): Promise<ScannedChunks> {
  return await new ChunkScan(file, stream).run(firstOffset, endOffset);
}

export interface ScannedTail extends ScannedChunks {
  /** Chunks behind those, whose heads are whole and whose records are not, or may not be. */
  readonly torn: readonly FoundChunk[];
}

/** The same; what was written behind the last sync that is known of must be whole. */
export async function scanUnsafeChunks(
  file: DiskFile,
  stream: number,
  firstOffset: number,
): Promise<ScannedTail> {
  const scan = new ChunkScan(file, stream);
  const { chunks, fileBytes } = await scan.run(firstOffset, Number.POSITIVE_INFINITY);
  const whole = await scan.wholeOf(chunks);
  return { chunks: whole, torn: chunks.slice(whole.length), fileBytes };
}

/** Those of the chunks whose records are not what was written. */
export async function verifyChunks(
  file: DiskFile,
  chunks: readonly FoundChunk[],
): Promise<FoundChunk[]> {
  const window = new FileWindow(file);
  const damaged: FoundChunk[] = [];
  for (const chunk of chunks) {
    const word = await window.find(chunk.position, chunk.bytes);
    if (word < 0 || !isChunkData(window.words, word)) damaged.push(chunk);
  }
  return damaged;
}

class ChunkScan {
  readonly #window: FileWindow;
  readonly #stream: number;
  /** Of the chunk whose head was read last. */
  #lastBytes = 0;

  constructor(file: DiskFile, stream: number) {
    this.#window = new FileWindow(file);
    this.#stream = stream;
  }

  async run(firstOffset: number, endOffset: number): Promise<ScannedChunks> {
    const chunks: FoundChunk[] = [];
    let position = 0;
    let offset = firstOffset;
    for (;;) {
      const chunk = await this.#readHead(position);
      const { fileBytes } = this.#window;
      if (chunk === undefined || chunk.firstOffset !== offset) return { chunks, fileBytes };
      const isCut = chunk.bytes > fileBytes - position;
      if (isCut || chunk.endOffset > endOffset) return { chunks, fileBytes };
      chunks.push(chunk);
      position += chunk.bytes;
      offset = chunk.endOffset;
    }
  }

  async #readHead(position: number): Promise<FoundChunk | undefined> {
    const isNextFar = this.#lastBytes > windowBytes / 8;
    const aheadBytes = isNextFar ? headWindowBytes : windowBytes;
    const word = await this.#window.find(position, chunkHeadBytes, aheadBytes);
    const { words } = this.#window;
    if (word < 0 || !isChunkHead(words, word, this.#stream)) return undefined;
    const firstOffset = chunkFirstOffset(words, word);
    const timestampMs = chunkTimestampMs(words, word);
    this.#lastBytes = chunkBytes(words, word);
    return {
      position,
      firstOffset,
      endOffset: firstOffset + chunkCount(words, word),
      timestampMs,
      lastTimestampMs: timestampMs,
      place: chunkPlace(words, word),
      bytes: this.#lastBytes,
      syncedTo: chunkSyncedTo(words, word),
    };
  }

  /** Those before the first that is not whole, given that all that was synced is. */
  async wholeOf(chunks: readonly FoundChunk[]): Promise<FoundChunk[]> {
    const syncedTo = chunks.at(-1)?.syncedTo ?? 0;
    const whole = chunks.filter(({ position }) => position < syncedTo);
    for (const chunk of chunks.slice(whole.length)) {
      const word = await this.#window.find(chunk.position, chunk.bytes);
      const { words } = this.#window;
      if (word < 0 || !isChunkData(words, word)) break;
      const lastTimestampMs = chunk.timestampMs + lastAge(words, word, chunk);
      whole.push({ ...chunk, lastTimestampMs });
    }
    return whole;
  }
}

function lastAge(words: Int32Array, chunkWord: number, chunk: FoundChunk): number {
  let word = chunkWord + (chunkHeadBytes >>> 2);
  let age = 0;
  for (let offset = chunk.firstOffset; offset < chunk.endOffset; offset++) {
    age = words[word + recordAgeWord]!;
    word += (words[word]! + 3) >>> 2;
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
  /** Known once something has been looked for. */
  fileBytes = -1;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  /**
   * The word of `words` that stands at this position with so many bytes behind it; or -1. Reads so
   * many bytes, if it has to.
   */
  async find(position: number, length: number, aheadBytes = windowBytes): Promise<number> {
    if (position < this.#from || position + length > this.#to) {
      if (length > this.#bytes.length) {
        this.#bytes = Buffer.allocUnsafeSlow(length);
        this.words = wordsOf(this.#bytes);
      }
      // Nobody writes to it meanwhile.
      if (this.fileBytes < 0) this.fileBytes = await this.#file.size();
      this.#from = position;
      const wanted = Math.min(this.#bytes.length, Math.max(length, aheadBytes));
      this.#to = position + (await this.#file.read(this.#bytes, 0, wanted, position));
    }
    return position + length > this.#to ? -1 : (position - this.#from) >>> 2;
  }
}
