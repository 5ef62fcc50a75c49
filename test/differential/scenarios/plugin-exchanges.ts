/**
 * The exchange types of RabbitMQ's plugins. Where one is not enabled its scenarios are skipped:
 * rabbitmq_consistent_hash_exchange, rabbitmq_random_exchange,
 * rabbitmq_recent_history_exchange and rabbitmq_sharding have to be.
 */

import { area, type Scenario, scenario } from "../scenario.ts";
import { call, eachAlone, publish, type Step, typed } from "../step.ts";

const declare = (type: string, args: Record<string, unknown> = {}) =>
  call("exchange.declare", { exchange: "~x", type, arguments: args });
const remove = call("exchange.delete", { exchange: "~x" });
const queue = (name: string) => call("queue.declare", { queue: name, exclusive: true });
const bind = (name: string, routingKey = "", args: Record<string, unknown> = {}) =>
  call("queue.bind", { queue: name, exchange: "~x", routingKey, arguments: args });
const unbind = (name: string, routingKey = "") =>
  call("queue.unbind", { queue: name, exchange: "~x", routingKey });
/** Shows how many messages the queue has. */
const count = (name: string) => call("queue.declare", { queue: name, passive: true });

function of(type: string, name: string, steps: readonly Step[]): Scenario {
  return scenario(`${type}: ${name}`, steps, { exchangeType: type });
}

const consistent = "x-consistent-hash";
const property = (name: string) => declare(consistent, { "hash-property": name });
const keys = Array.from({ length: 40 }, (_, index) => `key.${index}`);
const publishAll = keys.map((key) => publish("~x", key, key, { mandatory: true }));
const headered = (headers: Record<string, unknown>) =>
  publish("~x", "k", "1", { mandatory: true, properties: { headers } });

const consistentHash = [
  of(
    consistent,
    "arguments of the exchange",
    eachAlone([
      declare(consistent, { "hash-header": "customer" }),
      remove,
      ...["message_id", "correlation_id", "timestamp"].flatMap((name) => [property(name), remove]),
      property("app_id"),
      property(""),
      declare(consistent, { "hash-header": "h", "hash-property": "message_id" }),
      declare(consistent, { "hash-header": "h", "hash-property": "app_id" }),
    ]),
  ),
  of(consistent, "arguments of other types", [declare(consistent, { "hash-header": 5 })]),
  of(
    consistent,
    "weights",
    eachAlone([
      declare(consistent),
      queue("~q"),
      ...["1", "0", "-1", "+2", "007", "", "a", "1.5", " 1", "1 ", "-", "\u0001", 'a"b'].map(
        (key) => bind("~q", key),
      ),
    ]),
  ),
  of(consistent, "a single queue gets everything until it is unbound", [
    declare(consistent),
    queue("~q"),
    ...publishAll.slice(0, 2),
    bind("~q", "3"),
    ...publishAll,
    count("~q"),
    unbind("~q", "3"),
    ...publishAll.slice(0, 2),
    count("~q"),
  ]),
  of(consistent, "one binding of several to a queue counts", [
    declare(consistent),
    queue("~q"),
    bind("~q", "1"),
    bind("~q", "2"),
    bind("~q", "2", { more: 1 }),
    ...publishAll.slice(0, 5),
    count("~q"),
  ]),
  of(consistent, "a queue that keeps one of its bindings", [
    declare(consistent),
    queue("~q"),
    bind("~q", "1"),
    bind("~q", "2"),
    unbind("~q", "1"),
    publish("~x", "k", "1", { mandatory: true }),
  ]),
  of(consistent, "messages without the header or property are routed too", [
    declare(consistent, { "hash-header": "h" }),
    queue("~q"),
    queue("~other"),
    bind("~q", "1"),
    publish("~x", "k", "1", { mandatory: true }),
    headered({ other: "1" }),
    headered({ h: "1" }),
    headered({ h: typed("l", 5) }),
    headered({ h: { nested: true } }),
    headered({ h: [1, 2] }),
    headered({ h: null }),
    remove,
    property("message_id"),
    bind("~other", "1"),
    publish("~x", "k", "1", { mandatory: true }),
    publish("~x", "k", "1", { mandatory: true, properties: { messageId: "m" } }),
    count("~q"),
    count("~other"),
  ]),
];

const modulus = "x-modulus-hash";

