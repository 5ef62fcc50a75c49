/**
 * The checks that arguments of queues and consumers have in common. A check returns RabbitMQ's
 * reason for a refusal, or undefined when the value is fine.
 */

import { decodeText, type FieldTable, type FieldValue } from "@haremq/wire";
import { preconditionFailed, resourceText } from "../errors.ts";
import { erlangString, fieldTypeName } from "../vhost/field-text.ts";

/** `args` is the whole table, for arguments that depend on others. */
export type ArgumentCheck = (value: FieldValue, args: FieldTable) => string | undefined;

type IntegerField = Extract<FieldValue, { type: "b" | "B" | "s" | "u" | "I" | "i" | "l" }>;

/** Checks those of the arguments that are there, in the order of the checks. */
export function checkArguments(
  args: FieldTable,
  checks: Iterable<readonly [string, ArgumentCheck]>,
  queue: string,
  vhost: string,
): void {
  for (const [name, check] of checks) {
    const value = args.get(name);
    const reason = value === undefined ? undefined : check(value, args);
    if (reason !== undefined) throw invalidArgument(name, queue, vhost, reason);
  }
}

/** Refuses the first argument that belongs to queues of other types. */
export function checkArgumentNames(
  args: FieldTable,
  isTaken: (name: string) => boolean,
  queue: string,
  vhost: string,
  typeModule: string,
): void {
  for (const { name } of args.entries) {
    if (isTaken(name)) continue;
    const resource = resourceText("queue", queue, vhost);
    throw preconditionFailed(`invalid arg '${name}' for ${resource} of queue type ${typeModule}`);
  }
}

export function invalidArgument(name: string, queue: string, vhost: string, reason: string): Error {
  const resource = resourceText("queue", queue, vhost);
  return preconditionFailed(`invalid arg '${name}' for ${resource}: ${reason}`);
}

export function isIntegerField(field: FieldValue): field is IntegerField {
  return "bBsuIil".includes(field.type);
}

/** An integer of any width that passes a further check of its value. */
export function integerCheck(
  checkValue: (value: number | bigint) => string | undefined,
): ArgumentCheck {
  return (field) => {
    if (isIntegerField(field)) return checkValue(field.value);
    return erlangString(`expected integer, got ${fieldTypeName(field.type)}`);
  };
}

/** One of a few strings; any other string is refused with that reason. */
export function choiceCheck(
  choices: readonly string[],
  reason: (given: string) => string,
): ArgumentCheck {
  return textCheck((text) => (choices.includes(text) ? undefined : reason(text)));
}

/** A string that passes a further check. */
export function textCheck(checkText: (text: string) => string | undefined): ArgumentCheck {
  return (field) => {
    if (field.type !== "S") return unacceptableType(field);
    return checkText(decodeText(field.value, 0, field.value.length));
  };
}

export function booleanCheck(field: FieldValue): string | undefined {
  return field.type === "t" ? undefined : unacceptableType(field);
}

function unacceptableType(field: FieldValue): string {
  return `{unacceptable_type,${fieldTypeName(field.type)}}`;
}
