/**
 * How a queue retries what its consumers reject, without any further topology: so many attempts,
 * with a list of delays or delays that grow, and then the message dies. Part of a queue's settings.
 */

import type { FieldTable, FieldValue } from "@haremq/wire";
import type { EffectivePolicy, PolicyValue } from "../policy/effective-policy.ts";

export interface RetrySettings {
  /** How often a message is tried again after the first time. */
  readonly attempts: number;
  /** The delay before each attempt, the last one for all that follow. */
  readonly delaysMs: readonly number[];
  /** What the last delay is multiplied with for each attempt beyond the list. */
  readonly factor: number;
  readonly delayMaxMs: number;
  /** By how much of itself a delay may be shorter, so that what failed together comes apart. */
  readonly jitter: number;
}

const usualDelayMs = 1000;
const usualFactor = 2;
const usualDelayMaxMs = 60 * 60 * 1000;
const golden = (Math.sqrt(5) - 1) / 2;

/** Undefined for a queue that does not retry. */
export function retrySettings(
  args: FieldTable,
  policy: EffectivePolicy,
): RetrySettings | undefined {
  const number = (key: string): number | undefined =>
    numberOf(args.get(`x-${key}`)) ?? numberOf(policy.get(key));
  const attempts = number("retry-attempts");
  if (attempts === undefined || attempts <= 0) return undefined;
  const list = listOf(args.get("x-retry-delays")) ?? listOf(policy.get("retry-delays"));
  return {
    attempts,
    delaysMs: list ?? [number("retry-delay") ?? usualDelayMs],
    factor: list === undefined ? (number("retry-factor") ?? usualFactor) : 1,
    delayMaxMs: number("retry-delay-max") ?? usualDelayMaxMs,
    jitter: (number("retry-jitter") ?? 0) / 100,
  };
}

/** How long to wait before this attempt, from 1; `turn` counts all retries of the queue. */
export function retryDelayMs(settings: RetrySettings, attempt: number, turn: number): number {
  const { delaysMs, factor, delayMaxMs, jitter } = settings;
  const last = delaysMs.length - 1;
  const listed = delaysMs[Math.min(attempt - 1, last)]!;
  const grown = listed * factor ** Math.max(0, attempt - 1 - last);
  const delayMs = Math.min(grown, delayMaxMs);
  // Multiples of the golden ratio spread evenly, however many there are.
  return Math.round(delayMs * (1 - jitter * ((turn * golden) % 1)));
}

function numberOf(value: FieldValue | PolicyValue | undefined): number | undefined {
  const plain = plainValue(value);
  return typeof plain === "number" || typeof plain === "bigint" ? Number(plain) : undefined;
}

function listOf(value: FieldValue | PolicyValue | undefined): number[] | undefined {
  const plain = plainValue(value);
  if (!Array.isArray(plain) || plain.length === 0) return undefined;
  return plain.map((each) => numberOf(each as FieldValue | PolicyValue) ?? usualDelayMs);
}

/** A field's value, or a policy's, which is one. */
function plainValue(value: FieldValue | PolicyValue | undefined): unknown {
  const isField = typeof value === "object" && value !== null && "type" in value;
  return isField ? (value as FieldValue).value : value;
}
