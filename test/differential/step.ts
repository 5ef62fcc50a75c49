/**
 * The steps that scenarios are made of: plain data, so that one sequence can be played against two
 * brokers, printed, and shortened when it fails.
 *
 * Strings that begin with "~" are names of the scenario's own: the player gives them a prefix that
 * nobody else uses. "<queue 1>", "<tag 1>" and "<reply-to 1>" stand for the first (second, ...)
 * server-generated name the scenario has seen. Steps happen on connection "a" and channel 1 unless
 * `on` and `via` say otherwise.
 */

import type { HandshakeOptions, MethodArguments, MethodName } from "@haremq/testkit";
import { methodFrame, methodOf, rawFrame } from "@haremq/testkit";
import type { FieldValue, Method, Properties } from "@haremq/wire";
import { FieldTable } from "@haremq/wire";
import type { Audience, Operation, PolicyGiven } from "./operator.ts";

interface Place {
  readonly connection: string;
  readonly channel: number;
}

export interface CallStep extends Place {
  readonly kind: "call";
  readonly method: Method;
}

export interface PublishStep extends Place {
  readonly kind: "publish";
  readonly method: Method;
  readonly properties: Properties;
  readonly body: Buffer;
}

/** Bytes as they are; nothing in them is renamed. */
export interface BytesStep extends Place {
  readonly kind: "bytes";
  readonly what: string;
  readonly bytes: Buffer;
  /** The frame ends within a content, so nothing may be sent on the channel to see where it got. */
  readonly hold: boolean;
}

/**
 * Acknowledges (or refuses) one of the channel's outstanding deliveries, chosen when it is played.
 */
export interface SettleStep extends Place {
  readonly kind: "settle";
  readonly how: "ack" | "nack" | "reject";
  /** Which of the outstanding ones, oldest first, in [0, 1). */
  readonly pick: number;
  readonly multiple: boolean;
  readonly requeue: boolean;
}

/** Several steps on one connection, sent without waiting in between. */
export interface TogetherStep extends Place {
  readonly kind: "together";
  readonly steps: readonly Step[];
}

export interface ConnectStep extends Place {
  readonly kind: "connect";
  /** How far to go: the socket only, up to the broker's first method, or all the way. */
  readonly until: "socket" | "connection.start" | "open";
  readonly options: HandshakeOptions;
}

/** Waits for a method, or for the broker to end the connection. */
export interface AwaitStep extends Place {
  readonly kind: "await";
  readonly what: MethodName | "anything" | "bytes" | "end";
}

/** Opens a channel that the client or the broker has closed; does nothing on an open one. */
export interface ReopenStep extends Place {
  readonly kind: "reopen";
}

/** Ends the socket without a word. */
export interface DropStep extends Place {
  readonly kind: "drop";
}

/** What the broker's operator does; see operator.ts. Names in it are renamed like all others. */
export interface OperateStep extends Place {
  readonly kind: "operate";
  readonly operation: Operation;
}

export type Step =
  | CallStep
  | PublishStep
  | BytesStep
  | SettleStep
  | TogetherStep
  | ConnectStep
  | AwaitStep
  | ReopenStep
  | DropStep
  | OperateStep;

const home: Place = { connection: "a", channel: 1 };

/** Argument tables of method arguments are written as plain objects; `typed` chooses wire types. */
export type StepArguments<Name extends MethodName> = {
  [Argument in keyof MethodArguments<Name>]?: MethodArguments<Name>[Argument] extends FieldTable
    ? Readonly<Record<string, unknown>> | FieldTable
    : MethodArguments<Name>[Argument];
};

export function call<Name extends MethodName>(
  name: Name,
  args: StepArguments<Name> = {},
): CallStep {
  return { kind: "call", ...home, method: methodWith(name, args) };
}

function methodWith<Name extends MethodName>(name: Name, args: StepArguments<Name>): Method {
  const converted = Object.entries(args).map(([argument, value]) => [
    argument,
    isPlainTable(value) ? tableOf(value) : value,
  ]);
  return methodOf(name, Object.fromEntries(converted));
}

