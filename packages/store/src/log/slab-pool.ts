/**
 * Memory for segments, by size. What a dead segment leaves is used for the next one while it is still
 * in the processor's cache; fresh memory would cost a page fault every four kilobytes.
 */

export class SlabPool {
  readonly #spareBytesMax: number;
  readonly #spare = new Map<number, Buffer[]>();
  #spareBytes = 0;
  /** Bytes handed out and not given back. */
  takenBytes = 0;

  constructor(spareBytesMax: number) {
    this.#spareBytesMax = spareBytesMax;
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
    if (this.#spareBytes + slab.length > this.#spareBytesMax) return;
    this.#spareBytes += slab.length;
    const spare = this.#spare.get(slab.length);
    if (spare === undefined) this.#spare.set(slab.length, [slab]);
    else spare.push(slab);
  }

  get spareBytes(): number {
    return this.#spareBytes;
  }
}
