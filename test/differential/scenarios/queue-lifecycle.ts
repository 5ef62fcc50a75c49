/** Queues: names, the channel's current queue, exclusiveness, purge, delete, auto-delete. */

import { area, scenario } from "../scenario.ts";
import {
  awaiting,
  bytes,
  call,
  connect,
  eachAlone,
  frameOf,
  on,
  publish,
  reopen,
  together,
  via,
} from "../step.ts";

const declare = (queue: string, attributes: object = { exclusive: true }) =>
  call("queue.declare", { queue, ...attributes });
const passive = (queue: string) => call("queue.declare", { queue, passive: true });
const get = (queue: string, noAck = false) => call("basic.get", { queue, noAck });

const names = [
  scenario("server-named", [declare(""), declare("")]),
  scenario("server-named, not exclusive, is ordinary", [
    call("queue.declare"),
    passive("<queue 1>"),
    call("queue.delete", { queue: "<queue 1>" }),
  ]),
  scenario("redeclaring a server-named queue by its name", [
    declare(""),
    passive("<queue 1>"),
    call("queue.bind", { queue: "<queue 1>", exchange: "amq.direct", routingKey: "~k" }),
    declare("<queue 1>"),
  ]),
  scenario(
    "reserved names",
    eachAlone(["amq.foo", "amq.", "amq.gen-x", "amq.rabbitmq.foo"].map((queue) => declare(queue))),
  ),
  scenario(
    "reserved names are looked up passively",
    eachAlone(["amq.foo", "amq.gen-x"].map(passive)),
  ),
  scenario("names that only look reserved", [
    declare("amq", { autoDelete: true }),
    call("queue.delete", { queue: "amq" }),
    declare("AMQ.x", { autoDelete: true }),
    call("queue.delete", { queue: "AMQ.x" }),
  ]),
  scenario("line breaks are stripped from queue names", [
    declare("~a\nb"),
    passive("~ab"),
    passive("~a\r\nb"),
    publish("", "~ab", "found", { mandatory: true }),
    publish("", "~a\nb", "not found", { mandatory: true }),
    get("~a\nb", true),
    call("queue.purge", { queue: "~\nab" }),
    call("queue.delete", { queue: "~ab\n" }),
  ]),
  scenario("names of odd characters", [
    declare("~ é漢\u0000\u0001'\"<>"),
    passive("~ é漢\u0000\u0001'\"<>"),
  ]),
  scenario("a name of 200 bytes", [declare(`~${"q".repeat(200)}`), passive(`~${"q".repeat(200)}`)]),
  scenario(
    "a long name in an error is cut",
    eachAlone([passive(`~${"q".repeat(230)}`), passive(`~${"é".repeat(115)}`)]),
  ),
  scenario("names that are not UTF-8", [
    bytes(
      "queue.declare of 0xFF",
      frameOf(1, "queue.declare", { queue: "f\udcff", exclusive: true }),
    ),
  ]),
];

const currentQueue = [
  ...(["bind", "unbind", "purge", "delete"] as const).map((verb) =>
    scenario(`queue.${verb} without a name and without a queue before`, [call(`queue.${verb}`)]),
  ),
  scenario("basic.get without a name and without a queue before", [call("basic.get")]),
  scenario("basic.consume without a name and without a queue before", [call("basic.consume")]),
  scenario("passive without a name", eachAlone([passive(""), declare(""), passive("")])),
  scenario("no name means the last one declared", [
    declare("~a"),
    declare("~b"),
    publish("", "~b", "for b"),
    call("basic.get"),
    call("queue.purge"),
    call("queue.delete"),
    passive("~a"),
  ]),
  scenario(
    "a deleted queue stays the last one",
    eachAlone([declare("~a"), call("queue.delete"), call("queue.purge")]),
  ),
  scenario("delete without a name after delete", [
    declare("~a"),
    call("queue.delete"),
    call("queue.delete"),
    call("basic.get"),
  ]),
  scenario("a passive declare counts as declaring", [
    declare("~a"),
    declare("~b"),
    passive("~a"),
    call("queue.delete"),
    passive("~b"),
    passive("~a"),
  ]),
  scenario("a nowait declare counts as declaring", [
    call("queue.declare", { queue: "~a", exclusive: true, nowait: true }),
    publish("", "~a", "1"),
    call("basic.get"),
  ]),
  scenario("the last queue belongs to the channel", [
    declare("~a"),
    on(2, call("channel.open")),
    on(2, call("basic.get")),
  ]),
  scenario("the last queue ends with the channel", [
    declare("~a"),
    call("channel.close", { replyCode: 200 }),
    call("channel.open"),
    call("basic.get"),
  ]),
];

