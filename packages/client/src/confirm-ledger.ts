/**
 * The publishes of one channel in confirm mode that the broker has not answered yet, by sequence
 * number, which is also the delivery tag of the answer. The channel adds publishes and settles
 * them.
 *
 *     slots  | . | . | w | - | w | . |       w  a caller waits for this one
 *                      ^           ^         -  unanswered, nobody waits
 *                   oldest       next        .  free or answered
 *
 * Invariants:
 * - Every sequence number in [oldest, next) has a slot of its own: the ring doubles when it is
 *   full.
 * - The slot of `oldest` is unanswered, unless nothing is.
 */

import { PublishNackedError, PublishReturnedError } from "./errors.ts";
import type { ReturnedMessage } from "./message.ts";

/** Who waits for one publish. */
export interface ConfirmWaiter {
  resolve(): void;
  reject(error: Error): void;
  /** The message itself, when the broker returned it before it confirmed. */
  returned: ReturnedMessage | undefined;
}

type Slot = ConfirmWaiter | "unanswered" | undefined;

interface Barrier {
  /** The last sequence number this waits for. */
  readonly through: number;
  resolve(): void;
  reject(error: Error): void;
}

export class ConfirmLedger {
  #slots: Slot[] = new Array(64);
  #mask = 63;
  #oldest = 1;
  #next = 1;
  #unanswered = 0;
  /** The first nack since `whenAllConfirmed` was last asked, which owes its caller this news. */
  #nackedTag = 0;
  #barriers: Barrier[] = [];

  /** The sequence number that the next publish gets. */
  get next(): number {
    return this.#next;
  }

  get unanswered(): number {
    return this.#unanswered;
  }

  /** Counts a publish whose confirm nobody waits for by itself. */
  add(): void {
    this.#push("unanswered");
  }

  addWaiter(waiter: ConfirmWaiter): void {
    this.#push(waiter);
  }

  /** The broker answered `tag`, and with `multiple` everything before it (0: everything so far). */
  settle(tag: number, multiple: boolean, acked: boolean): void {
    if (multiple) {
      const last = tag === 0 ? this.#next - 1 : Math.min(tag, this.#next - 1);
      for (let at = this.#oldest; at <= last; at++) this.#settleOne(at, acked);
    } else if (tag >= this.#oldest && tag < this.#next) {
      this.#settleOne(tag, acked);
    }
    while (this.#oldest < this.#next && this.#slots[this.#oldest & this.#mask] === undefined) {
      this.#oldest++;
    }
    if (this.#barriers.length > 0) this.#openBarriers();
  }

  /** Resolves when everything published so far is answered; rejects if any of it was nacked. */
  whenAllConfirmed(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#barriers.push({ through: this.#next - 1, resolve, reject });
      this.#openBarriers();
    });
  }

  /** The channel is gone: nothing will be answered any more. */
  failAll(error: Error): void {
    for (let at = this.#oldest; at < this.#next; at++) {
      const slot = this.#slots[at & this.#mask];
      this.#slots[at & this.#mask] = undefined;
      if (typeof slot === "object") slot.reject(error);
    }
    this.#oldest = this.#next;
    this.#unanswered = 0;
    for (const barrier of this.#barriers.splice(0)) barrier.reject(error);
  }

  #push(slot: Slot): void {
    if (this.#next - this.#oldest > this.#mask) this.#grow();
    this.#slots[this.#next & this.#mask] = slot;
    this.#next++;
    this.#unanswered++;
  }

  #grow(): void {
    const grown: Slot[] = new Array(this.#slots.length * 2);
    const mask = grown.length - 1;
    for (let at = this.#oldest; at < this.#next; at++) {
      grown[at & mask] = this.#slots[at & this.#mask];
    }
    this.#slots = grown;
    this.#mask = mask;
  }

  #settleOne(tag: number, acked: boolean): void {
    const slot = this.#slots[tag & this.#mask];
    if (slot === undefined) return;
    this.#slots[tag & this.#mask] = undefined;
    this.#unanswered--;
    if (!acked && this.#nackedTag === 0) this.#nackedTag = tag;
    if (slot === "unanswered") return;
    if (!acked) slot.reject(new PublishNackedError(tag));
    else if (slot.returned !== undefined) slot.reject(new PublishReturnedError(slot.returned));
    else slot.resolve();
  }

  #openBarriers(): void {
    let barrier = this.#barriers[0];
    while (barrier !== undefined && barrier.through < this.#oldest) {
      this.#barriers.shift();
      const nackedTag = this.#nackedTag;
      this.#nackedTag = 0;
      if (nackedTag === 0) barrier.resolve();
      else barrier.reject(new PublishNackedError(nackedTag));
      barrier = this.#barriers[0];
    }
  }
}
