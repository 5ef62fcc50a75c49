/**
 * What a load test does, as typed settings. `parseOptions` makes them of a command line; embedders
 * start from `defaultOptions`.
 */

import type { PublishProperties } from "@haremq/client";
import { CommandLine, UsageError } from "./command-line.ts";
import { parseProperties, parseQueueArguments } from "./key-values.ts";
import { optionTable } from "./option-table.ts";
import { queueNames } from "./queue-pattern.ts";

export interface PerfOptions {
  readonly id: string;
  readonly uris: readonly string[];
  readonly heartbeatSeconds: number | undefined;
  readonly frameMax: number;

  readonly producers: number;
  readonly consumers: number;
  readonly producerChannels: number;
  readonly consumerChannels: number;

  /** Body size; undefined for the smallest that carries a time. */
  readonly sizeBytes: number | undefined;
  readonly bodyFiles: readonly string[];
  readonly persistent: boolean;
  readonly mandatory: boolean;
  readonly properties: PublishProperties;

  /** For each producer channel; undefined: as fast as possible. */
  readonly publishRate: number | undefined;
  readonly startDelaySecondsMax: number;
  /** Undefined: no confirms. 0: confirms without a limit on what is unconfirmed. */
  readonly confirmWindow: number | undefined;
  readonly confirmTimeoutSeconds: number;
  readonly producerTxSize: number;

  readonly autoAck: boolean;
  readonly multiAckEvery: number;
  readonly prefetch: number;
  readonly channelPrefetch: number;
  readonly consumeRate: number | undefined;
  readonly consumerLatencyUs: number;
  readonly consumerTxSize: number;
  readonly slowStart: boolean;

  readonly exchange: string;
  readonly exchangeType: string;
  readonly queues: readonly string[];
  /** Whether the queues come from a pattern: then each has itself as its routing key. */
  readonly queuePattern: boolean;
  readonly routingKey: string | undefined;
  readonly randomRoutingKey: boolean;
  readonly bindQueues: boolean;
  readonly predeclared: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly queueArguments: Readonly<Record<string, unknown>>;

  readonly timeLimitSeconds: number | undefined;
  readonly producerMessages: number | undefined;
  readonly consumerMessages: number | undefined;
  readonly shutdownTimeoutSeconds: number;

  readonly intervalSeconds: number;
  readonly legacyMetrics: boolean;
  readonly useMillis: boolean;
  readonly csvFile: string | undefined;
  /** Undefined: no JSON. Empty: to standard output. */
  readonly jsonFile: string | undefined;
}

export interface ParsedOptions {
  readonly options: PerfOptions;
  /** What the user should know before it starts. */
  readonly notes: readonly string[];
}

/** Throws UsageError for what cannot be meant. */
export function parseOptions(line: CommandLine, now: Date): ParsedOptions {
  const flags = line.list("flag");
  const unknownFlag = flags.find((name) => name !== "persistent" && name !== "mandatory");
  if (unknownFlag !== undefined) {
    throw new UsageError(`--flag is persistent or mandatory, not "${unknownFlag}"`);
  }
  const quorum = line.has("quorum-queue");
  const persistent = quorum || flags.includes("persistent");
  const queueArguments = parseQueueArguments(line.text("queue-args") ?? "");
  const options: PerfOptions = {
    id: line.text("id") ?? `test-${timeOfDay(now)}`,
    uris: uris(line),
    heartbeatSeconds: line.integer("heartbeat", undefined),
    frameMax: line.integer("framemax", 0),
    ...counts(line),
    sizeBytes: line.integer("size", undefined),
    bodyFiles: line.text("body")?.split(",") ?? [],
    persistent,
    mandatory: flags.includes("mandatory"),
    properties: properties(line, persistent),
    ...producing(line),
    ...consuming(line),
    ...topology(line),
    autoDelete: line.boolean("auto-delete", !quorum),
    queueArguments: quorum ? { ...queueArguments, "x-queue-type": "quorum" } : queueArguments,
    timeLimitSeconds: limit(line.number("time", undefined)),
    producerMessages: limit(line.integer("pmessages", undefined)),
    consumerMessages: limit(line.integer("cmessages", undefined)),
    shutdownTimeoutSeconds: line.integer("shutdown-timeout", 5),
    intervalSeconds: limit(line.number("interval", 1)) ?? 1,
    legacyMetrics: line.has("legacy-metrics"),
    useMillis: line.has("use-millis"),
    csvFile: line.text("output-file"),
    jsonFile: line.text("json"),
  };
  return { options, notes: notesOn(line, options) };
}

