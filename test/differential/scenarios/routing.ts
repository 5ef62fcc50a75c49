/** Bindings and what they route: every exchange type, exchange-to-exchange, CC and BCC. */

import { area, type Scenario, scenario } from "../scenario.ts";
import { call, eachAlone, publish, type Step, typed } from "../step.ts";

const queue = (name: string) => call("queue.declare", { queue: name, exclusive: true });
const exchange = (name: string, type: string) => call("exchange.declare", { exchange: name, type });
const take = (name: string) => call("basic.get", { queue: name, noAck: true });
const bind = (
  queueName: string,
  exchangeName: string,
  routingKey = "",
  args: Record<string, unknown> = {},
) => call("queue.bind", { queue: queueName, exchange: exchangeName, routingKey, arguments: args });
const unbind = (
  queueName: string,
  exchangeName: string,
  routingKey = "",
  args: Record<string, unknown> = {},
) =>
  call("queue.unbind", { queue: queueName, exchange: exchangeName, routingKey, arguments: args });
const link = (destination: string, source: string, routingKey = "") =>
  call("exchange.bind", { destination, source, routingKey });
const unlink = (destination: string, source: string, routingKey = "") =>
  call("exchange.unbind", { destination, source, routingKey });

/** Binds one queue a pattern, publishes every key, and looks what came where. */
function topics(name: string, patterns: readonly string[], keys: readonly string[]): Scenario {
  const queues = patterns.map((_, index) => `~q${index}`);
  return scenario(name, [
    exchange("~x", "topic"),
    ...queues.map(queue),
    ...patterns.map((pattern, index) => bind(queues[index] ?? "", "~x", pattern)),
    ...keys.flatMap((key) => [publish("~x", key, key, { mandatory: true }), ...queues.map(take)]),
  ]);
}

/** Binds one queue with these arguments, and publishes with each of the header sets. */
function headers(
  name: string,
  args: Record<string, unknown>,
  published: readonly Record<string, unknown>[],
): Scenario {
  return scenario(name, [
    exchange("~x", "headers"),
    queue("~q"),
    bind("~q", "~x", "", args),
    publish("~x", "", "without headers", { mandatory: true }),
    ...published.map((set, index) =>
      publish("~x", "", String(index), { mandatory: true, properties: { headers: set } }),
    ),
    ...published.map(() => take("~q")),
    take("~q"),
  ]);
}

const bindings = [
  scenario("a binding made twice is one", [
    exchange("~x", "direct"),
    queue("~q"),
    bind("~q", "~x", "k"),
    bind("~q", "~x", "k"),
    publish("~x", "k", "1"),
    take("~q"),
    take("~q"),
    unbind("~q", "~x", "k"),
    publish("~x", "k", "2", { mandatory: true }),
  ]),
  scenario("bindings differ in key and arguments", [
    exchange("~x", "direct"),
    queue("~q"),
    bind("~q", "~x", "k"),
    bind("~q", "~x", "k", { a: 1 }),
    bind("~q", "~x", "l"),
    publish("~x", "k", "1"),
    take("~q"),
    take("~q"),
    unbind("~q", "~x", "k"),
    publish("~x", "k", "2", { mandatory: true }),
    unbind("~q", "~x", "k", { a: 2 }),
    publish("~x", "k", "3", { mandatory: true }),
    unbind("~q", "~x", "k", { a: 1 }),
    publish("~x", "k", "4", { mandatory: true }),
    publish("~x", "l", "5", { mandatory: true }),
  ]),
  scenario("the order of binding arguments does not matter", [
    exchange("~x", "direct"),
    queue("~q"),
    bind("~q", "~x", "k", { a: 1, b: 2 }),
    unbind("~q", "~x", "k", { b: 2, a: 1 }),
    publish("~x", "k", "1", { mandatory: true }),
  ]),
  scenario(
    "what cannot be bound",
    eachAlone([
      queue("~q"),
      bind("~q", "~missing", "k"),
      bind("~missing", "amq.direct", "k"),
      bind("~missing", "~missing too", "k"),
      bind("~q", "", "k"),
      bind("~missing", "", "k"),
      call("queue.bind", { queue: "~q", exchange: "~missing", nowait: true }),
      call("queue.bind", { queue: "~missing", exchange: "amq.direct", nowait: true }),
    ]),
  ),
  scenario(
    "unbinding what is not there",
    eachAlone([
      queue("~q"),
      unbind("~q", "amq.direct", "~k"),
      unbind("~missing", "amq.direct", "~k"),
      unbind("~q", "~missing", "~k"),
      unbind("~missing", "~missing too", "~k"),
    ]),
  ),
  scenario("no queue and no key: the key is the queue's name", [
    exchange("~x", "direct"),
    queue("~q"),
    call("queue.bind", { exchange: "~x" }),
    publish("~x", "~q", "by name", { mandatory: true }),
    publish("~x", "", "by nothing", { mandatory: true }),
    call("queue.unbind", { exchange: "~x" }),
    publish("~x", "~q", "unbound", { mandatory: true }),
  ]),
  scenario("a queue but no key: the key is empty", [
    exchange("~x", "direct"),
    queue("~q"),
    bind("~q", "~x"),
    publish("~x", "~q", "by name", { mandatory: true }),
    publish("~x", "", "by nothing", { mandatory: true }),
  ]),
  scenario("no queue but a key", [
    exchange("~x", "direct"),
    queue("~q"),
    call("queue.bind", { exchange: "~x", routingKey: "k" }),
    publish("~x", "k", "by key", { mandatory: true }),
  ]),
  scenario("deleting a queue removes its bindings", [
    exchange("~x", "fanout"),
    queue("~q"),
    bind("~q", "~x"),
    call("queue.delete", { queue: "~q" }),
    publish("~x", "", "1", { mandatory: true }),
    queue("~q"),
    publish("~x", "", "2", { mandatory: true }),
  ]),
];

