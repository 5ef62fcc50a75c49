/**
 * Limits that operators set for virtual hosts and users: whole numbers by name, of which a negative
 * one is none. Checked with RabbitMQ's texts.
 */

import { jsonTerm, pairsTerm } from "./json-term.ts";
import type { JsonValue } from "./json-value.ts";

/** Everything that is wrong with limits; `known` are the names that there are. */
export function checkLimits(
  limits: JsonValue,
  known: readonly string[],
  title: string,
): readonly string[] {
  const isNamed = typeof limits === "object" && limits !== null && !Array.isArray(limits);
  // An empty list is how RabbitMQ shows that there are none.
  if (!isNamed && !(Array.isArray(limits) && limits.length === 0)) {
    return [`${title} not a list ${jsonTerm(limits)}`];
  }
  const pairs = Object.entries(limits as Readonly<Record<string, JsonValue>>);
  const unknown = pairs.filter(([name]) => !known.includes(name));
  const complaints = pairs
    .filter(([name, value]) => known.includes(name) && !Number.isInteger(value))
    .map(([name, value]) => `${name} should be a number, actually was ${jsonTerm(value)}`);
  if (unknown.length === 0) return complaints;
  return [`Unrecognised terms ${pairsTerm(unknown)} in ${title}`, ...complaints];
}

/** The limit, if there is one. */
export function limitOf(limits: unknown, name: string): number | undefined {
  const value = (limits as Readonly<Record<string, unknown>> | undefined)?.[name];
  return typeof value === "number" && value >= 0 ? value : undefined;
}
