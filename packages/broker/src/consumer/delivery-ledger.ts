/**
 * The deliveries of one channel that are not settled yet, by delivery tag. Tags only grow, so the
 * ledger is a ring of entries in tag order; an entry settled out of order leaves a gap, and a ring
 * that is full has its gaps squeezed out and is made as large as the rest needs. So memory is
 * bounded by what is unsettled, also when the oldest delivery is never settled.
 *
 *     head                                            tail
 *      | tag 7 | (gap) | tag 9 | tag 10 | (gap) | tag 12 |
 *
 * Clients settle mostly the oldest first, which finds its entry at the head; anything else is a
 * binary search. Adapters own a ledger per channel. This is a hot file.
 */

import type { ByteCount } from "@haremq/kernel";
import type { Consumer } from "./consumer.ts";

const initialCapacity = 16;
/** An empty ledger keeps no more than that, and so little is not counted. */
const keptCapacity = 4096;
/** Three numbers and a pointer. */
const entryBytes = 32;

/** A delivery as it is put back. */
export interface LedgerEntry {
  readonly tag: number;
  readonly consumer: Consumer;
  readonly handle: number;
  readonly sequence: number;
}

export class DeliveryLedger {
  #capacity = 0;
  #tags = new Float64Array(0);
  #handles = new Float64Array(0);
  #sequences = new Float64Array(0);
  #consumers: (Consumer | null)[] = [];
  #head = 0;
  /** Entries between head and tail, gaps included. */
  #span = 0;
  #live = 0;
  readonly #memory: ByteCount | undefined;

  /** The entry that `take` or `takeOldest` took out. */
  tag = 0;
  consumer: Consumer | null = null;
  handle = 0;
  sequence = 0;

  /** Memory of large ledgers is counted in `memory`, until they are empty again. */
  constructor(memory?: ByteCount) {
    this.#memory = memory;
  }

  /** Unsettled deliveries. */
  get size(): number {
    return this.#live;
  }

  /** How many entries fit before the ring has to be made anew. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Records a delivery; its tag is higher than all before. */
  add(tag: number, consumer: Consumer, handle: number, sequence: number): void {
    if (this.#span === this.#capacity) this.#makeRoom();
    const at = (this.#head + this.#span) & (this.#capacity - 1);
    this.#tags[at] = tag;
    this.#handles[at] = handle;
    this.#sequences[at] = sequence;
    this.#consumers[at] = consumer;
    this.#span++;
    this.#live++;
  }

  /** Puts deliveries back that were taken out, as a rolled back transaction does. */
  restore(deliveries: readonly LedgerEntry[]): void {
    const all = [...deliveries];
    while (this.takeOldest(Number.POSITIVE_INFINITY)) {
      const { tag, handle, sequence } = this;
      all.push({ tag, consumer: this.consumer!, handle, sequence });
    }
    all.sort((a, b) => a.tag - b.tag);
    for (const { tag, consumer, handle, sequence } of all) {
      this.add(tag, consumer, handle, sequence);
    }
  }

  /** Whether a delivery with this tag is unsettled. */
  has(tag: number): boolean {
    return this.#find(tag) >= 0;
  }

  /** What is unsettled, oldest first. The ledger must stay as it is meanwhile. */
  *unsettled(): Iterable<{ readonly tag: number; readonly consumer: Consumer }> {
    const mask = this.#capacity - 1;
    for (let i = 0; i < this.#span; i++) {
      const at = (this.#head + i) & mask;
      const consumer = this.#consumers[at]!;
      if (consumer !== null) yield { tag: this.#tags[at]!, consumer };
    }
  }

  /** Takes the delivery with this tag out, into this ledger's fields; false when there is none. */
  take(tag: number): boolean {
    const at = this.#find(tag);
    if (at < 0) return false;
    this.#takeAt(at);
    return true;
  }

  /** Takes the oldest delivery out if its tag is at most `upTo`; false when there is none. */
  takeOldest(upTo: number): boolean {
    if (this.#live === 0) return false;
    const at = this.#head; // The head is never a gap.
    if (this.#tags[at]! > upTo) return false;
    this.#takeAt(at);
    return true;
  }

  #takeAt(at: number): void {
    this.tag = this.#tags[at]!;
    this.consumer = this.#consumers[at]!;
    this.handle = this.#handles[at]!;
    this.sequence = this.#sequences[at]!;
    this.#consumers[at] = null;
    this.#live--;
    if (this.#live === 0) {
      this.#span = 0;
      this.#head = 0;
      if (this.#capacity > keptCapacity) this.#resize(initialCapacity);
    } else if (at === this.#head) {
      this.#dropLeadingGaps();
    }
  }

  #dropLeadingGaps(): void {
    const mask = this.#capacity - 1;
    while (this.#span > 0 && this.#consumers[this.#head] === null) {
      this.#head = (this.#head + 1) & mask;
      this.#span--;
    }
  }

  #find(tag: number): number {
    if (this.#live === 0) return -1;
    const mask = this.#capacity - 1;
    if (this.#tags[this.#head] === tag && this.#consumers[this.#head] !== null) return this.#head;
    let low = 0;
    let high = this.#span - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const at = (this.#head + middle) & mask;
      const found = this.#tags[at]!;
      if (found === tag) return this.#consumers[at] === null ? -1 : at;
      if (found < tag) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** Makes at least half of a full ring free, so that this is rare however deliveries settle. */
  #makeRoom(): void {
    let capacity = initialCapacity;
    while (capacity < this.#live * 2) capacity *= 2;
    if (capacity === this.#capacity) this.#squeeze();
    else this.#resize(capacity);
  }

  /** Moves the entries together, towards the head. */
  #squeeze(): void {
    const mask = this.#capacity - 1;
    let size = 0;
    for (let i = 0; i < this.#span; i++) {
      const from = (this.#head + i) & mask;
      const consumer = this.#consumers[from]!;
      if (consumer === null) continue;
      const to = (this.#head + size) & mask;
      size++;
      if (to === from) continue;
      this.#tags[to] = this.#tags[from]!;
      this.#handles[to] = this.#handles[from]!;
      this.#sequences[to] = this.#sequences[from]!;
      this.#consumers[to] = consumer;
      this.#consumers[from] = null;
    }
    this.#span = size;
  }

  #resize(capacity: number): void {
    const tags = new Float64Array(capacity);
    const handles = new Float64Array(capacity);
    const sequences = new Float64Array(capacity);
    const consumers = new Array<Consumer | null>(capacity).fill(null);
    const mask = this.#capacity - 1;
    let to = 0;
    for (let i = 0; i < this.#span; i++) {
      const at = (this.#head + i) & mask;
      const consumer = this.#consumers[at]!;
      if (consumer === null) continue;
      tags[to] = this.#tags[at]!;
      handles[to] = this.#handles[at]!;
      sequences[to] = this.#sequences[at]!;
      consumers[to] = consumer;
      to++;
    }
    this.#tags = tags;
    this.#handles = handles;
    this.#sequences = sequences;
    this.#consumers = consumers;
    if (this.#memory !== undefined) {
      this.#memory.bytes += countedBytes(capacity) - countedBytes(this.#capacity);
    }
    this.#capacity = capacity;
    this.#head = 0;
    this.#span = to;
  }
}

function countedBytes(capacity: number): number {
  return capacity > keptCapacity ? capacity * entryBytes : 0;
}