const counts = [
  scenario("declare-ok counts ready messages and consumers", [
    declare("~q"),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    publish("", "~q", "3"),
    passive("~q"),
    get("~q"),
    passive("~q"),
    call("basic.qos", { prefetchCount: 1 }),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
    passive("~q"),
    call("basic.consume", { queue: "~q", consumerTag: "u" }),
    passive("~q"),
    call("basic.cancel", { consumerTag: "t" }),
    passive("~q"),
  ]),
  scenario("purge counts and removes what is ready", [
    declare("~q"),
    call("queue.purge", { queue: "~q" }),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    get("~q"),
    call("queue.purge", { queue: "~q" }),
    passive("~q"),
    call("basic.reject", { deliveryTag: 1, requeue: true }),
    get("~q"),
  ]),
  scenario("purge nowait", [
    declare("~q"),
    publish("", "~q", "1"),
    call("queue.purge", { queue: "~q", nowait: true }),
    get("~q"),
  ]),
  scenario("purge of a missing queue", [call("queue.purge", { queue: "~missing" })]),
  scenario("purge nowait of a missing queue", [
    call("queue.purge", { queue: "~missing", nowait: true }),
  ]),
];

const deletion = [
  scenario("delete counts what was ready", [
    declare("~q"),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    get("~q"),
    call("queue.delete", { queue: "~q" }),
    call("basic.ack", { deliveryTag: 1 }),
    passive("~q"),
  ]),
  scenario("settling messages of a deleted queue", [
    declare("~q"),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    get("~q"),
    get("~q"),
    call("queue.delete", { queue: "~q" }),
    call("basic.nack", { deliveryTag: 1, requeue: true }),
    call("basic.recover", { requeue: true }),
    call("basic.ack", { deliveryTag: 2 }),
  ]),
  scenario("delete of a missing queue", [
    call("queue.delete", { queue: "~missing" }),
    call("queue.delete", { queue: "~missing", ifUnused: true, ifEmpty: true }),
    call("queue.delete", { queue: "~missing", nowait: true }),
    passive("~missing"),
  ]),
  scenario("delete if empty", [
    declare("~q"),
    publish("", "~q", "1"),
    call("queue.delete", { queue: "~q", ifEmpty: true }),
    reopen(),
    get("~q"),
    call("queue.delete", { queue: "~q", ifEmpty: true }),
  ]),
  scenario("delete if unused", [
    declare("~q"),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
    on(2, call("channel.open")),
    on(2, call("queue.delete", { queue: "~q", ifUnused: true })),
    on(2, reopen()),
    call("basic.cancel", { consumerTag: "t" }),
    on(2, call("queue.delete", { queue: "~q", ifUnused: true })),
  ]),
  scenario("delete if unused and if empty, both in the way", [
    declare("~q"),
    call("basic.qos", { prefetchCount: 1 }),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    on(2, call("channel.open")),
    on(2, call("queue.delete", { queue: "~q", ifUnused: true, ifEmpty: true })),
  ]),
  scenario("delete nowait with a condition that fails", [
    declare("~q"),
    publish("", "~q", "1"),
    call("queue.delete", { queue: "~q", ifEmpty: true, nowait: true }),
  ]),
  scenario(
    "passive declare of a missing queue",
    eachAlone([
      passive("~missing"),
      call("queue.declare", { queue: "~missing", passive: true, nowait: true }),
    ]),
  ),
  scenario("passive nowait declare of an existing queue", [
    declare("~q"),
    call("queue.declare", { queue: "~q", passive: true, nowait: true }),
  ]),
];