const direct = [
  scenario("direct: exact keys only", [
    exchange("~x", "direct"),
    queue("~q"),
    queue("~r"),
    bind("~q", "~x", "k"),
    bind("~r", "~x", "k"),
    bind("~r", "~x", ""),
    ...["k", "K", "k ", "", "*", "k.k"].flatMap((key) => [
      publish("~x", key, key, { mandatory: true }),
      take("~q"),
      take("~r"),
    ]),
  ]),
  scenario("default: the key is the queue", [
    queue("~q"),
    publish("", "~q", "1", { mandatory: true }),
    publish("", "~Q", "2", { mandatory: true }),
    publish("", "", "3", { mandatory: true }),
    take("~q"),
    take("~q"),
  ]),
  scenario("fanout: any key", [
    exchange("~x", "fanout"),
    publish("~x", "k", "0", { mandatory: true }),
    queue("~q"),
    queue("~r"),
    bind("~q", "~x", "one"),
    bind("~q", "~x", "two"),
    bind("~r", "~x"),
    publish("~x", "k", "1", { mandatory: true }),
    publish("~x", "one", "2", { mandatory: true }),
    take("~q"),
    take("~q"),
    take("~q"),
    take("~r"),
  ]),
];

const topic = [
  topics(
    "topic: words and wildcards",
    ["a", "a.b", "a.*", "*.b", "a.#", "#.b", "#", "*", "a.*.c", "a.#.c"],
    ["a", "a.b", "a.b.c", "b", "a.c", "c.b", "a.x.y.c"],
  ),
  topics(
    "topic: empty words count",
    ["", "#", "*", "*.*", "a.", ".a", "a..b", "a.*.b", "a.#.b", "#.#"],
    ["", ".", "a.", ".a", "a..b", "..", "a"],
  ),
  topics(
    "topic: hashes in many places",
    ["#.a.#", "#.#", "#.*", "*.#", "#.*.#", "a.#.#.b", "#.a.b.#.c"],
    ["a", "x.a", "a.x", "x.a.y", "a.b", "a.b.c", "a.b.x.c", "x.y", ""],
  ),
  topics(
    "topic: wildcards are whole words, and none in keys",
    ["a*", "#a", "a.*b", "**", "##", "*"],
    ["a*", "ab", "#a", "a.xb", "a.*b", "**", "##", "*", "#"],
  ),
  scenario("topic: one message for a queue with many matching bindings", [
    exchange("~x", "topic"),
    queue("~q"),
    ...["a.#", "a.*", "#.b", "a.b"].map((pattern) => bind("~q", "~x", pattern)),
    publish("~x", "a.b", "1", { mandatory: true }),
    take("~q"),
    take("~q"),
    unbind("~q", "~x", "a.#"),
    unbind("~q", "~x", "a.*"),
    unbind("~q", "~x", "a.b"),
    publish("~x", "a.b", "2", { mandatory: true }),
    unbind("~q", "~x", "#.b"),
    publish("~x", "a.b", "3", { mandatory: true }),
  ]),
];

