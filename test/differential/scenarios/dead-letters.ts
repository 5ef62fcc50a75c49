/** Dead letters: reasons, routes, headers, cycles. */

import { area, scenario } from "../scenario.ts";
import { awaiting, call, on, publish, reopen } from "../step.ts";

type Table = Readonly<Record<string, unknown>>;

const declare = (queue: string, args: Table = {}) =>
  call("queue.declare", { queue, exclusive: true, arguments: args });
const exchange = (name: string, type = "fanout") =>
  call("exchange.declare", { exchange: name, type });
const bind = (queue: string, from: string, routingKey = "") =>
  call("queue.bind", { queue, exchange: from, routingKey });
const get = (queue: string, noAck = true) => call("basic.get", { queue, noAck });
const reject = (deliveryTag: number, requeue = false) =>
  call("basic.reject", { deliveryTag, requeue });
const nack = (deliveryTag: number, multiple = false) =>
  call("basic.nack", { deliveryTag, multiple, requeue: false });
/** Listens to the queue for dead letters on a channel of its own. */
const listen = (queue: string) => [
  on(2, call("channel.open")),
  on(2, call("basic.consume", { queue, consumerTag: "dead", noAck: true })),
];
const arrived = on(2, awaiting("basic.deliver"));

const toDead = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "~dead" };
const dead = declare("~dead");

const reasons = [
  scenario("rejected", [
    dead,
    declare("~q", toDead),
    publish("", "~q", "1"),
    get("~q", false),
    reject(1),
    get("~dead"),
  ]),
  scenario("nacked, several", [
    dead,
    declare("~q", toDead),
    ...["1", "2", "3"].map((body) => publish("", "~q", body)),
    get("~q", false),
    get("~q", false),
    get("~q", false),
    nack(2, true),
    nack(3),
    get("~dead"),
    get("~dead"),
    get("~dead"),
    get("~dead"),
  ]),
  scenario("requeued, then rejected", [
    dead,
    declare("~q", toDead),
    publish("", "~q", "1"),
    get("~q", false),
    reject(1, true),
    get("~q", false),
    reject(2),
    get("~dead"),
  ]),
  scenario("expired in the queue", [
    dead,
    ...listen("~dead"),
    declare("~q", { ...toDead, "x-message-ttl": 100 }),
    publish("", "~q", "1"),
    arrived,
    get("~q"),
  ]),
  scenario("expired by itself", [
    dead,
    ...listen("~dead"),
    declare("~q", toDead),
    publish("", "~q", "1", { properties: { expiration: "100", priority: 3 } }),
    arrived,
  ]),
  scenario("too many", [
    dead,
    declare("~q", { ...toDead, "x-max-length": 2 }),
    ...["1", "2", "3", "4"].map((body) => publish("", "~q", body)),
    get("~dead"),
    get("~dead"),
    get("~dead"),
    get("~q"),
    get("~q"),
  ]),
  scenario("too long, all told", [
    dead,
    declare("~q", { ...toDead, "x-max-length-bytes": 10 }),
    ...["12345", "67890", "1", "12345678901"].map((body) => publish("", "~q", body)),
    get("~dead"),
    get("~dead"),
    get("~dead"),
    get("~dead"),
    get("~q"),
  ]),
  scenario("purged and deleted messages are no dead letters", [
    dead,
    declare("~q", toDead),
    publish("", "~q", "1"),
    call("queue.purge", { queue: "~q" }),
    publish("", "~q", "2"),
    call("queue.delete", { queue: "~q" }),
    get("~dead"),
  ]),
  scenario("rejected by a full queue", [
    dead,
    declare("~q", { ...toDead, "x-max-length": 1, "x-overflow": "reject-publish-dlx" }),
    call("confirm.select"),
    publish("", "~q", "1"),
    publish("", "~q", "2"),
    get("~dead"),
    get("~q"),
  ]),
];

const properties = {
  contentType: "text/plain",
  deliveryMode: 2,
  correlationId: "c",
  replyTo: "r",
  messageId: "m",
  timestamp: 1,
  headers: { a: 1, b: "2" },
};

const routes = [
  scenario("with the message's own key", [
    exchange("~x", "direct"),
    dead,
    bind("~dead", "~x", "~q"),
    declare("~q", { "x-dead-letter-exchange": "~x" }),
    publish("", "~q", "1", { properties }),
    get("~q", false),
    reject(1),
    get("~dead"),
  ]),
  scenario("with CC, without a key of the queue's", [
    exchange("~x", "direct"),
    dead,
    bind("~dead", "~x", "~other"),
    declare("~q", { "x-dead-letter-exchange": "~x" }),
    publish("", "~q", "1", {
      properties: { headers: { CC: ["~other", "~third"] } },
    }),
    get("~q", false),
    reject(1),
    get("~dead"),
  ]),
  scenario("with CC and a key of the queue's", [
    dead,
    declare("~q", toDead),
    publish("", "~q", "1", { properties: { headers: { CC: ["~other"], z: 1 } } }),
    get("~q", false),
    reject(1),
    get("~dead"),
  ]),
  scenario("with BCC, without a key of the queue's", [
    exchange("~x", "direct"),
    dead,
    bind("~dead", "~x", "~other"),
    declare("~q", { "x-dead-letter-exchange": "~x" }),
    publish("", "~q", "1", { properties: { headers: { BCC: ["~other"] } } }),
    get("~q", false),
    reject(1),
    get("~dead"),
  ]),
  scenario("from a queue that has its consumer's connection lost", [
    dead,
    declare("~q", toDead),
    publish("", "~q", "1"),
    get("~q", false),
    call("channel.close", { replyCode: 200 }),
    reopen(),
    get("~q"),
    get("~dead"),
  ]),
  scenario("to an exchange that is missing", [
    declare("~q", { "x-dead-letter-exchange": "~missing" }),
    publish("", "~q", "1"),
    get("~q", false),
    reject(1),
    get("~q"),
  ]),
  scenario("to an exchange without bindings", [
    exchange("~x"),
    declare("~q", { "x-dead-letter-exchange": "~x" }),
    publish("", "~q", "1"),
    get("~q", false),
    reject(1),
    get("~q"),
  ]),
  scenario("to many queues", [
    exchange("~x"),
    ...["~d1", "~d2"].flatMap((name) => [declare(name), bind(name, "~x")]),
    declare("~q", { "x-dead-letter-exchange": "~x" }),
    publish("", "~q", "1"),
    get("~q", false),
    reject(1),
    get("~d1"),
    get("~d2"),
  ]),
];

const history = [
  scenario("a second death of the same kind", [
    declare("~dead", { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "~q" }),
    declare("~q", toDead),
    publish("", "~q", "1", { properties: { headers: { mine: true } } }),
    get("~q", false),
    reject(1),
    get("~dead", false),
    reject(2),
    get("~q", false),
    reject(3),
    get("~dead", false),
    reject(4),
    get("~q"),
  ]),
  scenario("an expiration is told, and gone", [
    dead,
    declare("~q", toDead),
    publish("", "~q", "1", { properties: { expiration: "60000" } }),
    get("~q", false),
    reject(1),
    get("~dead"),
  ]),
  scenario("a cycle ends where it began", [
    declare("~end"),
    ...listen("~end"),
    exchange("~x"),
    declare("~q", { "x-message-ttl": 50, "x-dead-letter-exchange": "~x" }),
    bind("~q", "~x"),
    bind("~end", "~x"),
    publish("", "~q", "1"),
    arrived,
    get("~q"),
  ]),
];

export const deadLetters = area("dead letters", [...reasons, ...routes, ...history]);
