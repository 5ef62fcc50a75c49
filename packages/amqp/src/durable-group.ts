/**
 * The part of a transaction that has to survive a restart: persistent publishes to durable queues,
 * and settlements of what durable queues have delivered. The store writes it as one group, which
 * counts after a crash as a whole or not at all. Channels use it at commit.
 */

import {
  type ConfirmLevel,
  type MessageKeeper,
  type MessageStore,
  type Queue,
  survivesIn,
} from "@haremq/broker";
import type { PendingPublish, PendingSettlement } from "./transaction.ts";

/** A publish and the queues that get it. */
export interface RoutedPublish {
  readonly publish: PendingPublish;
  readonly queues: readonly Queue[];
  readonly keepers: readonly MessageKeeper[];
}

export class DurableGroup {
  #messages = 0;
  #targets = 0;
  #bytes = 0;
  readonly #handles: number[] = [];
  readonly #queues: number[] = [];

  /** Undefined when nothing of the transaction is to survive. */
  static of(
    publishes: readonly RoutedPublish[],
    settlements: readonly PendingSettlement[],
  ): DurableGroup | undefined {
    const group = new DurableGroup();
    for (const { publish, queues, keepers } of publishes) {
      const { isPersistent, bytes } = publish;
      const before = group.#messages;
      let targets = queues.filter((queue) => survivesIn(queue, isPersistent)).length;
      if (isPersistent) {
        for (const { storeNumber, ownRecordBytes } of keepers) {
          if (ownRecordBytes > 0) group.#count(1, ownRecordBytes);
          if (storeNumber !== 0) targets++;
        }
      }
      if (targets > 0) group.#count(targets, bytes);
      if (group.#messages === before) continue;
      for (const { ownRecordBytes } of publish.receipts) {
        if (ownRecordBytes > 0) group.#count(1, ownRecordBytes);
      }
    }
    for (const { settlement, consumer, handle } of settlements) {
      const { storeNumber, deliversCopies } = consumer.queue;
      if (settlement === "requeue" || storeNumber === 0 || deliversCopies) continue;
      // It goes with its dead letter.
      if (settlement === "reject" && consumer.queue.keepsRejected) continue;
      group.#handles.push(handle);
      group.#queues.push(storeNumber);
    }
    return group.#messages + group.#handles.length === 0 ? undefined : group;
  }

  #count(targets: number, bytes: number): void {
    this.#messages++;
    this.#targets += targets;
    this.#bytes += bytes;
  }

  begin(store: MessageStore): void {
    store.beginGroup(this.#messages, this.#targets, this.#bytes, this.#handles.length);
  }

  end(store: MessageStore, level: ConfirmLevel): void {
    store.endGroup(this.#handles, this.#queues, level);
  }
}
