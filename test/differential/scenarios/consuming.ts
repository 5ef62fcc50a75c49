/** Consumers: tags, dispatch, priorities, exclusiveness, single active consumer, cancelling. */

import { area, scenario } from "../scenario.ts";
import {
  awaiting,
  bytes,
  call,
  connect,
  drop,
  eachAlone,
  frameOf,
  on,
  publish,
  reopen,
  typed,
  via,
} from "../step.ts";

interface ConsumeOptions {
  noAck?: boolean;
  exclusive?: boolean;
  noLocal?: boolean;
  nowait?: boolean;
  arguments?: Record<string, unknown>;
}

const declare = (args: Record<string, unknown> = {}) =>
  call("queue.declare", { queue: "~q", exclusive: true, arguments: args });
const shared = (args: Record<string, unknown> = {}) =>
  call("queue.declare", { queue: "~q", arguments: args });
const consume = (consumerTag: string, options: ConsumeOptions = {}) =>
  call("basic.consume", { queue: "~q", consumerTag, ...options });
const cancel = (consumerTag: string) => call("basic.cancel", { consumerTag });
const send = (...bodies: string[]) => bodies.map((body) => publish("", "~q", body));
const second = (...steps: Parameters<typeof on>[1][]) => [
  on(2, call("channel.open")),
  ...steps.map((step) => on(2, step)),
];
const prefetch = (prefetchCount: number, global = false) =>
  call("basic.qos", { prefetchCount, global });
const get = call("basic.get", { queue: "~q" });

const tags = [
  scenario("a tag of the server's", [declare(), consume(""), ...send("1"), cancel("<tag 1>")]),
  scenario("a tag of the client's", [declare(), consume("t"), ...send("1"), cancel("t")]),
  scenario("a tag twice", [declare(), consume("t"), consume("t")]),
  scenario("a tag twice, nowait", [declare(), consume("t"), consume("t", { nowait: true })]),
  scenario("a tag twice, and the queue is missing", [
    declare(),
    consume("t"),
    call("basic.consume", { queue: "~missing", consumerTag: "t" }),
  ]),
  scenario("the same tag on two channels", [declare(), consume("t"), ...second(consume("t"))]),
  scenario("a tag again after cancelling", [
    declare(),
    consume("t"),
    cancel("t"),
    consume("t"),
    ...send("1"),
  ]),
  scenario("tags of odd characters", [declare(), consume("é\u0000'\""), ...send("1")]),
  scenario("a tag that is not UTF-8", [
    declare(),
    bytes("basic.consume with tag 0xFF", frameOf(1, "basic.consume", { consumerTag: "\udcff" })),
  ]),
  scenario("nowait", [declare(), consume("t", { nowait: true }), ...send("1")]),
  scenario("nowait without a tag", [
    declare(),
    consume("", { nowait: true, noAck: true }),
    ...send("1"),
  ]),
  scenario(
    "a missing queue",
    eachAlone([
      call("basic.consume", { queue: "~missing" }),
      call("basic.consume", { queue: "~missing", nowait: true }),
      call("basic.get", { queue: "~missing" }),
    ]),
  ),
];

const dispatch = [
  scenario("consume-ok comes before what is ready", [
    declare(),
    ...send("1", "2", "3"),
    consume("t"),
  ]),
  scenario("consumers take turns", [
    declare(),
    consume("t", { noAck: true }),
    consume("u", { noAck: true }),
    consume("v", { noAck: true }),
    ...send("1", "2", "3", "4", "5", "6", "7"),
    cancel("u"),
    ...send("8", "9", "10"),
  ]),
  scenario("consumers on two channels take turns", [
    declare(),
    consume("t", { noAck: true }),
    ...second(consume("u", { noAck: true })),
    ...send("1", "2", "3", "4", "5"),
  ]),
  scenario("consumers on two connections take turns", [
    shared(),
    consume("t", { noAck: true }),
    connect("b"),
    via("b", consume("u", { noAck: true })),
    ...send("1", "2", "3", "4", "5"),
  ]),
  scenario("what is ready goes to the first consumer", [
    declare(),
    ...send("1", "2", "3", "4"),
    consume("t"),
    consume("u"),
    ...send("5", "6"),
  ]),
  scenario("no-local is ignored", [declare(), consume("t", { noLocal: true }), ...send("1")]),
  scenario("no-ack needs no settling", [
    declare(),
    prefetch(1),
    consume("t", { noAck: true }),
    ...send("1", "2", "3"),
    call("basic.ack", { deliveryTag: 1 }),
  ]),
];

