/** What queues do about time and size: expiry, lengths, priorities, idle queues. */

import { area, scenario } from "../scenario.ts";
import { awaiting, call, on, publish, together } from "../step.ts";

type Table = Readonly<Record<string, unknown>>;

const declare = (args: Table = {}) =>
  call("queue.declare", { queue: "~q", exclusive: true, arguments: args });
const passive = call("queue.declare", { queue: "~q", passive: true });
const send = (...bodies: string[]) => bodies.map((body) => publish("", "~q", body));
const sendFor = (expiration: string, body: string) =>
  publish("", "~q", body, { properties: { expiration } });
const ranked = (priority: number, body: string) =>
  publish("", "~q", body, { properties: { priority } });
const get = (noAck = true) => call("basic.get", { queue: "~q", noAck });
const gets = (count: number) => Array.from({ length: count }, () => get());
const consume = call("basic.consume", { queue: "~q", consumerTag: "c", noAck: true });
const reject = (deliveryTag: number, requeue: boolean) =>
  call("basic.reject", { deliveryTag, requeue });
const confirm = call("confirm.select");
/** Tells that so much time has passed: a message that expires elsewhere, and is told of. */
const pass = (ms: number) => [
  on(3, call("channel.open")),
  on(3, call("queue.declare", { queue: "~bell", exclusive: true })),
  on(3, call("basic.consume", { queue: "~bell", consumerTag: "bell", noAck: true })),
  call("queue.declare", {
    queue: "~clock",
    exclusive: true,
    arguments: { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "~bell" },
  }),
  publish("", "~clock", "ring", { properties: { expiration: String(ms) } }),
  on(3, awaiting("basic.deliver")),
];

const expiry = [
  scenario("messages expire", [
    declare({ "x-message-ttl": 100 }),
    ...send("1"),
    ...pass(300),
    get(),
  ]),
  scenario("a message that expires at once", [
    declare({ "x-message-ttl": 0 }),
    ...send("1"),
    get(),
    consume,
    ...send("2"),
  ]),
  scenario("an expiration of nothing", [
    declare(),
    sendFor("0", "1"),
    get(),
    consume,
    sendFor("0", "2"),
  ]),
  scenario("the shorter time counts", [
    declare({ "x-message-ttl": 100 }),
    sendFor("60000", "1"),
    ...pass(300),
    get(),
  ]),
  scenario("behind a message that lasts", [
    declare(),
    ...send("first"),
    sendFor("50", "second"),
    ...pass(300),
    passive,
    get(),
    get(),
    passive,
  ]),
  scenario("unacknowledged messages do not expire, and do when they return", [
    declare({ "x-message-ttl": 100 }),
    together(...send("1"), get(false)),
    ...pass(300),
    reject(1, true),
    get(),
  ]),
];

const lengths = [
  scenario("the oldest goes", [declare({ "x-max-length": 2 }), ...send("1", "2", "3"), ...gets(3)]),
  scenario("no message at all", [
    declare({ "x-max-length": 0 }),
    ...send("1"),
    get(),
    consume,
    ...send("2"),
  ]),
  scenario("unacknowledged ones do not count", [
    declare({ "x-max-length": 1 }),
    ...send("1"),
    get(false),
    ...send("2"),
    passive,
    reject(1, true),
    passive,
    get(),
    get(),
  ]),
  scenario("bytes", [
    declare({ "x-max-length-bytes": 5 }),
    ...send("123", "45", "6"),
    ...gets(3),
    ...send("123456"),
    get(),
  ]),
  scenario("a full queue refuses", [
    declare({ "x-max-length": 2, "x-overflow": "reject-publish" }),
    confirm,
    ...send("1", "2", "3", "4"),
    get(),
    ...send("5"),
    ...gets(3),
  ]),
  scenario("a full queue refuses bytes", [
    declare({ "x-max-length-bytes": 5, "x-overflow": "reject-publish" }),
    confirm,
    ...send("123", "456", "45", ""),
    ...gets(4),
  ]),
  scenario("refusing all, with a consumer", [
    declare({ "x-max-length": 0, "x-overflow": "reject-publish" }),
    confirm,
    consume,
    ...send("1"),
  ]),
  scenario("one of two queues is full", [
    declare({ "x-max-length": 1, "x-overflow": "reject-publish" }),
    call("queue.declare", { queue: "~r", exclusive: true }),
    call("exchange.declare", { exchange: "~x", type: "fanout" }),
    call("queue.bind", { queue: "~q", exchange: "~x" }),
    call("queue.bind", { queue: "~r", exchange: "~x" }),
    confirm,
    publish("~x", "", "1"),
    publish("~x", "", "2"),
    ...gets(2),
    call("basic.get", { queue: "~r", noAck: true }),
    call("basic.get", { queue: "~r", noAck: true }),
  ]),
];

const priorities = [
  scenario("the highest goes first", [
    declare({ "x-max-priority": 5 }),
    ranked(1, "1"),
    ranked(3, "3"),
    ...send("none"),
    ranked(9, "9"),
    ranked(5, "5"),
    ranked(0, "0"),
    ...gets(7),
  ]),
  scenario("returned ones keep their place", [
    declare({ "x-max-priority": 5 }),
    ranked(2, "a"),
    ranked(2, "b"),
    ranked(1, "c"),
    get(false),
    get(false),
    reject(1, true),
    ...gets(2),
    reject(2, true),
    ...gets(2),
  ]),
  scenario("the head of a full queue is its highest", [
    declare({ "x-max-priority": 5, "x-max-length": 2 }),
    ranked(5, "5"),
    ranked(1, "1"),
    ranked(2, "2"),
    ...gets(3),
  ]),
  scenario("expired ones of any priority", [
    declare({ "x-max-priority": 5 }),
    ranked(5, "5"),
    publish("", "~q", "1", { properties: { priority: 1, expiration: "50" } }),
    ...pass(300),
    passive,
    ...gets(2),
  ]),
];

const idle = [
  scenario("a queue that nobody uses", [
    call("queue.declare", { queue: "~q", arguments: { "x-expires": 100 } }),
    publish("", "~q", "1"),
    ...pass(400),
    passive,
  ]),
  scenario("a queue with a consumer is used", [
    together(call("queue.declare", { queue: "~q", arguments: { "x-expires": 100 } }), consume),
    ...pass(400),
    passive,
    call("basic.cancel", { consumerTag: "c" }),
  ]),
];

export const queueLimits = area("queue limits", [...expiry, ...lengths, ...priorities, ...idle]);
