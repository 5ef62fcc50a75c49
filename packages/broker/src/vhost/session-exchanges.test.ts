/**
 * Goal: exchanges and bindings are declared, deleted and refused as in RabbitMQ. What concerns
 * permissions stands in session-permissions.test.ts.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import {
  bindingFrom,
  declaredIn,
  exchangeNamed,
  givenBroker,
  outcomeOf,
  queueNamed,
} from "../../test/given-broker.ts";
import type { Session } from "./session.ts";

const defaultRefused = "channel ACCESS_REFUSED operation not permitted on the default exchange";
const malformed = "connection FRAME_ERROR Malformed UTF-8 in shortstr";
/** As the wire decodes the byte 0x80, which begins no character. */
const noText = "x\udc80";

function givenSession(): Session {
  return givenBroker().connect();
}

/** The routing keys that an exchange is bound with. */
function keysFrom({ vhost }: Session, exchange: string): string[] {
  return [...vhost.topology.bindingsFrom(vhost.exchange(exchange)!)].map(
    ({ routingKey }) => routingKey,
  );
}

test("an exchange is what it was declared as", async () => {
  const session = givenSession();
  const args = FieldTable.from({ "alternate-exchange": "ae", other: 1 });
  const flags = { durable: true, autoDelete: true, internal: true, arguments: args };
  const exchange = await session.declareExchange(exchangeNamed("x", { type: "topic", ...flags }));
  assert.equal(exchange, session.vhost.exchange("x"));
  const { name, type, durable, autoDelete, internal, arguments: kept } = exchange;
  assert.deepEqual({ durable, autoDelete, internal, arguments: kept }, flags);
  assert.deepEqual([name, type, exchange.alternateExchange], ["x", "topic", "ae"]);
  const plain = await session.declareExchange(exchangeNamed("y"));
  assert.deepEqual([plain.durable, plain.autoDelete, plain.internal], [false, false, false]);
  assert.equal(plain.alternateExchange, undefined);
});

test("declaring again finds the same exchange, declaring otherwise is refused", async () => {
  const session = givenSession();
  const exchange = await session.declareExchange(exchangeNamed("x"));
  assert.equal(await session.declareExchange(exchangeNamed("x")), exchange);
  const outcome = await outcomeOf(() =>
    session.declareExchange(exchangeNamed("x", { durable: true })),
  );
  assert.equal(
    outcome,
    "channel PRECONDITION_FAILED inequivalent arg 'durable' for exchange 'x' in vhost '/': " +
      "received 'true' but current is 'false'",
  );
  assert.equal(session.vhost.exchange("x"), exchange);
});

test("a type that does not exist ends the connection", async () => {
  const session = givenSession();
  const declare = (type: string): Promise<string> =>
    outcomeOf(() => session.declareExchange(exchangeNamed("x", { type })));
  assert.equal(await declare("foo"), "connection COMMAND_INVALID unknown exchange type 'foo'");
  assert.equal(await declare(""), "connection COMMAND_INVALID invalid exchange type ''");
  assert.deepEqual(declaredIn(session).exchanges, []);
});

test("names lose their line breaks", async () => {
  const session = givenSession();
  const exchange = await session.declareExchange(exchangeNamed("\r\nx\ny\r"));
  assert.equal(exchange.name, "xy");
  await session.declareQueue(queueNamed("q"));
  assert.equal(await session.checkExchange("x\r\ny"), exchange);
  assert.equal(session.exchangeToPublish("\nxy"), exchange);
  await session.bind(bindingFrom("x\ny", "queue", "\nq", { routingKey: "k\n" }));
  assert.deepEqual(keysFrom(session, "xy"), ["k\n"], "routing keys keep theirs");
  await session.unbind(bindingFrom("\nxy", "queue", "q\r", { routingKey: "k\n" }));
  assert.deepEqual(keysFrom(session, "xy"), []);
  await session.deleteExchange("xy\n", false);
  assert.equal(exchange.deleted, true);
});

test("names that are no text end the connection", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x"));
  await session.declareQueue(queueNamed("q"));
  const verbs = [
    () => session.declareExchange(exchangeNamed(noText)),
    () => session.checkExchange(noText),
    () => session.deleteExchange(noText, false),
    () => session.exchangeToPublish(noText),
    () => session.bind(bindingFrom(noText, "queue", "q")),
    () => session.bind(bindingFrom("x", "queue", noText)),
    () => session.unbind(bindingFrom(noText, "exchange", "x")),
    () => session.unbind(bindingFrom("x", "exchange", noText)),
  ];
  for (const verb of verbs) assert.equal(await outcomeOf(verb), malformed);
  assert.equal(await outcomeOf(() => session.declareExchange(exchangeNamed("😀 é"))), "ok");
});

