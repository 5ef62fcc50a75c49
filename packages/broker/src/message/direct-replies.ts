/**
 * Direct reply-to: requesters that take replies without a queue. A requester registers and is given
 * an address; whoever publishes to that address, with the default exchange, reaches the requester
 * at once or not at all. Adapters register; the publish path looks up.
 */

import type { Random } from "@haremq/kernel";
import type { MessageView } from "./message-view.ts";

/** The name that a requester consumes from and gives as reply-to. */
export const replyQueueName = "amq.rabbitmq.reply-to";
const addressPrefix = `${replyQueueName}.`;

/** Who receives replies; the view is only valid during the call. */
export type ReplyTarget = (view: MessageView) => void;

export class DirectReplies {
  readonly #targets = new Map<string, ReplyTarget>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Returns the address that replies are to be published to. */
  register(target: ReplyTarget): string {
    const address = addressPrefix + this.#random.bytes(24).toString("base64url");
    this.#targets.set(address, target);
    return address;
  }

  unregister(address: string): void {
    this.#targets.delete(address);
  }

  find(address: string): ReplyTarget | undefined {
    return this.#targets.get(address);
  }

  static isAddress(name: string): boolean {
    return name.startsWith(addressPrefix);
  }
}
