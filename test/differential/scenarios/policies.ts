/**
 * What operators set, and what clients notice of it: policies, limits, and the default type of
 * queues.
 */

import { area, type Scenario, scenario } from "../scenario.ts";
import {
  awaiting,
  call,
  clearPolicy,
  connect,
  on,
  operate,
  publish,
  reopen,
  type Step,
  setPolicy,
  via,
} from "../step.ts";

const queue = (name: string, args: Readonly<Record<string, unknown>> = {}): Step =>
  call("queue.declare", { queue: name, arguments: args });

/** Shows how many messages a queue has. */
const count = (name: string): Step => call("queue.declare", { queue: name, passive: true });

const publishTimes = (times: number, key: string): Step[] =>
  Array.from({ length: times }, (_, index) => publish("", key, `${index + 1}`));

const get = (name: string): Step => call("basic.get", { queue: name, noAck: true });

const mandatory = (exchange: string): Step => publish(exchange, "k", "x", { mandatory: true });

const alternates: readonly Scenario[] = [
  scenario("an alternate exchange that comes and goes", [
    call("exchange.declare", { exchange: "~x", type: "direct" }),
    call("exchange.declare", { exchange: "~ae", type: "fanout" }),
    queue("~q"),
    call("queue.bind", { queue: "~q", exchange: "~ae" }),
    mandatory("~x"),
    setPolicy("~p", { pattern: "^~x$", definition: { "alternate-exchange": "~ae" } }),
    mandatory("~x"),
    setPolicy("~p", { pattern: "^~x$", definition: { "alternate-exchange": "~none" } }),
    mandatory("~x"),
    setPolicy("~p", {
      pattern: "^~x$",
      definition: { "alternate-exchange": "~ae" },
      applyTo: "queues",
    }),
    mandatory("~x"),
    setPolicy("~p", {
      pattern: "^~x$",
      definition: { "alternate-exchange": "~ae" },
      applyTo: "exchanges",
    }),
    mandatory("~x"),
    clearPolicy("~p"),
    mandatory("~x"),
    count("~q"),
  ]),
  scenario("an alternate exchange by argument stays", [
    call("exchange.declare", { exchange: "~ae", type: "fanout" }),
    call("exchange.declare", { exchange: "~other", type: "fanout" }),
    call("exchange.declare", {
      exchange: "~x",
      type: "direct",
      arguments: { "alternate-exchange": "~ae" },
    }),
    queue("~q"),
    call("queue.bind", { queue: "~q", exchange: "~ae" }),
    setPolicy("~p", { pattern: "^~x$", definition: { "alternate-exchange": "~other" } }),
    mandatory("~x"),
    count("~q"),
  ]),
  scenario("a policy of an exchange to come", [
    setPolicy("~p", { pattern: "^~", definition: { "alternate-exchange": "~ae" } }),
    call("exchange.declare", { exchange: "~ae", type: "fanout" }),
    call("exchange.declare", { exchange: "~x", type: "topic" }),
    queue("~q"),
    call("queue.bind", { queue: "~q", exchange: "~ae" }),
    mandatory("~x"),
    count("~q"),
  ]),
];

const maxLength = (name: string, length: number, priority = 0): Step =>
  setPolicy(name, { pattern: "^~q", definition: { "max-length": length }, priority });

