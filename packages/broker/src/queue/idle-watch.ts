/**
 * Ends a queue that nobody uses: that has no consumer, and that nobody declares or pulls from for a
 * time. One timer, and none while there are consumers.
 */

import type { Clock, Timer } from "@haremq/kernel";

export class IdleWatch {
  readonly #clock: Clock;
  readonly #isUsed: () => boolean;
  readonly #onIdle: () => void;
  #limitMs = Number.POSITIVE_INFINITY;
  #lastUsedMs: number;
  #timer: Timer | undefined;

  constructor(clock: Clock, isUsed: () => boolean, onIdle: () => void) {
    this.#clock = clock;
    this.#isUsed = isUsed;
    this.#onIdle = onIdle;
    this.#lastUsedMs = clock.nowMs();
  }

  /** Infinity for a queue that may be idle for good. */
  setLimit(limitMs: number): void {
    if (limitMs === this.#limitMs) return;
    this.stop();
    this.#limitMs = limitMs;
    this.touch();
  }

  /** The queue is being used, or was until now. */
  touch(): void {
    if (this.#limitMs === Number.POSITIVE_INFINITY) return;
    this.#lastUsedMs = this.#clock.nowMs();
    if (this.#timer === undefined) this.#schedule(this.#limitMs);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #schedule(delayMs: number): void {
    this.#timer = this.#clock.schedule(delayMs, () => {
      this.#timer = undefined;
      if (this.#isUsed()) return;
      const leftMs = this.#lastUsedMs + this.#limitMs - this.#clock.nowMs();
      if (leftMs > 0) this.#schedule(leftMs);
      else this.#onIdle();
    });
  }
}
