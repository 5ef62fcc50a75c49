/** basic.publish: refusals, returns, properties, confirms, sizes. */

import type { Properties } from "@haremq/wire";
import { area, scenario } from "../scenario.ts";
import { awaiting, call, eachAlone, publish, reopen, together, typed } from "../step.ts";

const queue = call("queue.declare", { queue: "~q", exclusive: true });
const take = call("basic.get", { queue: "~q", noAck: true });
const confirm = call("confirm.select");
const nowhere = (body: string, properties: Properties = {}) =>
  publish("", "~nowhere", body, { mandatory: true, properties: properties as object });

const refusals = [
  scenario(
    "to a missing exchange",
    eachAlone([
      publish("~missing", "k"),
      publish("~missing", "k", "x", { mandatory: true }),
      publish("~missing", "k", ""),
    ]),
  ),
  scenario("to a missing exchange, in confirm mode", [confirm, publish("~missing", "k")]),
  scenario("what follows on a refused channel is ignored", [
    together(publish("~missing", "k"), queue, publish("", "~q", "1"), take),
    reopen(),
    call("queue.declare", { queue: "~q", passive: true }),
  ]),
  scenario("immediate", [queue, publish("", "~q", "1", { immediate: true })]),
  scenario("immediate, to a missing exchange", [
    publish("~missing", "k", "1", { immediate: true }),
  ]),
  scenario(
    "expirations",
    eachAlone(
      [
        "abc",
        "-1",
        "1.5",
        "",
        " 5",
        "5 ",
        "+5",
        "5x",
        "0x5",
        "1e3",
        "0",
        "007",
        "315360000000",
        "315360000001",
        "99999999999999999999",
        "é",
        "5é",
        "5\n",
      ].map((expiration) => publish("", "~nowhere", "x", { properties: { expiration } })),
    ),
  ),
  scenario(
    "user-ids",
    eachAlone(
      ["guest", "other", "", "Guest", "é"].map((userId) =>
        publish("", "~nowhere", "x", { properties: { userId } }),
      ),
    ),
  ),
  scenario("delivery modes", [
    publish("", "~nowhere", "x", { properties: { deliveryMode: 1 } }),
    publish("", "~nowhere", "x", { properties: { deliveryMode: 2 } }),
  ]),
  scenario(
    "unknown delivery modes",
    eachAlone(
      [0, 3, 255].map((deliveryMode) =>
        publish("", "~nowhere", "x", { properties: { deliveryMode } }),
      ),
    ),
  ),
  scenario(
    "of two things wrong one is reported",
    eachAlone([
      publish("~missing", "k", "x", { properties: { expiration: "abc" } }),
      publish("~missing", "k", "x", { properties: { userId: "other" } }),
      publish("", "k", "x", { properties: { userId: "other", expiration: "abc" } }),
      publish("", "k", "x", { properties: { deliveryMode: 7, expiration: "abc" } }),
      publish("", "k", "x", { properties: { deliveryMode: 7, headers: { CC: "x" } } }),
      publish("", "k", "x", { properties: { expiration: "abc", headers: { CC: "x" } } }),
      publish("", "k", "x", {
        properties: { replyTo: "amq.rabbitmq.reply-to", expiration: "abc" },
      }),
      publish("", "k", "x", { properties: { replyTo: "amq.rabbitmq.reply-to", userId: "other" } }),
      publish("~missing", "k", "x", { properties: { replyTo: "amq.rabbitmq.reply-to" } }),
    ]),
  ),
];

const returns = [
  scenario("mandatory and not routed", [nowhere("1"), nowhere("")]),
  scenario("not mandatory and not routed", [publish("", "~nowhere", "1")]),
  scenario("what is returned keeps its properties", [
    nowhere("body", { contentType: "text/plain", messageId: "m", priority: 3, type: "t" }),
    publish("amq.direct", "~nowhere", "body", {
      mandatory: true,
      properties: { headers: { a: 1, BCC: ["~nowhere too"] } },
    }),
  ]),
  scenario("the return comes before the confirm", [confirm, nowhere("1"), nowhere("")]),
  scenario("a message that is returned in part of its routes", [
    queue,
    publish("", "~q", "1", { mandatory: true }),
    call("queue.delete", { queue: "~q" }),
    publish("", "~q", "2", { mandatory: true }),
  ]),
  scenario("a long body is returned whole", [nowhere("b".repeat(300_000))]),
];

