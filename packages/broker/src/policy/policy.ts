/**
 * One policy: the objects that it applies to, and what it asks of them. Made from what an operator
 * gave, once that has been found good, or from what was saved.
 *
 * A policy applies to an object as a whole or not at all: one that asks something of a queue that
 * queues of its type do not know does not apply to that queue, and another of less priority may.
 */

import { textByteLength } from "@haremq/wire";
import { jsonTerm } from "../parameter/json-term.ts";
import { validationFailed } from "../parameter/parameter-error.ts";
import { Pattern } from "../pattern/pattern.ts";
import { findQueueType, takesArgument } from "../queue/queue-types.ts";
import { checkDefinition, patternComplaint } from "./definition-check.ts";
import type { PolicyDefinition, PolicyValue } from "./effective-policy.ts";
import { policyKey } from "./policy-keys.ts";

const queueTypeNames = {
  classic_queues: "classic",
  quorum_queues: "quorum",
  streams: "stream",
} as const;

export type PolicyScope = "all" | "queues" | "exchanges" | keyof typeof queueTypeNames;

const scopes: readonly string[] = ["all", "queues", "exchanges", ...Object.keys(queueTypeNames)];

/** What an operator says of a new policy; anything may have come over the network. */
export interface PolicyInput {
  readonly pattern: unknown;
  readonly definition: unknown;
  /** Default: 0. */
  readonly priority?: unknown;
  /** Default: "all". */
  readonly applyTo?: unknown;
}

export interface PolicySpec {
  readonly name: string;
  readonly pattern: string;
  readonly applyTo: PolicyScope;
  readonly priority: number;
  readonly definition: PolicyDefinition;
}

/** Longer ones could not be saved. */
const nameBytesMax = 255;

export class Policy implements PolicySpec {
  readonly name: string;
  readonly pattern: string;
  readonly applyTo: PolicyScope;
  readonly priority: number;
  readonly definition: PolicyDefinition;
  readonly #pattern: Pattern;
  readonly #queueTypes: ReadonlySet<string>;

  constructor(spec: PolicySpec) {
    this.name = spec.name;
    this.pattern = spec.pattern;
    this.applyTo = spec.applyTo;
    this.priority = spec.priority;
    this.definition = spec.definition;
    this.#pattern = new Pattern(spec.pattern);
    const names = Object.keys(spec.definition);
    const types = Object.values(queueTypeNames).filter(
      (type) => coversQueues(spec.applyTo, type) && names.every((name) => isKnownTo(type, name)),
    );
    this.#queueTypes = new Set(types);
  }

  appliesToExchange(name: string): boolean {
    const { applyTo } = this;
    return (applyTo === "all" || applyTo === "exchanges") && this.#pattern.matches(name);
  }

  appliesToQueue(name: string, type: string): boolean {
    return this.#queueTypes.has(type) && this.#pattern.matches(name);
  }
}

/** Throws a ParameterError with everything that is wrong. */
export function newPolicy(name: string, input: PolicyInput, forOperators: boolean): Policy {
  const { pattern, definition, priority = 0, applyTo = "all" } = input;
  const complaints = [
    definition === undefined
      ? `Key "definition" not found in ${name}`
      : isPlainObject(definition)
        ? checkDefinition(definition, forOperators)
        : `definition must be a dictionary: ${jsonTerm(definition as PolicyValue)}`,
    checkScope(applyTo),
    checkPattern(pattern, name),
    typeof priority === "number" && Number.isFinite(priority)
      ? undefined
      : `priority should be a number, actually was ${jsonTerm(priority as PolicyValue)}`,
    textByteLength(name) <= nameBytesMax ? undefined : "name is too long",
  ].filter((complaint) => complaint !== undefined);
  if (complaints.length > 0) throw validationFailed(complaints);
  // Who gave it may go on changing it.
  const own = structuredClone(definition) as PolicyDefinition;
  return new Policy({ name, pattern, applyTo, priority, definition: own } as PolicySpec);
}

function checkScope(scope: unknown): string | undefined {
  if (typeof scope === "string" && scopes.includes(scope)) return undefined;
  const given = typeof scope === "string" ? scope : jsonTerm(scope as PolicyValue);
  return (
    `apply-to '${given}' unrecognised; should be one of: 'queues', 'classic_queues', ` +
    " 'quorum_queues', 'streams', 'exchanges', or 'all'"
  );
}

function checkPattern(pattern: unknown, name: string): string | undefined {
  if (pattern === undefined) return `Key "pattern" not found in ${name}`;
  if (typeof pattern !== "string") {
    return `pattern should be a binary but was ${jsonTerm(pattern as PolicyValue)}`;
  }
  return patternComplaint(pattern, "pattern should be regular expression but is invalid: ");
}

function coversQueues(scope: PolicyScope, type: string): boolean {
  if (scope === "all" || scope === "queues") return true;
  return scope !== "exchanges" && queueTypeNames[scope] === type;
}

function isKnownTo(type: string, key: string): boolean {
  const { queueTypes } = policyKey(key) ?? {};
  if (queueTypes !== undefined) return queueTypes.includes(type);
  return takesArgument(findQueueType(type)!, `x-${key}`);
}

function isPlainObject(value: unknown): value is PolicyDefinition {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