test("names that begin with amq. are the broker's own", async () => {
  const session = givenSession();
  const declare = (name: string, type = "direct", durable = true): Promise<string> =>
    outcomeOf(() => session.declareExchange(exchangeNamed(name, { type, durable })));
  assert.equal(
    await declare("amq.mine"),
    "channel ACCESS_REFUSED exchange name 'amq.mine' contains reserved prefix 'amq.*'",
  );
  assert.equal(await declare("am\nq.mine"), await declare("amq.mine"), "line breaks or not");
  assert.equal(await declare("amq.topic", "topic"), "ok", "what exists may be declared again");
  assert.match(await declare("amq.topic", "fanout"), /inequivalent arg 'type'/);
  assert.equal(await declare("amqx"), "ok");
  assert.equal(await declare("AMQ.mine"), "ok");
});

test("the predeclared exchanges cannot be deleted, nor others of such a name", async () => {
  const session = givenSession();
  for (const name of ["amq.direct", "amq.rabbitmq.trace", "amq.absent"]) {
    assert.equal(
      await outcomeOf(() => session.deleteExchange(name, false)),
      `channel ACCESS_REFUSED deletion of system exchange '${name}' in vhost '/' not allowed`,
    );
  }
});

test("the default exchange is left alone", async () => {
  const session = givenSession();
  await session.declareQueue(queueNamed("q"));
  await session.declareExchange(exchangeNamed("x"));
  const verbs = [
    () => session.declareExchange(exchangeNamed("")),
    () => session.declareExchange(exchangeNamed("\r\n")),
    () => session.checkExchange(""),
    () => session.deleteExchange("", false),
    () => session.bind(bindingFrom("", "queue", "q")),
    () => session.unbind(bindingFrom("", "queue", "q", { routingKey: "q" })),
    () => session.bind(bindingFrom("x", "exchange", "")),
    () => session.bind(bindingFrom("", "exchange", "x")),
    () => session.unbind(bindingFrom("x", "exchange", "")),
  ];
  for (const verb of verbs) assert.equal(await outcomeOf(verb), defaultRefused, `${verb}`);
  assert.equal(session.exchangeToPublish("").name, "");
});

test("an exchange that does not exist is not found", async () => {
  const session = givenSession();
  await session.declareQueue(queueNamed("q"));
  const absent = "channel NOT_FOUND no exchange 'gone' in vhost '/'";
  assert.equal(await outcomeOf(() => session.checkExchange("gone")), absent);
  assert.equal(await outcomeOf(() => session.exchangeToPublish("gone")), absent);
  assert.equal(await outcomeOf(() => session.bind(bindingFrom("gone", "queue", "q"))), absent);
  assert.equal(await outcomeOf(() => session.deleteExchange("gone", true)), "ok");
});

test("bindings need both ends, the source being asked for first", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x"));
  const bind = (source: string, kind: "queue" | "exchange", destination: string) =>
    outcomeOf(() => session.bind(bindingFrom(source, kind, destination)));
  assert.equal(await bind("x", "queue", "no"), "channel NOT_FOUND no queue 'no' in vhost '/'");
  assert.equal(await bind("x", "queue", ""), "channel NOT_FOUND no queue '' in vhost '/'");
  assert.equal(
    await bind("x", "exchange", "no"),
    "channel NOT_FOUND no exchange 'no' in vhost '/'",
  );
  assert.equal(
    await bind("gone", "queue", "no"),
    "channel NOT_FOUND no exchange 'gone' in vhost '/'",
  );
  assert.deepEqual(keysFrom(session, "x"), []);
});

test("a binding is made once, and is another with another key or argument", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x"));
  await session.declareQueue(queueNamed("q"));
  const bind = (routingKey: string, args = {}): Promise<void> =>
    session.bind(bindingFrom("x", "queue", "q", { routingKey, arguments: FieldTable.from(args) }));
  await bind("a");
  await bind("a");
  await bind("b");
  await bind("a", { n: 1 });
  assert.deepEqual(keysFrom(session, "x").sort(), ["a", "a", "b"]);
});

test("exchanges are bound to exchanges and unbound again", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x"));
  await session.declareExchange(exchangeNamed("y"));
  const binding = bindingFrom("x", "exchange", "y", { routingKey: "a" });
  await session.bind(binding);
  assert.deepEqual(keysFrom(session, "x"), ["a"]);
  await session.unbind(binding);
  assert.deepEqual(keysFrom(session, "x"), []);
});