const modulusHash = [
  of(modulus, "each key has its queue", [
    declare(modulus),
    ...["~d", "~a", "~c", "~b", "~e"].flatMap((name) => [queue(name), bind(name)]),
    ...publishAll,
    ...["~a", "~b", "~c", "~d", "~e"].map(count),
    call("queue.delete", { queue: "~b" }),
    ...publishAll,
    ...["~a", "~c", "~d", "~e"].map(count),
  ]),
  of(modulus, "bindings stand by key first, and each counts", [
    declare(modulus),
    queue("~a"),
    queue("~b"),
    bind("~a", "2"),
    bind("~b", "1"),
    bind("~b", "11"),
    bind("~a", "11", { more: 1 }),
    bind("~a", "11"),
    ...publishAll,
    count("~a"),
    count("~b"),
  ]),
  of(modulus, "an empty key, long keys, and keys of CC", [
    declare(modulus),
    ...["~a", "~b", "~c"].flatMap((name) => [queue(name), bind(name)]),
    publish("~x", ""),
    publish("~x", "twelve bytes", "1"),
    publish("~x", "x".repeat(255), "1"),
    publish("~x", "key é 漢", "1"),
    ...["~a", "~b", "~c"].map(count),
    publish("~x", "k", "1", { properties: { headers: { CC: ["l"] } } }),
    publish("~x", "k", "1", { properties: { headers: { CC: ["m", "n"] } } }),
    publish("~x", "k", "1", { properties: { headers: { CC: ["", "z"] } } }),
    ...["~a", "~b", "~c"].map(count),
  ]),
];

const random = ["x-random", "x-local-random"].flatMap((type) => [
  of(type, "a single queue gets everything", [
    declare(type),
    publish("~x", "k", "1", { mandatory: true }),
    queue("~q"),
    bind("~q"),
    ...publishAll.slice(0, 5),
    count("~q"),
    unbind("~q"),
    publish("~x", "k", "1", { mandatory: true }),
  ]),
  of(
    type,
    "what may be bound",
    eachAlone([
      declare(type),
      queue("~q"),
      call("exchange.declare", { exchange: "~to", type: "fanout", autoDelete: true }),
      bind("~q", "k"),
      bind("~q", "", { more: 1 }),
      call("exchange.bind", { source: "~x", destination: "~to" }),
      call("exchange.bind", { source: "~x", destination: "~to", routingKey: "k" }),
      remove,
      call("exchange.delete", { exchange: "~to" }),
    ]),
  ),
]);

const recent = "x-recent-history";
const remembering = (length: unknown) => declare(recent, { "x-recent-history-length": length });
const get = (name: string) => call("basic.get", { queue: name, noAck: true });

const recentHistory = [
  of(
    recent,
    "lengths",
    eachAlone(
      [
        1,
        0,
        -1,
        typed("b", 3),
        typed("s", 3),
        typed("l", 3),
        typed("u", 3),
        1.5,
        "3",
        true,
      ].flatMap((length) => [remembering(length), remove]),
    ),
  ),
  of(recent, "a queue gets the last messages when it is bound", [
    remembering(3),
    ...publishAll.slice(0, 5),
    queue("~q"),
    bind("~q"),
    ...[1, 2, 3, 4].map(() => get("~q")),
    ...publishAll.slice(5, 7),
    ...[1, 2, 3].map(() => get("~q")),
    bind("~q"),
    get("~q"),
    bind("~q", "other"),
    ...[1, 2, 3, 4].map(() => get("~q")),
  ]),
  of(recent, "20 of them unless something else is said", [
    declare(recent),
    ...publishAll,
    queue("~q"),
    bind("~q"),
    count("~q"),
    get("~q"),
  ]),
  of(recent, "messages that are not to be remembered", [
    declare(recent),
    queue("~q"),
    queue("~late"),
    bind("~q"),
    headered({ "x-recent-history-no-store": true }),
    headered({ "x-recent-history-no-store": false }),
    headered({ "x-recent-history-no-store": "true" }),
    headered({ "x-recent-history-no-store": 1 }),
    count("~q"),
    bind("~late"),
    count("~late"),
    get("~late"),
  ]),
  of(recent, "an exchange that is bound gets them by their keys", [
    declare(recent),
    call("exchange.declare", { exchange: "~to", type: "topic", autoDelete: true }),
    queue("~q"),
    call("queue.bind", { queue: "~q", exchange: "~to", routingKey: "key.#" }),
    ...publishAll.slice(0, 3),
    call("exchange.bind", { source: "~x", destination: "~to" }),
    ...[1, 2, 3, 4].map(() => get("~q")),
  ]),
  of(recent, "an exchange that is bound has no use for one of them", [
    declare(recent),
    call("exchange.declare", { exchange: "~to", type: "topic", autoDelete: true }),
    publish("~x", "other", "1"),
    call("exchange.bind", { source: "~x", destination: "~to" }),
  ]),
];

export const pluginExchanges = area("plugin exchanges", [
  ...consistentHash,
  ...modulusHash,
  ...random,
  ...recentHistory,
]);
