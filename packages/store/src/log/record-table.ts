/**
 * Which records a segment has: their units, in order, and their lengths. Segments own one each. It
 * is made ready to be read and written fast while its segment is in memory, and packed while it is
 * not: a table of a backlog's segment takes a byte or two a record then, mostly less.
 *
 *     units:    | 0 | 17 | 34 | 55 | ...        32 bits each, or packed
 *     lengths:  up to the next unit each; written down once there are gaps between records
 *
 * This is a hot file.
 */

import { PackedNumbers } from "@haremq/kernel";
import { unitBits } from "./record.ts";

const firstCapacity = 64;
const none = new Uint32Array(0);

export class RecordTable {
  count = 0;
  #units: Uint32Array = none;
  #lengths: Uint32Array | undefined;
  /** Kept while the table is unpacked as well, as long as it is the same. */
  #packedUnits: PackedNumbers | undefined;
  #packedLengths: PackedNumbers | undefined;
  #isPacked = false;
  /** What is looked for comes mostly behind what was found last, as when a queue is purged. */
  #lastFound = 0;

  /** Notes a record behind all others, without a gap. True if that has taken memory. */
  add(unit: number): boolean {
    const isFull = this.count === this.#units.length;
    if (isFull) this.#grow();
    this.#units[this.count++] = unit;
    return isFull;
  }

  /** Takes over other records, by unit; without lengths there are no gaps between them. */
  replace(units: Uint32Array, lengths: Uint32Array | undefined): void {
    this.count = units.length;
    this.#units = units;
    this.#lengths = lengths;
    this.#packedUnits = undefined;
    this.#packedLengths = undefined;
    this.#isPacked = false;
  }

  unitAt(index: number): number {
    return this.#isPacked ? this.#packedUnits!.at(index) : this.#units[index]!;
  }

  /** `tail` is where the last one ends. */
  lengthAt(index: number, tail: number): number {
    if (this.#isPacked && this.#packedLengths !== undefined) return this.#packedLengths.at(index);
    if (this.#lengths !== undefined) return this.#lengths[index]!;
    const next = index + 1 < this.count ? this.unitAt(index + 1) << unitBits : tail;
    return next - (this.unitAt(index) << unitBits);
  }

  /** The index of the record with this unit, or of the first behind it. */
  indexOf(unit: number): number {
    const next = this.#lastFound + 1;
    if (next < this.count && this.unitAt(next) === unit) {
      this.#lastFound = next;
      return next;
    }
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.unitAt(middle) < unit) low = middle + 1;
      else high = middle;
    }
    this.#lastFound = low;
    return low;
  }

  /** Nothing is added before it is unpacked. */
  pack(): void {
    this.#packedUnits ??= new PackedNumbers(this.#units, this.count);
    if (this.#lengths !== undefined) {
      this.#packedLengths ??= new PackedNumbers(this.#lengths, this.count);
    }
    this.#units = none;
    this.#lengths = undefined;
    this.#isPacked = true;
  }

  unpack(): void {
    if (!this.#isPacked) return;
    this.#units = new Uint32Array(this.count);
    this.#packedUnits!.copyTo(this.#units);
    if (this.#packedLengths !== undefined) {
      this.#lengths = new Uint32Array(this.count);
      this.#packedLengths.copyTo(this.#lengths);
    }
    this.#isPacked = false;
  }

  /** Memory that it takes. */
  get bytes(): number {
    return (
      this.#units.byteLength +
      (this.#lengths?.byteLength ?? 0) +
      (this.#packedUnits?.bytes ?? 0) +
      (this.#packedLengths?.bytes ?? 0)
    );
  }

  #grow(): void {
    const grown = new Uint32Array(Math.max(firstCapacity, this.#units.length * 2));
    grown.set(this.#units);
    this.#units = grown;
    // A table that was unpacked has no room to spare, so this comes before it changes.
    this.#packedUnits = undefined;
  }
}
