/**
 * How many references each record of a segment has while the segment is not in memory. Most have
 * none or one, for which a bit each will do; where a record has more, all get a byte, or four.
 */

export class ReferenceCounts {
  readonly #length: number;
  /** A bit for each... */
  #bits: Uint8Array | undefined;
  /** ...or a number. */
  #counts: Uint8Array | Uint32Array | undefined;
  #max = 1;

  /** All are zero. */
  constructor(length: number) {
    this.#length = length;
    this.#bits = new Uint8Array((length + 7) >>> 3);
  }

  at(index: number): number {
    const bits = this.#bits;
    if (bits !== undefined) return (bits[index >>> 3]! >>> (index & 7)) & 1;
    return this.#counts![index]!;
  }

  set(index: number, count: number): void {
    if (count > this.#max) this.#widen(count);
    const bits = this.#bits;
    if (bits === undefined) this.#counts![index] = count;
    else if (count === 0) bits[index >>> 3]! &= ~(1 << (index & 7));
    else bits[index >>> 3]! |= 1 << (index & 7);
  }

  /** Memory that they take. */
  get bytes(): number {
    return (this.#bits ?? this.#counts!).byteLength;
  }

  #widen(count: number): void {
    const isByteEnough = count <= 0xff;
    const wider = isByteEnough ? new Uint8Array(this.#length) : new Uint32Array(this.#length);
    for (let i = 0; i < this.#length; i++) wider[i] = this.at(i);
    this.#counts = wider;
    this.#bits = undefined;
    this.#max = isByteEnough ? 0xff : 0xffffffff;
  }
}
