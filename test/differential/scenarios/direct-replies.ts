/** Direct reply-to: the pseudo-queue amq.rabbitmq.reply-to. */

import { area, scenario } from "../scenario.ts";
import { call, connect, eachAlone, on, publish, type Step, via } from "../step.ts";

const pseudo = "amq.rabbitmq.reply-to";
const consume = (consumerTag: string, options: object = { noAck: true }) =>
  call("basic.consume", { queue: pseudo, consumerTag, ...options });
const cancel = (consumerTag: string) => call("basic.cancel", { consumerTag });
/** Shows the token, as a basic.return. */
const ask = publish("", "~nowhere", "question", {
  mandatory: true,
  properties: { replyTo: pseudo, correlationId: "c" },
});
const answer = (body = "answer") => publish("", "<reply-to 1>", body);
const confirmed = call("confirm.select");

/** Connection a waits for replies, connection b knows the token. */
const conversation: Step[] = [
  consume("client"),
  call("queue.declare", { queue: "~server" }),
  connect("b"),
  via("b", call("basic.consume", { queue: "~server", consumerTag: "server", noAck: true })),
  publish("", "~server", "question", { properties: { replyTo: pseudo, correlationId: "c" } }),
];

const consumers = [
  scenario("a reply consumer must not acknowledge", [consume("t", {})]),
  scenario("a reply consumer", [consume("t"), cancel("t"), consume("u")]),
  scenario("one reply consumer a channel", [consume("t"), consume("u")]),
  scenario("one reply consumer on every channel", [
    consume("t"),
    on(2, call("channel.open")),
    on(2, consume("t")),
  ]),
  scenario("exclusive, no-local", [consume("t", { noAck: true, exclusive: true, noLocal: true })]),
  scenario("nowait", [consume("t", { noAck: true, nowait: true }), ask]),
  scenario("without a tag", [consume(""), cancel("<tag 1>")]),
  scenario("the tag of another consumer", [
    call("queue.declare", { queue: "~q", exclusive: true }),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
    consume("t"),
  ]),
  scenario("a tag that another consumer wants", [
    consume("t"),
    call("queue.declare", { queue: "~q", exclusive: true }),
    call("basic.consume", { queue: "~q", consumerTag: "t" }),
  ]),
  scenario("cancel nowait", [
    consume("t"),
    call("basic.cancel", { consumerTag: "t", nowait: true }),
    ask,
  ]),
];

const asking = [
  scenario("asking without a reply consumer", [ask]),
  scenario("asking after cancelling", [consume("t"), cancel("t"), ask]),
  scenario("asking from another channel", [consume("t"), on(2, call("channel.open")), on(2, ask)]),
  scenario("asking with a token of one's own making", [
    publish("", "~nowhere", "x", {
      mandatory: true,
      properties: { replyTo: "amq.rabbitmq.reply-to.bogus" },
    }),
  ]),
  scenario("the same token for every question", [consume("t"), ask, ask]),
  scenario("another token after consuming again", [
    consume("t"),
    ask,
    cancel("t"),
    consume("t"),
    ask,
  ]),
  scenario("asking in a transaction", [consume("t"), call("tx.select"), ask, call("tx.commit")]),
  scenario("asking in a transaction without a reply consumer", [call("tx.select"), ask]),
];

const answering = [
  scenario("question and answer", [...conversation, via("b", answer()), via("b", answer("again"))]),
  scenario("an answer with properties", [
    ...conversation,
    via(
      "b",
      publish("", "<reply-to 1>", "answer", {
        properties: { correlationId: "c", replyTo: "r", headers: { a: 1 }, expiration: "1000" },
      }),
    ),
  ]),
  scenario("a mandatory answer", [
    ...conversation,
    via("b", publish("", "<reply-to 1>", "answer", { mandatory: true })),
  ]),
  scenario("answers in confirm mode", [...conversation, via("b", confirmed), via("b", answer())]),
  scenario("answers do not wait for the commit", [
    ...conversation,
    via("b", call("tx.select")),
    via("b", answer()),
    via("b", call("tx.commit")),
  ]),
  scenario("answers through a named exchange go nowhere", [
    ...conversation,
    via("b", publish("amq.direct", "<reply-to 1>", "answer", { mandatory: true })),
  ]),
  scenario("answers after cancelling", [
    ...conversation,
    cancel("client"),
    via("b", confirmed),
    via("b", publish("", "<reply-to 1>", "answer", { mandatory: true })),
    via("b", call("queue.declare", { queue: "<reply-to 1>", passive: true })),
  ]),
  scenario("answers after the channel has closed", [
    ...conversation,
    call("channel.close", { replyCode: 200 }),
    via("b", publish("", "<reply-to 1>", "answer", { mandatory: true })),
    via("b", call("queue.declare", { queue: "<reply-to 1>", passive: true })),
  ]),
  scenario("answers to a token that nobody made", [
    publish("", "amq.rabbitmq.reply-to.bogus", "answer", { mandatory: true }),
    publish("", "amq.rabbitmq.reply-to", "answer", { mandatory: true }),
    publish("", "amq.rabbitmq.reply-to.", "answer", { mandatory: true }),
  ]),
  scenario("a long answer", [...conversation, via("b", answer("a".repeat(300_000)))]),
];

const asQueue = [
  scenario(
    "the pseudo-queue as a queue",
    eachAlone([
      call("queue.declare", { queue: pseudo }),
      call("queue.declare", { queue: pseudo, passive: true }),
      call("queue.declare", { queue: pseudo, durable: true, exclusive: true, autoDelete: true }),
      call("queue.declare", { queue: `${pseudo}.bogus` }),
      call("queue.declare", { queue: `${pseudo}.bogus`, passive: true }),
      call("queue.delete", { queue: pseudo }),
      call("queue.purge", { queue: pseudo }),
      call("queue.bind", { queue: pseudo, exchange: "amq.direct", routingKey: "~k" }),
      call("queue.unbind", { queue: pseudo, exchange: "amq.direct", routingKey: "~k" }),
      call("basic.get", { queue: pseudo, noAck: true }),
      call("basic.get", { queue: pseudo }),
    ]),
  ),
  scenario("a token as a queue", [
    ...conversation,
    ...eachAlone([
      via("b", call("queue.declare", { queue: "<reply-to 1>", passive: true })),
      via("b", call("queue.declare", { queue: "<reply-to 1>", durable: true })),
      via("b", call("queue.purge", { queue: "<reply-to 1>" })),
      via("b", call("basic.get", { queue: "<reply-to 1>" })),
      via("b", call("basic.consume", { queue: "<reply-to 1>", noAck: true })),
      via("b", call("queue.bind", { queue: "<reply-to 1>", exchange: "amq.direct" })),
      via("b", call("queue.delete", { queue: "<reply-to 1>" })),
      via("b", answer()),
    ]).map((step) => via("b", step)),
  ]),
];

export const directReplies = area("direct replies", [
  ...consumers,
  ...asking,
  ...answering,
  ...asQueue,
]);
