/**
 * A binary min-heap of (key, value, flags) in typed arrays: messages that were requeued and have to
 * come out again at their original place in the queue (key = original sequence number).
 *
 * The top is read with `peekKey`, `peekValue` and `peekFlags` and removed with `pop`, so that no
 * entry is ever an object. Entries of one key come out in no particular order. Reading the top of
 * an empty heap gives NaN (flags: 0). Keys must not be NaN. Memory is counted in `memory` but for
 * what an empty heap keeps, so a heap that is dropped has to be empty.
 */

import type { ByteCount } from "./byte-count.ts";

const EMPTY = new Float64Array(0);
const EMPTY_FLAGS = new Uint32Array(0);
const FIRST_CAPACITY = 8;
const ENTRY_BYTES = 20;

export class MinHeap {
  #keys: Float64Array = EMPTY;
  #values: Float64Array = EMPTY;
  #flags: Uint32Array = EMPTY_FLAGS;
  #length = 0;
  readonly #memory: ByteCount | undefined;

  constructor(memory?: ByteCount) {
    this.#memory = memory;
  }

  get length(): number {
    return this.#length;
  }

  /** How many entries fit before the heap has to grow. */
  get capacity(): number {
    return this.#keys.length;
  }

  push(key: number, value: number, flags: number): void {
    if (this.#length === this.#keys.length) {
      this.#resize(this.#length === 0 ? FIRST_CAPACITY : this.#length * 2);
    }
    const keys = this.#keys;
    let index = this.#length++;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if ((keys[parent] as number) <= key) break;
      this.#move(parent, index);
      index = parent;
    }
    this.#store(index, key, value, flags);
  }

  peekKey(): number {
    return this.#length === 0 ? Number.NaN : (this.#keys[0] as number);
  }

  peekValue(): number {
    return this.#length === 0 ? Number.NaN : (this.#values[0] as number);
  }

  peekFlags(): number {
    return this.#length === 0 ? 0 : (this.#flags[0] as number);
  }

  /** Removes the entry with the least key; false if there is none. */
  pop(): boolean {
    if (this.#length === 0) return false;
    const last = --this.#length;
    if (last > 0) this.#sink(last);
    // A quarter, not a half, so that a push right after does not grow it again.
    if (last === 0) this.clear();
    else if (last > FIRST_CAPACITY && last * 4 <= this.#keys.length) this.#resize(last * 2);
    return true;
  }

  /** Every key with its value, in no particular order. */
  forEach(visit: (key: number, value: number) => void): void {
    for (let i = 0; i < this.#length; i++) {
      visit(this.#keys[i] as number, this.#values[i] as number);
    }
  }

  /** The value of a key, found by looking at all; undefined if it is not there. */
  valueAt(key: number): number | undefined {
    for (let i = 0; i < this.#length; i++) if (this.#keys[i] === key) return this.#values[i];
    return undefined;
  }

  clear(): void {
    this.#length = 0;
    if (this.#keys.length > FIRST_CAPACITY) {
      this.#count(0);
      this.#keys = EMPTY;
      this.#values = EMPTY;
      this.#flags = EMPTY_FLAGS;
    }
  }

  /** Fills the hole at the root with the entry at `last`, which is just beyond the heap's end. */
  #sink(last: number): void {
    const keys = this.#keys;
    const key = keys[last] as number;
    const value = this.#values[last] as number;
    const flags = this.#flags[last] as number;
    let index = 0;
    for (;;) {
      let child = index * 2 + 1;
      if (child >= last) break;
      if (child + 1 < last && (keys[child + 1] as number) < (keys[child] as number)) child++;
      if ((keys[child] as number) >= key) break;
      this.#move(child, index);
      index = child;
    }
    this.#store(index, key, value, flags);
  }

  #move(from: number, to: number): void {
    this.#keys[to] = this.#keys[from] as number;
    this.#values[to] = this.#values[from] as number;
    this.#flags[to] = this.#flags[from] as number;
  }

  #store(index: number, key: number, value: number, flags: number): void {
    this.#keys[index] = key;
    this.#values[index] = value;
    this.#flags[index] = flags;
  }

  /** The capacity is about to become another. */
  #count(capacity: number): void {
    if (this.#memory === undefined) return;
    this.#memory.bytes += countedBytes(capacity) - countedBytes(this.#keys.length);
  }

  #resize(capacity: number): void {
    this.#count(capacity);
    const keys = new Float64Array(capacity);
    const values = new Float64Array(capacity);
    const flags = new Uint32Array(capacity);
    keys.set(this.#keys.subarray(0, this.#length));
    values.set(this.#values.subarray(0, this.#length));
    flags.set(this.#flags.subarray(0, this.#length));
    this.#keys = keys;
    this.#values = values;
    this.#flags = flags;
  }
}

function countedBytes(capacity: number): number {
  return capacity > FIRST_CAPACITY ? capacity * ENTRY_BYTES : 0;
}
