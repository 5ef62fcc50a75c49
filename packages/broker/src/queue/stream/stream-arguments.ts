/**
 * What a stream and its consumers are asked for in arguments and policies: limits, and where to
 * begin. Checks and texts are RabbitMQ's.
 */

import type { StreamRetention } from "@haremq/store";
import { decodeText, type FieldTable, type FieldValue, fieldText } from "@haremq/wire";
import type { ConsumerOptions } from "../../consumer/consumer.ts";
import { notImplemented, preconditionFailed, resourceText } from "../../errors.ts";
import type { EffectivePolicy } from "../../policy/effective-policy.ts";
import { erlangTerm, fieldTypeName } from "../../vhost/field-text.ts";
import {
  type ArgumentCheck,
  booleanCheck,
  checkArguments,
  isIntegerField,
} from "../argument-checks.ts";
import { StreamFilter } from "./stream-filter.ts";

/** Where a consumer begins. */
export type StreamStart =
  | { readonly at: "first" | "last" | "next" }
  | { readonly at: "offset"; readonly offset: number }
  | { readonly at: "time"; readonly timestampMs: number };

/** LavinMQ's name for the same. */
const trackingArgument = "x-stream-automatic-offset-tracking";
const singleActiveArgument = "x-single-active-consumer";

const secondMs = 1000;
const dayMs = 24 * 3600 * secondMs;
const unitsMs: Readonly<Record<string, number>> = {
  Y: 365 * dayMs,
  M: 30 * dayMs,
  D: dayMs,
  h: 3600 * secondMs,
  m: 60 * secondMs,
  s: secondMs,
};

/** "7D" and the like, as milliseconds; undefined if it is nothing of the kind. */
export function intervalMs(text: string): number | undefined {
  const [, count, unit] = /^(\d*[1-9]\d*)([YMDhms])$/.exec(text) ?? [];
  return unit === undefined ? undefined : Number(count) * unitsMs[unit]!;
}

/** What a stream may keep, and in what pieces. */
export interface StreamLimits extends StreamRetention {
  readonly segmentBytes: number;
}

/** What arguments and policy ask for; where both do, the stricter counts. */
export function streamLimits(
  args: FieldTable,
  policy: EffectivePolicy,
  defaultSegmentBytes: number,
): StreamLimits {
  const segmentName = "stream-max-segment-size-bytes";
  const segmentBytes = Math.min(integerOf(args, segmentName), numberOf(policy, segmentName));
  return {
    bytesMax: Math.min(integerOf(args, "max-length-bytes"), numberOf(policy, "max-length-bytes")),
    ageMaxMs: Math.min(ageOf(fieldText(args.get("x-max-age"))), ageOf(policy.get("max-age"))),
    segmentBytes: segmentBytes === Number.POSITIVE_INFINITY ? defaultSegmentBytes : segmentBytes,
  };
}

function integerOf(args: FieldTable, name: string): number {
  const field = args.get(`x-${name}`);
  return field !== undefined && isIntegerField(field) ? Number(field.value) : Infinity;
}

function numberOf(policy: EffectivePolicy, name: string): number {
  const value = policy.get(name);
  return typeof value === "number" ? value : Infinity;
}

function ageOf(text: unknown): number {
  return (typeof text === "string" ? intervalMs(text) : undefined) ?? Infinity;
}

/** Whether the offsets of a consumer with these arguments are stored by its tag. */
export function storesOffsets(args: FieldTable): boolean {
  return args.get(trackingArgument)?.value === true || isSingleActive(args);
}

/** Whether a consumer with these arguments is one of those of its tag that take turns. */
export function isSingleActive(args: FieldTable): boolean {
  return args.get(singleActiveArgument)?.value === true;
}

/** Where checked arguments have a consumer begin. */
export function streamStart(args: FieldTable, wallMs: number): StreamStart {
  const field = args.get("x-stream-offset");
  return (field === undefined ? undefined : parseStart(field, wallMs)) ?? { at: "next" };
}

function parseStart(field: FieldValue, wallMs: number): StreamStart | undefined {
  if (isIntegerField(field)) return { at: "offset", offset: Math.max(0, Number(field.value)) };
  if (field.type === "T") return { at: "time", timestampMs: Number(field.value) * secondMs };
  if (field.type !== "S" && field.type !== "x") return undefined;
  const text = decodeText(field.value, 0, field.value.length);
  if (text === "first" || text === "last" || text === "next") return { at: text };
  const ageMs = intervalMs(text);
  return ageMs === undefined ? undefined : { at: "time", timestampMs: wallMs - ageMs };
}

/** Throws what RabbitMQ refuses such a consumer of a stream with, if it does. */
export function checkStreamConsumer(
  options: Pick<ConsumerOptions, "tag" | "noAck" | "prefetch" | "arguments">,
  queue: string,
  vhost: string,
): void {
  const resource = resourceText("queue", queue, vhost);
  if (options.prefetch === 0) {
    throw preconditionFailed(`consumer prefetch count is not set for '${resource}'`);
  }
  if (options.noAck) throw unsupportedByStream("automatic acknowledgement", queue, vhost);
  const { arguments: args } = options;
  checkArguments(args, consumerChecks, queue, vhost);
  if (options.tag === "" && storesOffsets(args)) {
    throw preconditionFailed(
      `offsets in ${resource} are stored by consumer tags, and this is none`,
    );
  }
}

const consumerChecks: readonly (readonly [string, ArgumentCheck])[] = [
  [
    "x-stream-offset",
    (field) => (parseStart(field, 0) === undefined ? invalid("offset", field) : undefined),
  ],
  [
    "x-stream-filter",
    (field) => (StreamFilter.isValid(field) ? undefined : invalid("filter", field)),
  ],
  [trackingArgument, booleanCheck],
  [singleActiveArgument, booleanCheck],
];

function invalid(what: string, field: FieldValue): string {
  return `{invalid_stream_${what}_arg,{${fieldTypeName(field.type)},${erlangTerm(field)}}}`;
}

/** What streams cannot do, which costs the connection. */
export function unsupportedByStream(what: string, queue: string, vhost: string): Error {
  const resource = resourceText("queue", queue, vhost);
  return notImplemented(`${what} not supported by stream queues ${resource}`);
}