export function defaultOptions(now = new Date()): PerfOptions {
  return parseOptions(new CommandLine([]), now).options;
}

function uris(line: CommandLine): string[] {
  const several = line.text("uris");
  return several === undefined
    ? [line.text("uri") ?? "amqp://localhost"]
    : several.split(",").map((uri) => uri.trim());
}

function counts(line: CommandLine) {
  return {
    producers: line.integer("producers", 1),
    consumers: line.integer("consumers", 1),
    producerChannels: line.integer("producer-channel-count", 1, 1),
    consumerChannels: line.integer("consumer-channel-count", 1, 1),
  };
}

function properties(line: CommandLine, persistent: boolean): PublishProperties {
  const contentType = line.text("body-content-type");
  return {
    ...(persistent ? { deliveryMode: 2 } : {}),
    ...(contentType === undefined ? {} : { contentType }),
    ...parseProperties(line.text("message-properties") ?? ""),
  };
}

function producing(line: CommandLine) {
  const interval = limit(line.number("publishing-interval", undefined));
  const confirm = line.integer("confirm", -1, -1);
  const txSize = line.integer("ptxsize", 0);
  if (txSize > 0 && confirm >= 0)
    throw new UsageError("--ptxsize and --confirm exclude each other");
  return {
    publishRate: interval === undefined ? limit(line.number("rate", undefined)) : 1 / interval,
    startDelaySecondsMax: line.integer("producer-random-start-delay", 0),
    confirmWindow: confirm < 0 ? undefined : confirm,
    confirmTimeoutSeconds: line.integer("confirm-timeout", 30, 1),
    producerTxSize: txSize,
  };
}

function consuming(line: CommandLine) {
  const autoAck = line.has("autoack");
  const consumerTxSize = line.integer("ctxsize", 0);
  if (autoAck && consumerTxSize > 0) {
    throw new UsageError("--ctxsize needs acknowledgements, and --autoack has none");
  }
  return {
    autoAck,
    multiAckEvery: line.integer("multi-ack-every", 0),
    prefetch: prefetch(line, "qos"),
    channelPrefetch: prefetch(line, "global-qos"),
    consumeRate: limit(line.number("consumer-rate", undefined)),
    consumerLatencyUs: line.integer("consumer-latency", 0),
    consumerTxSize,
    slowStart: line.has("slow-start"),
  };
}

function prefetch(line: CommandLine, long: string): number {
  const count = line.integer(long, 0);
  if (count > 65_535) throw new UsageError(`--${long} is at most 65535, not "${count}"`);
  return count;
}

function topology(line: CommandLine) {
  const exchangeType = line.text("type") ?? "direct";
  const exchange = line.text("exchange") ?? exchangeType;
  const pattern = line.text("queue-pattern");
  const from = line.integer("queue-pattern-from", undefined);
  const to = line.integer("queue-pattern-to", undefined);
  if ([pattern, from, to].some((each) => each !== undefined)) {
    if (pattern === undefined || from === undefined || to === undefined) {
      throw new UsageError("--queue-pattern, -from and -to are given together or not at all");
    }
    if (from > to) throw new UsageError("--queue-pattern-from is not above --queue-pattern-to");
  }
  const queues =
    pattern === undefined
      ? (line.text("queue")?.split(",") ?? [])
      : queueNames(pattern, from as number, to as number);
  return {
    exchange: exchange === "amq.default" ? "" : exchange,
    exchangeType,
    queues,
    queuePattern: pattern !== undefined,
    routingKey: line.text("routing-key"),
    randomRoutingKey: line.has("random-routing-key"),
    bindQueues: !line.has("skip-binding-queues"),
    predeclared: line.has("predeclared"),
    exclusive: line.has("exclusive"),
  };
}

/** 0 means no limit, as in PerfTest. */
function limit(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

function notesOn(line: CommandLine, options: PerfOptions): string[] {
  const notes: string[] = [];
  for (const { long, noEffect } of optionTable) {
    if (noEffect && line.has(long)) notes.push(`--${long} has no effect here`);
  }
  const { multiAckEvery, prefetch: each, channelPrefetch } = options;
  const smallest = Math.min(each || 65_536, channelPrefetch || 65_536);
  if (!options.autoAck && multiAckEvery > smallest) {
    notes.push(`--multi-ack-every ${multiAckEvery} never comes with a prefetch of ${smallest}`);
  }
  return notes;
}

/** HHmmss-SSS, as PerfTest names its tests. */
function timeOfDay(now: Date): string {
  const two = (value: number): string => String(value).padStart(2, "0");
  const seconds = `${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`;
  return `${seconds}-${String(now.getMilliseconds()).padStart(3, "0")}`;
}
