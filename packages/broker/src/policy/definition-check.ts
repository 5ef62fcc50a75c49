/**
 * Finds what is wrong with the definition of a policy: RabbitMQ's first complaint, in its words.
 * The keys that RabbitMQ checks together with others, as its plugins do, are checked here; all
 * others by the table of keys.
 */

import { jsonTerm, pairsTerm } from "../parameter/json-term.ts";
import { Pattern } from "../pattern/pattern.ts";
import { PatternError } from "../pattern/pattern-error.ts";
import { erlangPair, erlangString } from "../vhost/field-text.ts";
import type { PolicyDefinition, PolicyValue } from "./effective-policy.ts";
import { policyKey } from "./policy-keys.ts";

/** Undefined if nothing is. */
export function checkDefinition(
  definition: PolicyDefinition,
  forOperators: boolean,
): string | undefined {
  const names = Object.keys(definition).sort();
  if (names.length === 0) return "no policy provided";
  const isKnown = (name: string): boolean => {
    const key = policyKey(name);
    return key !== undefined && (!forOperators || key.merge !== undefined);
  };
  for (const name of names.filter(isKnown)) {
    const complaint = policyKey(name)!.check(definition[name]!);
    if (complaint !== undefined) return complaint;
  }
  const unknown = names.filter((name) => !isKnown(name));
  const complaint = forOperators ? undefined : checkTogether(definition);
  if (complaint !== undefined || unknown.length === 0) return complaint;
  const pairs = unknown.map((name) => [name, definition[name]!] as const);
  return `${pairsTerm(pairs)} are not recognised policy settings`;
}

/** Why a text is no pattern, as RabbitMQ prints it behind what it says before. */
export function patternComplaint(source: string, precedingText: string): string | undefined {
  try {
    new Pattern(source);
    return undefined;
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    const { message, offset } = error;
    return precedingText + erlangPair(erlangString(message), String(offset), precedingText);
  }
}

function checkTogether(definition: PolicyDefinition): string | undefined {
  return checkMirroring(definition) ?? checkFederation(definition) ?? checkSharding(definition);
}

// Mirrored queues of 3.x

const isNonBlank = (value: PolicyValue): boolean => Number.isInteger(value) && Number(value) > 0;

function checkMirroring(definition: PolicyDefinition): string | undefined {
  const mode = definition["ha-mode"];
  const isMentioned = Object.keys(definition).some((name) => name.startsWith("ha-"));
  if (!isMentioned) return undefined;
  if (mode === undefined) {
    return (
      "ha-mode must be specified to specify ha-params, ha-sync-mode or " + "ha-promote-on-shutdown"
    );
  }
  return (
    checkMirrors(mode, definition["ha-params"]) ??
    checkOneOf(definition, "ha-sync-mode", ["manual", "automatic"]) ??
    checkSyncBatch(definition["ha-sync-batch-size"]) ??
    checkOneOf(definition, "ha-promote-on-shutdown", ["always", "when-synced"]) ??
    checkOneOf(definition, "ha-promote-on-failure", ["always", "when-synced"])
  );
}

function checkMirrors(mode: PolicyValue, params: PolicyValue | undefined): string | undefined {
  const given = params === undefined ? "none" : jsonTerm(params);
  switch (mode) {
    case "all":
      return params === undefined ? undefined : 'ha-mode="all" does not take parameters';
    case "exactly":
      return isNonBlank(params ?? null)
        ? undefined
        : `ha-mode="exactly" takes an integer, ${given} given`;
    case "nodes":
      return checkNodes(params, given);
    default:
      return `${jsonTerm(mode)} is not a valid ha-mode value`;
  }
}

function checkNodes(nodes: PolicyValue | undefined, given: string): string | undefined {
  if (!Array.isArray(nodes)) return `ha-mode="nodes" takes a list, ${given} given`;
  if (nodes.length === 0) return 'ha-mode="nodes" list must be non-empty';
  const others = nodes.filter((node) => typeof node !== "string");
  if (others.length === 0) return undefined;
  return `ha-mode="nodes" takes a list of strings, ${jsonTerm(others)} was not a string`;
}

function checkSyncBatch(size: PolicyValue | undefined): string | undefined {
  if (size === undefined || isNonBlank(size)) return undefined;
  return `ha-sync-batch-size takes an integer greater than 0, ${jsonTerm(size)} given`;
}

function checkOneOf(
  definition: PolicyDefinition,
  name: string,
  [one, other]: readonly [string, string],
): string | undefined {
  const value = definition[name];
  if (value === undefined || value === one || value === other) return undefined;
  return `${name} must be "${one}" or "${other}", got ${jsonTerm(value)}`;
}

// Plugins

const upstreamKeys = [
  ["federation-upstream", "federation upstream name"],
  ["federation-upstream-set", "federation upstream set name"],
  ["federation-upstream-pattern", "federation upstream pattern name"],
] as const;

function checkFederation(definition: PolicyDefinition): string | undefined {
  const given = upstreamKeys.filter(([name]) => definition[name] !== undefined);
  if (given.length > 1) {
    return (
      "cannot specify federation-upstream, federation-upstream-set or " +
      "federation-upstream-pattern together"
    );
  }
  for (const [name, what] of given) {
    const value = definition[name]!;
    if (typeof value !== "string") return `${jsonTerm(value)} is not a valid ${what}`;
    if (name !== "federation-upstream-pattern") continue;
    return patternComplaint(
      value,
      `could not compile pattern ${value} to a regular expression. Error: `,
    );
  }
  return undefined;
}

function checkSharding(definition: PolicyDefinition): string | undefined {
  const shards = definition["shards-per-node"];
  const key = definition["routing-key"];
  if (shards === undefined) {
    return key === undefined ? undefined : "shards-per-node must be specified";
  }
  if (typeof shards !== "number") {
    return `shards-per-node should be a number, actually was ${jsonTerm(shards)}`;
  }
  if (shards < 0) {
    return `shards-per-node should be greater than 0, actually was ${jsonTerm(shards)}`;
  }
  if (key === undefined || typeof key === "string") return undefined;
  return `routing-key should be binary, actually was ${jsonTerm(key)}`;
}
