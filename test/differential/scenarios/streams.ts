/**
 * Streams over AMQP 0-9-1: where consumers begin, what credit does, what is refused. Counts of
 * messages are left out: RabbitMQ learns them later. Messages say that they are persistent, because
 * RabbitMQ 4 makes them say something.
 */

import { area, scenario } from "../scenario.ts";
import { call, connect, eachAlone, on, publish, type Step, settle, typed, via } from "../step.ts";

interface ConsumeOptions {
  noAck?: boolean;
  exclusive?: boolean;
  arguments?: Record<string, unknown>;
}

const stream = (args: Record<string, unknown> = {}) =>
  call("queue.declare", {
    queue: "~q",
    durable: true,
    arguments: { "x-queue-type": "stream", ...args },
  });
const prefetch = (prefetchCount: number, global = false) =>
  call("basic.qos", { prefetchCount, global });
const consume = (consumerTag: string, options: ConsumeOptions = {}) =>
  call("basic.consume", { queue: "~q", consumerTag, ...options });
const from = (offset: unknown, args: Record<string, unknown> = {}): ConsumeOptions => ({
  arguments: { "x-stream-offset": offset, ...args },
});
const send = (body: string, headers?: Record<string, unknown>) =>
  publish("", "~q", body, {
    properties: { deliveryMode: 2, ...(headers !== undefined && { headers }) },
  });
/** A stream with these messages in it, confirmed; the channel has a prefetch limit. */
const filled = (...bodies: string[]): Step[] => [
  stream(),
  call("confirm.select"),
  prefetch(10),
  ...bodies.map((body) => send(body)),
];
/** On a channel of its own: RabbitMQ serves the consumers of one channel in an order of its own. */
const elsewhere = (channel: number, step: ReturnType<typeof consume>): Step[] => [
  on(channel, call("channel.open")),
  on(channel, prefetch(10)),
  on(channel, step),
];
const get = call("basic.get", { queue: "~q" });

const beginnings = [
  scenario("from the first message", [...filled("0", "1", "2"), consume("t", from("first"))]),
  scenario("from what comes next", [
    ...filled("0", "1"),
    consume("t", from("next")),
    send("2"),
    send("3"),
  ]),
  scenario("from what comes next unless it says otherwise", [
    ...filled("0"),
    consume("t"),
    send("1"),
  ]),
  scenario("from the last message", [...filled("0", "1"), consume("t", from("last")), send("2")]),
  scenario("from an offset", [...filled("0", "1", "2"), consume("t", from(1))]),
  scenario("from offsets of every width", [
    ...filled("0", "1"),
    ...["b", "B", "s", "u", "I", "i", "l"].map((type) => consume(type, from(typed(type, 1)))),
  ]),
  scenario("from before the first message", [
    ...filled("0", "1"),
    consume("t", from(typed("l", -5))),
  ]),
  scenario("from an offset that is yet to come", [
    ...filled("0"),
    consume("t", from(2)),
    send("1"),
    send("2"),
    send("3"),
  ]),
  scenario("from a time that is long past", [
    ...filled("0", "1"),
    consume("t", from(typed("T", 1_000_000_000))),
  ]),
  scenario("from a time to come", [
    ...filled("0", "1"),
    consume("t", from(typed("T", 1_000_000_000_000))),
    send("2"),
  ]),
  scenario("from some time ago", [
    ...filled("0"),
    ...["1s", "1m", "1h", "1D", "7D", "1M", "1Y", "007D"].map((ago) => consume(ago, from(ago))),
  ]),
  scenario("a name in bytes", [
    ...filled("0"),
    consume("t", from(typed("x", Buffer.from("first")))),
  ]),
  scenario("an empty stream from all sides", [
    ...filled(),
    ...["first", "last", "next", 0, "1h"].flatMap((offset, i) =>
      elsewhere(2 + i, consume(`${offset}`, from(offset))),
    ),
    send("0"),
  ]),
  scenario(
    "beginnings that are none",
    eachAlone([
      stream(),
      ...["1x", "1Dx", "0D", "1.5h", "10", "1 h", "1S", "1d"].flatMap((offset) => [
        prefetch(10),
        consume(offset, from(offset)),
      ]),
    ]),
  ),
];

