/**
 * A growable first-in first-out queue of float64 numbers: a queue's message positions.
 *
 * HOT: one `push` and one `shift` per message. Eight bytes a number, no object, no boxing; an
 * unused ring costs no array at all, because a broker may hold 50,000 idle queues.
 *
 *   ┌───┬───┬───┬───┬───┬───┬───┬───┐    capacity is a power of two (or 0 before the first push)
 *   │ 9 │   │   │   │ 5 │ 6 │ 7 │ 8 │    indexes run freely and are masked on access
 *   └───┴───┴───┴───┴───┴───┴───┴───┘
 *         ▲ tail      ▲ head
 *
 * That is all of a short one. In a long one it is the front, which does not grow any more; what
 * comes behind it is packed, chunk by chunk, until its turn comes. Nothing is copied as it grows,
 * and what it costs is about what packed numbers cost. The front is no ring then, but begins at its
 * first place, and its mask is -1: so it never has room for a push.
 *
 *   ┌────────────────┐  ┌────────┐ ┌────────┐ ┌────────┐  ┌────────────────┐
 *   │ front: a ring  │  │ packed │ │ packed │ │ packed │  │ back: an array │ <- push
 *   └────────────────┘  └────────┘ └────────┘ └────────┘  └────────────────┘
 *
 * Reading what is not there gives NaN. A ring that runs empty after it had grown large gives its
 * memory back. Memory beyond what an empty ring may keep is counted in `memory`, so a ring that is
 * dropped has to be empty.
 */

import type { ByteCount } from "./byte-count.ts";
import { PackedNumbers } from "./packed-numbers.ts";

const EMPTY = new Float64Array(0);
const FIRST_CAPACITY = 8;
/** What an empty ring may keep: 8 KiB. Growing beyond it again costs each push a constant. */
const KEPT_CAPACITY = 1024;
/** The front, the back, and each chunk between them have room for so many numbers: 64 KiB. */
export const CHUNK_LENGTH = 8192;

export class FloatRing {
  #values: Float64Array = EMPTY;
  #mask = -1;
  #head = 0;
  /** Numbers in the front. There are none behind it while it is empty. */
  #frontLength = 0;
  /** Numbers behind the front. */
  #behindLength = 0;
  /** The middle, each with CHUNK_LENGTH numbers. */
  #packed: (PackedNumbers | Float64Array)[] = [];
  #back: Float64Array = EMPTY;
  #backLength = 0;
  /** Where the middle chunk is that numbers are being replaced in, which is not packed; or -1. */
  #unpackedAt = -1;
  readonly #memory: ByteCount | undefined;
  /** What is counted there. */
  #countedBytes = 0;

