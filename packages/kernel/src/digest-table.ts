/**
 * A set of 128-bit digests with two numbers each, in the order in which they came, in typed arrays:
 * 48 bytes an entry when full, no object, nothing for the garbage collector.
 *
 *     cells     | . | 3 | 1 | . | 2 | . | . | . |   slot + 1, by the digest's first word
 *     digests   | word word word word | ...          by slot
 *     numbers   | first second | ...
 *     links     | previous next | ...                the order, and the list of free slots
 *
 * A slot is the entry's name until it is removed. Digests must be evenly distributed, as those of a
 * cryptographic hash are: their own words place them. Removing shifts the cells behind back, so
 * that there are no tombstones and lookups stay short.
 */

const digestWords = 4;
const none = -1;
const firstCapacity = 16;
/** What an entry takes: digest, numbers, links and two cells. */
const slotBytes = digestWords * 4 + 16 + 8 + 8;

export class DigestTable {
  #capacity = 0;
  #cells = new Int32Array(0);
  #digests = new Int32Array(0);
  #numbers = new Float64Array(0);
  #links = new Int32Array(0);
  #oldest = none;
  #newest = none;
  #free = none;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get capacity(): number {
    return this.#capacity;
  }

  get bytes(): number {
    return this.#capacity * slotBytes;
  }

  /** What it will take with one entry more. */
  get bytesWithOneMore(): number {
    if (this.#size < this.#capacity) return this.bytes;
    return Math.max(firstCapacity, this.#capacity * 2) * slotBytes;
  }

  /** The slot that came first of those that are left, or -1. */
  get oldest(): number {
    return this.#oldest;
  }

  /** The slot of this digest, or -1. */
  find(digest: Int32Array): number {
    if (this.#size === 0) return none;
    const mask = this.#cells.length - 1;
    for (let at = digest[0]! & mask; this.#cells[at] !== 0; at = (at + 1) & mask) {
      const slot = this.#cells[at]! - 1;
      if (this.#has(slot, digest)) return slot;
    }
    return none;
  }

  /** Adds a digest that is not there yet; returns its slot. */
  add(digest: Int32Array, first: number, second: number): number {
    if (this.#size === this.#capacity) this.#grow();
    const slot = this.#free;
    this.#free = this.#links[slot * 2 + 1]!;
    this.#digests.set(digest, slot * digestWords);
    this.#numbers[slot * 2] = first;
    this.#numbers[slot * 2 + 1] = second;
    this.#link(slot);
    this.#place(slot);
    this.#size++;
    return slot;
  }

  /** Empty, it gives its memory back. */
  remove(slot: number): void {
    this.#unplace(slot);
    this.#unlink(slot);
    if (--this.#size === 0) {
      this.clear();
      return;
    }
    this.#links[slot * 2 + 1] = this.#free;
    this.#free = slot;
  }

  clear(): void {
    this.#size = 0;
    this.#capacity = 0;
    this.#cells = new Int32Array(0);
    this.#digests = new Int32Array(0);
    this.#numbers = new Float64Array(0);
    this.#links = new Int32Array(0);
    this.#oldest = none;
    this.#newest = none;
    this.#free = none;
  }

  first(slot: number): number {
    return this.#numbers[slot * 2]!;
  }

  second(slot: number): number {
    return this.#numbers[slot * 2 + 1]!;
  }

  #has(slot: number, digest: Int32Array): boolean {
    const digests = this.#digests;
    const start = slot * digestWords;
    return (
      digests[start] === digest[0] &&
      digests[start + 1] === digest[1] &&
      digests[start + 2] === digest[2] &&
      digests[start + 3] === digest[3]
    );
  }

  /** Appends the slot to the order. */
  #link(slot: number): void {
    const links = this.#links;
    links[slot * 2] = this.#newest;
    links[slot * 2 + 1] = none;
    if (this.#newest === none) this.#oldest = slot;
    else links[this.#newest * 2 + 1] = slot;
    this.#newest = slot;
  }

  #unlink(slot: number): void {
    const links = this.#links;
    const previous = links[slot * 2]!;
    const next = links[slot * 2 + 1]!;
    if (previous === none) this.#oldest = next;
    else links[previous * 2 + 1] = next;
    if (next === none) this.#newest = previous;
    else links[next * 2] = previous;
  }

  #place(slot: number): void {
    const mask = this.#cells.length - 1;
    let at = this.#digests[slot * digestWords]! & mask;
    while (this.#cells[at] !== 0) at = (at + 1) & mask;
    this.#cells[at] = slot + 1;
  }

  #unplace(slot: number): void {
    const cells = this.#cells;
    const mask = cells.length - 1;
    let hole = this.#digests[slot * digestWords]! & mask;
    while (cells[hole] !== slot + 1) hole = (hole + 1) & mask;
    for (let at = (hole + 1) & mask; cells[at] !== 0; at = (at + 1) & mask) {
      const ideal = this.#digests[(cells[at]! - 1) * digestWords]! & mask;
      // It may move back unless the hole lies before its ideal place.
      if (((at - ideal) & mask) < ((at - hole) & mask)) continue;
      cells[hole] = cells[at]!;
      hole = at;
    }
    cells[hole] = 0;
  }

  #grow(): void {
    const old = this.#capacity;
    const capacity = old === 0 ? firstCapacity : old * 2;
    this.#digests = extended(this.#digests, new Int32Array(capacity * digestWords));
    this.#numbers = extended(this.#numbers, new Float64Array(capacity * 2));
    this.#links = extended(this.#links, new Int32Array(capacity * 2));
    this.#cells = new Int32Array(capacity * 2);
    this.#capacity = capacity;
    for (let slot = 0; slot < old; slot++) this.#place(slot);
    // It only grows when it is full, so that these are all that are free.
    for (let slot = old; slot < capacity; slot++) {
      this.#links[slot * 2 + 1] = slot + 1 === capacity ? none : slot + 1;
    }
    this.#free = old;
  }
}

function extended<T extends Int32Array | Float64Array>(from: T, into: T): T {
  into.set(from);
  return into;
}