/** Of these RabbitMQ fails, and with it the connection. */
const failures = [
  ["no interval", "first of all"],
  ["an empty text", ""],
  ["a truth", true],
  ["a fraction", 1.5],
  ["nothing", typed("V", null)],
  ["a list", []],
] as const;

const failing = [
  ...failures.map(([name, offset]) =>
    scenario(`a beginning that RabbitMQ fails on: ${name}`, [
      ...filled("0"),
      consume("t", from(offset)),
    ]),
  ),
  scenario("filtering: no values, which RabbitMQ fails on", [
    ...filled("0"),
    consume("t", from("first", { "x-stream-filter": [] })),
  ]),
  scenario("filtering: a value that is no text, which RabbitMQ fails on", [
    ...filled("0"),
    consume("t", from("first", { "x-stream-filter": ["a", 5] })),
  ]),
];

const reading = [
  scenario("credit is spent, and comes back with acknowledgements", [
    stream(),
    call("confirm.select"),
    prefetch(2),
    ...["0", "1", "2", "3", "4", "5"].map((body) => send(body)),
    consume("t", from("first")),
    settle("ack", 0),
    settle("ack", 0.5, { multiple: true }),
    settle("ack", 0.9),
    settle("ack", 0),
  ]),
  scenario("everybody gets everything", [
    ...filled("0", "1"),
    consume("t", from("first")),
    ...elsewhere(2, consume("u", from("first"))),
    ...elsewhere(3, consume("v", from(1))),
    connect("b"),
    via("b", prefetch(5)),
    via("b", consume("w", from("first"))),
    send("2"),
  ]),
  scenario("again and again", [
    ...filled("0", "1"),
    consume("t", from("first")),
    settle("ack", 0.9, { multiple: true }),
    call("basic.cancel", { consumerTag: "t" }),
    consume("t", from("first")),
  ]),
  scenario("what a cancelled consumer has can still be acknowledged", [
    ...filled("0", "1"),
    consume("t", from("first")),
    call("basic.cancel", { consumerTag: "t" }),
    settle("ack", 0.9, { multiple: true }),
    send("2"),
  ]),
  scenario("exclusive consumers are like others", [
    ...filled("0"),
    consume("t", { exclusive: true, ...from("first") }),
    consume("u", from("first")),
    consume("v", { exclusive: true, ...from("first") }),
  ]),
  scenario("headers and properties come back, with the offset", [
    ...filled(),
    publish("", "~q", "x", {
      properties: {
        contentType: "text/plain",
        contentEncoding: "gzip",
        deliveryMode: 1,
        priority: 3,
        expiration: "1",
        messageId: "m",
        headers: { a: 1, b: "two" },
      },
    }),
    consume("t", from("first")),
  ]),
  scenario("the offset of another stream is replaced", [
    ...filled(),
    send("x", { "x-stream-offset": 55 }),
    consume("t", from("first")),
  ]),
  scenario("headers that are not in order", [
    ...filled(),
    send("x", { z: 1, b: 2, a: 3 }),
    consume("t", from("first")),
  ]),
  scenario("rejected messages have been read, too", [
    ...filled("0", "1", "2"),
    consume("t", from("first")),
    settle("reject", 0),
    settle("reject", 0, { requeue: true }),
    settle("nack", 0, { requeue: true }),
    send("3"),
  ]),
  scenario("recovered messages do not come again", [
    stream(),
    call("confirm.select"),
    prefetch(2),
    send("0"),
    send("1"),
    consume("t", from("first")),
    call("basic.recover", { requeue: true }),
    send("2"),
  ]),
  scenario("transactions", [
    stream(),
    call("tx.select"),
    prefetch(10),
    send("0"),
    call("tx.rollback"),
    send("1"),
    send("2"),
    call("tx.commit"),
    consume("t", from("first")),
    settle("ack", 0.9, { multiple: true }),
    call("tx.commit"),
  ]),
  scenario("mandatory messages have arrived", [
    ...filled(),
    publish("", "~q", "x", { mandatory: true, properties: { deliveryMode: 2 } }),
  ]),
  scenario("through exchanges, beside other queues", [
    ...filled(),
    call("queue.declare", { queue: "~c", arguments: {} }),
    call("exchange.declare", { exchange: "~e", type: "fanout" }),
    call("queue.bind", { queue: "~q", exchange: "~e" }),
    call("queue.bind", { queue: "~c", exchange: "~e" }),
    publish("~e", "k", "x", { properties: { deliveryMode: 2 } }),
    consume("t", from("first")),
    call("basic.get", { queue: "~c" }),
  ]),
];

