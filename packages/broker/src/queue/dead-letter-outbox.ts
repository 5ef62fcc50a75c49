/**
 * The messages that are on their way out of one queue to its dead-letter exchange. They move at the
 * end of the current turn, not while the queue or another one is in the middle of a verb; in the
 * order in which they died; after they have been read from disk, if need be. Until a message has
 * moved the queue still holds it, so that a crash loses none.
 *
 * Made by a queue when its first dead letter comes.
 */

import { FloatRing, type Timer } from "@haremq/kernel";
import { type MessageStore, Viewed } from "../message/message-store.ts";
import { MessageView } from "../message/message-view.ts";
import type { Queue } from "./queue.ts";
import type { DeathReason, QueueHost } from "./queue-host.ts";
import type { QueueSettings } from "./queue-settings.ts";

/** How many are moved before others have their turn. */
const movesPerTurn = 256;
/** When a letter is tried again that has to arrive and could not. */
const retryMs = 1000;

const reasons: readonly DeathReason[] = ["rejected", "expired", "maxlen", "delivery_limit"];

/** The queue that an outbox belongs to. */
export interface OutboxOwner extends Queue {
  readonly settings: QueueSettings;
  /** Settles a message that has nowhere to go. */
  drop(handle: number): void;
}

export class DeadLetterOutbox {
  readonly #queue: OutboxOwner;
  readonly #host: QueueHost;
  readonly #messages: MessageStore;
  readonly #handles = new FloatRing();
  readonly #reasons = new FloatRing();
  readonly #view = new MessageView();
  #isScheduled = false;
  #retry: Timer | undefined;
  #isFinishing = false;

  constructor(queue: OutboxOwner, host: QueueHost, messages: MessageStore) {
    this.#queue = queue;
    this.#host = host;
    this.#messages = messages;
  }

  /** Messages that have not moved yet. */
  get length(): number {
    return this.#handles.length;
  }

  add(handle: number, reason: DeathReason): void {
    this.#handles.push(handle);
    this.#reasons.push(reasons.indexOf(reason));
    if (this.#isScheduled || this.#retry !== undefined) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#move());
  }

  /** The queue is gone. What has died before still moves, and is dropped if it cannot. */
  finish(): void {
    this.#isFinishing = true;
    if (this.#retry === undefined) return;
    this.#retry.cancel();
    this.#retry = undefined;
    this.#move();
  }

  #move(): void {
    this.#isScheduled = false;
    const handles = this.#handles;
    for (let moved = 0; handles.length > 0; moved++) {
      if (moved === movesPerTurn) {
        this.#goOnIn(0);
        return;
      }
      const handle = handles.peek();
      const viewed = this.#messages.view(handle, this.#view);
      if (viewed === Viewed.Away) {
        this.#load(handle);
        return;
      }
      if (viewed === Viewed.Damaged) this.#queue.drop(handle);
      else if (!this.#moveOne(handle)) {
        if (this.#isFinishing) {
          this.#queue.drop(handle);
          handles.shift();
          this.#reasons.shift();
          continue;
        }
        this.#goOnIn(retryMs);
        return;
      }
      handles.shift();
      this.#reasons.shift();
    }
  }

  /** False if the letter has to wait. */
  #moveOne(handle: number): boolean {
    const { settings } = this.#queue;
    const exchange = settings.deadLetterExchange;
    if (exchange === undefined) {
      // The policy that asked for dead letters is gone.
      this.#queue.drop(handle);
      return true;
    }
    return this.#host.moveDeadLetter({
      queue: this.#queue,
      view: this.#view,
      handle,
      reason: reasons[this.#reasons.peek()]!,
      exchange,
      routingKey: settings.deadLetterRoutingKey,
      mustArrive: settings.deadLettersAtLeastOnce,
    });
  }

  #load(handle: number): void {
    this.#isScheduled = true;
    this.#messages.load(handle).then(
      () => this.#move(),
      () => {
        this.#isScheduled = false;
        this.#goOnIn(retryMs);
      },
    );
  }

  #goOnIn(delayMs: number): void {
    this.#retry = this.#host.clock.schedule(delayMs, () => {
      this.#retry = undefined;
      this.#move();
    });
  }
}