function isPlainTable(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !(value instanceof FieldTable) &&
    !Buffer.isBuffer(value)
  );
}

/** A value with its wire type: typed("b", 5). */
export function typed(type: string, value: unknown): FieldValue {
  return { type, value } as FieldValue;
}

/** A field table in which values made by `typed` keep their types. */
export function tableOf(object: Readonly<Record<string, unknown>>): FieldTable {
  const table = new FieldTable();
  for (const [name, value] of Object.entries(object)) {
    const isTyped = isPlainTable(value) && "type" in value && "value" in value;
    const field = isTyped
      ? (value as unknown as FieldValue)
      : FieldTable.from({ v: value }).get("v");
    if (field !== undefined) table.entries.push({ name, value: field });
  }
  return table;
}

export interface PublishOptions {
  mandatory?: boolean;
  immediate?: boolean;
  properties?: Omit<Properties, "headers"> & { headers?: Readonly<Record<string, unknown>> };
}

export function publish(
  exchange: string,
  routingKey: string,
  body: string | Buffer = "x",
  options: PublishOptions = {},
): PublishStep {
  const { mandatory = false, immediate = false } = options;
  const { headers, ...others } = options.properties ?? {};
  const properties: Properties = headers ? { ...others, headers: tableOf(headers) } : others;
  return {
    kind: "publish",
    ...home,
    method: methodOf("basic.publish", { exchange, routingKey, mandatory, immediate }),
    properties,
    body: Buffer.from(body),
  };
}

export function bytes(what: string, content: Buffer): BytesStep {
  return { kind: "bytes", ...home, what, bytes: content, hold: false };
}

/** As `bytes`, but the broker must be waiting for the rest of a content afterwards. */
export function partial(what: string, content: Buffer): BytesStep {
  return { ...bytes(what, content), hold: true };
}

export function frame(type: number, channel: number, payload: Uint8Array, end?: number): Buffer {
  return rawFrame(type, channel, payload, end);
}

/** The frame of a method, for steps that spoil it. */
export function frameOf<Name extends MethodName>(
  channel: number,
  name: Name,
  args: StepArguments<Name> = {},
): Buffer {
  return methodFrame(channel, methodWith(name, args));
}

export function settle(
  how: SettleStep["how"],
  pick: number,
  flags: { multiple?: boolean; requeue?: boolean } = {},
): SettleStep {
  const { multiple = false, requeue = false } = flags;
  return { kind: "settle", ...home, how, pick, multiple, requeue };
}

export function together(...steps: Step[]): TogetherStep {
  return { kind: "together", ...home, steps };
}

export function connect(
  connection: string,
  options: HandshakeOptions = {},
  until: ConnectStep["until"] = "open",
): ConnectStep {
  return { kind: "connect", ...home, connection, options, until };
}

export function awaiting(what: AwaitStep["what"]): AwaitStep {
  return { kind: "await", ...home, what };
}

export function reopen(): ReopenStep {
  return { kind: "reopen", ...home };
}

export function drop(connection: string): DropStep {
  return { kind: "drop", connection, channel: 0 };
}

export function operate(operation: Operation): OperateStep {
  return { kind: "operate", ...home, operation };
}

interface PolicyPlace {
  readonly audience?: Audience;
  readonly vhost?: string;
}

export function setPolicy(name: string, policy: PolicyGiven, place: PolicyPlace = {}): OperateStep {
  return operate({ verb: "set policy", audience: "user", vhost: "/", name, policy, ...place });
}

export function clearPolicy(name: string, place: PolicyPlace = {}): OperateStep {
  return operate({ verb: "clear policy", audience: "user", vhost: "/", name, ...place });
}

/** The same step on another channel. */
export function on<S extends Step>(channel: number, step: S): S {
  return { ...step, channel };
}

/** The same step on another connection. */
export function via<S extends Step>(connection: string, step: S): S {
  return { ...step, connection };
}

/** Each step for itself: after one that cost the channel, the next finds it open again. */
export function eachAlone(steps: readonly Step[]): Step[] {
  return steps.flatMap((step) => [step, reopen()]);
}
