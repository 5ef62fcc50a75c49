/**
 * The publisher confirms that one channel owes, in the order of its publishes. What needs no disk
 * is confirmed at the next flush; what does, once the store has reached the position noted for it.
 * Later publishes wait for earlier ones, so that one multiple ack says it all.
 *
 * This is a hot file.
 */

import { FloatRing } from "@haremq/kernel";

const noTags: readonly number[] = [];

export class Confirms {
  /** Publishes so far, which number themselves from 1. */
  #published = 0;
  /** Up to here they may be confirmed... */
  #ready = 0;
  /** ...and up to here they have been. */
  #told = 0;
  /** The last of those that `take` has found. */
  confirmedTag = 0;
  /**
   * Publishes that a queue has refused, beyond `#told`; the client knows of all but the last few.
   */
  #refused: number[] = [];
  #refusalsTold = 0;
  /** The store position that the last of all waits for or has waited for. */
  lastPosition = 0;
  /** The store positions that publishes behind `#ready` wait for, in order. */
  readonly #positions = new FloatRing();

  /** A publish that waits for nothing of its own. */
  add(): void {
    this.#published++;
    if (this.#positions.length === 0) this.#ready = this.#published;
    else this.#positions.push(0);
  }

  /** A publish that is safe once the store is, up to this position. */
  addStored(position: number): void {
    this.#published++;
    this.#positions.push(position);
    this.lastPosition = position;
  }

  get isWaiting(): boolean {
    return this.#positions.length > 0;
  }

  /** A publish that a queue has refused. */
  addRefused(): void {
    this.add();
    this.#refused.push(this.#published);
  }

  /** The publishes that were refused since the last call: to be told before confirms are. */
  takeRefused(): readonly number[] {
    if (this.#refusalsTold === this.#refused.length) return noTags;
    const tags = this.#refused.slice(this.#refusalsTold);
    this.#refusalsTold = this.#refused.length;
    return tags;
  }

  /** What the store holds is safe up to this position. */
  release(safePosition: number): void {
    const positions = this.#positions;
    while (positions.length > 0 && positions.peek() <= safePosition) {
      positions.shift();
      this.#ready++;
    }
  }

  /**
   * How many more publishes may be confirmed now, up to `confirmedTag`; to the client, what was
   * refused among them is none any more.
   */
  take(): number {
    const from = this.#told;
    this.#told = this.#ready;
    this.confirmedTag = this.#ready;
    if (this.#refused.length > 0) this.#passRefused();
    return this.confirmedTag - from;
  }

  /** The last one to be confirmed must not be one that was refused. */
  #passRefused(): void {
    const passed = this.#refused.filter((tag) => tag <= this.#ready);
    this.#refused = this.#refused.slice(passed.length);
    this.#refusalsTold -= passed.length;
    while (passed.pop() === this.confirmedTag) this.confirmedTag--;
  }
}
