/**
 * What the faulty disk knows of one file beyond what processes see: the bytes that are surely on
 * the disk, and the changes since, which a power loss may undo.
 *
 *   changes   [ synced, part of #stable ][ #pending ........................ ]
 *                                         ^ #syncedChanges          ^ mark()
 */

import type { SeededRandom } from "@haremq/kernel";
import { ByteImage } from "./byte-image.ts";
import { drawFates, tearWrite } from "./power-loss.ts";

/** A write, or a new length. */
type Change = { readonly position: number; readonly bytes: Uint8Array } | { readonly size: number };

export class FileHistory {
  readonly #stable: ByteImage;
  #pending: Change[] = [];
  #syncedChanges = 0;

  constructor(stable = new ByteImage()) {
    this.#stable = stable;
  }

  noteWrite(buffer: Uint8Array, start: number, length: number, position: number): void {
    if (length === 0) return;
    this.#pending.push({
      position,
      bytes: Uint8Array.from(buffer.subarray(start, start + length)),
    });
  }

  noteResize(size: number): void {
    this.#pending.push({ size });
  }

  /** Stands for all changes so far, which is what a sync that begins now will make durable. */
  mark(): number {
    return this.#syncedChanges + this.#pending.length;
  }

  sync(mark: number): void {
    for (const change of this.#takeUntil(mark)) apply(this.#stable, change);
  }

  /**
   * As Linux does it: a page that cannot be written back is marked clean all the same, and no later
   * sync tries it again. Processes go on seeing it as long as memory is not short.
   */
  failSync(mark: number, random: SeededRandom): void {
    for (const change of this.#takeUntil(mark)) {
      if ("size" in change || random.below(2) === 0) {
        apply(this.#stable, change);
        continue;
      }
      // The file may have got its new length all the same: then it reads as zeros there.
      const end = change.position + change.bytes.length;
      if (random.below(2) === 0) this.#stable.resize(Math.max(this.#stable.size, end));
    }
  }

  /** What processes see of a file of this size once the system has let go of all clean pages. */
  evicted(size: number): ByteImage {
    const image = this.#stable.clone();
    for (const change of this.#pending) apply(image, change);
    image.resize(size);
    return image;
  }

  /** What a power loss leaves. */
  afterPowerLoss(random: SeededRandom): ByteImage {
    const image = this.#stable.clone();
    for (const { index, outcome } of drawFates(this.#pending.length, random)) {
      const change = this.#pending[index] as Change;
      if (outcome === "kept" || "size" in change) apply(image, change);
      else tearWrite(image, change.bytes, change.position, random);
    }
    return image;
  }

  #takeUntil(mark: number): Change[] {
    const taken = this.#pending.splice(0, Math.max(0, mark - this.#syncedChanges));
    this.#syncedChanges += taken.length;
    return taken;
  }
}

function apply(image: ByteImage, change: Change): void {
  if ("size" in change) image.resize(change.size);
  else image.write(change.bytes, 0, change.bytes.length, change.position);
}
