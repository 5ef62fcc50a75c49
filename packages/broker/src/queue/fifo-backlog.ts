/**
 * First in, first out; what returns goes where it stood.
 *
 *     returned (heap by sequence)      ready (ring of handles, oldest first)
 *     [ 17, 18, 23 ]                   [ 40, 41, 42, ... tail - 1 ]
 *
 * Deliveries leave from the front, so whatever was delivered and comes back stands before all of
 * `ready`: the lowest sequence is always the top of `returned`, or else the front of `ready`.
 * Sequences of `ready` need no memory: they are consecutive and end at `tail`.
 *
 * A message that leaves from the middle, because it has expired, stays in its place as a number in
 * `removed` until its turn would have come.
 *
 * This is a hot file.
 */

import { type ByteCount, FloatRing, MinHeap } from "@haremq/kernel";
import type { Backlog } from "./backlog.ts";
import { type MessageFact, MessageFacts, unknownFact } from "./message-facts.ts";

export class FifoBacklog implements Backlog {
  readonly #memory: ByteCount | undefined;
  readonly #ready: FloatRing;
  readonly #returned: MinHeap;
  /** The sequence number of the next message to arrive. */
  #tail: number;
  #facts: MessageFacts | null = null;
  #bodyBytes = 0;
  #removed: Set<number> | null = null;

  /** What it takes is counted in `memory`. */
  constructor(memory?: ByteCount, firstSequence = 0) {
    this.#memory = memory;
    this.#ready = new FloatRing(memory);
    this.#returned = new MinHeap(memory);
    this.#tail = firstSequence;
  }

  get length(): number {
    const length = this.#ready.length + this.#returned.length;
    return this.#removed === null ? length : length - this.#removed.size;
  }

  get bodyBytes(): number {
    return this.#bodyBytes;
  }

  get keepsFacts(): boolean {
    return this.#facts !== null;
  }

  get firstHandle(): number {
    return this.#returned.length > 0 ? this.#returned.peekValue() : this.#ready.peek();
  }

  get firstSequence(): number {
    if (this.#returned.length > 0) return this.#returned.peekKey();
    return this.#tail - this.#ready.length;
  }

  get firstWasReturned(): boolean {
    return this.#returned.length > 0;
  }

  push(handle: number, _terms: number, fact: MessageFact = unknownFact): number {
    if (this.#facts !== null) {
      this.#facts.append(fact);
      this.#addBytes(fact.bodyBytes);
    }
    this.#ready.push(handle);
    return this.#tail++;
  }

  pass(_terms: number, fact: MessageFact = unknownFact): number {
    if (this.#facts !== null) this.#facts.note(this.#tail, fact);
    return this.#tail++;
  }

  takeFirst(): number {
    let sequence: number;
    if (this.#returned.length > 0) {
      sequence = this.#returned.peekKey();
      this.#returned.pop();
    } else {
      sequence = this.#tail - this.#ready.length;
      this.#ready.shift();
      this.#facts?.loosenFirst();
    }
    if (this.#facts !== null) this.#addBytes(-this.#facts.bodyBytes(sequence));
    if (this.#removed !== null) this.#skipRemoved();
    return sequence;
  }

  putBack(sequence: number, handle: number): void {
    this.#returned.push(sequence, handle, 0);
    if (this.#facts !== null) this.#addBytes(this.#facts.bodyBytes(sequence));
  }

  settled(sequence: number): void {
    this.#facts?.forget(sequence);
  }

  handleAhead(count: number): number {
    const ready = this.#ready;
    if (ready.length === 0) return this.firstHandle;
    const row = Math.min(count, ready.length - 1);
    // What has been removed is not there any more.
    const isThere = this.#removed?.has(this.#tail - ready.length + row) !== true;
    return isThere ? ready.at(row) : this.firstHandle;
  }

  forEach(visit: (sequence: number, handle: number) => void): void {
    const removed = this.#removed;
    this.#returned.forEach((sequence, handle) => {
      if (removed?.has(sequence) !== true) visit(sequence, handle);
    });
    const first = this.#tail - this.#ready.length;
    for (let i = 0; i < this.#ready.length; i++) {
      if (removed?.has(first + i) !== true) visit(first + i, this.#ready.at(i));
    }
  }

  keepFacts(): void {
    if (this.#facts !== null) return;
    this.#facts = new MessageFacts(this.#tail - this.#ready.length, this.#memory);
    for (let i = 0; i < this.#ready.length; i++) this.#facts.append(unknownFact);
  }

  fact(sequence: number): MessageFact {
    const facts = this.#facts!;
    return {
      expiresAtMs: facts.expiresAtMs(sequence),
      bodyBytes: facts.bodyBytes(sequence),
      arrivedAtMs: facts.arrivedAtMs(sequence),
    };
  }

  isReady(sequence: number): boolean {
    return this.#handleOf(sequence) !== undefined && this.#removed?.has(sequence) !== true;
  }

  setBodyBytes(sequence: number, bodyBytes: number): void {
    this.#facts!.setBodyBytes(sequence, bodyBytes);
    this.#addBytes(bodyBytes);
  }

  nextExpiryMs(): number {
    if (this.#facts === null || this.length === 0) return Number.POSITIVE_INFINITY;
    return this.#facts.expiresAtMs(this.firstSequence);
  }

  remove(sequence: number): number | undefined {
    const handle = this.#handleOf(sequence);
    if (handle === undefined || !this.isReady(sequence)) return undefined;
    if (this.#facts !== null) this.#addBytes(-this.#facts.bodyBytes(sequence));
    this.#removed ??= new Set();
    this.#removed.add(sequence);
    this.#skipRemoved();
    return handle;
  }

  refreshFirst(): void {}

  #handleOf(sequence: number): number | undefined {
    const row = sequence - (this.#tail - this.#ready.length);
    if (row >= 0) return row < this.#ready.length ? this.#ready.at(row) : undefined;
    return this.#returned.valueAt(sequence);
  }

  /** What has been removed must not stand in front. */
  #skipRemoved(): void {
    const removed = this.#removed!;
    while (removed.size > 0) {
      const sequence = this.firstSequence;
      if (!removed.delete(sequence)) return;
      if (this.#returned.length > 0) {
        this.#returned.pop();
      } else {
        this.#ready.shift();
        this.#facts?.loosenFirst();
      }
      this.#facts?.forget(sequence);
    }
    this.#removed = null;
  }

  #addBytes(bodyBytes: number): void {
    // What is not known yet counts once it is.
    if (!Number.isNaN(bodyBytes)) this.#bodyBytes += bodyBytes;
  }
}