const confirms = [
  scenario("confirms of routed and unrouted messages", [
    queue,
    confirm,
    publish("", "~q", "1"),
    publish("", "~nowhere", "2"),
    nowhere("3"),
    publish("", "~q", "4", { properties: { deliveryMode: 2 } }),
  ]),
  scenario("confirms of messages sent without waiting", [
    queue,
    confirm,
    together(...Array.from({ length: 20 }, (_, index) => publish("", "~q", String(index)))),
    publish("", "~q", "last"),
  ]),
  scenario("confirms of persistent messages in a durable queue", [
    call("queue.declare", { queue: "~d", durable: true }),
    confirm,
    publish("", "~d", "1", { properties: { deliveryMode: 2 } }),
    awaiting("basic.ack"),
    publish("", "~d", "2", { properties: { deliveryMode: 1 } }),
  ]),
  scenario("confirm.select again changes nothing", [
    queue,
    confirm,
    publish("", "~q", "1"),
    confirm,
    publish("", "~q", "2"),
    call("confirm.select", { nowait: true }),
    publish("", "~q", "3"),
  ]),
  scenario("confirm.select nowait", [
    queue,
    publish("", "~q", "0"),
    call("confirm.select", { nowait: true }),
    publish("", "~q", "1"),
  ]),
  scenario("a confirm for a message that many queues get", [
    call("exchange.declare", { exchange: "~x", type: "fanout" }),
    ...["~a", "~b", "~c"].flatMap((name) => [
      call("queue.declare", { queue: name, exclusive: true }),
      call("queue.bind", { queue: name, exchange: "~x" }),
    ]),
    confirm,
    publish("~x", "", "1"),
    publish("~x", "", "2"),
  ]),
  scenario("a confirm and the delivery to the same channel", [
    queue,
    call("basic.consume", { queue: "~q", consumerTag: "t", noAck: true }),
    publish("", "~q", "1"),
  ]),
];

const allProperties = {
  contentType: "text/plain",
  contentEncoding: "utf-8",
  headers: { a: 1 },
  deliveryMode: 2,
  priority: 255,
  correlationId: "c",
  replyTo: "r",
  expiration: "100000",
  messageId: "m",
  timestamp: 2n ** 64n - 1n,
  type: "t",
  userId: "guest",
  appId: "app",
  clusterId: "cluster",
};

const properties = [
  scenario("all properties come through", [
    queue,
    publish("", "~q", "1", { properties: allProperties }),
    take,
  ]),
  scenario("each property alone comes through", [
    queue,
    ...Object.entries(allProperties).flatMap(([name, value]) => [
      publish("", "~q", name, { properties: { [name]: value } }),
      take,
    ]),
  ]),
  scenario("empty properties come through", [
    queue,
    publish("", "~q", "1", {
      properties: { contentType: "", headers: {}, messageId: "", priority: 0, timestamp: 0 },
    }),
    take,
  ]),
  scenario("header values of every type come through", [
    queue,
    publish("", "~q", "1", {
      properties: {
        headers: {
          t: true,
          f: false,
          b: typed("b", -128),
          B: typed("B", 255),
          s: typed("s", -32768),
          u: typed("u", 65535),
          I: typed("I", -(2 ** 31)),
          i: typed("i", 2 ** 32 - 1),
          l: typed("l", -(2n ** 63n)),
          float: typed("f", 1.5),
          d: typed("d", -1e300),
          D: typed("D", { scale: 2, unscaled: 314 }),
          S: "é漢",
          empty: "",
          A: typed("A", [typed("I", 1), typed("S", Buffer.from("x")), typed("A", [])]),
          T: typed("T", 1_700_000_000),
          F: { nested: { deeper: {} } },
          V: null,
          x: typed("x", Buffer.from([0, 255, 128])),
        },
      },
    }),
    take,
  ]),
  scenario("texts that are not UTF-8 come through", [
    queue,
    publish("", "~q", "1", { properties: { correlationId: "\udcff\udcfe", messageId: "a\udc80" } }),
    take,
  ]),
  scenario("routing keys of odd characters come through", [
    publish("amq.direct", "~\udcff\u0000 é\n", "1", { mandatory: true }),
    publish("amq.direct", "k".repeat(255), "2", { mandatory: true }),
  ]),
];

const sizes = [
  scenario("bodies of many sizes", [
    queue,
    ...[0, 1, 131_063, 131_064, 131_065, 262_128, 300_000].flatMap((size) => [
      publish("", "~q", Buffer.alloc(size, size & 0x7f)),
      take,
    ]),
  ]),
  scenario(
    "bodies of many sizes in small frames",
    [
      queue,
      ...[0, 4087, 4088, 4089, 8176, 20_000].flatMap((size) => [
        publish("", "~q", Buffer.alloc(size, size & 0x7f)),
        take,
      ]),
    ],
    { handshake: { frameMax: 4096 } },
  ),
];

export const publishing = area("publishing", [
  ...refusals,
  ...returns,
  ...confirms,
  ...properties,
  ...sizes,
]);
