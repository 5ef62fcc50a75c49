/**
 * Goal: queues are declared, deleted, purged and refused as in RabbitMQ, and exclusive ones serve
 * their connection alone. What concerns permissions stands in session-permissions.test.ts.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
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
import { MessageView } from "../message/message-view.ts";
import type { Session } from "./session.ts";

const exclusive = { exclusive: true };
const notFound = (name: string): string => `channel NOT_FOUND no queue '${name}' in vhost '/'`;
const locked =
  "channel RESOURCE_LOCKED cannot obtain exclusive access to locked queue 'q' in vhost '/'. It " +
  "could be originally declared on another connection or the exclusive property value does not " +
  "match that of the original declaration.";

function givenSession(): Session {
  return givenBroker().connect();
}

test("a queue is what it was declared as", async () => {
  const session = givenSession();
  const args = FieldTable.from({ "x-max-length": 10, other: "kept" });
  const flags = { durable: true, autoDelete: true, arguments: args };
  const queue = await session.declareQueue(queueNamed("q", flags));
  assert.equal(queue, session.vhost.queue("q"));
  assert.deepEqual([queue.name, queue.durable, queue.autoDelete], ["q", true, true]);
  assert.equal(queue.arguments, args);
  assert.equal(queue.exclusiveOwner, null);
  const plain = await session.declareQueue(queueNamed("plain"));
  assert.deepEqual([plain.durable, plain.autoDelete], [false, false]);
});

test("declaring again finds the same queue with its messages", async () => {
  const session = givenSession();
  const queue = await session.declareQueue(queueNamed("q"));
  queue.publish(textMessage("1"));
  assert.equal(await session.declareQueue(queueNamed("q")), queue);
  assert.equal(await session.checkQueue("q"), queue);
  assert.equal(queue.readyCount, 1);
});

test("declaring otherwise is refused and changes nothing", async () => {
  const session = givenSession();
  const queue = await session.declareQueue(queueNamed("q"));
  assert.equal(
    await outcomeOf(() => session.declareQueue(queueNamed("q", { durable: true }))),
    "channel PRECONDITION_FAILED inequivalent arg 'durable' for queue 'q' in vhost '/': " +
      "received 'true' but current is 'false'",
  );
  assert.equal(session.vhost.queue("q"), queue);
  assert.equal(queue.durable, false);
});

test("arguments that no queue can have are refused, and no queue is left", async () => {
  const session = givenSession();
  const args = FieldTable.from({ "x-expires": 0 });
  assert.equal(
    await outcomeOf(() => session.declareQueue(queueNamed("q", { arguments: args }))),
    "channel PRECONDITION_FAILED invalid arg 'x-expires' for queue 'q' in vhost '/': " +
      "{value_zero,0}",
  );
  assert.deepEqual(declaredIn(session).queues, []);
});

test("a dead letter exchange is named by a string, and need not exist", async () => {
  const session = givenSession();
  const declare = (deadLetters: unknown): Promise<string> => {
    const args = FieldTable.from({ "x-dead-letter-exchange": deadLetters });
    return outcomeOf(() => session.declareQueue(queueNamed("q", { arguments: args })));
  };
  assert.equal(
    await declare(true),
    "channel PRECONDITION_FAILED invalid type 'bool' for arg 'x-dead-letter-exchange' in " +
      "queue 'q' in vhost '/'",
  );
  assert.deepEqual(declaredIn(session).queues, []);
  assert.equal(await declare("gone"), "ok");
});

test("a queue without a name gets one that nobody has", async () => {
  const session = givenSession();
  const names = new Set<string>();
  for (let count = 0; count < 100; count++) {
    const queue = await session.declareQueue(queueNamed(""));
    assert.match(queue.name, /^amq\.gen-[\w-]{22}$/);
    assert.equal(session.vhost.queue(queue.name), queue);
    names.add(queue.name);
  }
  assert.equal(names.size, 100);
  assert.match((await session.declareQueue(queueNamed("\r\n"))).name, /^amq\.gen-/);
});

test("a queue whose type must be named is refused without a name", async () => {
  const session = givenSession();
  const args = FieldTable.from({ "x-queue-type": "quorum" });
  assert.equal(
    await outcomeOf(() => session.declareQueue(queueNamed("", { durable: true, arguments: args }))),
    "channel PRECONDITION_FAILED Cannot declare a server-named queue for type rabbit_quorum_queue",
  );
  assert.deepEqual(declaredIn(session).queues, []);
});

test("names that begin with amq. are the broker's to give", async () => {
  const session = givenSession();
  const { name } = await session.declareQueue(queueNamed(""));
  // RabbitMQ 3.10 refuses it even where the queue exists; asking for it passively is the way.
  for (const reserved of ["amq.mine", name, "amq\n.mine"]) {
    const plain = reserved.replace("\n", "");
    assert.equal(
      await outcomeOf(() => session.declareQueue(queueNamed(reserved))),
      `channel ACCESS_REFUSED queue name '${plain}' contains reserved prefix 'amq.*'`,
    );
  }
  assert.equal((await session.checkQueue(name)).name, name);
  assert.equal(await outcomeOf(() => session.declareQueue(queueNamed("amqp"))), "ok");
});

test("names lose their line breaks where RabbitMQ drops them", async () => {
  const session = givenSession();
  const queue = await session.declareQueue(queueNamed("a\r\nb"));
  assert.equal(queue.name, "ab");
  assert.equal(await session.checkQueue("\nab"), queue);
  queue.publish(textMessage("1"));
  assert.equal(await session.purgeQueue("ab\r"), 1);
  await session.deleteQueue("a\nb", false, false);
  assert.equal(queue.deleted, true);
});

test("names that are no text end the connection", async () => {
  const session = givenSession();
  // As the wire decodes the byte 0xff, which is in no character.
  const noText = "q\udcff";
  for (const verb of [
    () => session.declareQueue(queueNamed(noText)),
    () => session.checkQueue(noText),
    () => session.deleteQueue(noText, false, false),
    () => session.purgeQueue(noText),
  ]) {
    assert.equal(
      await outcomeOf(verb),
      "connection FRAME_ERROR Malformed UTF-8 in shortstr",
      `${verb}`,
    );
  }
});

test("a queue that does not exist is not found, but deleting it succeeds", async () => {
  const session = givenSession();
  for (const verb of [
    () => session.checkQueue("gone"),
    () => session.purgeQueue("gone"),
    () => session.queueToGet("gone"),
    () => session.queueToConsume("gone", consumerThat()),
  ]) {
    assert.equal(await outcomeOf(verb), notFound("gone"), `${verb}`);
  }
  assert.equal(await session.deleteQueue("gone", true, true), 0);
});

test("deleting says how many messages were ready, and takes the bindings along", async () => {
  const session = givenSession();
  const queue = await session.declareQueue(queueNamed("q"));
  await session.declareExchange(exchangeNamed("x"));
  await session.bind(bindingFrom("x", "queue", "q"));
  for (const body of ["1", "2", "3"]) queue.publish(textMessage(body));
  queue.get(false, new MessageView());
  assert.equal(await session.deleteQueue("q", false, false), 2);
  assert.equal(queue.deleted, true);
  assert.equal(session.vhost.queue("q"), undefined);
  assert.equal(session.vhost.topology.isSource(session.vhost.exchange("x")!), false);
  assert.equal(await session.deleteQueue("q", false, false), 0);
});

test("if-unused spares a queue with consumers, if-empty one with ready messages", async () => {
  const session = givenSession();
  const queue = await session.declareQueue(queueNamed("q"));
  const consumer = testConsumer(queue, new RecordingSink(), { prefetch: 1 });
  queue.subscribe(consumer);
  const inUse = "channel PRECONDITION_FAILED queue 'q' in vhost '/' in use";
  const notEmpty = "channel PRECONDITION_FAILED queue 'q' in vhost '/' not empty";
  const remove = (ifUnused: boolean, ifEmpty: boolean): Promise<string> =>
    outcomeOf(() => session.deleteQueue("q", ifUnused, ifEmpty));
  assert.equal(await remove(true, false), inUse);
  queue.publish(textMessage("1"));
  queue.publish(textMessage("2"));
  assert.equal(await remove(true, true), notEmpty, "asked for first");
  assert.equal(await remove(false, true), notEmpty);
  assert.equal(await remove(true, false), inUse);
  queue.purge();
  assert.equal(await remove(true, true), inUse);
  session.unsubscribe(consumer);
  assert.equal(queue.unsettledCount, 1);
  assert.equal(await remove(true, true), "ok", "what is unsettled is not counted");
});

test("purging drops what is ready and says how many", async () => {
  const session = givenSession();
  const queue = await session.declareQueue(queueNamed("q"));
  for (const body of ["1", "2", "3"]) queue.publish(textMessage(body));
  queue.get(false, new MessageView());
  assert.equal(await session.purgeQueue("q"), 2);
  assert.equal(await session.purgeQueue("q"), 0);
  assert.equal(queue.unsettledCount, 1);
});

describe("an exclusive queue", () => {
  async function givenLock() {
    const { broker, connect } = givenBroker();
    const owner = connect();
    const other = connect();
    const queue = await owner.declareQueue(queueNamed("q", exclusive));
    await owner.declareExchange(exchangeNamed("x"));
    return { broker, owner, other, queue };
  }

  test("is refused to other connections, whatever they ask for", async () => {
    const { other, owner, queue } = await givenLock();
    await owner.bind(bindingFrom("x", "queue", "q"));
    const verbs = [
      () => other.declareQueue(queueNamed("q", exclusive)),
      () => other.declareQueue(queueNamed("q")),
      () => other.checkQueue("q"),
      () => other.bind(bindingFrom("x", "queue", "q")),
      () => other.unbind(bindingFrom("x", "queue", "q")),
      () => other.purgeQueue("q"),
      () => other.deleteQueue("q", false, false),
      () => other.queueToGet("q"),
      () => other.queueToConsume("q", consumerThat()),
    ];
    for (const verb of verbs) assert.equal(await outcomeOf(verb), locked, `${verb}`);
    assert.equal(queue.deleted, false);
  });

  test("may be unbound by others from where it is not bound", async () => {
    const { other } = await givenLock();
    await other.unbind(bindingFrom("x", "queue", "q"));
  });

  test("is not refused to its own connection", async () => {
    const { owner, queue } = await givenLock();
    assert.equal(await owner.declareQueue(queueNamed("q", exclusive)), queue);
    assert.equal(await owner.checkQueue("q"), queue);
    assert.equal(owner.queueToGet("q"), queue);
    assert.equal(owner.queueToConsume("q", consumerThat({ exclusive: true })), queue);
    await owner.bind(bindingFrom("x", "queue", "q"));
    await owner.unbind(bindingFrom("x", "queue", "q"));
    assert.equal(await owner.purgeQueue("q"), 0);
    assert.equal(await owner.deleteQueue("q", false, false), 0);
  });

  test("is not found again as one for all, nor the other way round", async () => {
    const { owner } = await givenLock();
    assert.equal(await outcomeOf(() => owner.declareQueue(queueNamed("q"))), locked);
    await owner.declareQueue(queueNamed("shared"));
    assert.equal(
      await outcomeOf(() => owner.declareQueue(queueNamed("shared", exclusive))),
      locked.replace("'q'", "'shared'"),
    );
  });

  test("may be published to by everybody", async () => {
    const { other, queue } = await givenLock();
    const { topology } = other.vhost;
    assert.deepEqual(topology.route(other.exchangeToPublish(""), "q").queues, [queue]);
  });

  test("is not durable, though it was asked to be", async () => {
    const { owner } = await givenLock();
    const both = { ...exclusive, durable: true };
    const queue = await owner.declareQueue(queueNamed("both", both));
    assert.equal(queue.durable, false);
    assert.equal(await owner.declareQueue(queueNamed("both", both)), queue);
    assert.equal(await owner.declareQueue(queueNamed("both", exclusive)), queue);
  });

  test("ends with its connection, and only that one's end", async () => {
    const { broker, owner, other, queue } = await givenLock();
    await owner.bind(bindingFrom("x", "queue", "q"));
    await owner.declareQueue(queueNamed("shared"));
    const sink = new RecordingSink();
    queue.subscribe(testConsumer(queue, sink, { prefetch: 1 }));
    queue.publish(textMessage("1"));
    queue.publish(textMessage("2"));
    await other.close();
    assert.equal(queue.deleted, false);
    await owner.close();
    assert.equal(queue.deleted, true);
    assert.deepEqual(declaredIn(owner).queues, ["shared"]);
    assert.equal(sink.cancellations.length, 1);
    sink.settle("requeue", sink.unsettled[0]!);
    assert.equal(broker.messages.liveMessages, 0);
    await owner.close();
  });

  test("frees its name when it is deleted, and ends nobody else's queue of that name", async () => {
    const { owner, other } = await givenLock();
    await owner.deleteQueue("q", false, false);
    const successor = await other.declareQueue(queueNamed("q", exclusive));
    await owner.close();
    assert.equal(successor.deleted, false);
    assert.equal(other.vhost.queue("q"), successor);
  });
});
