/** Exchanges: declaring, redeclaring, deleting, and the predeclared ones. */

import { area, type Scenario, scenario } from "../scenario.ts";
import { bytes, call, eachAlone, frameOf, on, publish, reopen, typed } from "../step.ts";

interface Attributes {
  type?: string;
  passive?: boolean;
  durable?: boolean;
  autoDelete?: boolean;
  internal?: boolean;
  nowait?: boolean;
  arguments?: Record<string, unknown>;
}

const declare = (exchange: string, attributes: Attributes = {}) =>
  call("exchange.declare", { exchange, type: "direct", ...attributes });
const passive = (exchange: string, type = "direct") =>
  call("exchange.declare", { exchange, type, passive: true });
const remove = (exchange: string, attributes: object = {}) =>
  call("exchange.delete", { exchange, ...attributes });
const queue = call("queue.declare", { queue: "~q", exclusive: true });
const bind = (exchange: string, routingKey = "k") =>
  call("queue.bind", { queue: "~q", exchange, routingKey });

/** Declares ~x twice. */
function twice(name: string, first: Attributes, second: Attributes): Scenario {
  return scenario(name, [declare("~x", first), declare("~x", second)]);
}

const types = ["direct", "fanout", "topic", "headers"].map((type) =>
  scenario(`a ${type} exchange`, [
    declare("~x", { type }),
    declare("~x", { type }),
    passive("~x", "bogus"),
    remove("~x"),
    passive("~x"),
  ]),
);

const unknownTypes = [
  scenario("an unknown type", [declare("~x", { type: "bogus" })]),
  scenario("an empty type", [declare("~x", { type: "" })]),
  scenario("an unknown type, nowait", [declare("~x", { type: "bogus", nowait: true })]),
  scenario("an unknown type for an existing exchange", [
    declare("~x"),
    declare("~x", { type: "bogus" }),
  ]),
  scenario("an unknown type for a reserved name", [declare("amq.foo", { type: "bogus" })]),
  scenario("an unknown type with an invalid argument", [
    declare("~x", { type: "bogus", arguments: { "alternate-exchange": 1 } }),
  ]),
  scenario("a type in capitals", [declare("~x", { type: "DIRECT" })]),
];

const names = [
  scenario("reserved names", eachAlone([declare("amq.foo"), declare("amq."), passive("amq.foo")])),
  scenario(
    "the predeclared exchanges",
    eachAlone(
      [
        ["amq.direct", "direct"],
        ["amq.fanout", "fanout"],
        ["amq.topic", "topic"],
        ["amq.headers", "headers"],
        ["amq.match", "headers"],
        ["amq.rabbitmq.trace", "topic"],
      ].flatMap(([exchange = "", type = ""]) => [
        declare(exchange, { type, durable: true }),
        declare(exchange, { type, durable: true, internal: true }),
        declare(exchange, { type: type === "topic" ? "direct" : "topic", durable: true }),
        declare(exchange, { type }),
        remove(exchange),
        remove(exchange, { ifUnused: true }),
      ]),
    ),
  ),
  scenario(
    "the default exchange cannot be touched",
    eachAlone([
      declare("", { durable: true }),
      passive(""),
      remove(""),
      remove("", { ifUnused: true }),
      queue,
      bind(""),
      call("queue.unbind", { queue: "~q", exchange: "", routingKey: "~q" }),
      call("exchange.bind", { destination: "amq.direct", source: "" }),
      call("exchange.bind", { destination: "", source: "amq.direct" }),
      call("exchange.unbind", { destination: "amq.direct", source: "" }),
      call("exchange.unbind", { destination: "", source: "amq.direct" }),
    ]),
  ),
  scenario("line breaks are stripped from exchange names", [
    declare("~a\nb"),
    passive("~ab"),
    passive("~a\r\nb"),
    remove("~\nab"),
    passive("~ab"),
  ]),
  scenario("names that are not UTF-8", [
    bytes("exchange.declare of 0xFF", frameOf(1, "exchange.declare", { exchange: "f\udcff" })),
  ]),
  scenario("odd names", [declare("~ é漢\u0000'\"<>"), passive("~ é漢\u0000'\"<>")]),
];

