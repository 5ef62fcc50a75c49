/**
 * Checks the declaration of a new queue as RabbitMQ does, with its texts and in its order: the
 * type, then the values of the arguments the type knows, then the names that only other types know,
 * then the properties the type cannot have. The session calls it once it knows that the queue is
 * new and that its dead letter exchange is named by a string.
 *
 * Everything that is accepted here is stored with the queue, whether it has an effect or not.
 */

import { type FieldTable, fieldText } from "@haremq/wire";
import { preconditionFailed, resourceText } from "../errors.ts";
import { expirationMaxMs } from "../message/expiration.ts";
import { erlangString, fieldTypeName } from "../vhost/field-text.ts";
import type { QueueDeclaration } from "../vhost/session.ts";
import {
  type ArgumentCheck,
  booleanCheck,
  checkArgumentNames,
  checkArguments,
  choiceCheck,
  integerCheck,
  isIntegerField,
  textCheck,
} from "./argument-checks.ts";
import { findQueueType, type QueueType, queueTypeOf, takesArgument } from "./queue-types.ts";

const priorityMax = 255;
const retryDelaysMax = 100;
const segmentMaxBytes = 3_000_000_000;

const checkNotNegative = integerCheck((value) =>
  value < 0 ? `{value_negative,${value}}` : undefined,
);

const checkPositive = integerCheck((value) => {
  if (value < 0) return `{value_negative,${value}}`;
  return Number(value) === 0 ? "{value_zero,0}" : undefined;
});

const checkTimeToLive = integerCheck((value) => {
  if (value < 0) return `{value_negative,${value}}`;
  return value > expirationMaxMs ? `{value_too_large,${value}}` : undefined;
});

const checkIdleTime: ArgumentCheck = (field, args) =>
  isIntegerField(field) && Number(field.value) === 0
    ? "{value_zero,0}"
    : checkTimeToLive(field, args);

const checkPriorities = integerCheck((value) => {
  if (value < 0) return `{value_negative,${value}}`;
  return value > priorityMax ? `{max_value_exceeded,${value}}` : undefined;
});

const checkPercentage = integerCheck((value) => {
  if (value < 0) return `{value_negative,${value}}`;
  return value > 100 ? `{max_value_exceeded,${value}}` : undefined;
});

const checkDelays: ArgumentCheck = (field, args) => {
  if (field.type !== "A") return `{unacceptable_type,${fieldTypeName(field.type)}}`;
  if (field.value.length === 0 || field.value.length > retryDelaysMax) return "invalid_delays";
  for (const each of field.value) {
    const reason = checkTimeToLive(each, args);
    if (reason !== undefined) return reason;
  }
  return undefined;
};

/** A number of any type, of at least 1. */
const checkFactor: ArgumentCheck = (field) => {
  const isNumber = isIntegerField(field) || field.type === "f" || field.type === "d";
  return isNumber && Number(field.value) >= 1 ? undefined : "invalid_factor";
};

const checkQueueVersion = integerCheck((value) => {
  if (value < 0) return `{value_negative,${value}}`;
  const isKnown = Number(value) === 1 || Number(value) === 2;
  return isKnown ? undefined : erlangString(`unsupported queue version '${value}'`);
});

const checkDeadLetterKey: ArgumentCheck = (field, args) =>
  checkText(field, args) ??
  (args.has("x-dead-letter-exchange") ? undefined : "routing_key_but_no_dlx_defined");

const checkText = textCheck(() => undefined);

/** A count and a unit: years, months, days, hours, minutes or seconds. */
export function isMaxAge(age: string): boolean {
  const [, count, unit] = /^(\d*)([^\n]*)/.exec(age)!;
  return /[1-9]/.test(count!) && /^[YMDhms]$/.test(unit!);
}

const checkMaxAge = textCheck((age) => (isMaxAge(age) ? undefined : "invalid_max_age"));

const checkQueueType = textCheck((name) =>
  findQueueType(name) === undefined ? unsupportedType(name) : undefined,
);

