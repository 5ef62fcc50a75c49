/**
 * The keys that a policy may have: what values they take, whether operator policies may have them
 * too, how the two add up, and which queues know them. Everything about policies reads this table;
 * whoever adds a feature that a policy can switch on adds its keys here.
 *
 * RabbitMQ 3.10 and 4.0 together know all but the last. Those for replicas have no effect on one
 * node: they are checked, kept and shown.
 */

import { jsonTerm } from "../parameter/json-term.ts";
import { isMaxAge } from "../queue/queue-arguments.ts";
import type { PolicyValue } from "./effective-policy.ts";

export interface PolicyKey {
  readonly name: string;
  /** Why a value is refused; undefined if it is not. */
  check(value: PolicyValue): string | undefined;
  /** What holds where both kinds of policy say something. Without it operators may not have it. */
  readonly merge?: (user: PolicyValue, operator: PolicyValue) => PolicyValue;
  /** The types of queue that know it; if not given those that take the argument x-<name>. */
  readonly queueTypes?: readonly string[];
}

const lesser = (user: PolicyValue, operator: PolicyValue): PolicyValue =>
  Math.min(user as number, operator as number);

const greater = (user: PolicyValue, operator: PolicyValue): PolicyValue =>
  Math.max(user as number, operator as number);

const operators = (_user: PolicyValue, operator: PolicyValue): PolicyValue => operator;

/** A negative limit is none, and any is less than that. */
const lesserLimit = (user: PolicyValue, operator: PolicyValue): PolicyValue =>
  (user as number) < 0 || (operator as number) < 0
    ? greater(user, operator)
    : lesser(user, operator);

/** A check that says of what it refuses that it `isNot`. */
function checkThat(isFine: (value: PolicyValue) => boolean, isNot: string): PolicyKey["check"] {
  return (value) => (isFine(value) ? undefined : `${jsonTerm(value)} ${isNot}`);
}

function integerKey(name: string, what: string, min: number, max = Number.POSITIVE_INFINITY) {
  const isFine = (value: PolicyValue): boolean =>
    Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
  return { name, check: checkThat(isFine, `is not a valid ${what}`) };
}

function textKey(name: string, what: string) {
  return { name, check: checkThat((value) => typeof value === "string", `is not a valid ${what}`) };
}

function choiceKey(name: string, what: string, choices: readonly PolicyValue[]) {
  return { name, check: checkThat((value) => choices.includes(value), `is not a valid ${what}`) };
}

function switchKey(name: string) {
  return choiceKey(name, `${name} value`, [true, false]);
}

/** Checked together with others; see definition-check.ts. */
function checkedElsewhere(name: string): PolicyKey {
  return { name, check: () => undefined };
}

const allQueues = ["classic", "quorum", "stream"];
const segmentMaxBytes = 3_000_000_000;

const keys: readonly PolicyKey[] = [
  { ...integerKey("message-ttl", "message TTL", 0), merge: lesser },
  { ...integerKey("expires", "queue expiry", 1), merge: lesser },
  { ...integerKey("max-length", "maximum length", 0), merge: lesser },
  { ...integerKey("max-length-bytes", "maximum length in bytes", 0), merge: lesser },
  { ...integerKey("max-in-memory-length", "maximum memory in bytes", 0), merge: lesser },
  { ...integerKey("max-in-memory-bytes", "maximum memory in bytes", 0), merge: lesser },
  {
    ...choiceKey("overflow", "overflow value", [
      "drop-head",
      "reject-publish",
      "reject-publish-dlx",
    ]),
    merge: operators,
  },
  textKey("dead-letter-exchange", "dead letter exchange name"),
  textKey("dead-letter-routing-key", "dead letter routing key"),
  choiceKey("dead-letter-strategy", "dead letter strategy", ["at-most-once", "at-least-once"]),
  {
    ...integerKey("delivery-limit", "delivery limit", Number.NEGATIVE_INFINITY),
    merge: lesserLimit,
  },
  integerKey("consumer-timeout", "consumer timeout", 0),
  textKey("alternate-exchange", "alternate exchange name"),

  choiceKey("queue-mode", "queue-mode value", ["default", "lazy"]),
  {
    ...choiceKey("queue-version", "queue-version value", [1, 2]),
    merge: operators,
    queueTypes: allQueues,
  },
  {
    ...choiceKey("queue-master-locator", "master locator", [
      "min-masters",
      "client-local",
      "random",
    ]),
    merge: operators,
  },
  choiceKey("queue-leader-locator", "queue leader locator value", [
    "client-local",
    "balanced",
    "random",
    "least-leaders",
  ]),
  integerKey("initial-cluster-size", "cluster size", 0),
  {
    ...integerKey("target-group-size", "qq target count value", 1),
    merge: greater,
    queueTypes: ["quorum"],
  },

  {
    name: "max-age",
    check: checkThat(
      (value) => typeof value === "string" && isMaxAge(value),
      "is not a valid max age",
    ),
  },
  integerKey("stream-max-segment-size-bytes", "segment size", 0, segmentMaxBytes),
  integerKey("stream-filter-size-bytes", "filter size. Valid range is 16-255", 16, 255),

  ...[
    "ha-mode",
    "ha-params",
    "ha-sync-mode",
    "ha-sync-batch-size",
    "ha-promote-on-shutdown",
    "ha-promote-on-failure",
  ].map((name) => ({ ...checkedElsewhere(name), queueTypes: ["classic"] })),
  checkedElsewhere("federation-upstream"),
  checkedElsewhere("federation-upstream-set"),
  checkedElsewhere("federation-upstream-pattern"),
  checkedElsewhere("shards-per-node"),
  checkedElsewhere("routing-key"),
];

/** Those that RabbitMQ does not have. */
const ownKeys: readonly PolicyKey[] = [
  switchKey("expire-anywhere"),
  ...["", "x-"].flatMap((prefix) => [
    switchKey(`${prefix}message-deduplication`),
    integerKey(`${prefix}cache-size`, "cache size", 1),
    integerKey(`${prefix}cache-ttl`, "cache TTL", 1),
    choiceKey(`${prefix}cache-persistence`, "cache persistence", ["disk", "memory"]),
    textKey(`${prefix}deduplication-header`, "deduplication header"),
  ]),
  integerKey("retry-attempts", "number of attempts", 1),
  integerKey("retry-delay", "delay", 0),
  {
    name: "retry-delays",
    check: checkThat(
      (value) => Array.isArray(value) && value.every((each) => Number.isInteger(each) && each >= 0),
      "is not a valid list of delays",
    ),
  },
  {
    name: "retry-factor",
    check: checkThat((value) => typeof value === "number" && value >= 1, "is not a valid factor"),
  },
  integerKey("retry-delay-max", "delay", 0),
  integerKey("retry-jitter", "percentage", 0, 100),
];

const keysByName = new Map([...keys, ...ownKeys].map((key) => [key.name, key]));

/** Undefined for one that nobody knows. */
export function policyKey(name: string): PolicyKey | undefined {
  return keysByName.get(name);
}