test("a binding that the exchange's type refuses is refused", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("h", { type: "headers" }));
  await session.declareQueue(queueNamed("q"));
  const args = FieldTable.from({ "x-match": "some" });
  const outcome = await outcomeOf(() =>
    session.bind(bindingFrom("h", "queue", "q", { arguments: args })),
  );
  assert.match(outcome, /^channel PRECONDITION_FAILED Invalid x-match field value <<"some">>; /);
  assert.deepEqual(keysFrom(session, "h"), []);
});

test("unbinding what is not bound, or does not exist, succeeds", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x"));
  await session.declareQueue(queueNamed("q"));
  await session.bind(bindingFrom("x", "queue", "q", { routingKey: "a" }));
  for (const absent of [
    bindingFrom("x", "queue", "q", { routingKey: "b" }),
    bindingFrom("x", "queue", "q", { routingKey: "a", arguments: FieldTable.from({ n: 1 }) }),
    bindingFrom("x", "exchange", "x"),
    bindingFrom("x", "queue", "gone"),
    bindingFrom("gone", "queue", "q"),
    bindingFrom("gone", "exchange", "gone"),
  ]) {
    await session.unbind(absent);
  }
  assert.deepEqual(keysFrom(session, "x"), ["a"]);
});

test("if-unused spares an exchange that has bindings, not one that is only bound to", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x"));
  await session.declareExchange(exchangeNamed("y"));
  await session.bind(bindingFrom("x", "exchange", "y"));
  assert.equal(
    await outcomeOf(() => session.deleteExchange("x", true)),
    "channel PRECONDITION_FAILED exchange 'x' in vhost '/' in use",
  );
  await session.deleteExchange("y", true);
  assert.deepEqual(declaredIn(session).exchanges, ["x"]);
  assert.deepEqual(keysFrom(session, "x"), [], "its bindings went with it");
  await session.deleteExchange("x", true);
  assert.deepEqual(declaredIn(session).exchanges, []);
});

test("without if-unused an exchange goes with its bindings", async () => {
  const session = givenSession();
  const exchange = await session.declareExchange(exchangeNamed("x"));
  const queue = await session.declareQueue(queueNamed("q"));
  await session.bind(bindingFrom("x", "queue", "q"));
  await session.deleteExchange("x", false);
  assert.equal(exchange.deleted, true);
  assert.deepEqual(
    [...session.vhost.topology.bindingsTo(queue)].map(({ source }) => source.name),
    [""],
  );
});

test("an auto-delete exchange goes with its last binding, and takes others along", async () => {
  const session = givenSession();
  for (const name of ["first", "second", "third"]) {
    await session.declareExchange(exchangeNamed(name, { autoDelete: true }));
  }
  await session.declareExchange(exchangeNamed("kept"));
  await session.declareQueue(queueNamed("q"));
  await session.bind(bindingFrom("first", "exchange", "second"));
  await session.bind(bindingFrom("second", "exchange", "third"));
  await session.bind(bindingFrom("kept", "exchange", "third"));
  await session.bind(bindingFrom("third", "queue", "q", { routingKey: "a" }));
  await session.bind(bindingFrom("third", "queue", "q", { routingKey: "b" }));
  await session.unbind(bindingFrom("third", "queue", "q", { routingKey: "a" }));
  assert.deepEqual(declaredIn(session).exchanges, ["first", "second", "third", "kept"]);
  await session.deleteQueue("q", false, false);
  assert.deepEqual(declaredIn(session).exchanges, ["kept"]);
  assert.deepEqual(keysFrom(session, "kept"), []);
});

test("an auto-delete exchange that was never bound stays", async () => {
  const session = givenSession();
  await session.declareExchange(exchangeNamed("x", { autoDelete: true }));
  await session.declareQueue(queueNamed("q"));
  await session.unbind(bindingFrom("x", "queue", "q"));
  await session.deleteQueue("q", false, false);
  assert.deepEqual(declaredIn(session).exchanges, ["x"]);
});

test("an alternate exchange is named by a string, and need not exist", async () => {
  const session = givenSession();
  const declare = (alternate: unknown): Promise<string> =>
    outcomeOf(() =>
      session.declareExchange(
        exchangeNamed("x", { arguments: FieldTable.from({ "alternate-exchange": alternate }) }),
      ),
    );
  assert.equal(
    await declare(5),
    "channel PRECONDITION_FAILED invalid type 'signedint' for arg 'alternate-exchange' in " +
      "exchange 'x' in vhost '/'",
  );
  assert.deepEqual(declaredIn(session).exchanges, []);
  assert.equal(await declare("gone"), "ok");
});
