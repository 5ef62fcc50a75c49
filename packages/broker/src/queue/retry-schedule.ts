/**
 * Rejected messages of one queue that wait to be tried again. One timer for the next one, none
 * while nothing waits. Made by a queue when its first message waits.
 */

import { type Clock, MinHeap, type Timer } from "@haremq/kernel";

export class RetrySchedule {
  readonly #clock: Clock;
  readonly #onDue: (handle: number, sequence: number) => void;
  readonly #onServed: () => void;
  /** Sequence numbers by when they are due. */
  readonly #due = new MinHeap();
  readonly #handles = new Map<number, number>();
  #timer: Timer | undefined;
  #timerMs = Number.POSITIVE_INFINITY;

  /** `onServed` is called after the last of those that are due together. */
  constructor(
    clock: Clock,
    onDue: (handle: number, sequence: number) => void,
    onServed: () => void,
  ) {
    this.#clock = clock;
    this.#onDue = onDue;
    this.#onServed = onServed;
  }

  get length(): number {
    return this.#due.length;
  }

  add(handle: number, sequence: number, delayMs: number): void {
    const dueMs = this.#clock.nowMs() + delayMs;
    this.#due.push(dueMs, sequence, 0);
    this.#handles.set(sequence, handle);
    if (dueMs >= this.#timerMs) return;
    this.#timer?.cancel();
    this.#arm();
  }

  /** Gives up waiting. */
  takeAll(take: (handle: number, sequence: number) => void): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerMs = Number.POSITIVE_INFINITY;
    this.#due.clear();
    for (const [sequence, handle] of this.#handles) take(handle, sequence);
    this.#handles.clear();
  }

  #arm(): void {
    this.#timerMs = this.#due.peekKey();
    this.#timer = this.#clock.schedule(Math.max(0, this.#timerMs - this.#clock.nowMs()), () => {
      this.#timerMs = Number.POSITIVE_INFINITY;
      this.#timer = undefined;
      const nowMs = this.#clock.nowMs();
      while (this.#due.length > 0 && this.#due.peekKey() <= nowMs) {
        const sequence = this.#due.peekValue();
        this.#due.pop();
        const handle = this.#handles.get(sequence)!;
        this.#handles.delete(sequence);
        this.#onDue(handle, sequence);
      }
      if (this.#due.length > 0) this.#arm();
      this.#onServed();
    });
  }
}
