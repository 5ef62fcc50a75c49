/**
 * One channel that consumes: counts messages, tells their latency and acknowledges them, each, many
 * at once, or not at all; at a rate if that was asked for.
 *
 * A limited rate must not make messages pile up here: with acknowledgements the broker waits,
 * without them the connection stops reading while too many wait.
 *
 * This is a hot file.
 */

import type { Channel, Delivery, Consumer as Subscription } from "@haremq/client";
import { type MessageClock, readStamp } from "./message-clock.ts";
import { timeHeader } from "./message-source.ts";
import type { Meter } from "./meter.ts";
import { Pacer } from "./pacer.ts";
import type { PerfOptions } from "./perf-options.ts";
import type { ReadGate } from "./read-gate.ts";

const waitingMax = 2000;
/** A consumer that had nothing to do for a while does not work faster afterwards. */
const catchUpMs = 50;

export interface ConsumerHooks {
  /** The count of --cmessages was received. */
  onDone(): void;
  onError(error: Error): void;
}

/** A message that the rate does not allow to be looked at yet. */
interface Waiting {
  readonly deliveryTag: number;
  readonly time: number | undefined;
}

export class Consumer {
  readonly #gate: ReadGate;
  readonly #channel: Channel;
  readonly #options: PerfOptions;
  readonly #queues: readonly string[];
  readonly #clock: MessageClock;
  readonly #meter: Meter;
  readonly #hooks: ConsumerHooks;
  readonly #pacer: Pacer | undefined;
  readonly #limit: number;
  readonly #ackEvery: number;
  #subscriptions: Subscription[] = [];
  #waiting: Waiting[] = [];
  #nextWaiting = 0;
  #holding = false;
  #timer: NodeJS.Timeout | undefined;
  #received = 0;
  #unacked = 0;
  #lastTag = 0;
  #acks = 0;
  #done = false;

  constructor(
    gate: ReadGate,
    channel: Channel,
    options: PerfOptions,
    queues: readonly string[],
    clock: MessageClock,
    meter: Meter,
    hooks: ConsumerHooks,
  ) {
    this.#gate = gate;
    this.#channel = channel;
    this.#options = options;
    this.#queues = queues;
    this.#clock = clock;
    this.#meter = meter;
    this.#hooks = hooks;
    const { consumeRate, consumerLatencyUs } = options;
    const slowest = Math.max(1e6 / (consumeRate ?? Number.POSITIVE_INFINITY), consumerLatencyUs);
    this.#pacer = slowest > 0 ? new Pacer(1e6 / slowest, catchUpMs) : undefined;
    this.#limit = options.consumerMessages ?? Number.POSITIVE_INFINITY;
    this.#ackEvery = options.multiAckEvery || 1;
  }

  async start(): Promise<void> {
    const { prefetch, channelPrefetch, autoAck, consumerTxSize } = this.#options;
    const channel = this.#channel;
    if (consumerTxSize > 0) await channel.txSelect();
    if (prefetch > 0) await channel.basicQos(prefetch);
    if (channelPrefetch > 0) await channel.basicQos(channelPrefetch, { global: true });
    const options = { noAck: autoAck, borrowBody: true, onCancel: () => this.#onCancel() };
    for (const queue of this.#queues) {
      this.#subscriptions.push(await channel.basicConsume(queue, options, this.#onDelivery));
    }
  }

  stop(): void {
    this.#done = true;
    clearTimeout(this.#timer);
    this.#release();
  }

  readonly #onDelivery = (delivery: Delivery): void => {
    if (this.#done) return;
    if (this.#pacer === undefined) {
      this.#process(delivery.deliveryTag, timeOf(delivery));
      return;
    }
    this.#waiting.push({ deliveryTag: delivery.deliveryTag, time: timeOf(delivery) });
    if (this.#waiting.length - this.#nextWaiting === 1) this.#processDue();
    if (this.#waiting.length - this.#nextWaiting >= waitingMax) this.#hold();
  };

  #process(deliveryTag: number, time: number | undefined): void {
    const meter = this.#meter;
    meter.received++;
    if (time !== undefined) {
      const latency = this.#clock.since(time);
      if (latency !== undefined) meter.recordConsumerLatency(latency);
    }
    this.#received++;
    if (!this.#options.autoAck) this.#acknowledge(deliveryTag);
    if (this.#received >= this.#limit) this.#finish();
  }

  #acknowledge(deliveryTag: number): void {
    this.#unacked++;
    this.#lastTag = deliveryTag;
    if (this.#unacked >= this.#ackEvery) this.#acknowledgeAll();
  }

  #acknowledgeAll(): void {
    if (this.#unacked === 0) return;
    this.#channel.ack(this.#lastTag, this.#unacked > 1);
    this.#unacked = 0;
    this.#acks++;
    const { consumerTxSize } = this.#options;
    if (consumerTxSize > 0 && this.#acks % consumerTxSize === 0) this.#commit();
  }

  /** Looks at the waiting messages that are due, and comes back when the next one is. */
  readonly #processDue = (): void => {
    const pacer = this.#pacer as Pacer;
    const due = pacer.due(performance.now());
    for (let i = 0; i < due && this.#nextWaiting < this.#waiting.length && !this.#done; i++) {
      const { deliveryTag, time } = this.#waiting[this.#nextWaiting++] as Waiting;
      pacer.count();
      this.#process(deliveryTag, time);
    }
    if (this.#nextWaiting * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#nextWaiting);
      this.#nextWaiting = 0;
    }
    if (this.#waiting.length < waitingMax / 2) this.#release();
    if (this.#waiting.length === 0 || this.#done) return;
    this.#timer = setTimeout(this.#processDue, Math.floor(pacer.delayMs(performance.now())));
  };

  #hold(): void {
    if (this.#holding) return;
    this.#holding = true;
    this.#gate.hold();
  }

  #release(): void {
    if (!this.#holding) return;
    this.#holding = false;
    this.#gate.release();
  }

  #finish(): void {
    this.#done = true;
    this.#release();
    this.#acknowledgeAll();
    const cancelled = this.#subscriptions.map((subscription) => subscription.cancel());
    if (this.#options.consumerTxSize > 0) cancelled.push(this.#channel.txCommit());
    Promise.all(cancelled).then(
      () => this.#hooks.onDone(),
      (error: Error) => this.#hooks.onError(error),
    );
  }

  #commit(): void {
    this.#channel.txCommit().catch((error: Error) => this.#hooks.onError(error));
  }

  #onCancel(): void {
    if (!this.#done) this.#hooks.onError(new Error("the broker cancelled a consumer"));
  }
}

/** When the message was sent: from its body, or from the header that messages of files have. */
function timeOf(delivery: Delivery): number | undefined {
  const header = delivery.properties.headers?.get(timeHeader);
  if (header?.type === "l") return Number(header.value);
  return readStamp(delivery.body);
}
