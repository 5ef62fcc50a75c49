/**
 * What a queue is to do with its messages, as its arguments and its policy say it together: of two
 * limits the lower one holds, of two other values the argument. Made anew when a policy changes.
 */

import { type FieldTable, fieldText } from "@haremq/wire";
import { deduplicationHeader, isDeduplicated } from "../deduplication/deduplication-arguments.ts";
import type { EffectivePolicy } from "../policy/effective-policy.ts";
import { isIntegerField } from "./argument-checks.ts";
import { type RetrySettings, retrySettings } from "./retry-settings.ts";

/** As in RabbitMQ 4. */
const quorumDeliveryLimit = 20;

export type Overflow = "drop-head" | "reject-publish" | "reject-publish-dlx";

/** Limits are Infinity where there is none. */
export interface QueueSettings {
  /** How long a message may wait. */
  readonly messageTtlMs: number;
  /** How long the queue may go unused. */
  readonly expiresMs: number;
  /** Ready messages, and bytes of their bodies. */
  readonly lengthMax: number;
  readonly bytesMax: number;
  readonly overflow: Overflow;
  readonly deadLetterExchange: string | undefined;
  readonly deadLetterRoutingKey: string | undefined;
  /** A dead letter stays until all its targets have it. */
  readonly deadLettersAtLeastOnce: boolean;
  /** How often a message may come back. */
  readonly deliveryLimit: number;
  /** What is rejected is tried again, if it is. */
  readonly retry: RetrySettings | undefined;
  /** The header that no two messages in the queue may share the value of. */
  readonly deduplicationHeader: string | undefined;
  /** Messages expire wherever they stand, not only when their turn comes. */
  readonly expiresAnywhere: boolean;
}

export function queueSettings(args: FieldTable, policy: EffectivePolicy): QueueSettings {
  const limit = (key: string): number =>
    Math.min(integerArgument(args, key), integerOf(policy, key));
  const text = (key: string): string | undefined =>
    fieldText(args.get(`x-${key}`)) ?? textOf(policy, key);
  return {
    messageTtlMs: limit("message-ttl"),
    expiresMs: limit("expires"),
    lengthMax: limit("max-length"),
    bytesMax: limit("max-length-bytes"),
    overflow: (text("overflow") ?? "drop-head") as Overflow,
    deadLetterExchange: text("dead-letter-exchange"),
    deadLetterRoutingKey: text("dead-letter-routing-key"),
    deadLettersAtLeastOnce: text("dead-letter-strategy") === "at-least-once",
    deliveryLimit: deliveryLimit(args, policy),
    retry: retrySettings(args, policy),
    deduplicationHeader: isDeduplicated({ arguments: args, policy })
      ? deduplicationHeader({ arguments: args, policy })
      : undefined,
    expiresAnywhere: isSet(args, policy, "expire-anywhere"),
  };
}

/** Quorum queues have a limit unless they are told to have none, by a negative number. */
function deliveryLimit(args: FieldTable, policy: EffectivePolicy): number {
  const isQuorum = fieldText(args.get("x-queue-type")) === "quorum";
  const usual = isQuorum ? quorumDeliveryLimit : Number.POSITIVE_INFINITY;
  const isGiven = args.has("x-delivery-limit") || policy.get("delivery-limit") !== undefined;
  if (!isGiven) return usual;
  const limits = [integerArgument(args, "delivery-limit"), integerOf(policy, "delivery-limit")];
  return Math.min(...limits.map((limit) => (limit < 0 ? Number.POSITIVE_INFINITY : limit)));
}

/** An integer argument of a queue, Infinity if it has none. */
export function integerArgument(args: FieldTable, key: string): number {
  const field = args.get(`x-${key}`);
  if (field === undefined || !isIntegerField(field)) return Number.POSITIVE_INFINITY;
  return Number(field.value);
}

function integerOf(policy: EffectivePolicy, key: string): number {
  const value = policy.get(key);
  return typeof value === "number" ? value : Number.POSITIVE_INFINITY;
}

function textOf(policy: EffectivePolicy, key: string): string | undefined {
  const value = policy.get(key);
  return typeof value === "string" ? value : undefined;
}

function isSet(args: FieldTable, policy: EffectivePolicy, key: string): boolean {
  return (args.get(`x-${key}`)?.value ?? policy.get(key)) === true;
}
