/** Surroundings for a queue by itself: a clock to turn, and dead letters as texts. */

import { VirtualClock } from "@haremq/kernel";
import type { MessageStore } from "../src/message/message-store.ts";
import type { Queue } from "../src/queue/queue.ts";
import type { DeadLetter, QueueHost } from "../src/queue/queue-host.ts";
import { plainText } from "./text-message.ts";

export class TestHost implements QueueHost {
  readonly clock = new VirtualClock();
  /** "reason:body" of each, oldest first. */
  readonly deadLetters: string[] = [];
  readonly expired: Queue[] = [];
  /** Whether dead letters that must arrive do. */
  canMove = true;
  readonly #messages: MessageStore | undefined;

  /** With the messages of the queue its dead letters leave the store, too. */
  constructor(messages?: MessageStore) {
    this.#messages = messages;
    if (messages !== undefined) messages.nowMs = this.clock.wallMs();
  }

  moveDeadLetter({ view, handle, reason, mustArrive }: DeadLetter): boolean {
    if (mustArrive && !this.canMove) return false;
    this.deadLetters.push(`${reason}:${plainText(view)}`);
    this.#messages?.release(handle);
    return true;
  }

  expire(queue: Queue): void {
    this.expired.push(queue);
  }

  /** Lets time pass, also for messages that come then. */
  advance(ms: number): void {
    this.clock.advance(ms);
    if (this.#messages !== undefined) this.#messages.nowMs = this.clock.wallMs();
  }
}