const equivalence = [
  twice("type is another", {}, { type: "fanout" }),
  twice("durable is added", {}, { durable: true }),
  twice("durable is missing", { durable: true }, {}),
  twice("auto-delete is added", {}, { autoDelete: true }),
  twice("auto-delete is missing", { autoDelete: true }, {}),
  twice("internal is added", {}, { internal: true }),
  twice("internal is missing", { internal: true }, {}),
  twice(
    "everything is another",
    {},
    {
      type: "topic",
      durable: true,
      autoDelete: true,
      internal: true,
      arguments: { "alternate-exchange": "~a" },
    },
  ),
  twice("all but the type", {}, { durable: true, autoDelete: true, internal: true }),
  twice("auto-delete and internal", {}, { autoDelete: true, internal: true }),
  twice("alternate-exchange is added", {}, { arguments: { "alternate-exchange": "~a" } }),
  twice("alternate-exchange is missing", { arguments: { "alternate-exchange": "~a" } }, {}),
  twice(
    "alternate-exchange is another",
    { arguments: { "alternate-exchange": "~a" } },
    { arguments: { "alternate-exchange": "~b" } },
  ),
  twice("an unknown argument is added", {}, { arguments: { "x-whatever": 1 } }),
  twice("nowait, another", {}, { type: "fanout", nowait: true }),
  twice("nowait, the same", {}, { nowait: true }),
];

const alternate = [
  scenario(
    "alternate-exchange of every kind",
    eachAlone(
      [1, true, null, typed("l", 5), typed("A", []), {}, "", "~missing"].flatMap((value) => [
        declare("~x", { arguments: { "alternate-exchange": value } }),
        remove("~x"),
      ]),
    ),
  ),
  scenario("what is not routed goes to the alternate exchange", [
    queue,
    declare("~alternate", { type: "fanout" }),
    declare("~x", { arguments: { "alternate-exchange": "~alternate" } }),
    bind("~alternate"),
    publish("~x", "nowhere", "1", { mandatory: true }),
    call("basic.get", { queue: "~q", noAck: true }),
    call("queue.unbind", { queue: "~q", exchange: "~alternate", routingKey: "k" }),
    publish("~x", "nowhere", "2", { mandatory: true }),
    publish("~x", "nowhere", "3"),
    remove("~alternate"),
    publish("~x", "nowhere", "4", { mandatory: true }),
  ]),
  scenario("what is routed does not go to the alternate exchange", [
    queue,
    call("queue.declare", { queue: "~other", exclusive: true }),
    declare("~alternate", { type: "fanout" }),
    declare("~x", { arguments: { "alternate-exchange": "~alternate" } }),
    bind("~x"),
    call("queue.bind", { queue: "~other", exchange: "~alternate" }),
    publish("~x", "k", "1"),
    call("basic.get", { queue: "~q", noAck: true }),
    call("basic.get", { queue: "~other", noAck: true }),
  ]),
  scenario("alternate exchanges in a chain", [
    queue,
    declare("~c", { type: "fanout" }),
    declare("~b", { arguments: { "alternate-exchange": "~c" } }),
    declare("~a", { arguments: { "alternate-exchange": "~b" } }),
    bind("~c"),
    publish("~a", "nowhere", "1", { mandatory: true }),
    call("basic.get", { queue: "~q", noAck: true }),
  ]),
  scenario("alternate exchanges in a circle", [
    declare("~a", { arguments: { "alternate-exchange": "~b" } }),
    declare("~b", { arguments: { "alternate-exchange": "~a" } }),
    publish("~a", "nowhere", "1", { mandatory: true }),
    declare("~self", { arguments: { "alternate-exchange": "~self" } }),
    publish("~self", "nowhere", "2", { mandatory: true }),
  ]),
  scenario("an internal exchange may be an alternate one", [
    queue,
    declare("~inner", { type: "fanout", internal: true }),
    declare("~x", { arguments: { "alternate-exchange": "~inner" } }),
    bind("~inner"),
    publish("~x", "nowhere", "1", { mandatory: true }),
    call("basic.get", { queue: "~q", noAck: true }),
  ]),
];

