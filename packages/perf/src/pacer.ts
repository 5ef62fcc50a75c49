/**
 * Keeps something at a rate: how much of it is due by now, counted from the start, so that a late
 * timer is made up for and the average is right. What could not be done for longer than `catchUpMs`
 * is not made up for. It is told the time and does nothing by itself.
 */
export class Pacer {
  readonly #perMs: number;
  readonly #catchUpMs: number;
  /** When the first one would have been due, had everything been in time since. */
  #startMs = Number.NaN;
  #done = 0;

  constructor(perSecond: number, catchUpMs: number) {
    this.#perMs = perSecond / 1000;
    this.#catchUpMs = catchUpMs;
  }

  /** How many may be done now. The first one is due at once. */
  due(nowMs: number): number {
    if (Number.isNaN(this.#startMs)) this.#startMs = nowMs;
    const lateMs = nowMs - this.#nextMs();
    if (lateMs > this.#catchUpMs) this.#startMs += lateMs - this.#catchUpMs;
    // Sums of fractions of a millisecond fall short of whole numbers by a hair.
    return Math.floor((nowMs - this.#startMs) * this.#perMs + 1e-6) + 1 - this.#done;
  }

  /** One was done. */
  count(): void {
    this.#done++;
  }

  /** How long until the next one is due; 0 if it is. */
  delayMs(nowMs: number): number {
    return this.due(nowMs) > 0 ? 0 : Math.max(0, this.#nextMs() - nowMs);
  }

  #nextMs(): number {
    return this.#startMs + this.#done / this.#perMs;
  }
}
