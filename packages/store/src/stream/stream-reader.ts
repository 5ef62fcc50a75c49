/**
 * A place in a stream, from which records are read one after the other: from the chunks in memory
 * at the end of the stream, and from blocks of its files before that, of which the next one is read
 * ahead.
 *
 *     while (reader.find()) { ...the record at `word` of `words`...; reader.step(); }
 *     if (reader.offset < log.endOffset) await reader.load();    and go on
 *
 * Whoever reads a block has its memory, and may lose it while it rests. A chunk that turns out
 * damaged is passed over and reported. This is a hot file.
 */

import type { DiskFile } from "../disk/disk.ts";
import type { RestingReader } from "./read-memory.ts";
import {
  chunkBytes,
  chunkCount,
  chunkFirstOffset,
  chunkHeadBytes,
  chunkTimestampMs,
  emptyChunk,
  isChunkData,
  isChunkHead,
  recordAgeWord,
  type StreamChunk,
  wordsOf,
} from "./stream-chunk.ts";
import type { StreamLog } from "./stream-log.ts";
import type { StreamSegment } from "./stream-segment.ts";

const noBytes = Buffer.alloc(0);
const noWords = new Int32Array(0);

/** A run of whole chunks in memory. */
interface Block {
  readonly segment: StreamSegment;
  readonly slab: Buffer;
  readonly words: Int32Array;
  /** Where it lies in the file. */
  readonly from: number;
  readonly to: number;
  /** How much of it is whole. */
  readonly bytes: number;
}

export class StreamReader implements RestingReader {
  readonly #log: StreamLog;
  /** Of the next record. */
  offset: number;
  bytes: Buffer = noBytes;
  words: Int32Array = noWords;
  /** Where the next record begins, after `find` has found it. */
  word = 0;
  #timestampMs = 0;
  /** The offset behind the chunk that the next record is in. */
  #runEnd = -1;
  #chunk: StreamChunk | null = null;
  #block: Block | null = null;
  /** The byte of the block where its next chunk begins. */
  #nextChunk = 0;
  /** The segment that is kept open for what comes next. */
  #held: StreamSegment | undefined;
  #ahead: Promise<Block | undefined> | undefined;
  #isEnded = false;

  constructor(log: StreamLog, offset: number) {
    this.#log = log;
    this.offset = offset;
  }

  /** Whether the record at `offset` is in memory; `word` is where it begins then. */
  find(): boolean {
    const chunk = this.#chunk;
    if (chunk !== null) {
      if (this.offset < chunk.endOffset) {
        // It may have moved since.
        this.bytes = chunk.bytes;
        this.words = chunk.words;
        return true;
      }
      this.#leaveChunk();
    } else if (this.offset < this.#runEnd) {
      return true;
    }
    if (this.#block !== null && this.#enterNextChunk()) return true;
    return this.offset >= this.#log.memoryOffset && this.#enterMemory();
  }

  step(): void {
    this.word += (this.words[this.word]! + 3) >>> 2;
    this.offset++;
  }

  /** When the record that was found came. */
  get timestampMs(): number {
    return this.#timestampMs + this.words[this.word + recordAgeWord]!;
  }

  #enterMemory(): boolean {
    this.#giveUpBlocks();
    this.#letGoOfSegment();
    const chunk = this.#log.chunkOf(this.offset);
    if (chunk === undefined) return false;
    this.#chunk = chunk;
    this.#log.readers.add(this);
    this.bytes = chunk.bytes;
    this.words = chunk.words;
    this.#timestampMs = chunk.timestampMs;
    this.#seek(chunk.firstOffset, 0);
    return true;
  }

  /** The chunk leaves memory: this reader finds its record in a file, if it has not passed it. */
  letGoOf(chunk: StreamChunk): void {
    if (this.#chunk === chunk) this.#leaveChunk();
  }

  #leaveChunk(): void {
    this.#chunk = null;
    this.#runEnd = -1;
    this.bytes = noBytes;
    this.words = noWords;
    this.#log.readers.delete(this);
  }