const deletion = [
  scenario("delete of a missing exchange", [
    remove("~missing"),
    remove("~missing", { ifUnused: true }),
    remove("~missing", { nowait: true }),
    passive("~missing"),
  ]),
  scenario("delete of a missing reserved exchange", [remove("amq.foo")]),
  scenario("delete if unused", [
    declare("~x"),
    queue,
    bind("~x"),
    remove("~x", { ifUnused: true }),
    reopen(),
    call("queue.unbind", { queue: "~q", exchange: "~x", routingKey: "k" }),
    remove("~x", { ifUnused: true }),
    passive("~x"),
  ]),
  scenario("delete if unused, nowait, in use", [
    declare("~x"),
    queue,
    bind("~x"),
    remove("~x", { ifUnused: true, nowait: true }),
  ]),
  scenario("being a destination is no use", [
    declare("~from"),
    declare("~to"),
    call("exchange.bind", { destination: "~to", source: "~from", routingKey: "k" }),
    on(2, call("channel.open")),
    on(2, remove("~from", { ifUnused: true })),
    remove("~to", { ifUnused: true }),
    on(2, reopen()),
    on(2, remove("~from", { ifUnused: true })),
  ]),
  scenario("deleting an exchange removes its bindings", [
    declare("~x"),
    queue,
    bind("~x"),
    publish("~x", "k", "1"),
    remove("~x"),
    publish("~x", "k", "2"),
    reopen(),
    declare("~x"),
    publish("~x", "k", "3", { mandatory: true }),
  ]),
  scenario(
    "passive declare of a missing exchange",
    eachAlone([
      passive("~missing"),
      passive("~missing", "bogus"),
      call("exchange.declare", {
        exchange: "~missing",
        type: "direct",
        passive: true,
        nowait: true,
      }),
    ]),
  ),
];

const autoDelete = [
  scenario("an auto-delete exchange goes with its last binding", [
    declare("~x", { autoDelete: true }),
    queue,
    passive("~x"),
    bind("~x", "one"),
    bind("~x", "two"),
    call("queue.unbind", { queue: "~q", exchange: "~x", routingKey: "one" }),
    passive("~x"),
    call("queue.unbind", { queue: "~q", exchange: "~x", routingKey: "two" }),
    passive("~x"),
  ]),
  scenario("an auto-delete exchange goes with its last queue", [
    declare("~x", { autoDelete: true }),
    queue,
    bind("~x"),
    call("queue.delete", { queue: "~q" }),
    passive("~x"),
  ]),
  scenario("an auto-delete exchange goes with the exchange it is bound to", [
    declare("~x", { autoDelete: true }),
    declare("~to"),
    call("exchange.bind", { destination: "~to", source: "~x" }),
    remove("~to"),
    passive("~x"),
  ]),
  scenario("auto-delete exchanges in a chain go one after the other", [
    declare("~first", { autoDelete: true }),
    declare("~second", { autoDelete: true }),
    queue,
    call("exchange.bind", { destination: "~second", source: "~first" }),
    bind("~second"),
    call("queue.delete", { queue: "~q" }),
    on(2, call("channel.open")),
    passive("~second"),
    on(2, passive("~first")),
  ]),
  scenario("an auto-delete exchange that is a destination stays", [
    declare("~from"),
    declare("~x", { autoDelete: true }),
    call("exchange.bind", { destination: "~x", source: "~from" }),
    remove("~from"),
    passive("~x"),
  ]),
  scenario("unbinding what is not bound does not delete", [
    declare("~x", { autoDelete: true }),
    queue,
    call("queue.unbind", { queue: "~q", exchange: "~x", routingKey: "none" }),
    passive("~x"),
  ]),
];

export const exchanges = area("exchanges", [
  ...types,
  ...unknownTypes,
  ...names,
  ...equivalence,
  ...alternate,
  ...deletion,
  ...autoDelete,
  scenario("internal exchanges take no publishes", [
    declare("~x", { internal: true }),
    publish("~x", "k", "1"),
    reopen(),
    publish("amq.rabbitmq.trace", "k", "1"),
  ]),
]);
