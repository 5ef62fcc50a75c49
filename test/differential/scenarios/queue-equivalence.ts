/** Redeclaring a queue: what has to agree, what is reported first, and the texts. */

import { area, type Scenario, scenario } from "../scenario.ts";
import { call, typed } from "../step.ts";

interface Attributes {
  passive?: boolean;
  durable?: boolean;
  exclusive?: boolean;
  autoDelete?: boolean;
  nowait?: boolean;
  arguments?: Record<string, unknown>;
}

/** Declares ~q twice. */
function twice(name: string, first: Attributes, second: Attributes): Scenario {
  return scenario(name, [
    call("queue.declare", { queue: "~q", ...first }),
    call("queue.declare", { queue: "~q", ...second }),
  ]);
}

/** Declares an exclusive ~q twice, with these arguments. */
function twiceWith(
  name: string,
  first: Record<string, unknown>,
  second: Record<string, unknown>,
): Scenario {
  return twice(name, { exclusive: true, arguments: first }, { exclusive: true, arguments: second });
}

const exclusive = { exclusive: true };

const attributes = [
  twice("the same again", {}, {}),
  twice("the same again, exclusive", exclusive, exclusive),
  twice("durable is missing", { durable: true }, {}),
  twice("durable is added", {}, { durable: true }),
  twice("durable does not matter to exclusive queues", exclusive, {
    exclusive: true,
    durable: true,
  }),
  twice("auto-delete is missing", { autoDelete: true }, {}),
  twice("auto-delete is added", exclusive, { exclusive: true, autoDelete: true }),
  twice("exclusive is missing", exclusive, {}),
  twice("exclusive is added", {}, exclusive),
  twice("exclusive and durable", exclusive, { durable: true }),
  twice("exclusive and auto-delete", exclusive, { autoDelete: true }),
  twice("durable and auto-delete", {}, { durable: true, autoDelete: true }),
  twice("durable and an argument", {}, { durable: true, arguments: { "x-max-length": 1 } }),
  twice("passive ignores everything else", exclusive, {
    passive: true,
    durable: true,
    autoDelete: true,
    arguments: { "x-max-length": 1, "x-expires": -1 },
  }),
  twice("nowait, the same", exclusive, { exclusive: true, nowait: true }),
  twice("nowait, another", {}, { durable: true, nowait: true }),
];

const numbers = ["x-message-ttl", "x-max-length", "x-max-length-bytes", "x-max-priority"];
const texts: [string, unknown, unknown][] = [
  ["x-overflow", "drop-head", "reject-publish"],
  ["x-queue-mode", "default", "lazy"],
  ["x-queue-master-locator", "random", "min-masters"],
  ["x-dead-letter-exchange", "a", "b"],
  ["x-single-active-consumer", true, false],
  ["x-queue-version", 1, 2],
  ["x-whatever", "a", "b"],
  ["x-ha-policy", "all", "nodes"],
];
const differing = [
  ...numbers.map((name): [string, unknown, unknown] => [name, 100, 200]),
  // Not so soon that the queue is gone before it is declared again.
  ["x-expires", 60_000, 120_000] as [string, unknown, unknown],
  ...texts,
];

const argumentScenarios = differing.flatMap(([name, one, other]) => [
  twiceWith(`${name} is missing`, { [name]: one }, {}),
  twiceWith(`${name} is added`, {}, { [name]: one }),
  twiceWith(`${name} is another`, { [name]: one }, { [name]: other }),
  twiceWith(`${name} is the same`, { [name]: one }, { [name]: one }),
]);

const types = ["b", "B", "s", "u", "I", "i", "l"];
const typeScenarios = [
  ...types.map((type) =>
    twiceWith(
      `x-max-length as ${type} against a signed 32-bit number`,
      { "x-max-length": typed("I", 5) },
      { "x-max-length": typed(type, 5) },
    ),
  ),
  ...types.map((type) =>
    twiceWith(`x-max-length as ${type} against none`, {}, { "x-max-length": typed(type, 5) }),
  ),
];

export const queueEquivalence = area("queue equivalence", [
  ...attributes,
  ...argumentScenarios,
  ...typeScenarios,
  twiceWith("x-queue-type classic is the same as none", {}, { "x-queue-type": "classic" }),
  twiceWith("none is the same as x-queue-type classic", { "x-queue-type": "classic" }, {}),
  twice(
    "a classic queue is no quorum queue",
    { durable: true },
    {
      durable: true,
      arguments: { "x-queue-type": "quorum" },
    },
  ),
  twiceWith(
    "x-dead-letter-routing-key is another",
    { "x-dead-letter-exchange": "a", "x-dead-letter-routing-key": "a" },
    { "x-dead-letter-exchange": "a", "x-dead-letter-routing-key": "b" },
  ),
  twiceWith(
    "of two differing arguments one is reported",
    {},
    { "x-max-length": 1, "x-expires": 9e5 },
  ),
  twiceWith(
    "the order of the arguments does not matter",
    {},
    { "x-expires": 9e5, "x-max-length": 1 },
  ),
  twiceWith(
    "all differing arguments at once",
    {},
    {
      "x-single-active-consumer": true,
      "x-queue-mode": "lazy",
      "x-overflow": "drop-head",
      "x-max-priority": 5,
      "x-max-length-bytes": 5,
      "x-max-length": 5,
      "x-message-ttl": 5,
    },
  ),
  twiceWith("an invalid argument for an existing queue", {}, { "x-max-length": -1 }),
  twiceWith("an argument of a wrong type for an existing queue", {}, { "x-max-length": "1" }),
  twiceWith(
    "duplicate arguments",
    { "x-max-length": 1 },
    { "x-max-length": 1, "x-whatever": [1, 2] },
  ),
]);