const refusals = [
  scenario("no prefetch limit", eachAlone([stream(), consume("t"), consume("u", from("first"))])),
  scenario("a prefetch limit for all", [stream(), prefetch(5, true), consume("t")]),
  scenario("prefetch limits of both kinds", [
    stream(),
    prefetch(5),
    prefetch(5, true),
    consume("t"),
  ]),
  scenario("no acknowledgements", [stream(), prefetch(5), consume("t", { noAck: true })]),
  scenario("no acknowledgements and no prefetch limit", [stream(), consume("t", { noAck: true })]),
  scenario("get", [stream(), get]),
  scenario("get, no acknowledgement", [stream(), call("basic.get", { queue: "~q", noAck: true })]),
  scenario("purge", [stream(), call("queue.purge", { queue: "~q" })]),
  scenario("an argument of other queues' consumers", [
    stream(),
    prefetch(5),
    consume("t", { arguments: { "x-priority": 5 } }),
  ]),
  scenario("an argument of mirrored queues' consumers", [
    stream(),
    prefetch(5),
    consume("t", { arguments: { "x-cancel-on-ha-failover": true } }),
  ]),
  scenario(
    "arguments of other queues",
    eachAlone(
      [
        "x-single-active-consumer",
        "x-max-priority",
        "x-message-ttl",
        "x-expires",
        "x-overflow",
      ].map((argument) => stream({ [argument]: 1 })),
    ),
  ),
  scenario("a server-named stream", [
    call("queue.declare", { queue: "", durable: true, arguments: { "x-queue-type": "stream" } }),
  ]),
  scenario(
    "limits",
    eachAlone([
      stream({ "x-max-age": "7" }),
      stream({ "x-max-age": 7 }),
      stream({ "x-max-length-bytes": -1 }),
      stream({ "x-stream-max-segment-size-bytes": "big" }),
      stream({ "x-stream-max-segment-size-bytes": typed("l", 3_000_000_001) }),
      stream({ "x-max-age": "7D", "x-max-length-bytes": 1e6, "x-stream-filter-size-bytes": 32 }),
    ]),
  ),
  scenario(
    "declared again",
    eachAlone([stream({ "x-max-age": "1D" }), stream({ "x-max-age": "1D" })]),
  ),
  scenario("declared again with another limit", [stream({ "x-max-age": "1D" }), stream()]),
];

const endings = [
  scenario("deleted while it is read", [
    ...filled("0"),
    consume("t", from("first")),
    call("queue.delete", { queue: "~q" }),
  ]),
  scenario("deleted if it is not used, and it is", [
    ...filled("0"),
    consume("t", from("first")),
    call("queue.delete", { queue: "~q", ifUnused: true }),
  ]),
  scenario("deleted if it is empty, and it is not", [
    ...filled("0"),
    call("queue.delete", { queue: "~q", ifEmpty: true }),
  ]),
  scenario("deleted and declared again", [
    ...filled("0", "1"),
    call("queue.delete", { queue: "~q" }),
    stream(),
    send("2"),
    consume("t", from("first")),
  ]),
];

const filters = [
  ["one value", { "x-stream-filter": "a" }],
  ["one value, and what has none", { "x-stream-filter": "a", "x-stream-match-unfiltered": true }],
  ["several values", { "x-stream-filter": ["a", "b"] }],
  ["no value", { "x-stream-filter": "" }],
  ["what is no text", { "x-stream-filter": 5 }],
  ["no filter", { "x-stream-match-unfiltered": true }],
  ["a flag that is none", { "x-stream-filter": "a", "x-stream-match-unfiltered": "yes" }],
] as const;

const filtering = filters.map(([name, args]) =>
  scenario(`filtering: ${name}`, [
    ...filled("none"),
    send("A", { "x-stream-filter-value": "a" }),
    send("B", { "x-stream-filter-value": "b" }),
    consume("t", from("first", args)),
    send("A2", { "x-stream-filter-value": "a" }),
    send("B2", { "x-stream-filter-value": "b" }),
    send("none2"),
  ]),
);

export const streams = area("streams", [
  ...beginnings,
  ...failing,
  ...reading,
  ...refusals,
  ...endings,
  ...filtering,
]);
