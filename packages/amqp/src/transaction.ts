/**
 * What a transactional channel has gathered since the last commit: publishes with the queues they
 * were routed to, and settlements. Publishes are kept in the broker's memory like queued messages.
 * Channels apply it at commit, or drop it.
 */

import type { MessageKeeper, MessageView, Passage, Queue, TapReceipt } from "@haremq/broker";
import type { AmqpConsumer } from "./amqp-consumer.ts";

/** What a client does with a delivery. */
export type Settlement = "ack" | "requeue" | "reject";

export interface PendingPublish {
  readonly handle: number;
  /** The queues it was routed to when it was published; who has the names now gets it. */
  readonly queues: readonly string[];
  /** Who else keeps it. */
  readonly keepers: readonly MessageKeeper[];
  /** Taps that wait for it to arrive. */
  readonly receipts: readonly TapReceipt[];
  /** A tap of an exchange has taken it, so that it does not come back. */
  readonly isTaken: boolean;
  /** The commit has to wait for what the store has been given before. */
  readonly awaitsStore: boolean;
  readonly mandatory: boolean;
  readonly isPersistent: boolean;
  readonly bytes: number;
}

export interface PendingSettlement {
  readonly settlement: Settlement;
  readonly tag: number;
  readonly consumer: AmqpConsumer;
  readonly handle: number;
  readonly sequence: number;
}

/** Where publishes are kept until the commit. */
export interface PublishKeeper {
  keep(view: MessageView): number;
  release(handle: number): void;
  pin(handle: number): void;
  unpin(handle: number): void;
}

const noKeepers: readonly MessageKeeper[] = [];
const noReceipts: readonly TapReceipt[] = [];

export class Transaction {
  readonly #keeper: PublishKeeper;
  #publishes: PendingPublish[] = [];
  settlements: PendingSettlement[] = [];

  constructor(keeper: PublishKeeper) {
    this.#keeper = keeper;
  }

  publish(
    view: MessageView,
    queues: readonly string[],
    mandatory: boolean,
    passage?: Passage<Queue>,
  ): void {
    const handle = this.#keeper.keep(view);
    this.#keeper.pin(handle);
    const { isPersistent, storedBytes: bytes } = view;
    const { keepers = noKeepers, receipts = noReceipts } = passage ?? {};
    const { isTaken = false, awaitsStore = false } = passage ?? {};
    const taps = { keepers, receipts, isTaken, awaitsStore };
    this.#publishes.push({ handle, queues, ...taps, mandatory, isPersistent, bytes });
  }

  /** Hands over everything gathered, and begins anew. */
  take(): { publishes: PendingPublish[]; settlements: PendingSettlement[] } {
    const taken = { publishes: this.#publishes, settlements: this.settlements };
    this.#publishes = [];
    this.settlements = [];
    return taken;
  }

  /** Forgets the publishes, as rollback and the end of the channel do. */
  dropPublishes(): void {
    for (const { handle } of this.#publishes) this.forget(handle);
    this.#publishes = [];
  }

  /** The kept publish is not needed any more. */
  forget(handle: number): void {
    this.#keeper.unpin(handle);
    this.#keeper.release(handle);
  }
}
