/**
 * The keys that an exchange has seen, up to a number and each for a time. The oldest goes first,
 * when there are too many, and when all caches together take more memory than they may: then some
 * duplicate may pass, which is what a publisher that repeats itself has to reckon with anyway.
 *
 * Keys that have expired go when somebody asks for them, and with new ones coming; nothing happens
 * while nothing comes.
 */

import { type ByteCount, DigestTable } from "@haremq/kernel";
import { unstored } from "../message/message-view.ts";

/** How many expired keys a new one takes away, so that a cache shrinks after a burst. */
const expiredPerAdd = 2;

export class DuplicateCache {
  readonly #table = new DigestTable();
  readonly #memory: ByteCount;
  readonly #memoryBytesMax: number;
  readonly #forget: (note: number) => void;
  #sizeMax: number;

  /**
   * Grows while not more than `memoryBytesMax` is counted in `memory`. `forget` is told what was
   * noted with each key that goes; not of `unstored`.
   */
  constructor(
    sizeMax: number,
    memory: ByteCount,
    memoryBytesMax: number,
    forget: (note: number) => void,
  ) {
    this.#sizeMax = sizeMax;
    this.#memory = memory;
    this.#memoryBytesMax = memoryBytesMax;
    this.#forget = forget;
  }

  get size(): number {
    return this.#table.size;
  }

  get bytes(): number {
    return this.#table.bytes;
  }

  set sizeMax(sizeMax: number) {
    this.#sizeMax = sizeMax;
    while (this.#table.size > sizeMax) this.#remove(this.#table.oldest);
  }

  /** What was noted with the key, if it has not expired; undefined for a new one. */
  find(digest: Int32Array, nowMs: number): number | undefined {
    const table = this.#table;
    const slot = table.find(digest);
    if (slot < 0) return undefined;
    if (table.first(slot) > nowMs) return table.second(slot);
    this.#remove(slot);
    return undefined;
  }

  /** Adds a key; one that is there already begins anew. */
  add(digest: Int32Array, expiresAtMs: number, note: number, nowMs: number): void {
    const table = this.#table;
    const known = table.find(digest);
    if (known >= 0) this.#remove(known);
    for (let i = 0; i < expiredPerAdd && table.size > 0; i++) {
      if (table.first(table.oldest) > nowMs) break;
      this.#remove(table.oldest);
    }
    while (table.size >= this.#sizeMax) this.#remove(table.oldest);
    if (table.size > 0 && !this.#mayGrow()) this.#remove(table.oldest);
    const before = table.bytes;
    table.add(digest, expiresAtMs, note);
    this.#memory.bytes += table.bytes - before;
  }

  clear(): void {
    while (this.#table.size > 0) this.#remove(this.#table.oldest);
  }

  #mayGrow(): boolean {
    const moreBytes = this.#table.bytesWithOneMore - this.#table.bytes;
    return moreBytes === 0 || this.#memory.bytes + moreBytes <= this.#memoryBytesMax;
  }

  #remove(slot: number): void {
    const table = this.#table;
    const note = table.second(slot);
    const before = table.bytes;
    table.remove(slot);
    this.#memory.bytes += table.bytes - before;
    if (note !== unstored) this.#forget(note);
  }
}
