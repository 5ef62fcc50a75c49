/**
 * Sees to it that the deliveries of one channel do not stay unsettled longer than the consumer
 * timeout. While something is unsettled it looks now and then (`looksPerTimeout`); it has no timer
 * otherwise. A delivery costs it nothing but the first of a consumer, which the channel announces.
 *
 * A timeout is never taken for over too early, and noticed at most a 32nd of it, or a minute, too
 * late. In a channel with very different timeouts the longest can be off by some more percent (see
 * delivery-ages.ts).
 */

import type { DeliveryLedger } from "@haremq/broker";
import type { Clock, Timer } from "@haremq/kernel";
import type { AmqpConsumer } from "./amqp-consumer.ts";
import { consumerTimeoutMs } from "./consumer-timeout.ts";
import { DeliveryAges } from "./delivery-ages.ts";

const looksPerTimeout = 32;
/** Policies change timeouts: that is noticed no later. */
const lookMsMax = 60_000;

export interface WatchedChannel {
  readonly clock: Clock;
  /** The timeout of queues that have none of their own; Infinity for none. */
  readonly consumerTimeoutMs: number;
  readonly ledger: DeliveryLedger;
  readonly latestDeliveryTag: number;
  /** Ends the channel, or returns false if that has to wait for a moment. */
  onTimeout(consumer: AmqpConsumer, deliveryTag: number, timeoutMs: number): boolean;
}

export class DeliveryWatch {
  readonly #channel: WatchedChannel;
  readonly #ages = new DeliveryAges();
  /** Those who had unsettled deliveries when it last looked, or since. */
  readonly #consumers = new Set<AmqpConsumer>();
  #timer: Timer | undefined;
  #nextLookMs = 0;

  constructor(channel: WatchedChannel) {
    this.#channel = channel;
  }

  /** The consumer has the latest delivery, and is not watched yet. */
  add(consumer: AmqpConsumer): void {
    consumer.isWatched = true;
    this.#consumers.add(consumer);
    const { clock, latestDeliveryTag, consumerTimeoutMs: defaultMs } = this.#channel;
    this.#ages.mark(latestDeliveryTag, clock.nowMs());
    this.#lookIn(lookMs(consumerTimeoutMs(consumer, defaultMs)));
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#consumers.clear();
  }

  /** Looks again after this time, unless it does so before anyway. */
  #lookIn(delayMs: number): void {
    const { clock } = this.#channel;
    const atMs = clock.nowMs() + delayMs;
    if (this.#timer !== undefined) {
      if (this.#nextLookMs <= atMs) return;
      this.#timer.cancel();
    }
    this.#nextLookMs = atMs;
    this.#timer = clock.schedule(delayMs, () => this.#look());
  }

  #look(): void {
    this.#timer = undefined;
    const { clock, ledger, latestDeliveryTag, consumerTimeoutMs: defaultMs } = this.#channel;
    const shortestMs = this.#shortestTimeoutMs();
    if (this.#consumers.size === 0) {
      this.#ages.clear();
      return;
    }
    const nowMs = clock.nowMs();
    this.#ages.mark(latestDeliveryTag, nowMs);
    // Nothing beyond it is old enough for anybody.
    const lastTag = this.#ages.latestBy(nowMs - shortestMs);
    let delayMs = lookMs(shortestMs);
    for (const { tag, consumer } of ledger.unsettled()) {
      const timeoutMs = consumerTimeoutMs(consumer, defaultMs);
      const leftMs = this.#ages.deliveredBy(tag) + timeoutMs - nowMs;
      if (leftMs <= 0) {
        if (this.#channel.onTimeout(consumer as AmqpConsumer, tag, timeoutMs)) return;
        break;
      }
      delayMs = Math.min(delayMs, leftMs);
      if (tag > lastTag) break;
    }
    this.#lookIn(delayMs);
  }

  /** Of the consumers that have unsettled deliveries; the others are not watched any more. */
  #shortestTimeoutMs(): number {
    let shortestMs = Number.POSITIVE_INFINITY;
    for (const consumer of this.#consumers) {
      if (consumer.unsettled > 0) {
        const timeoutMs = consumerTimeoutMs(consumer, this.#channel.consumerTimeoutMs);
        shortestMs = Math.min(shortestMs, timeoutMs);
      } else {
        consumer.isWatched = false;
        this.#consumers.delete(consumer);
      }
    }
    return shortestMs;
  }
}

function lookMs(timeoutMs: number): number {
  return Math.min(timeoutMs / looksPerTimeout, lookMsMax);
}
