/** queue.declare's arguments: what is accepted, and the text of every refusal. */

import { area, type Scenario, scenario } from "../scenario.ts";
import { call, eachAlone, type Step, typed } from "../step.ts";

function declare(args: Record<string, unknown>): Step {
  return call("queue.declare", { queue: "~q", exclusive: true, arguments: args });
}

/** Declares a queue with each of the values, and deletes it where it was accepted. */
function values(argument: string, candidates: readonly unknown[]): Scenario {
  const tries = candidates.flatMap((value) => [
    declare({ [argument]: value }),
    call("queue.delete", { queue: "~q" }),
  ]);
  return scenario(`${argument} of every kind`, eachAlone(tries));
}

const integers = ["b", "B", "s", "u", "I", "i", "l"].map((type) => typed(type, 5));
const noIntegers = [
  typed("f", 5),
  typed("d", 5.5),
  "5",
  true,
  null,
  typed("D", { scale: 0, unscaled: 5 }),
  typed("T", 5),
  typed("x", Buffer.from("5")),
  typed("A", [typed("I", 5)]),
  {},
];
const bounds = [0, -1, 255, 256, 2 ** 32, 315_360_000_000, 315_360_000_001, 2n ** 62n];

function text(name: string, valid: readonly string[]): Scenario {
  return values(name, [...valid, "other", "", 1, true, null]);
}

const elsewhere = [
  "x-max-age",
  "x-stream-max-segment-size-bytes",
  "x-initial-cluster-size",
  "x-quorum-initial-group-size",
  "x-max-in-memory-length",
  "x-max-in-memory-bytes",
  "x-dead-letter-strategy",
];

const unknownValues = [...integers, ...noIntegers, { nested: { deeper: ["a", 1, false] } }];

export const queueArguments = area("queue arguments", [
  ...[
    "x-expires",
    "x-message-ttl",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-queue-version",
  ].map((name) => values(name, [...integers, ...noIntegers, ...bounds, 1, 2, 3])),
  text("x-overflow", ["drop-head", "reject-publish", "reject-publish-dlx"]),
  text("x-queue-mode", ["default", "lazy"]),
  text("x-queue-master-locator", ["client-local", "min-masters", "random"]),
  text("x-queue-leader-locator", ["client-local", "balanced"]),
  text("x-dead-letter-exchange", ["~dlx"]),
  text("x-queue-type", ["classic"]),
  values("x-single-active-consumer", [true, false, "true", 1, null]),
  values("x-dead-letter-routing-key", ["k", 1]),
  values("x-ha-policy", ["all", 1]),
  values("x-cancel-on-ha-failover", [true, "x"]),
  values("x-whatever", unknownValues),
  scenario(
    "arguments of other queue types",
    eachAlone(elsewhere.flatMap((name) => [declare({ [name]: "x" }), declare({ [name]: 1 })])),
  ),
  scenario("a limit to deliveries", [declare({ "x-delivery-limit": 1 })]),
  scenario(
    "dead-letter routing key with a dead-letter exchange",
    eachAlone([
      declare({ "x-dead-letter-exchange": "~dlx", "x-dead-letter-routing-key": "k" }),
      call("queue.delete", { queue: "~q" }),
      declare({ "x-dead-letter-exchange": "~dlx", "x-dead-letter-routing-key": 1 }),
      declare({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "" }),
    ]),
  ),
  scenario(
    "of two wrong arguments one is reported, whatever their order",
    eachAlone([
      declare({ "x-expires": 0, "x-max-length": -1 }),
      declare({ "x-max-length": -1, "x-expires": 0 }),
      declare({ "x-overflow": "other", "x-message-ttl": -1 }),
      declare({ "x-queue-mode": "other", "x-dead-letter-exchange": 1 }),
      declare({ "x-max-priority": -1, "x-single-active-consumer": 1 }),
      declare({ "x-queue-type": "other", "x-expires": 0 }),
      declare({ "x-max-age": "1h", "x-expires": 0 }),
    ]),
  ),
  scenario("odd names of arguments", [
    declare({ "": 1, "x-max-lengthy": -1, "X-MAX-LENGTH": -1, é: "ü" }),
  ]),
]);
