/**
 * Memory for segments, by size. What a dead segment leaves is used for the next one while it is
 * still in the processor's cache; fresh memory would cost a page fault every four kilobytes.
 */

export class SlabPool {
  readonly #spareBytesMax: number;
  readonly #spare: ReadonlyMap<number, Buffer[]>;
  #spareBytes = 0;
  /** Bytes handed out and not given back. */
  takenBytes = 0;

  /**
   * Keeps slabs of these sizes only: one made for a single large record would hardly serve again.
   */
  constructor(spareBytesMax: number, sizes: readonly number[]) {
    this.#spareBytesMax = spareBytesMax;
    this.#spare = new Map(sizes.map((size) => [size, []]));
  }

  take(bytes: number): Buffer {
    this.takenBytes += bytes;
    const spare = this.#spare.get(bytes)?.pop();
    if (spare === undefined) return Buffer.allocUnsafeSlow(bytes);
    this.#spareBytes -= bytes;
    return spare;
  }

  give(slab: Buffer): void {
    this.takenBytes -= slab.length;
    const spare = this.#spare.get(slab.length);
    if (spare === undefined || this.#spareBytes + slab.length > this.#spareBytesMax) return;
    this.#spareBytes += slab.length;
    spare.push(slab);
  }

  get spareBytes(): number {
    return this.#spareBytes;
  }
}
