/**
 * When an operation of the faulty disk takes effect: passed in, so that a simulation decides in
 * what order operations that are under way together come to their end.
 */

import type { SeededRandom } from "@haremq/kernel";

export interface DiskScheduler {
  /** Calls `complete` once, later, never within this call. */
  defer(complete: () => void): void;
}

/** Each operation at once, in the order of the calls. */
export class PromptScheduler implements DiskScheduler {
  defer(complete: () => void): void {
    queueMicrotask(complete);
  }
}

/** One operation at a time, drawn by the seed from all that wait, whenever somebody says so. */
export class SeededScheduler implements DiskScheduler {
  readonly #random: SeededRandom;
  readonly #waiting: (() => void)[] = [];

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  defer(complete: () => void): void {
    this.#waiting.push(complete);
  }

  /** Lets one operation take effect; false if none waits. */
  step(): boolean {
    if (this.#waiting.length === 0) return false;
    const [complete] = this.#waiting.splice(this.#random.below(this.#waiting.length), 1);
    complete?.();
    return true;
  }

  /** Steps until nothing waits, and lets every step's promises settle before the next is drawn. */
  async run(): Promise<void> {
    do await settled();
    while (this.step());
  }
}

/** Resolves when all promises that can go on have gone on. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