const candidates = [
  {},
  { a: 1 },
  { a: 2 },
  { a: typed("l", 1) },
  { a: "1" },
  { b: "two" },
  { a: 1, b: "two" },
  { a: 1, b: "two", c: 3 },
  { "x-a": 1 },
  { "x-a": 1, a: 1 },
];

const headersExchange = [
  headers("headers: all", { "x-match": "all", a: 1, b: "two" }, candidates),
  headers("headers: any", { "x-match": "any", a: 1, b: "two" }, candidates),
  headers("headers: all is the default", { a: 1 }, candidates),
  headers("headers: nothing to match, all", { "x-match": "all" }, candidates),
  headers("headers: nothing to match, any", { "x-match": "any" }, candidates),
  headers("headers: x- arguments do not count", { "x-match": "all", "x-a": 1, a: 1 }, candidates),
  headers("headers: all-with-x", { "x-match": "all-with-x", "x-a": 1, a: 1 }, candidates),
  headers("headers: any-with-x", { "x-match": "any-with-x", "x-a": 1, b: "two" }, candidates),
  headers("headers: only x- arguments, all", { "x-match": "all", "x-a": 1 }, candidates),
  headers("headers: void matches presence", { "x-match": "all", a: null }, candidates),
  headers("headers: types matter", { a: typed("s", 1) }, [
    { a: typed("s", 1) },
    { a: typed("b", 1) },
    { a: typed("I", 1) },
    { a: typed("d", 1) },
    { a: "1" },
    { a: true },
  ]),
  headers(
    "headers: values of other types",
    { "x-match": "any", t: true, d: 1.5, f: { x: 1 }, l: ["y"] },
    [
      { t: true },
      { t: false },
      { d: 1.5 },
      { d: typed("f", 1.5) },
      { f: { x: 1 } },
      { f: { x: 2 } },
      { l: ["y"] },
      { l: ["y", "z"] },
    ],
  ),
  scenario(
    "headers: invalid x-match",
    eachAlone([
      exchange("~x", "headers"),
      queue("~q"),
      ...["bogus", "", "ALL", 1, true, null, typed("x", Buffer.from("all"))].map((match) =>
        bind("~q", "~x", "", { "x-match": match, a: 1 }),
      ),
      call("exchange.bind", {
        destination: "~x",
        source: "~x",
        arguments: { "x-match": "bogus" },
      }),
      call("queue.bind", {
        queue: "~q",
        exchange: "amq.direct",
        routingKey: "~k",
        arguments: { "x-match": "bogus" },
      }),
    ]),
  ),
];

