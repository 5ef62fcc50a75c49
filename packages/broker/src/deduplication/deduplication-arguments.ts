/**
 * What is asked of deduplication, by an exchange's type, arguments or policy, in the words of
 * RabbitMQ's plugin and of LavinMQ:
 *
 *     type x-message-deduplication     an exchange that gives every binding what is new
 *     x-message-deduplication: true    the same for an exchange of any type, and for a queue
 *     x-cache-size                     how many keys are remembered
 *     x-cache-ttl                      for how many milliseconds, unless the message says otherwise
 *     x-cache-persistence              memory: not longer than the broker lives
 *     x-deduplication-header           the header that holds the key
 *
 * In policies the same words count, with and without the x-. An argument comes before a policy.
 */

import { type FieldTable, fieldText } from "@haremq/wire";
import { preconditionFailed } from "../errors.ts";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import type { EffectivePolicy } from "../policy/effective-policy.ts";

export const deduplicatingType = "x-message-deduplication";
const defaultHeader = "x-deduplication-header";
/** LavinMQ's. RabbitMQ's plugin demands a size. */
const defaultCacheSize = 128;

export interface CacheSettings {
  readonly sizeMax: number;
  /** Infinity for none. */
  readonly ttlMs: number;
  /** Whether keys survive a restart with the messages that brought them. */
  readonly isPersistent: boolean;
  readonly header: string;
}

type Asking = Pick<Exchange, "arguments" | "policy">;

export function isDeduplicated(asking: Asking): boolean {
  return asked(asking, "message-deduplication") === true;
}

export function cacheSettings(asking: Asking): CacheSettings {
  return {
    sizeMax: wholeNumber(asked(asking, "cache-size")) ?? defaultCacheSize,
    ttlMs: wholeNumber(asked(asking, "cache-ttl")) ?? Number.POSITIVE_INFINITY,
    isPersistent: asked(asking, "cache-persistence") !== "memory",
    header: deduplicationHeader(asking),
  };
}

export function deduplicationHeader(asking: Asking): string {
  const header = asked(asking, "deduplication-header");
  return typeof header === "string" ? header : defaultHeader;
}

/** Refuses what RabbitMQ's plugin refuses, where deduplication is asked for. */
export function checkDeduplication({ type, arguments: args }: ExchangeSpec): void {
  const isType = type === deduplicatingType;
  if (!isType && args.get("x-message-deduplication")?.value !== true) return;
  const isMissing = isType && !args.has("x-cache-size");
  if (isMissing || !isWholeArgument(args, "x-cache-size")) {
    throw preconditionFailed(
      "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0",
    );
  }
  if (!isWholeArgument(args, "x-cache-ttl")) {
    throw preconditionFailed("Invalid argument, 'x-cache-ttl' must be an integer greater than 0");
  }
  const persistence = args.get("x-cache-persistence");
  if (persistence !== undefined && !/^(disk|memory)$/.test(fieldText(persistence) ?? "")) {
    throw preconditionFailed(
      "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'",
    );
  }
  const header = args.get("x-deduplication-header");
  if (header !== undefined && fieldText(header) === undefined) {
    throw preconditionFailed("Invalid argument, 'x-deduplication-header' must be a string");
  }
}

/** For how long this message's key is remembered. */
export function keyTtlMs(headers: FieldTable, settings: CacheSettings): number {
  const ttl = headers.get("x-cache-ttl")?.value;
  const ms = typeof ttl === "bigint" ? Number(ttl) : ttl;
  return typeof ms === "number" && ms >= 0 ? ms : settings.ttlMs;
}

function isWholeArgument(args: FieldTable, name: string): boolean {
  return !args.has(name) || wholeNumber(plain(args, name)) !== undefined;
}

/** As the plugin does it takes numbers that are written as text. */
function wholeNumber(value: unknown): number | undefined {
  const isText = typeof value === "string" && /^\d+$/.test(value);
  const number = typeof value === "bigint" || isText ? Number(value) : value;
  return Number.isInteger(number) && (number as number) > 0 ? (number as number) : undefined;
}

function asked({ arguments: args, policy }: Asking, name: string): unknown {
  return plain(args, `x-${name}`) ?? policyValue(policy, name);
}

function policyValue(policy: EffectivePolicy, name: string): unknown {
  return policy.get(name) ?? policy.get(`x-${name}`);
}

function plain(args: FieldTable, name: string): unknown {
  const field = args.get(name);
  return fieldText(field) ?? field?.value;
}