const lengths: readonly Scenario[] = [
  scenario("a length that comes, changes and goes", [
    queue("~q"),
    ...publishTimes(5, "~q"),
    maxLength("~p", 3),
    count("~q"),
    get("~q"),
    ...publishTimes(3, "~q"),
    count("~q"),
    maxLength("~p", 1),
    count("~q"),
    clearPolicy("~p"),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
  scenario("of two policies that of the higher priority", [
    maxLength("~a", 1),
    maxLength("~b", 2, 1),
    maxLength("~c", 3, -1),
    queue("~q"),
    ...publishTimes(4, "~q"),
    count("~q"),
    clearPolicy("~b"),
    count("~q"),
    maxLength("~c", 3, 1),
    ...publishTimes(4, "~q"),
    count("~q"),
  ]),
  scenario("of an argument and a policy the lower limit", [
    maxLength("~p", 3),
    queue("~q1", { "x-max-length": 2 }),
    queue("~q2", { "x-max-length": 4 }),
    ...publishTimes(5, "~q1"),
    ...publishTimes(5, "~q2"),
    count("~q1"),
    count("~q2"),
  ]),
  scenario("of an argument and a policy the argument's overflow", [
    setPolicy("~p", {
      pattern: "^~q",
      definition: { "max-length": 1, overflow: "reject-publish" },
    }),
    queue("~q1", { "x-overflow": "drop-head" }),
    queue("~q2"),
    ...publishTimes(2, "~q1"),
    ...publishTimes(2, "~q2"),
    get("~q1"),
    get("~q2"),
  ]),
  scenario("of a user's and an operator's policy the lower limit", [
    queue("~q"),
    ...publishTimes(5, "~q"),
    maxLength("~u", 4),
    setPolicy("~o", { pattern: "^~q", definition: { "max-length": 2 } }, { audience: "operator" }),
    count("~q"),
    maxLength("~u", 1),
    count("~q"),
    clearPolicy("~o", { audience: "operator" }),
    clearPolicy("~u"),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
  scenario("a policy that asks for what such a queue does not know", [
    setPolicy("~p", { pattern: "^~q", definition: { "max-length": 1, "max-age": "1h" } }),
    queue("~q"),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
];

const others: readonly Scenario[] = [
  scenario("messages that live no time", [
    setPolicy("~p", {
      pattern: "^~q",
      definition: {
        "message-ttl": 0,
        "dead-letter-exchange": "",
        "dead-letter-routing-key": "~dlq",
      },
    }),
    queue("~q"),
    queue("~dlq"),
    publish("", "~q", "x"),
    count("~q"),
    count("~dlq"),
    clearPolicy("~p"),
    publish("", "~q", "y"),
    count("~q"),
  ]),
  scenario("patterns as people write them", [
    queue("~q.1"),
    ...["^~q\\.[0-9]+$", "(?i)~Q", "^(?!amq\\.)~q", "~q.{2}$", "\\.1\\Z", "^q", "~q$"].flatMap(
      (pattern) => [
        setPolicy("~p", { pattern: `${pattern}`, definition: { "max-length": 1 }, priority: 9 }),
        call("queue.purge", { queue: "~q.1" }),
        ...publishTimes(2, "~q.1"),
        count("~q.1"),
      ],
    ),
  ]),
  scenario("policies that cannot be", [
    queue("~q"),
    ...[
      { "max-length": -1 },
      { "max-length": "5" },
      { foo: 1, bar: "x" },
      { "dead-letter-exchange": 5 },
      { expires: 0, overflow: "x" },
      {},
    ].map((definition) => setPolicy("~p", { pattern: "^~q", definition })),
    ...["(", "[", "a**", "\\"].map((pattern) =>
      setPolicy("~p", { pattern, definition: { "max-length": 1 } }),
    ),
    setPolicy(
      "~o",
      { pattern: "^~q", definition: { "dead-letter-exchange": "x" } },
      { audience: "operator" },
    ),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
  scenario("policies of classic queues", [
    setPolicy("~p", {
      pattern: "^~q",
      definition: { "max-length": 1 },
      applyTo: "classic_queues",
    }),
    queue("~q"),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
  scenario("policies with a delivery limit", [
    setPolicy("~p", { pattern: "^~q", definition: { "delivery-limit": 5, "max-length": 1 } }),
    queue("~q"),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
  scenario("policies for mirrored queues", [
    setPolicy("~p", { pattern: "^~q", definition: { "ha-mode": "all", "max-length": 1 } }),
    setPolicy("~r", { pattern: "^~q", definition: { "ha-mode": "exactly" } }),
    queue("~q"),
    ...publishTimes(3, "~q"),
    count("~q"),
  ]),
];

const inVhost = { vhost: "~v" };

const limits: readonly Scenario[] = [
  scenario("a limit on queues", [
    operate({ verb: "make vhost", name: "~v" }),
    operate({ verb: "limit vhost", name: "~v", limit: "max-queues", value: 1 }),
    connect("b", inVhost),
    via("b", queue("~one")),
    via("b", queue("~one")),
    via("b", queue("~two")),
    via("b", reopen()),
    via("b", call("queue.declare", { queue: "~two", exclusive: true })),
    via("b", reopen()),
    via("b", call("queue.declare", { queue: "~one", exclusive: true })),
    via("b", reopen()),
    via("b", call("queue.declare", { queue: "~two", passive: true })),
    via("b", reopen()),
    via("b", call("queue.delete", { queue: "~one" })),
    via("b", queue("~two")),
    operate({ verb: "limit vhost", name: "~v", limit: "max-queues", value: -1 }),
    via("b", queue("~three")),
  ]),
  scenario("a limit on queues and an argument that cannot be", [
    operate({ verb: "make vhost", name: "~v" }),
    operate({ verb: "limit vhost", name: "~v", limit: "max-queues", value: 0 }),
    connect("b", inVhost),
    via("b", queue("~one", { "x-max-length": -1 })),
  ]),
  scenario("a limit on a user's channels", [
    operate({ verb: "make user", name: "~u", vhost: "/" }),
    operate({ verb: "limit user", name: "~u", limit: "max-channels", value: 2 }),
    connect("b", { username: "~u", password: "secret" }),
    on(3, via("b", call("channel.open"))),
    awaiting("anything"),
  ]),
];

const defaultTypes: readonly Scenario[] = [
  scenario("a default queue type", [
    operate({ verb: "make vhost", name: "~v", defaultQueueType: "quorum" }),
    connect("b", inVhost),
    via("b", call("queue.declare", { queue: "~q", durable: true })),
    via(
      "b",
      call("queue.declare", {
        queue: "~q",
        durable: true,
        arguments: { "x-queue-type": "quorum" },
      }),
    ),
    via("b", call("queue.declare", { queue: "~t", durable: false, autoDelete: true })),
    via("b", call("queue.declare", { queue: "", durable: true })),
    via("b", reopen()),
    via("b", call("queue.declare", { queue: "", exclusive: true })),
    via(
      "b",
      call("queue.declare", {
        queue: "~c",
        durable: true,
        arguments: { "x-queue-type": "classic" },
      }),
    ),
    via("b", call("queue.declare", { queue: "~c", durable: true })),
  ]),
];

export const policies = area("policies", [
  ...alternates,
  ...lengths,
  ...others,
  ...limits,
  ...defaultTypes,
]);