  constructor(memory?: ByteCount) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#frontLength + this.#behindLength;
  }

  /** Memory that the numbers take. */
  get bytes(): number {
    const packed = this.#packed.reduce((sum, chunk) => sum + bytesOf(chunk), 0);
    return this.#values.byteLength + packed + this.#back.byteLength;
  }

  push(value: number): void {
    const length = this.#frontLength;
    if (length > this.#mask) {
      this.#pushBeyond(value);
      return;
    }
    this.#values[(this.#head + length) & this.#mask] = value;
    this.#frontLength = length + 1;
  }

  /** Takes the oldest number out. */
  shift(): number {
    if (this.#frontLength === 0) return Number.NaN;
    const value = this.#values[this.#head] as number;
    this.#head = (this.#head + 1) & this.#mask;
    if (--this.#frontLength === 0 && this.#values.length > KEPT_CAPACITY) this.#refill();
    return value;
  }

  /** The oldest number, which stays. */
  peek(): number {
    return this.#frontLength === 0 ? Number.NaN : (this.#values[this.#head] as number);
  }

  /** The number that `index` shifts from now would be the oldest. */
  at(index: number): number {
    if (!(index >= 0 && index < this.length)) return Number.NaN;
    if (index < this.#frontLength) return this.#values[(this.#head + index) & this.#mask] as number;
    const behind = index - this.#frontLength;
    const chunk = this.#packed[Math.floor(behind / CHUNK_LENGTH)] ?? this.#back;
    const inChunk = behind % CHUNK_LENGTH;
    return chunk instanceof PackedNumbers ? chunk.at(inChunk) : (chunk[inChunk] as number);
  }

  /**
   * Replaces the number that `at(index)` gives. Costs little if the next one is replaced close by.
   */
  set(index: number, value: number): void {
    if (!(index >= 0 && index < this.length)) throw new RangeError(`no number at ${index}`);
    if (index < this.#frontLength) {
      this.#values[(this.#head + index) & this.#mask] = value;
      return;
    }
    const behind = index - this.#frontLength;
    const at = Math.floor(behind / CHUNK_LENGTH);
    const chunk = at < this.#packed.length ? this.#unpack(at) : this.#back;
    chunk[behind % CHUNK_LENGTH] = value;
  }

  clear(): void {
    this.#head = 0;
    this.#frontLength = 0;
    if (this.#values.length <= KEPT_CAPACITY) return;
    this.#values = EMPTY;
    this.#mask = -1;
    this.#behindLength = 0;
    this.#packed = [];
    this.#unpackedAt = -1;
    this.#back = EMPTY;
    this.#backLength = 0;
    this.#count(-this.#countedBytes);
  }

  /** The front is full, or there is something behind it. */
  #pushBeyond(value: number): void {
    if (this.#backLength === this.#back.length) {
      if (this.#values.length < CHUNK_LENGTH) {
        this.#moveFront(Math.max(FIRST_CAPACITY, this.#values.length * 2));
        this.push(value);
        return;
      }
      if (this.#backLength === 0) this.#takeBack();
      else this.#packBack();
    }
    if (this.#behindLength === 0) {
      if (this.#head > 0) this.#moveFront(CHUNK_LENGTH);
      this.#mask = -1;
    }
    this.#back[this.#backLength++] = value;
    this.#behindLength++;
  }

  /** Moves a full front to the beginning of a new one. */
  #moveFront(capacity: number): void {
    const old = this.#values;
    const values = new Float64Array(capacity);
    values.set(old.subarray(this.#head));
    values.set(old.subarray(0, this.#head), old.length - this.#head);
    this.#values = values;
    this.#mask = capacity - 1;
    this.#head = 0;
    this.#count(countedBytes(values) - countedBytes(old));
  }

  #takeBack(): void {
    this.#back = new Float64Array(CHUNK_LENGTH);
    this.#count(this.#back.byteLength);
  }

  #packBack(): void {
    const packed = new PackedNumbers(this.#back, CHUNK_LENGTH);
    this.#packed.push(packed);
    this.#backLength = 0;
    this.#count(packed.bytes);
  }

  /** The front, of full size, is empty: what comes next is to be the front. */
  #refill(): void {
    if (this.#behindLength === 0) {
      this.clear();
      return;
    }
    this.#head = 0;
    const chunk = this.#packed.shift();
    if (chunk === undefined) {
      const values = this.#back;
      this.#back = this.#values;
      this.#values = values;
      this.#frontLength = this.#backLength;
      this.#backLength = 0;
    } else {
      if (chunk instanceof PackedNumbers) chunk.copyTo(this.#values);
      else this.#values = chunk;
      this.#frontLength = CHUNK_LENGTH;
      this.#count(-bytesOf(chunk));
      if (this.#unpackedAt >= 0) this.#unpackedAt--;
    }
    this.#behindLength -= this.#frontLength;
    this.#mask = this.#behindLength === 0 ? CHUNK_LENGTH - 1 : -1;
  }

  /** Unpacks a chunk of the middle, and packs the one that was unpacked before. */
  #unpack(at: number): Float64Array {
    const chunk = this.#packed[at] as PackedNumbers | Float64Array;
    if (chunk instanceof Float64Array) return chunk;
    if (this.#unpackedAt >= 0) {
      const last = this.#packed[this.#unpackedAt] as Float64Array;
      this.#replaceChunk(this.#unpackedAt, new PackedNumbers(last, CHUNK_LENGTH));
    }
    const unpacked = new Float64Array(CHUNK_LENGTH);
    chunk.copyTo(unpacked);
    this.#replaceChunk(at, unpacked);
    this.#unpackedAt = at;
    return unpacked;
  }

  #replaceChunk(at: number, chunk: PackedNumbers | Float64Array): void {
    const old = this.#packed[at] as PackedNumbers | Float64Array;
    this.#packed[at] = chunk;
    this.#count(bytesOf(chunk) - bytesOf(old));
  }

  #count(bytes: number): void {
    this.#countedBytes += bytes;
    if (this.#memory !== undefined) this.#memory.bytes += bytes;
  }
}

/** What an empty ring may keep is not counted. */
function countedBytes(values: Float64Array): number {
  return values.length > KEPT_CAPACITY ? values.byteLength : 0;
}

function bytesOf(chunk: PackedNumbers | Float64Array): number {
  return chunk instanceof PackedNumbers ? chunk.bytes : chunk.byteLength;
}
