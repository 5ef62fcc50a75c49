/**
 * One channel that publishes: as fast as the socket, the confirm window and the rate allow, until
 * its count is reached or it is stopped.
 *
 * It sends in bursts and gives the event loop back between them, because consumers run in the same
 * process. What holds it up calls it again: the socket with `drain`, the broker with an ack, a
 * timer when the next message is due.
 *
 * This is a hot file.
 */

import { randomUUID } from "node:crypto";
import type { Channel, PreparedPublish } from "@haremq/client";
import { ConfirmTimes } from "./confirm-times.ts";
import type { MessageClock } from "./message-clock.ts";
import type { MessageSource } from "./message-source.ts";
import type { Meter } from "./meter.ts";
import { Pacer } from "./pacer.ts";
import type { PerfOptions } from "./perf-options.ts";

const burstMax = 256;
/** A producer that was held up by the broker makes up for at most this much of its rate. */
const catchUpMs = 1000;

export interface ProducerHooks {
  /** The count of --pmessages was sent, and confirmed if that was asked for. */
  onDone(): void;
  onError(error: Error): void;
}

export class Producer {
  readonly #channel: Channel;
  readonly #options: PerfOptions;
  readonly #routingKey: string;
  readonly #source: MessageSource;
  readonly #clock: MessageClock;
  readonly #meter: Meter;
  readonly #hooks: ProducerHooks;
  readonly #prepared: PreparedPublish | undefined;
  readonly #pacer: Pacer | undefined;
  readonly #times: ConfirmTimes | undefined;
  readonly #windowMax: number;
  #timer: NodeJS.Timeout | undefined;
  #sent = 0;
  /** The next burst is scheduled, or a commit is under way that ends in one. */
  #waiting = false;
  /** The socket has enough; `drain` is to come. */
  #saturated = false;
  #stopped = false;
  #done = false;

  constructor(
    channel: Channel,
    options: PerfOptions,
    routingKey: string,
    source: MessageSource,
    clock: MessageClock,
    meter: Meter,
    hooks: ProducerHooks,
  ) {
    this.#channel = channel;
    this.#options = options;
    this.#routingKey = routingKey;
    this.#source = source;
    this.#clock = clock;
    this.#meter = meter;
    this.#hooks = hooks;
    const { sharedProperties } = source;
    const { exchange, mandatory, publishRate, confirmWindow } = options;
    if (sharedProperties !== undefined && !options.randomRoutingKey) {
      this.#prepared = channel.prepare(exchange, routingKey, sharedProperties, { mandatory });
    }
    this.#pacer = publishRate === undefined ? undefined : new Pacer(publishRate, catchUpMs);
    this.#times = confirmWindow === undefined ? undefined : new ConfirmTimes();
    this.#windowMax = confirmWindow || Number.POSITIVE_INFINITY;
  }

  /** Puts the channel into the mode that the options ask for. */
  async prepare(): Promise<void> {
    const channel = this.#channel;
    if (this.#options.producerTxSize > 0) await channel.txSelect();
    channel.on("return", () => {
      this.#meter.returned++;
    });
    channel.on("drain", () => {
      this.#saturated = false;
      if (!this.#waiting) this.#go();
    });
    if (this.#times === undefined) return;
    await channel.confirmSelect();
    channel.on("ack", (tag, multiple) => this.#onAnswer(tag, multiple, true));
    channel.on("nack", (tag, multiple) => this.#onAnswer(tag, multiple, false));
  }

  start(): void {
    this.#go();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  /** How long the oldest publish has been waiting for its confirm, in the clock's units. */
  get unconfirmedFor(): number {
    const oldest = this.#times?.oldestTime ?? 0;
    return oldest === 0 ? 0 : this.#clock.now() - oldest;
  }

  /** Goes on when nothing holds the producer up any more. */
  readonly #go = (): void => {
    this.#waiting = false;
    if (this.#stopped || this.#done || this.#saturated) return;
    const { producerMessages, producerTxSize } = this.#options;
    const limit = producerMessages ?? Number.POSITIVE_INFINITY;
    let burst = this.#pacer === undefined ? burstMax : this.#dueNow();
    while (burst > 0 && this.#sent < limit) {
      if (this.#times !== undefined && this.#times.unanswered >= this.#windowMax) return;
      burst--;
      this.#saturated = !this.#send();
      if (producerTxSize > 0 && this.#sent % producerTxSize === 0) {
        this.#commit();
        return;
      }
      if (this.#saturated) break;
    }
    if (this.#sent >= limit) this.#finish();
    else if (!this.#saturated) this.#schedule();
  };

  #dueNow(): number {
    return Math.min(burstMax, (this.#pacer as Pacer).due(performance.now()));
  }

  #send(): boolean {
    const source = this.#source;
    const body = source.next();
    this.#sent++;
    this.#meter.sent++;
    this.#pacer?.count();
    this.#times?.add(source.time);
    if (this.#prepared !== undefined) return this.#prepared.publish(body);
    const { exchange, mandatory, randomRoutingKey } = this.#options;
    const key = randomRoutingKey ? randomUUID() : this.#routingKey;
    return this.#channel.basicPublish(exchange, key, body, source.properties, { mandatory });
  }

  #schedule(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    const delayMs = this.#pacer?.delayMs(performance.now()) ?? 0;
    // A timer is late rather than early, and a millisecond at least; the pacer makes up for it.
    if (delayMs > 0) this.#timer = setTimeout(this.#go, Math.floor(delayMs));
    else setImmediate(this.#go);
  }

  #onAnswer(tag: number, multiple: boolean, acked: boolean): void {
    const now = this.#clock.now();
    this.#times?.answer(tag, multiple, (time) => {
      if (acked) {
        this.#meter.confirmed++;
        this.#meter.recordConfirmLatency(now - time);
      } else {
        this.#meter.nacked++;
      }
    });
    if (!this.#waiting) this.#go();
  }

  #commit(): void {
    this.#waiting = true;
    this.#channel.txCommit().then(this.#go, (error: Error) => this.#hooks.onError(error));
  }

  #finish(): void {
    if (this.#done || (this.#times !== undefined && this.#times.unanswered > 0)) return;
    this.#done = true;
    const { producerTxSize } = this.#options;
    if (producerTxSize === 0 || this.#sent % producerTxSize === 0) {
      this.#hooks.onDone();
      return;
    }
    this.#channel.txCommit().then(
      () => this.#hooks.onDone(),
      (error: Error) => this.#hooks.onError(error),
    );
  }
}
