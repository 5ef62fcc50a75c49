/** Goal: the facade lets users into virtual hosts, and blocks publishers while memory is short. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { givenBroker, outcomeOf, queueNamed } from "../test/given-broker.ts";
import { textMessage } from "../test/text-message.ts";
import type { Broker } from "./broker.ts";
import { silentLogger } from "./events/logger.ts";
import { MessageView } from "./message/message-view.ts";
import type { Queue } from "./queue/queue.ts";

const slabBytes = 2 ** 20;
/** What it takes to know of the few records in a slab. */
const tableBytes = 256;

/** A queue to fill memory with. */
async function givenQueue(broker: Broker, connect: () => unknown): Promise<Queue> {
  connect();
  const session = broker.openSession({ name: "u", tags: [] }, "/");
  return session.declareQueue(queueNamed("q"));
}

/** Publishes messages that occupy about a slab each. */
function fill(queue: Queue, slabs: number): void {
  for (let count = 0; count < slabs; count++) queue.publish(textMessage("x".repeat(900_000)));
}

/** Every change of alarms, as the reason or "-" for none. */
function watchAlarms(broker: Broker): string[] {
  const heard: string[] = [];
  broker.alarms.listen((active) => heard.push(active.size > 0 ? broker.alarms.reason : "-"));
  return heard;
}

test("adapters find at the broker what it was given", () => {
  const { broker, clock, users } = givenBroker({ channelConsumersMax: 7 });
  assert.equal(broker.clock, clock);
  assert.equal(broker.authenticator, users);
  assert.equal(broker.log, silentLogger);
  assert.equal(broker.limits.channelConsumersMax, 7);
  assert.equal(broker.random.bytes(3).length, 3);
  const target = (): void => {};
  assert.equal(broker.directReplies.find(broker.directReplies.register(target)), target);
});

test("a virtual host is created once, with the predeclared exchanges", async () => {
  const { broker } = givenBroker();
  const vhost = await broker.createVhost("v");
  assert.equal(vhost.name, "v");
  assert.equal(await broker.createVhost("v"), vhost);
  assert.equal(broker.vhost("v"), vhost);
  assert.equal(broker.vhost("w"), undefined);
  assert.deepEqual(
    [...broker.vhosts()].map(({ name }) => name),
    ["/", "v"],
  );
  const exchanges = [...vhost.topology.exchanges()].map(({ name, type, internal, durable }) => [
    name,
    type,
    internal,
    durable,
  ]);
  assert.deepEqual(exchanges, [
    ["", "direct", false, true],
    ["amq.direct", "direct", false, true],
    ["amq.fanout", "fanout", false, true],
    ["amq.topic", "topic", false, true],
    ["amq.headers", "headers", false, true],
    ["amq.match", "headers", false, true],
    ["amq.rabbitmq.trace", "topic", true, true],
  ]);
});

test("virtual hosts share no names", async () => {
  const { broker, users, connect } = givenBroker();
  await broker.createVhost("v");
  connect();
  await users.setPermissions("u", "v", { configure: ".*", write: ".*", read: ".*" });
  const user = { name: "u", tags: [] };
  const here = await broker.openSession(user, "/").declareQueue(queueNamed("q"));
  const there = await broker.openSession(user, "v").declareQueue(queueNamed("q"));
  assert.notEqual(here, there);
  await broker.openSession(user, "/").deleteQueue("q", false, false);
  assert.equal(here.deleted, true);
  assert.equal(there.deleted, false);
});

test("a session needs a virtual host that exists and permissions in it", async () => {
  const { broker, connect } = givenBroker();
  broker.createVhost("closed");
  connect();
  const user = { name: "u", tags: ["administrator"] };
  assert.equal(broker.openSession(user, "/").vhost, broker.vhost("/"));
  assert.equal(broker.openSession(user, "/").user, user);
  assert.equal(
    await outcomeOf(() => broker.openSession(user, "nowhere")),
    "connection NOT_ALLOWED vhost nowhere not found",
  );
  assert.equal(
    await outcomeOf(() => broker.openSession(user, "closed")),
    "connection NOT_ALLOWED access to vhost 'closed' refused for user 'u'",
  );
});

test("the memory alarm is raised above the limit, not at it", async () => {
  const { broker, connect } = givenBroker({ memoryBytesMax: 3 * (slabBytes + tableBytes) });
  const heard = watchAlarms(broker);
  const queue = await givenQueue(broker, connect);
  fill(queue, 3);
  broker.watchMemory();
  assert.equal(broker.messages.usedBytes, 3 * (slabBytes + tableBytes));
  assert.deepEqual(heard, []);
  fill(queue, 1);
  broker.watchMemory();
  broker.watchMemory();
  assert.deepEqual(heard, ["low on memory"]);
});

test("the alarm is cleared by itself once consumers have made room", async () => {
  const { broker, clock, connect } = givenBroker({ memoryBytesMax: 3 * (slabBytes + tableBytes) });
  const heard = watchAlarms(broker);
  const queue = await givenQueue(broker, connect);
  fill(queue, 6);
  broker.watchMemory();
  assert.equal(clock.pending, 1);
  queue.get(true, new MessageView());
  queue.get(true, new MessageView());
  clock.advance(1000);
  assert.deepEqual(heard, ["low on memory"]);
  assert.equal(clock.pending, 1);
  queue.get(true, new MessageView());
  clock.advance(99);
  assert.deepEqual(heard, ["low on memory"], "not looked at yet");
  clock.advance(1);
  assert.deepEqual(heard, ["low on memory", "-"]);
  assert.equal(clock.pending, 0, "nobody looks any longer");
  clock.advance(10_000);
  assert.equal(heard.length, 2);
});

test("an alarm that comes and goes many times leaves one timer at most", async () => {
  const { broker, clock, connect } = givenBroker({ memoryBytesMax: 3 * (slabBytes + tableBytes) });
  const heard = watchAlarms(broker);
  const queue = await givenQueue(broker, connect);
  for (let round = 0; round < 50; round++) {
    fill(queue, 4);
    broker.watchMemory();
    assert.equal(clock.pending, 1);
    clock.advance(3);
    queue.purge();
    broker.watchMemory();
    assert.equal(clock.pending, 0);
  }
  assert.equal(heard.length, 100);
});

test("closing ends every queue, forgets virtual hosts, and leaves no timer", async () => {
  const { broker, clock, connect } = givenBroker({ memoryBytesMax: slabBytes });
  const queue = await givenQueue(broker, connect);
  fill(queue, 4);
  broker.watchMemory();
  await broker.close();
  assert.equal(queue.deleted, true);
  assert.equal(broker.messages.liveMessages, 0);
  assert.equal(broker.vhost("/"), undefined);
  assert.equal(clock.pending, 0);
});

test("two brokers know nothing of each other", async () => {
  const [one, two] = [givenBroker(), givenBroker()];
  await givenQueue(one.broker, one.connect);
  assert.equal(two.broker.vhost("/")?.queue("q"), undefined);
  assert.notEqual(one.broker.messages, two.broker.messages);
});
