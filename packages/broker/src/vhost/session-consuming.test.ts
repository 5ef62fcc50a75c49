/**
 * Goal: who may consume from a queue, and what becomes of the queue when its consumers leave. What
 * concerns permissions stands in session-permissions.test.ts.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import {
  bindingFrom,
  consumerThat,
  declaredIn,
  exchangeNamed,
  givenBroker,
  outcomeOf,
  queueNamed,
} from "../../test/given-broker.ts";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { textMessage } from "../../test/text-message.ts";
import type { Consumer } from "../consumer/consumer.ts";
import type { Session } from "./session.ts";

const single = { arguments: FieldTable.from({ "x-single-active-consumer": true }) };
const inExclusiveUse = "channel ACCESS_REFUSED queue 'q' in vhost '/' in exclusive use";

/** Consumes as an adapter does: asks for the queue, then subscribes. */
function consume(session: Session, name: string, exclusive = false): Consumer {
  const queue = session.queueToConsume(name, consumerThat({ exclusive }));
  const consumer = testConsumer(queue, new RecordingSink(), { exclusive });
  queue.subscribe(consumer);
  return consumer;
}

test("a consumer tag that was given is kept, without line breaks", () => {
  const session = givenBroker().connect();
  assert.equal(session.consumerTag("mine"), "mine");
  assert.equal(session.consumerTag("amq.ctag-x"), "amq.ctag-x");
  assert.equal(session.consumerTag("m\r\nine"), "mine");
});

test("a consumer without a tag gets one that nobody has", () => {
  const session = givenBroker().connect();
  const tags = Array.from({ length: 100 }, () => session.consumerTag(""));
  assert.equal(new Set(tags).size, 100);
  for (const tag of tags) assert.match(tag, /^amq\.ctag-[\w-]{22}$/);
});

test("an exclusive consumer comes alone and keeps others out", async () => {
  const { connect } = givenBroker();
  const [one, two] = [connect(), connect()];
  await one.declareQueue(queueNamed("q"));
  const alone = consume(one, "q", true);
  for (const session of [one, two]) {
    for (const exclusive of [false, true]) {
      assert.equal(await outcomeOf(() => consume(session, "q", exclusive)), inExclusiveUse);
    }
  }
  assert.equal(one.queueToGet("q"), alone.queue, "to get is not to consume");
  one.unsubscribe(alone);
  consume(two, "q");
  consume(one, "q");
  assert.equal(await outcomeOf(() => consume(one, "q", true)), inExclusiveUse);
});

test("where consumers wait for their turn nobody consumes exclusively or gets", async () => {
  const session = givenBroker().connect();
  await session.declareQueue(queueNamed("q", single));
  assert.equal(await outcomeOf(() => consume(session, "q", true)), inExclusiveUse);
  assert.equal(
    await outcomeOf(() => session.queueToGet("q")),
    "channel RESOURCE_LOCKED cannot obtain access to locked queue 'q' in vhost '/'. basic.get " +
      "operations are not supported by classic queues with single active consumer",
  );
  consume(session, "q");
  consume(session, "q");
  assert.equal(session.vhost.queue("q")?.consumerCount, 2);
});

test("arguments of a consumer are checked before whether the queue is free", async () => {
  const session = givenBroker().connect();
  await session.declareQueue(queueNamed("q"));
  consume(session, "q", true);
  const args = FieldTable.from({ "x-priority": "high" });
  assert.match(
    await outcomeOf(() => session.queueToConsume("q", consumerThat({ arguments: args }))),
    /^channel PRECONDITION_FAILED invalid arg 'x-priority' for queue 'q' in vhost '\/'/,
  );
});

test("an auto-delete queue goes with its last consumer, and with its bindings", async () => {
  const { broker, connect } = givenBroker();
  const [one, two] = [connect(), connect()];
  const queue = await one.declareQueue(queueNamed("q", { autoDelete: true }));
  await one.declareExchange(exchangeNamed("x", { autoDelete: true }));
  await one.bind(bindingFrom("x", "queue", "q"));
  const consumers = [consume(one, "q"), consume(two, "q")];
  queue.publish(textMessage("1"));
  one.unsubscribe(consumers[0]!);
  assert.equal(queue.deleted, false);
  two.unsubscribe(consumers[1]!);
  assert.equal(queue.deleted, true);
  assert.deepEqual(declaredIn(one), { exchanges: [], queues: [] });
  const sink = consumers[0]!.sink as RecordingSink;
  assert.deepEqual(sink.cancellations, [], "who left is not told");
  sink.settle("requeue", sink.unsettled[0]!);
  assert.equal(broker.messages.liveMessages, 0);
  two.unsubscribe(consumers[1]!);
});

test("an auto-delete queue that nobody consumed from stays", async () => {
  const session = givenBroker().connect();
  const queue = await session.declareQueue(queueNamed("q", { autoDelete: true }));
  queue.publish(textMessage("1"));
  session.queueToGet("q").get(true, textMessage(""));
  await session.close();
  assert.equal(queue.deleted, false);
});

test("a queue that is not auto-delete outlives its consumers", async () => {
  const session = givenBroker().connect();
  const queue = await session.declareQueue(queueNamed("q"));
  session.unsubscribe(consume(session, "q"));
  assert.equal(queue.deleted, false);
});

test("a queue that is declared anew does not end with consumers of the old one", async () => {
  const session = givenBroker().connect();
  const declaration = queueNamed("q", { autoDelete: true });
  await session.declareQueue(declaration);
  const late = consume(session, "q");
  await session.deleteQueue("q", false, false);
  const successor = await session.declareQueue(declaration);
  session.unsubscribe(late);
  assert.equal(successor.deleted, false);
  assert.equal(session.vhost.queue("q"), successor);
});
