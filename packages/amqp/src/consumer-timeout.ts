/**
 * How long a delivery may stay unsettled: what the consumer was made with (`x-consumer-timeout`),
 * else the smaller of its queue's argument and its queue's policy (`consumer-timeout`), else the
 * configured default. Infinity for a delivery that may stay so forever, which a 0 says anywhere.
 * Delivery watches ask.
 */

import type { Consumer } from "@haremq/broker";

export function consumerTimeoutMs(consumer: Consumer, defaultMs: number): number {
  const { queue } = consumer;
  const own = timeoutMs(consumer.arguments.get("x-consumer-timeout")?.value);
  if (own !== undefined) return own;
  const byArgument = timeoutMs(queue.arguments.get("x-consumer-timeout")?.value);
  const byPolicy = timeoutMs(queue.policy.get("consumer-timeout"));
  if (byArgument === undefined) return byPolicy ?? defaultMs;
  return byPolicy === undefined ? byArgument : Math.min(byArgument, byPolicy);
}

/** Values that are no timeouts are taken with the declaration, as in RabbitMQ 3.x, and ignored. */
function timeoutMs(value: unknown): number | undefined {
  const ms = typeof value === "bigint" ? Number(value) : value;
  if (typeof ms !== "number" || !Number.isInteger(ms) || ms < 0) return undefined;
  return ms === 0 ? Number.POSITIVE_INFINITY : ms;
}
