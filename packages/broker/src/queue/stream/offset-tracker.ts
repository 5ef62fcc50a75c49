/**
 * How far one consumer has got: the offset up to which it has settled everything that it was sent.
 * What it gives back, it has not done with: it stops there for good.
 */

import { FloatRing } from "@haremq/kernel";

export class OffsetTracker {
  /** What was sent and not settled; the oldest is really not. */
  readonly #sent = new FloatRing();
  /** Settled before something older was. */
  readonly #early = new Set<number>();
  #isStopped = false;
  /** Everything up to here is settled; -1 for nothing. */
  reached = -1;

  noteSent(offset: number): void {
    if (!this.#isStopped) this.#sent.push(offset);
  }

  /** Returns whether `reached` has grown. */
  noteSettled(offset: number): boolean {
    if (this.#isStopped) return false;
    if (this.#sent.peek() !== offset) {
      this.#early.add(offset);
      return false;
    }
    do {
      this.reached = this.#sent.shift();
      this.#early.delete(this.reached);
    } while (this.#early.has(this.#sent.peek()));
    return true;
  }

  stop(): void {
    this.#isStopped = true;
    this.#sent.clear();
    this.#early.clear();
  }

  /** Whether nothing is to be expected any more of a consumer that is sent nothing more. */
  get isDone(): boolean {
    return this.#sent.length === 0;
  }
}