const priorities = [
  scenario("the higher priority goes first", [
    declare(),
    consume("low", { noAck: true }),
    consume("high", { noAck: true, arguments: { "x-priority": 10 } }),
    consume("negative", { noAck: true, arguments: { "x-priority": -10 } }),
    ...send("1", "2", "3"),
    cancel("high"),
    ...send("4", "5"),
  ]),
  scenario("the lower priority gets what the higher one cannot take", [
    declare(),
    prefetch(1),
    consume("low"),
    consume("high", { arguments: { "x-priority": 10 } }),
    ...send("1", "2", "3", "4"),
    call("basic.ack", { deliveryTag: 2 }),
    call("basic.ack", { deliveryTag: 1 }),
  ]),
  scenario("equal priorities take turns", [
    declare(),
    ...["t", "u"].map((tag) => consume(tag, { noAck: true, arguments: { "x-priority": 5 } })),
    ...send("1", "2", "3"),
  ]),
  scenario(
    "priorities of every type",
    eachAlone([
      declare(),
      ...["b", "B", "s", "u", "I", "i", "l"].map((type) =>
        consume(type, { arguments: { "x-priority": typed(type, 5) } }),
      ),
      ...["5", 5.5, true, null, typed("f", 5), typed("T", 5), []].map((value) =>
        consume("t", { arguments: { "x-priority": value } }),
      ),
    ]),
  ),
  scenario(
    "other arguments",
    eachAlone([
      declare(),
      consume("t", { arguments: { "x-whatever": 1 } }),
      consume("u", { arguments: { "x-cancel-on-ha-failover": true } }),
      consume("v", { arguments: { "x-cancel-on-ha-failover": "true" } }),
      consume("w", { arguments: { "x-stream-offset": "first" } }),
    ]),
  ),
  scenario("an argument that RabbitMQ fails on", [
    declare(),
    consume("t", { arguments: { "x-credit": 1 } }),
  ]),
];

const exclusiveUse = [
  scenario("nobody joins an exclusive consumer", [
    declare(),
    consume("t", { exclusive: true }),
    ...second(consume("u"), reopen(), consume("u", { exclusive: true })),
    ...send("1"),
    get,
  ]),
  scenario("an exclusive consumer joins nobody", [
    declare(),
    consume("t"),
    ...second(consume("u", { exclusive: true })),
  ]),
  scenario("exclusive again after cancelling", [
    declare(),
    consume("t", { exclusive: true }),
    cancel("t"),
    consume("u", { exclusive: true }),
    cancel("u"),
    consume("v"),
    ...send("1"),
  ]),
  scenario("nowait, in exclusive use", [
    declare(),
    consume("t", { exclusive: true }),
    consume("u", { nowait: true }),
  ]),
];

const single = { "x-single-active-consumer": true };

const singleActive = [
  scenario("single active: the next takes over", [
    declare(single),
    consume("t"),
    consume("u"),
    consume("v"),
    ...send("1", "2"),
    cancel("t"),
    ...send("3"),
    cancel("u"),
    ...send("4"),
  ]),
  scenario("single active: the next takes over when a channel closes", [
    declare(single),
    ...second(consume("t")),
    consume("u"),
    ...send("1", "2"),
    on(2, call("channel.close", { replyCode: 200 })),
    ...send("3"),
  ]),
  scenario("single active: a full consumer stays active", [
    declare(single),
    prefetch(1),
    consume("t"),
    consume("u"),
    ...send("1", "2"),
    call("basic.ack", { deliveryTag: 1 }),
  ]),
  scenario("single active: priority does not take over", [
    declare(single),
    consume("t"),
    consume("u", { arguments: { "x-priority": 10 } }),
    consume("v", { arguments: { "x-priority": 20 } }),
    ...send("1"),
    cancel("t"),
    ...send("2"),
  ]),
  scenario("single active: no exclusive consumers", [
    declare(single),
    consume("t", { exclusive: true }),
  ]),
  scenario("single active: no exclusive consumers after others", [
    declare(single),
    consume("t"),
    consume("u", { exclusive: true }),
  ]),
  scenario("single active: get", [
    declare(single),
    ...send("1"),
    get,
    consume("t"),
    ...send("2"),
    get,
  ]),
  scenario("single active: unsettled messages of the cancelled one", [
    declare(single),
    consume("t"),
    consume("u"),
    ...send("1"),
    cancel("t"),
    call("basic.nack", { deliveryTag: 1, requeue: true }),
  ]),
];

const cancelling = [
  scenario("cancelling what does not exist", [
    cancel("missing"),
    cancel(""),
    call("basic.cancel", { consumerTag: "missing", nowait: true }),
  ]),
  scenario("unsettled messages outlive the consumer", [
    declare(),
    consume("t"),
    ...send("1", "2"),
    cancel("t"),
    call("basic.ack", { deliveryTag: 1 }),
    call("basic.nack", { deliveryTag: 2, requeue: true }),
    get,
  ]),
  scenario("cancel nowait", [
    declare(),
    consume("t"),
    call("basic.cancel", { consumerTag: "t", nowait: true }),
    ...send("1"),
    get,
  ]),
  scenario("the broker cancels consumers of a deleted queue", [
    declare(),
    consume("t"),
    consume("u"),
    ...second(consume("v")),
    call("queue.delete", { queue: "~q" }),
    cancel("t"),
  ]),
  scenario("the broker cancels consumers of other connections", [
    shared(),
    connect("b"),
    via("b", consume("t")),
    via("b", publish("", "~q", "1")),
    call("queue.delete", { queue: "~q" }),
    via("b", call("basic.ack", { deliveryTag: 1 })),
    via("b", shared()),
    via("b", consume("t")),
  ]),
  scenario(
    "no cancelling for clients that would not understand",
    [declare(), consume("t"), call("queue.delete", { queue: "~q" }), declare(), consume("t")],
    { handshake: { capabilities: {} } },
  ),
  scenario("consumers of a connection that dies", [
    shared(),
    connect("b"),
    via("b", consume("t")),
    ...send("1", "2"),
    consume("u"),
    drop("b"),
    awaiting("basic.deliver"),
  ]),
];

export const consuming = area("consuming", [
  ...tags,
  ...dispatch,
  ...priorities,
  ...exclusiveUse,
  ...singleActive,
  ...cancelling,
]);
