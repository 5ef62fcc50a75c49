/**
 * A growable first-in first-out ring of float64 numbers: a queue's message positions.
 *
 * HOT: one `push` and one `shift` per message. Eight bytes a number, no object, no boxing; an
 * unused ring costs no array at all, because a broker may hold 50,000 idle queues.
 *
 *   ┌───┬───┬───┬───┬───┬───┬───┬───┐    capacity is a power of two (or 0 before the first push)
 *   │ 9 │   │   │   │ 5 │ 6 │ 7 │ 8 │    indexes run freely and are masked on access
 *   └───┴───┴───┴───┴───┴───┴───┴───┘
 *         ▲ tail      ▲ head
 *
 * Reading what is not there gives NaN. A ring that runs empty after it had grown large gives its
 * memory back.
 */

const EMPTY = new Float64Array(0);
const FIRST_CAPACITY = 8;
/** What an empty ring may keep: 8 KiB. Growing beyond it again costs each push a constant. */
const KEPT_CAPACITY = 1024;

export class FloatRing {
  #values: Float64Array = EMPTY;
  #mask = -1;
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** How many numbers fit before the ring has to grow. */
  get capacity(): number {
    return this.#values.length;
  }

  push(value: number): void {
    if (this.#length > this.#mask) this.#grow();
    this.#values[(this.#head + this.#length) & this.#mask] = value;
    this.#length++;
  }

  /** Takes the oldest number out. */
  shift(): number {
    if (this.#length === 0) return Number.NaN;
    const value = this.#values[this.#head] as number;
    this.#head = (this.#head + 1) & this.#mask;
    if (--this.#length === 0 && this.#mask >= KEPT_CAPACITY) this.clear();
    return value;
  }

  /** The oldest number, which stays. */
  peek(): number {
    return this.#length === 0 ? Number.NaN : (this.#values[this.#head] as number);
  }

  /** The number that `index` shifts from now would be the oldest. */
  at(index: number): number {
    if (!(index >= 0 && index < this.#length)) return Number.NaN;
    return this.#values[(this.#head + index) & this.#mask] as number;
  }

  /** Replaces the number that `at(index)` gives. */
  set(index: number, value: number): void {
    if (!(index >= 0 && index < this.#length)) throw new RangeError(`no number at ${index}`);
    this.#values[(this.#head + index) & this.#mask] = value;
  }

  clear(): void {
    this.#head = 0;
    this.#length = 0;
    if (this.#mask >= KEPT_CAPACITY) {
      this.#values = EMPTY;
      this.#mask = -1;
    }
  }

  #grow(): void {
    const old = this.#values;
    const capacity = old.length === 0 ? FIRST_CAPACITY : old.length * 2;
    // The mask is an int32; 2^30 entries are 8 GiB, far beyond what queues keep in memory.
    if (capacity > 2 ** 30) throw new RangeError("FloatRing is full");
    const values = new Float64Array(capacity);
    values.set(old.subarray(this.#head));
    values.set(old.subarray(0, this.#head), old.length - this.#head);
    this.#values = values;
    this.#mask = capacity - 1;
    this.#head = 0;
  }
}
