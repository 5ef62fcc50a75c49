/**
 * Drives one stream for tests, with its files in memory and a clock that the test turns. What a
 * consumer gets is written down, with everything that a client would see of it.
 */

import assert from "node:assert/strict";
import { setImmediate as settled } from "node:timers/promises";
import { VirtualClock } from "@haremq/kernel";
import {
  decodeProperties,
  encodeProperties,
  FieldTable,
  type Properties,
  WireReader,
  WireWriter,
} from "@haremq/wire";
import { Consumer, type ConsumerOptions, type ConsumerSink } from "../src/consumer/consumer.ts";
import { MessageStore } from "../src/message/message-store.ts";
import { MessageView } from "../src/message/message-view.ts";
import type { StreamQueue } from "../src/queue/stream/stream-queue.ts";
import { queueSpec } from "./queue-rig.ts";
import { streamsFor } from "./streams-for.ts";

export interface StreamDelivery {
  readonly body: string;
  readonly offset: number;
  readonly handle: number;
  readonly properties: Properties;
}

export interface StreamMessage {
  readonly body: string;
  readonly headers?: Record<string, unknown>;
  readonly properties?: Properties;
}

export class StreamRig {
  readonly messages: MessageStore;
  readonly clock: VirtualClock;
  readonly queue: StreamQueue;

  private constructor(messages: MessageStore, clock: VirtualClock, queue: StreamQueue) {
    this.messages = messages;
    this.clock = clock;
    this.queue = queue;
  }

  static async create(args: Record<string, unknown> = {}): Promise<StreamRig> {
    const messages = new MessageStore();
    const clock = new VirtualClock();
    const streams = streamsFor(messages, clock);
    const spec = queueSpec({
      durable: true,
      arguments: FieldTable.from({ "x-queue-type": "stream", ...args }),
    });
    return new StreamRig(messages, clock, await streams.create(spec));
  }

  /** Publishes, and waits until it can be seen. */
  async publish(...given: (string | StreamMessage)[]): Promise<void> {
    this.messages.nowMs = this.clock.wallMs();
    for (const each of given) {
      this.queue.publish(streamMessage(typeof each === "string" ? { body: each } : each));
    }
    await settled();
  }

  /** Lets time pass, and all that is due then come to its end. */
  async advance(ms: number): Promise<void> {
    this.clock.advance(ms);
    await this.settle();
  }

  /** Lets all that is under way come to its end. */
  async settle(): Promise<void> {
    for (let i = 0; i < 20; i++) await settled();
  }

  /** Has everything written, and out of memory. */
  async write(): Promise<void> {
    await this.advance(5000);
  }

  consume(
    args: Record<string, unknown> = { "x-stream-offset": "first" },
    options: Partial<ConsumerOptions> = {},
  ): StreamSink {
    const sink = new StreamSink(this.queue, { ...options, arguments: FieldTable.from(args) });
    this.queue.subscribe(sink.consumer);
    return sink;
  }
}

/** A consumer of a stream, and what it has got. */
export class StreamSink implements ConsumerSink {
  readonly consumer: Consumer;
  writable = true;
  withinPrefetch = true;
  readonly deliveries: StreamDelivery[] = [];
  readonly unsettled: StreamDelivery[] = [];
  isCancelled = false;
  parkedCount = 0;

  constructor(queue: StreamQueue, options: Partial<ConsumerOptions>) {
    this.consumer = new Consumer(queue, this, {
      tag: "tag",
      noAck: false,
      exclusive: false,
      priority: 0,
      prefetch: 1000,
      arguments: new FieldTable(),
      ...options,
    });
  }

  /** "3:c 4:d": offsets and bodies. */
  get seen(): string {
    return this.deliveries.map(({ offset, body }) => `${offset}:${body}`).join(" ");
  }

  deliver(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    assert.equal(consumer, this.consumer);
    assert.ok(!redelivered && this.writable);
    const { body, bodyStart, bodyLength, propertiesStart, propertiesLength } = view;
    const end = propertiesStart + propertiesLength;
    const properties = decodeProperties(new WireReader(view.properties, propertiesStart, end));
    const header = properties.headers?.get("x-stream-offset");
    assert.deepEqual(header, { type: "l", value: sequence });
    const text = body.toString("utf8", bodyStart, bodyStart + bodyLength);
    const delivery = { body: text, offset: sequence, handle, properties };
    this.deliveries.push(delivery);
    this.unsettled.push(delivery);
  }

  park(consumer: Consumer): void {
    assert.ok(consumer.parked);
    this.parkedCount++;
  }

  cancelled(): void {
    this.isCancelled = true;
  }

  /** Settles the deliveries with these offsets; without any, all of them. */
  settle(how: "acknowledge" | "reject" | "requeue", ...offsets: number[]): void {
    const { queue } = this.consumer;
    for (const delivery of [...this.unsettled]) {
      if (offsets.length > 0 && !offsets.includes(delivery.offset)) continue;
      this.unsettled.splice(this.unsettled.indexOf(delivery), 1);
      queue[how](delivery.handle, delivery.offset);
      this.consumer.regainCredit();
    }
    if (this.consumer.parked && this.consumer.canTake) queue.wake(this.consumer);
  }

  end(): void {
    this.consumer.queue.unsubscribe(this.consumer);
  }
}

export function streamMessage({ body, headers, properties = {} }: StreamMessage): MessageView {
  const view = new MessageView();
  view.address = Buffer.from("\x01e\x01k", "latin1");
  view.addressLength = view.address.length;
  const writer = new WireWriter(256);
  const table = headers && { headers: FieldTable.from(headers) };
  encodeProperties(writer, { ...properties, ...table });
  view.properties = writer.take();
  view.propertiesLength = view.properties.length;
  view.body = Buffer.from(body);
  view.bodyLength = view.body.length;
  return view;
}
