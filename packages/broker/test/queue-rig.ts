/**
 * Drives one queue for the contract suites: every verb goes through the rig, which keeps books of
 * its own and compares all counts of the queue with them after each. `finish` finds out whether a
 * message was lost or leaked.
 */

import assert from "node:assert/strict";
import { FieldTable } from "@haremq/wire";
import type { Consumer, ConsumerOptions } from "../src/consumer/consumer.ts";
import { MessageStore } from "../src/message/message-store.ts";
import { MessageView } from "../src/message/message-view.ts";
import type { PulledMessage, Queue, QueueSpec } from "../src/queue/queue.ts";
import type { QueueHost } from "../src/queue/queue-host.ts";
import { type Delivery, RecordingSink, type Settlement, testConsumer } from "./recording-sink.ts";
import { TestHost } from "./test-host.ts";
import { bodyText, textMessage } from "./text-message.ts";

export type QueueFactory = (spec: QueueSpec, messages: MessageStore, host: QueueHost) => Queue;

export interface Pull extends PulledMessage {
  readonly body: string;
}

export function queueSpec(given: Partial<QueueSpec> = {}): QueueSpec {
  return {
    name: "q",
    durable: false,
    exclusiveOwner: null,
    autoDelete: false,
    arguments: new FieldTable(),
    ...given,
  };
}

export class QueueRig {
  readonly messages = new MessageStore();
  readonly host = new TestHost(this.messages);
  readonly queue: Queue;
  /** Where consumers end unless a test gives them a sink of their own. */
  readonly sink = new RecordingSink();
  readonly #sinks = new Set([this.sink]);
  readonly #pulled: PulledMessage[] = [];
  readonly #consumers = new Set<Consumer>();
  readonly #view = new MessageView();
  #published = 0;
  #acknowledged = 0;
  /** Messages that have left for good: settled, sent to who settles nothing, or purged. */
  #gone = 0;
  #pulls = 0;
  #redeliveredPulls = 0;

  constructor(createQueue: QueueFactory, args: Record<string, unknown> = {}) {
    const spec = queueSpec({ arguments: FieldTable.from(args) });
    this.queue = createQueue(spec, this.messages, this.host);
    this.check();
  }

  publish(...bodies: string[]): void {
    for (const body of bodies) {
      this.queue.publish(textMessage(body));
      this.#published++;
      this.check();
    }
  }

  consume(options: Partial<ConsumerOptions> = {}, sink = this.sink): Consumer {
    const consumer = testConsumer(this.queue, sink, options);
    this.#sinks.add(sink);
    this.#consumers.add(consumer);
    this.queue.subscribe(consumer);
    this.check();
    return consumer;
  }

  cancel(consumer: Consumer): void {
    this.#consumers.delete(consumer);
    this.queue.unsubscribe(consumer);
    this.check();
  }

  wake(consumer: Consumer): void {
    this.queue.wake(consumer);
    this.check();
  }

  serve(): void {
    this.queue.serve();
    this.check();
  }

  /** Settles deliveries of the rig's own sink, named by their bodies. */
  settle(settlement: Settlement, ...bodies: string[]): void {
    for (const body of bodies) {
      this.#noteSettled(settlement);
      this.sink.settle(settlement, this.delivery(body));
      this.check();
    }
  }

  /** The unsettled delivery of a message. */
  delivery(body: string): Delivery {
    const found = this.sink.unsettled.find((delivery) => delivery.body === body);
    assert.ok(found, `${body} is delivered and not settled`);
    return found;
  }

  /** Takes the first ready message. Without `noAck` it is owed a `settlePull`. */
  get(noAck = false): Pull | undefined {
    const pulled = this.queue.get(noAck, this.#view);
    if (pulled === undefined) {
      this.check();
      return undefined;
    }
    const body = bodyText(this.#view);
    this.#pulls++;
    if (pulled.redelivered) this.#redeliveredPulls++;
    if (noAck) this.#gone++;
    else this.#pulled.push(pulled);
    this.check();
    return { ...pulled, body };
  }

  /** The next message without acknowledgement, as "body", with a star if it was redelivered. */
  drain(): string[] {
    const bodies: string[] = [];
    for (let pull = this.get(true); pull !== undefined; pull = this.get(true)) {
      bodies.push(`${pull.body}${pull.redelivered ? "*" : ""}`);
    }
    return bodies;
  }

  settlePull(settlement: Settlement, pull: PulledMessage): void {
    const at = this.#pulled.findIndex(({ sequence }) => sequence === pull.sequence);
    assert.ok(at >= 0, "a pull is settled once");
    this.#pulled.splice(at, 1);
    this.#noteSettled(settlement);
    this.queue[settlement](pull.handle, pull.sequence);
    this.check();
  }

  purge(): number {
    const count = this.queue.purge();
    this.#gone += count;
    this.check();
    return count;
  }

  close(): number {
    this.#consumers.clear();
    const count = this.queue.close();
    this.#gone += count;
    this.check();
    return count;
  }

  /** Who of the rig's own sink got what, as "tag:body", with a star if it was redelivered. */
  get log(): string[] {
    return this.sink.deliveries.map(
      ({ consumer, body, redelivered }) => `${consumer.tag}:${body}${redelivered ? "*" : ""}`,
    );
  }

  /** The counts of the queue against the rig's. */
  check(): void {
    const { queue } = this;
    const sinks = [...this.#sinks];
    const deliveries = sinks.flatMap((sink) => sink.deliveries);
    const pushed = sinks.flatMap((sink) => sink.unsettled).length;
    const unsettled = pushed + this.#pulled.length;
    const unacknowledged = deliveries.filter(({ consumer }) => consumer.noAck).length;
    const ready = this.#published - this.#gone - unacknowledged - unsettled;
    assert.equal(queue.unsettledCount, unsettled, "unsettledCount");
    assert.equal(queue.readyCount, ready, "readyCount");
    assert.equal(queue.consumerCount, this.#consumers.size, "consumerCount");
    assert.deepEqual([...queue.consumers()], [...this.#consumers], "consumers()");
    const redelivered = deliveries.filter((delivery) => delivery.redelivered).length;
    assert.deepEqual(queue.counts, {
      published: this.#published,
      delivered: deliveries.length + this.#pulls,
      redelivered: redelivered + this.#redeliveredPulls,
      acknowledged: this.#acknowledged,
    });
    assert.equal(this.messages.liveMessages, ready + unsettled, "messages in the store");
  }

  /** Ends the queue and settles what is left; then nothing may remain. */
  finish(): void {
    if (!this.queue.deleted) this.close();
    for (const sink of this.#sinks) {
      for (const delivery of [...sink.unsettled]) {
        this.#noteSettled("acknowledge");
        sink.settle("acknowledge", delivery);
      }
    }
    for (const pull of [...this.#pulled]) this.settlePull("reject", pull);
    this.check();
    assert.equal(this.messages.liveMessages, 0, "no message is leaked");
    assert.equal(this.queue.unsettledCount, 0, "everything is settled");
  }

  #noteSettled(settlement: Settlement): void {
    if (settlement === "acknowledge") this.#acknowledged++;
    if (settlement !== "requeue" || this.queue.deleted) this.#gone++;
  }
}