/** Every argument that is checked for its value, in RabbitMQ's order. */
const argumentChecks = new Map<string, ArgumentCheck>([
  ["x-expires", checkIdleTime],
  ["x-message-ttl", checkTimeToLive],
  ["x-dead-letter-exchange", checkText],
  ["x-dead-letter-routing-key", checkDeadLetterKey],
  [
    "x-dead-letter-strategy",
    choiceCheck(["at-most-once", "at-least-once"], () => "invalid_dlx_strategy"),
  ],
  ["x-max-length", checkNotNegative],
  ["x-max-length-bytes", checkNotNegative],
  ["x-max-in-memory-length", checkNotNegative],
  ["x-max-in-memory-bytes", checkNotNegative],
  ["x-max-priority", checkPriorities],
  [
    "x-overflow",
    choiceCheck(["drop-head", "reject-publish", "reject-publish-dlx"], () => "invalid_overflow"),
  ],
  [
    "x-queue-mode",
    choiceCheck(["default", "lazy"], (mode) => erlangString(`unsupported queue mode '${mode}'`)),
  ],
  ["x-queue-version", checkQueueVersion],
  ["x-single-active-consumer", booleanCheck],
  ["x-priority-ageing", checkPositive],
  ["x-expire-anywhere", booleanCheck],
  ["x-retry-attempts", checkPositive],
  ["x-retry-delays", checkDelays],
  ["x-retry-delay", checkTimeToLive],
  ["x-retry-delay-max", checkTimeToLive],
  ["x-retry-factor", checkFactor],
  ["x-retry-jitter", checkPercentage],
  ["x-quorum-initial-group-size", checkPositive],
  ["x-max-age", checkMaxAge],
  ["x-stream-max-segment-size-bytes", checkNotNegative],
  ["x-initial-cluster-size", checkPositive],
  [
    "x-queue-leader-locator",
    choiceCheck(
      ["client-local", "balanced", "random", "least-leaders"],
      () => "invalid_queue_locator_arg",
    ),
  ],
]);

/** Throws the ChannelError that RabbitMQ refuses this declaration with, if it does. */
export function checkQueueArguments(
  name: string,
  declaration: QueueDeclaration,
  vhost: string,
): void {
  const args = declaration.arguments;
  checkArguments(args, [["x-queue-type", checkQueueType]], name, vhost);
  const type = queueTypeOf(args);
  checkArguments(args, checksOf(type), name, vhost);
  checkArgumentNames(args, (argument) => takesArgument(type, argument), name, vhost, type.module);
  if (type.lasting) checkLasting(name, declaration, vhost);
}

/** Refuses to name a queue of a type whose queues clients must name. */
export function checkServerNamed(args: FieldTable): void {
  // RabbitMQ 3.x fails on an unknown type here; ours is refused with all other bad arguments.
  const type = findQueueType(fieldText(args.get("x-queue-type")));
  if (type === undefined || type.serverNamed) return;
  throw preconditionFailed(`Cannot declare a server-named queue for type ${type.module}`);
}

function* checksOf(type: QueueType): Iterable<[string, ArgumentCheck]> {
  for (const entry of argumentChecks) {
    if (takesArgument(type, entry[0])) yield entry;
  }
}

/** Refuses what a queue cannot be that is made to last. */
function checkLasting(name: string, declaration: QueueDeclaration, vhost: string): void {
  if (declaration.autoDelete) throw invalidProperty("auto-delete", name, vhost);
  if (declaration.exclusive) throw invalidProperty("exclusive-owner", name, vhost);
  if (!declaration.durable) throw invalidProperty("non-durable", name, vhost);
  const segment = declaration.arguments.get("x-stream-max-segment-size-bytes");
  if (segment !== undefined && isIntegerField(segment) && segment.value > segmentMaxBytes) {
    throw preconditionFailed("Exceeded max value for x-stream-max-segment-size-bytes");
  }
}

function invalidProperty(property: string, name: string, vhost: string): Error {
  const resource = resourceText("queue", name, vhost);
  return preconditionFailed(`invalid property '${property}' for ${resource}`);
}

function unsupportedType(name: string): string {
  return erlangString(`unsupported queue type '${name}'`);
}