  /** Goes to the first chunk of the rest of the block that has this offset or a later one. */
  #enterNextChunk(): boolean {
    const block = this.#block!;
    const { words } = block;
    while (this.#nextChunk < block.bytes) {
      const word = this.#nextChunk >>> 2;
      this.#nextChunk += chunkBytes(words, word);
      const firstOffset = chunkFirstOffset(words, word);
      const runEnd = firstOffset + chunkCount(words, word);
      if (runEnd <= this.offset) continue;
      this.#runEnd = runEnd;
      this.#timestampMs = chunkTimestampMs(words, word);
      this.bytes = block.slab;
      this.words = words;
      // What was damaged is passed over.
      if (firstOffset > this.offset) this.offset = firstOffset;
      this.#seek(firstOffset, word);
      return true;
    }
    return false;
  }

  /** Goes to this reader's record, in a chunk that begins with that offset at that word. */
  #seek(firstOffset: number, chunkWord: number): void {
    let word = chunkWord + (chunkHeadBytes >>> 2);
    for (let i = firstOffset; i < this.offset; i++) word += (this.words[word]! + 3) >>> 2;
    this.word = word;
  }

  // Loading

  /** Brings what stands at `offset` into memory; for records that are not there any more, later. */
  async load(): Promise<void> {
    const reading = this.#ahead ?? this.#read(this.#position());
    this.#ahead = undefined;
    this.#dropBlock();
    const block = await reading;
    if (this.#isEnded) {
      this.#give(block);
      return;
    }
    if (block === undefined) {
      this.#skipMissing();
      return;
    }
    this.#block = block;
    this.#nextChunk = 0;
    const first = block.bytes > 0 ? chunkFirstOffset(block.words, 0) : block.segment.endOffset;
    if (first > this.offset) this.offset = first;
    this.#readAhead(block);
  }

  /** Where reading goes on. */
  #position(): { readonly segment: StreamSegment; readonly from: number } | undefined {
    const block = this.#block;
    const { segments } = this.#log;
    if (block !== null && block.to < block.segment.bytes) {
      return { segment: block.segment, from: block.to };
    }
    const segment = this.#log.segmentOf(this.offset);
    if (segment === undefined || !segments.includes(segment)) return undefined;
    return { segment, from: -1 };
  }

  /** Nothing has the offset any more. */
  #skipMissing(): void {
    const first = this.#log.segmentOf(this.offset)?.firstOffset ?? this.#log.memoryOffset;
    if (this.offset < first) this.offset = first;
  }

  #readAhead(block: Block): void {
    if (block.to >= block.segment.bytes || !this.#log.store.readMemory.hasRoom) return;
    this.#ahead = this.#read({ segment: block.segment, from: block.to });
    this.#ahead.catch(() => undefined);
  }

  async #read(
    position: { readonly segment: StreamSegment; readonly from: number } | undefined,
  ): Promise<Block | undefined> {
    if (position === undefined) return undefined;
    const { segment } = position;
    if (segment.removal !== undefined) {
      // Either it is gone then, or it is not.
      await segment.removal.catch(() => undefined);
      if (!this.#log.segments.includes(segment)) return undefined;
    }
    const { readMemory } = this.#log.store;
    await readMemory.begin();
    try {
      return await this.#readFrom(segment, position.from);
    } finally {
      readMemory.end();
    }
  }

  async #readFrom(segment: StreamSegment, position: number): Promise<Block> {
    const { file, index } = await segment.acquire();
    try {
      this.#hold(segment);
      const block = position < 0 ? index.blockOf(this.offset) : index.blockAt(position);
      const from = position < 0 ? index.positionAt(block) : position;
      const to = block + 1 < index.count ? index.positionAt(block + 1) : segment.bytes;
      return await this.#readBlock(segment, file, from, to);
    } finally {
      segment.release();
    }
  }

  async #readBlock(
    segment: StreamSegment,
    file: DiskFile,
    from: number,
    to: number,
  ): Promise<Block> {
    const { store } = this.#log;
    const slab = store.readMemory.take(store.readSlabBytes(to - from));
    try {
      const length = await file.read(slab, 0, to - from, from);
      const words = wordsOf(slab);
      const bytes = this.#check(words, length, segment, from);
      return { segment, slab, words, from, to, bytes };
    } catch (error) {
      store.readMemory.give(slab);
      throw error;
    }
  }

  /** Keeps the segment open while this reader is in it. It is open already. */
  #hold(segment: StreamSegment): void {
    if (this.#held === segment || this.#isEnded) return;
    this.#letGoOfSegment();
    this.#held = segment;
    segment.retain();
  }

  /** Returns how much of the block is whole, and empties chunks within that are not. */
  #check(words: Int32Array, length: number, segment: StreamSegment, from: number): number {
    const { number, store } = this.#log;
    let at = 0;
    while (at < length) {
      const word = at >>> 2;
      const isWhole = isChunkHead(words, word, number) && at + chunkBytes(words, word) <= length;
      if (!isWhole) {
        store.noteDamage(`${segment.chunksPath} from byte ${from + at}`);
        return at;
      }
      if (!isChunkData(words, word)) {
        store.noteDamage(`${segment.chunksPath}, the chunk at byte ${from + at}`);
        emptyChunk(words, word);
      }
      at += chunkBytes(words, word);
    }
    return at;
  }

  // Memory

  /** Nobody wants the next record for a while: its memory may be taken for others. */
  rest(): void {
    if (this.#block !== null) this.#log.store.readMemory.noteResting(this);
  }

  /** To be called after a rest, before anything else. */
  goOn(): void {
    if (this.#block !== null) this.#log.store.readMemory.noteActive(this);
  }

  /** What was read is found in the file again. */
  giveUpMemory(): void {
    this.#giveUpBlocks();
    this.#letGoOfSegment();
  }

  #giveUpBlocks(): void {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    ahead?.then((block) => this.#give(block)).catch(() => undefined);
    this.#dropBlock();
  }

  close(): void {
    this.#log.store.readMemory.noteActive(this);
    this.#giveUpBlocks();
    if (this.#chunk !== null) this.#leaveChunk();
    this.#isEnded = true;
    this.#letGoOfSegment();
  }

  #dropBlock(): void {
    const block = this.#block;
    if (block === null) return;
    this.#block = null;
    this.#runEnd = -1;
    this.bytes = noBytes;
    this.words = noWords;
    this.#give(block);
  }

  #give(block: Block | undefined): void {
    if (block !== undefined) this.#log.store.readMemory.give(block.slab);
  }

  #letGoOfSegment(): void {
    this.#held?.release();
    this.#held = undefined;
  }
}