const autoDelete = [
  scenario("an auto-delete queue goes with its last consumer", [
    declare("~q", { autoDelete: true }),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
    call("basic.consume", { queue: "~q", consumerTag: "u" }),
    publish("", "~q", "1"),
    call("basic.cancel", { consumerTag: "t" }),
    passive("~q"),
    call("basic.cancel", { consumerTag: "u" }),
    passive("~q"),
  ]),
  scenario("an auto-delete queue without a consumer stays", [
    declare("~q", { autoDelete: true }),
    publish("", "~q", "1"),
    get("~q", true),
    passive("~q"),
  ]),
  scenario("an auto-delete queue goes with its consumer's channel", [
    declare("~q", { autoDelete: true }),
    on(2, call("channel.open")),
    on(2, call("basic.consume", { queue: "~q", consumerTag: "t" })),
    on(2, call("channel.close", { replyCode: 200 })),
    passive("~q"),
  ]),
  scenario("an auto-delete queue and a cancel without waiting", [
    declare("~q", { autoDelete: true }),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
    call("basic.cancel", { consumerTag: "t", nowait: true }),
    publish("", "~q", "nobody", { mandatory: true }),
  ]),
];

const others = [
  call("queue.declare", { queue: "~q", exclusive: true }),
  call("queue.declare", { queue: "~q" }),
  call("queue.declare", { queue: "~q", durable: true, autoDelete: true }),
  passive("~q"),
  call("queue.bind", { queue: "~q", exchange: "amq.direct", routingKey: "~k" }),
  call("queue.bind", { queue: "~q", exchange: "~missing", routingKey: "~k" }),
  call("queue.bind", { queue: "~q", exchange: "", routingKey: "~k" }),
  call("queue.unbind", { queue: "~q", exchange: "amq.direct", routingKey: "~k" }),
  call("queue.purge", { queue: "~q" }),
  call("queue.delete", { queue: "~q" }),
  call("queue.delete", { queue: "~q", nowait: true }),
  get("~q"),
  call("basic.consume", { queue: "~q" }),
  publish("", "~q", "from elsewhere", { mandatory: true }),
];

const exclusive = [
  scenario("an exclusive queue of another connection", [
    declare("~q"),
    connect("b"),
    ...eachAlone(others.map((step) => via("b", step))).map((step) => via("b", step)),
    get("~q"),
  ]),
  scenario("an exclusive queue goes with its connection", [
    connect("b"),
    via("b", declare("~q")),
    publish("", "~q", "there", { mandatory: true }),
    via("b", call("connection.close", { replyCode: 200 })),
    publish("", "~q", "gone", { mandatory: true }),
    passive("~q"),
  ]),
  scenario("an exclusive queue is open to every channel of its connection", [
    declare("~q"),
    on(2, call("channel.open")),
    on(2, declare("~q")),
    publish("", "~q", "1"),
    on(2, get("~q")),
    call("channel.close", { replyCode: 200 }),
    on(2, passive("~q")),
  ]),
  scenario("the consumers of a connection that closes", [
    declare("~q", {}),
    connect("b"),
    via("b", call("basic.consume", { queue: "~q", consumerTag: "t" })),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    via("b", call("connection.close", { replyCode: 200 })),
    passive("~q"),
    get("~q"),
    get("~q"),
  ]),
  scenario("two connections share a queue", [
    declare("~q", {}),
    connect("b"),
    via("b", passive("~q")),
    publish("", "~q", "1"),
    via("b", get("~q")),
    via("b", call("basic.ack", { deliveryTag: 1 })),
    get("~q"),
  ]),
];

const otherTypes = [
  scenario(
    "quorum queues must be durable, shared and stay",
    eachAlone(
      [
        { durable: false },
        { durable: true, autoDelete: true },
        { durable: true, exclusive: true },
      ].map((attributes) =>
        call("queue.declare", {
          queue: "~q",
          ...attributes,
          arguments: { "x-queue-type": "quorum" },
        }),
      ),
    ),
  ),
  scenario(
    "streams must be durable, shared and stay",
    eachAlone(
      [
        { durable: false },
        { durable: true, autoDelete: true },
        { durable: true, exclusive: true },
      ].map((attributes) =>
        call("queue.declare", {
          queue: "~q",
          ...attributes,
          arguments: { "x-queue-type": "stream" },
        }),
      ),
    ),
  ),
];

export const queueLifecycle = area("queue lifecycle", [
  ...names,
  ...currentQueue,
  ...counts,
  ...deletion,
  ...autoDelete,
  ...exclusive,
  ...otherTypes,
  scenario("operations sent without waiting", [
    together(
      declare("~q"),
      publish("", "~q", "1"),
      publish("", "~q", "2"),
      call("queue.purge", { queue: "~q" }),
      publish("", "~q", "3"),
      get("~q"),
      call("queue.delete", { queue: "~q" }),
    ),
    awaiting("queue.delete-ok"),
  ]),
]);
