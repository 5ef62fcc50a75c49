/**
 * What a stream and its consumers are asked for in arguments and policies: limits, and where to
 * begin. Checks and texts are RabbitMQ's.
 */

import type { StreamRetention } from "@haremq/store";
import { decodeText, type FieldTable, type FieldValue, fieldText } from "@haremq/wire";
import type { ConsumerOptions } from "../../consumer/consumer.ts";
import { notImplemented, preconditionFailed, resourceText } from "../../errors.ts";
import { erlangTerm, fieldTypeName } from "../../vhost/field-text.ts";
import { invalidArgument, isIntegerField } from "../argument-checks.ts";

/** Where a consumer begins. */
export type StreamStart =
  | { readonly at: "first" | "last" | "next" }
  | { readonly at: "offset"; readonly offset: number }
  | { readonly at: "time"; readonly timestampMs: number };

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

/** What the arguments of a stream's declaration let it keep. */
export function retentionOf(args: FieldTable): StreamRetention {
  const bytes = args.get("x-max-length-bytes");
  const age = fieldText(args.get("x-max-age"));
  return {
    bytesMax: bytes !== undefined && isIntegerField(bytes) ? Number(bytes.value) : Infinity,
    ageMaxMs: (age === undefined ? undefined : intervalMs(age)) ?? Infinity,
  };
}

/** The size of a segment that the declaration asks for. */
export function segmentBytesOf(args: FieldTable): number | undefined {
  const bytes = args.get("x-stream-max-segment-size-bytes");
  return bytes !== undefined && isIntegerField(bytes) ? Number(bytes.value) : undefined;
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
  options: Pick<ConsumerOptions, "noAck" | "prefetch" | "arguments">,
  queue: string,
  vhost: string,
): void {
  const resource = resourceText("queue", queue, vhost);
  if (options.prefetch === 0) {
    throw preconditionFailed(`consumer prefetch count is not set for '${resource}'`);
  }
  if (options.noAck) throw unsupportedByStream("automatic acknowledgement", queue, vhost);
  const field = options.arguments.get("x-stream-offset");
  if (field === undefined || parseStart(field, 0) !== undefined) return;
  const given = `{${fieldTypeName(field.type)},${erlangTerm(field)}}`;
  throw invalidArgument("x-stream-offset", queue, vhost, `{invalid_stream_offset_arg,${given}}`);
}

/** What streams cannot do, which costs the connection. */
export function unsupportedByStream(what: string, queue: string, vhost: string): Error {
  const resource = resourceText("queue", queue, vhost);
  return notImplemented(`${what} not supported by stream queues ${resource}`);
}
