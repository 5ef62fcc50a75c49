/**
 * A consumer's other end for tests of queues: it writes down what it is sent, and settles and wakes
 * as an adapter would. Its room and its shared prefetch limit are switched by the test.
 */

import assert from "node:assert/strict";
import { FieldTable } from "@haremq/wire";
import { Consumer, type ConsumerOptions, type ConsumerSink } from "../src/consumer/consumer.ts";
import { type MessageView, unstored } from "../src/message/message-view.ts";
import type { Queue } from "../src/queue/queue.ts";
import { bodyText } from "./text-message.ts";

export interface Delivery {
  readonly consumer: Consumer;
  readonly body: string;
  readonly handle: number;
  readonly sequence: number;
  readonly redelivered: boolean;
}

export type Settlement = "acknowledge" | "reject" | "requeue";

export class RecordingSink implements ConsumerSink {
  readonly #read: (view: MessageView) => string;
  writable = true;
  withinPrefetch = true;
  /** Whether a parked consumer is woken when a settlement gives it credit. */
  wakes = true;
  /** Everything ever delivered, in order. */
  readonly deliveries: Delivery[] = [];
  /** What is owed a settlement. */
  readonly unsettled: Delivery[] = [];
  /** Every time a consumer was parked, in order. */
  readonly parked: Consumer[] = [];
  readonly cancellations: Consumer[] = [];

  /** `read` gives the body of what comes. */
  constructor(read: (view: MessageView) => string = bodyText) {
    this.#read = read;
  }

  deliver(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    assert.equal(handle === unstored, consumer.noAck, "a handle is for those who settle");
    assert.ok(this.writable, "nothing is sent while there is no room");
    const delivery = { consumer, body: this.#read(view), handle, sequence, redelivered };
    this.deliveries.push(delivery);
    if (!consumer.noAck) this.unsettled.push(delivery);
  }

  park(consumer: Consumer): void {
    assert.ok(consumer.parked, "the consumer knows that it is parked");
    this.parked.push(consumer);
  }

  cancelled(consumer: Consumer): void {
    this.cancellations.push(consumer);
  }

  /** Settles and, as an adapter does, wakes the consumer if that gave it credit. */
  settle(settlement: Settlement, delivery: Delivery): void {
    const { consumer, handle, sequence } = delivery;
    const at = this.unsettled.indexOf(delivery);
    assert.ok(at >= 0, "a delivery is settled once");
    this.unsettled.splice(at, 1);
    consumer.queue[settlement](handle, sequence);
    consumer.regainCredit();
    if (this.wakes && consumer.parked && consumer.canTake) consumer.queue.wake(consumer);
  }
}

/** A consumer, by default one that acknowledges without limit. */
export function testConsumer(
  queue: Queue,
  sink: ConsumerSink,
  options: Partial<ConsumerOptions> = {},
): Consumer {
  return new Consumer(queue, sink, {
    tag: "ctag",
    noAck: false,
    exclusive: false,
    priority: 0,
    prefetch: 0,
    arguments: new FieldTable(),
    ...options,
  });
}
