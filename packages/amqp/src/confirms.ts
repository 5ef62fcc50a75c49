/**
 * The publisher confirms that one channel owes, in the order of its publishes. What needs no disk
 * is confirmed at the next flush; what does, once the store has reached the position noted for it.
 * Later publishes wait for earlier ones, so that one multiple ack says it all.
 *
 * This is a hot file.
 */

import { FloatRing } from "@haremq/kernel";

export class Confirms {
  /** Publishes so far, which number themselves from 1. */
  #published = 0;
  /** Up to here they may be confirmed... */
  #ready = 0;
  /** ...and up to here they have been. */
  confirmedTag = 0;
  /** The store positions that publishes behind `#ready` wait for, in order. */
  readonly #positions = new FloatRing();

  /** A publish that waits for nothing of its own. */
  add(): void {
    this.#published++;
    if (this.#positions.length === 0) this.#ready = this.#published;
    else this.#positions.push(0);
  }

  /** A publish that the store has to reach the position for. */
  addDurable(position: number): void {
    this.#published++;
    this.#positions.push(position);
  }

  get isWaiting(): boolean {
    return this.#positions.length > 0;
  }

  /** The store has reached this position. */
  release(durablePosition: number): void {
    const positions = this.#positions;
    while (positions.length > 0 && positions.peek() <= durablePosition) {
      positions.shift();
      this.#ready++;
    }
  }

  /** How many more publishes may be confirmed now, up to `confirmedTag`. */
  take(): number {
    const count = this.#ready - this.confirmedTag;
    this.confirmedTag = this.#ready;
    return count;
  }
}