const exchangeToExchange = [
  scenario("exchange to exchange", [
    exchange("~from", "topic"),
    exchange("~to", "direct"),
    queue("~q"),
    link("~to", "~from", "a.*"),
    bind("~q", "~to", "a.b"),
    publish("~from", "a.b", "1", { mandatory: true }),
    publish("~from", "a.c", "2", { mandatory: true }),
    publish("~from", "b", "3", { mandatory: true }),
    take("~q"),
    take("~q"),
    unlink("~to", "~from", "a.*"),
    publish("~from", "a.b", "4", { mandatory: true }),
  ]),
  scenario("a queue reached in many ways gets one message", [
    exchange("~from", "fanout"),
    exchange("~one", "fanout"),
    exchange("~two", "fanout"),
    queue("~q"),
    link("~one", "~from"),
    link("~two", "~from"),
    link("~two", "~one"),
    ...["~from", "~one", "~two"].map((name) => bind("~q", name)),
    publish("~from", "k", "1", { mandatory: true }),
    take("~q"),
    take("~q"),
  ]),
  scenario("circles end", [
    exchange("~one", "fanout"),
    exchange("~two", "fanout"),
    queue("~q"),
    link("~one", "~two"),
    link("~two", "~one"),
    link("~one", "~one"),
    bind("~q", "~two"),
    publish("~one", "k", "1", { mandatory: true }),
    take("~q"),
    take("~q"),
  ]),
  scenario("into an internal exchange", [
    exchange("~from", "fanout"),
    call("exchange.declare", { exchange: "~to", type: "fanout", internal: true }),
    queue("~q"),
    link("~to", "~from"),
    bind("~q", "~to"),
    publish("~from", "k", "1", { mandatory: true }),
    take("~q"),
  ]),
  scenario("the alternate exchange of a destination", [
    exchange("~from", "fanout"),
    exchange("~alternate", "fanout"),
    call("exchange.declare", {
      exchange: "~to",
      type: "direct",
      arguments: { "alternate-exchange": "~alternate" },
    }),
    queue("~q"),
    link("~to", "~from"),
    bind("~q", "~alternate"),
    publish("~from", "k", "1", { mandatory: true }),
    take("~q"),
  ]),
  scenario("the alternate exchange when destinations route nowhere", [
    exchange("~to", "direct"),
    exchange("~alternate", "fanout"),
    call("exchange.declare", {
      exchange: "~from",
      type: "fanout",
      arguments: { "alternate-exchange": "~alternate" },
    }),
    queue("~q"),
    link("~to", "~from"),
    bind("~q", "~alternate"),
    publish("~from", "k", "1", { mandatory: true }),
    take("~q"),
  ]),
  scenario(
    "what cannot be linked",
    eachAlone([
      exchange("~x", "fanout"),
      link("~x", "~missing"),
      link("~missing", "~x"),
      link("~missing one", "~missing two"),
      call("exchange.bind", { destination: "~x", source: "~missing", nowait: true }),
      unlink("~x", "~missing"),
      unlink("~missing", "~x"),
      unlink("~x", "~x", "never linked"),
    ]),
  ),
];

/** Publishes to ~q with these headers, and takes from ~q, ~r and ~s. */
function copies(name: string, set: Record<string, unknown>, key = "~q"): Scenario {
  const queues = ["~q", "~r", "~s"];
  const steps: Step[] = [
    ...queues.map(queue),
    publish("", key, "1", { mandatory: true, properties: { headers: set } }),
    ...queues.map(take),
  ];
  return scenario(name, steps);
}

const copying = [
  copies("CC: more keys", { CC: ["~r", "~s"] }),
  copies("BCC: more keys, unseen", { BCC: ["~r", "~s"] }),
  copies("CC and BCC among other headers", { a: 1, CC: ["~r"], b: 2, BCC: ["~s"], c: 3 }),
  copies("CC: the same queue again", { CC: ["~q", "~q"] }),
  copies("CC: only the copy is routed", { CC: ["~r"] }, "~nowhere"),
  copies("BCC: only the copy is routed", { BCC: ["~r"] }, "~nowhere"),
  copies("CC: none is routed", { CC: ["~nowhere too"] }, "~nowhere"),
  copies("CC: empty", { CC: [] }),
  copies("CC in lower case is a header like others", { cc: ["~r"] }),
  copies("CC: values that are no strings", { CC: [1, "~r", null, ["~s"]] }),
  copies("CC: a string", { CC: "~r" }),
  copies("BCC: a string", { BCC: "~r" }),
  copies("CC: void", { CC: null }),
  copies("CC: a table", { CC: { a: "~r" } }),
  copies("CC and BCC both wrong", { BCC: "~r", CC: "~s" }),
  scenario("CC through other exchanges", [
    exchange("~x", "topic"),
    queue("~q"),
    queue("~r"),
    bind("~q", "~x", "a.*"),
    bind("~r", "~x", "b.*"),
    publish("~x", "a.1", "1", { mandatory: true, properties: { headers: { CC: ["b.1"] } } }),
    take("~q"),
    take("~r"),
    exchange("~f", "fanout"),
    bind("~q", "~f"),
    publish("~f", "a", "2", { mandatory: true, properties: { headers: { CC: ["b"] } } }),
    take("~q"),
    take("~q"),
  ]),
];

export const routing = area("routing", [
  ...bindings,
  ...direct,
  ...topic,
  ...headersExchange,
  ...exchangeToExchange,
  ...copying,
]);
