/**
 * Time as the rest of HareMQ sees it: passed in, never read from a global, so that a test can turn
 * the hands itself.
 *
 * Both clocks keep all their timers in one timing wheel. The system clock drives it with one Node
 * timer, whatever the number of scheduled callbacks; the virtual clock is driven by `advance`.
 */

import type { Timer } from "./timing-wheel.ts";
import { TimingWheel } from "./timing-wheel.ts";

export interface Clock {
  /** Monotonic time in milliseconds with a fraction, from an arbitrary origin. */
  nowMs(): number;
  /** Unix time in milliseconds; it may jump when the operator sets the machine's clock. */
  wallMs(): number;
  /** Calls `callback` once, not before `delayMs` from now and never within this call. */
  schedule(delayMs: number, callback: () => void): Timer;
}

/** The longest delay `setTimeout` takes; for anything later the clock wakes up in between. */
const LONGEST_TIMEOUT_MS = 2 ** 31 - 1;

export class SystemClock implements Clock {
  readonly #wheel = new TimingWheel(performance.now());
  #timeout: NodeJS.Timeout | undefined;
  #armedMs = Number.POSITIVE_INFINITY;
  #stopped = false;
  #keepsProcessAlive = true;

  nowMs(): number {
    return performance.now();
  }

  wallMs(): number {
    return Date.now();
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const timer = this.#wheel.schedule(performance.now() + delayMs, callback);
    this.#arm();
    return timer;
  }

  /** Lets the process end although timers wait. */
  unref(): void {
    this.#keepsProcessAlive = false;
    this.#timeout?.unref();
  }

  /** No callback runs after this, neither those that wait nor those scheduled later. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timeout);
    this.#timeout = undefined;
  }

  /** Makes sure that the one Node timer ends no later than the wheel has work to do. */
  #arm(): void {
    if (this.#stopped) return;
    const wakeMs = this.#wheel.nextWakeMs();
    if (wakeMs >= this.#armedMs) return;
    clearTimeout(this.#timeout);
    const delayMs = Math.ceil(wakeMs - performance.now());
    this.#armedMs = wakeMs;
    this.#timeout = setTimeout(
      () => this.#onTimeout(),
      Math.min(Math.max(delayMs, 1), LONGEST_TIMEOUT_MS),
    );
    if (!this.#keepsProcessAlive) this.#timeout.unref();
  }

  #onTimeout(): void {
    this.#timeout = undefined;
    // Callbacks schedule; the one re-arming at the end covers whatever they scheduled.
    this.#armedMs = Number.NEGATIVE_INFINITY;
    try {
      this.#wheel.advance(performance.now());
    } finally {
      this.#armedMs = Number.POSITIVE_INFINITY;
      this.#arm();
    }
  }
}

/** A clock that stands still until it is told to advance. For tests and simulations. */
export class VirtualClock implements Clock {
  readonly #wheel = new TimingWheel();
  readonly #epochMs: number;
  #nowMs = 0;

  constructor(epochMs = Date.UTC(2024, 0, 1)) {
    this.#epochMs = epochMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  wallMs(): number {
    return this.#epochMs + Math.floor(this.#nowMs);
  }

  schedule(delayMs: number, callback: () => void): Timer {
    return this.#wheel.schedule(this.#nowMs + delayMs, callback);
  }

  /** The number of timers that wait; zero after everything was cancelled or fired. */
  get pending(): number {
    return this.#wheel.size;
  }

  /**
   * Moves time on by `ms` and fires what becomes due on the way, also what the fired callbacks
   * schedule. While a callback runs, `nowMs()` is the time it was due.
   */
  advance(ms: number): void {
    const target = this.#nowMs + ms;
    for (;;) {
      const wakeMs = this.#wheel.nextWakeMs();
      if (wakeMs > target) break;
      if (wakeMs > this.#nowMs) this.#nowMs = wakeMs;
      this.#wheel.advance(this.#nowMs);
    }
    this.#nowMs = target;
    this.#wheel.advance(target);
  }
}
