/**
 * Sees to it that messages leave a queue when they expire: one timer for the next one, whatever
 * their number, and none while nothing can expire.
 *
 * Like RabbitMQ it looks at the message whose turn is next: one that expires behind it goes when it
 * comes to the front. With `anywhere` it looks at all, which costs a heap
 * entry a message.
 */

import { type Clock, MinHeap, type Timer } from "@haremq/kernel";
import type { Backlog } from "./backlog.ts";

/** How many expire before others have their turn. */
const expiriesPerTurn = 1024;
/** How many messages the heap may remember that are gone, besides as many as there are. */
const staleEntriesMax = 1024;

export class ExpiryWatch {
  readonly #backlog: Backlog;
  readonly #clock: Clock;
  readonly #onExpired: (handle: number, sequence: number) => void;
  /** Sequence numbers by expiry, if messages expire anywhere. */
  #heap: MinHeap | undefined;
  #timer: Timer | undefined;
  #dueMs = Number.POSITIVE_INFINITY;

  constructor(
    backlog: Backlog,
    clock: Clock,
    onExpired: (handle: number, sequence: number) => void,
  ) {
    this.#backlog = backlog;
    this.#clock = clock;
    this.#onExpired = onExpired;
  }

  setAnywhere(anywhere: boolean): void {
    if (anywhere === (this.#heap !== undefined)) return;
    this.#heap = anywhere ? new MinHeap() : undefined;
    if (anywhere && this.#backlog.keepsFacts) {
      this.#rebuild();
    }
    this.arm();
  }

  /** A message has become ready. */
  note(sequence: number): void {
    if (this.#heap === undefined || !this.#backlog.keepsFacts) return;
    if (this.#heap.length > staleEntriesMax + 2 * this.#backlog.length) this.#rebuild();
    else this.#push(sequence);
  }

  #push(sequence: number): void {
    const { expiresAtMs } = this.#backlog.fact(sequence);
    if (Number.isFinite(expiresAtMs)) this.#heap!.push(expiresAtMs, sequence, 0);
  }

  /** Forgets the messages that have left before they expired. */
  #rebuild(): void {
    this.#heap!.clear();
    this.#backlog.forEach((sequence) => {
      this.#push(sequence);
    });
  }

  /** Makes sure of the timer; to be called when the backlog has another first message. */
  arm(): void {
    const dueMs = this.#nextMs();
    if (dueMs >= this.#dueMs) return;
    this.#timer?.cancel();
    this.#schedule(dueMs);
  }

  /** Lets go of what has expired, up to a number; whether there is nothing left that has. */
  dropExpired(): boolean {
    const nowMs = this.#clock.wallMs();
    for (let count = 0; this.#nextMs() <= nowMs; count++) {
      if (count === expiriesPerTurn) return false;
      this.#dropNext(nowMs);
    }
    return true;
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#heap?.clear();
  }

  #nextMs(): number {
    const headMs = this.#backlog.nextExpiryMs();
    if (this.#heap === undefined || this.#heap.length === 0) return headMs;
    return Math.min(headMs, this.#heap.peekKey());
  }

  #dropNext(nowMs: number): void {
    const backlog = this.#backlog;
    if (backlog.nextExpiryMs() <= nowMs) {
      const handle = backlog.firstHandle;
      this.#onExpired(handle, backlog.takeFirst());
      return;
    }
    const sequence = this.#heap!.peekValue();
    this.#heap!.pop();
    // Whatever has left meanwhile is not ready.
    const handle = backlog.remove(sequence);
    if (handle !== undefined) this.#onExpired(handle, sequence);
  }

  #schedule(dueMs: number): void {
    this.#dueMs = dueMs;
    this.#timer = this.#clock.schedule(Math.max(0, dueMs - this.#clock.wallMs()), () => {
      this.#timer = undefined;
      this.#dueMs = Number.POSITIVE_INFINITY;
      this.dropExpired();
      this.arm();
    });
  }
}
