/** Goal: a virtual host keeps its queues, their routes and their messages in step. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { queueSpec } from "../../test/queue-rig.ts";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { streamsFor } from "../../test/streams-for.ts";
import { textMessage } from "../../test/text-message.ts";
import { MessageStore } from "../message/message-store.ts";
import type { Queue } from "../queue/queue.ts";
import { VirtualHost } from "./virtual-host.ts";

const none = new FieldTable();

function givenVhost(): { vhost: VirtualHost; messages: MessageStore } {
  const messages = new MessageStore();
  return {
    vhost: new VirtualHost({ name: "v", messages, streams: streamsFor(messages) }),
    messages,
  };
}

test("a queue is found by its name and by the default exchange until it is deleted", async () => {
  const { vhost } = givenVhost();
  const routed = (): readonly Queue[] => vhost.topology.route(vhost.exchange("")!, "q").queues;
  assert.deepEqual(routed(), []);
  const queue = await vhost.createQueue(queueSpec());
  assert.equal(vhost.queue("q"), queue);
  assert.deepEqual(routed(), [queue]);
  await vhost.deleteQueue(queue);
  assert.equal(vhost.queue("q"), undefined);
  assert.deepEqual(routed(), []);
});

test("a route that was remembered is no longer valid when its queue has gone", async () => {
  const { vhost } = givenVhost();
  const queue = await vhost.createQueue(queueSpec());
  const exchange = vhost.exchange("amq.fanout")!;
  await vhost.bind(exchange, queue, "", none);
  const route = vhost.topology.route(exchange, "");
  assert.deepEqual(route.queues, [queue]);
  await vhost.deleteQueue(queue);
  assert.equal(route.valid, false);
});

test("bindings are added and removed", async () => {
  const { vhost } = givenVhost();
  const queue = await vhost.createQueue(queueSpec());
  const exchange = await vhost.createExchange({
    ...{ name: "x", type: "direct", durable: false, autoDelete: false, internal: false },
    arguments: none,
  });
  assert.equal(vhost.exchange("x"), exchange);
  await vhost.bind(exchange, queue, "k", none);
  assert.deepEqual(vhost.topology.route(exchange, "k").queues, [queue]);
  await vhost.unbind(exchange, queue, "k", none);
  assert.deepEqual(vhost.topology.route(exchange, "k").queues, []);
  await vhost.deleteExchange(exchange);
  assert.equal(vhost.exchange("x"), undefined);
});

test("a queue is out of every route before its consumers hear that it is gone", async () => {
  const { vhost } = givenVhost();
  const queue = await vhost.createQueue(queueSpec());
  const routesSeen: number[] = [];
  const sink = new RecordingSink();
  sink.cancelled = () => {
    routesSeen.push(vhost.topology.route(vhost.exchange("")!, "q").queues.length);
  };
  queue.subscribe(testConsumer(queue, sink));
  await vhost.deleteQueue(queue);
  assert.deepEqual(routesSeen, [0]);
});

test("deleting counts what was ready, once", async () => {
  const { vhost, messages } = givenVhost();
  const queue = await vhost.createQueue(queueSpec());
  queue.publish(textMessage("1"));
  queue.publish(textMessage("2"));
  assert.equal(await vhost.deleteQueue(queue), 2);
  assert.equal(messages.liveMessages, 0);
  const successor = await vhost.createQueue(queueSpec());
  assert.equal(await vhost.deleteQueue(queue), 0);
  assert.equal(vhost.queue("q"), successor);
});

test("closing ends every queue, tells their consumers and releases their messages", async () => {
  const { vhost, messages } = givenVhost();
  const sink = new RecordingSink();
  const queues: Queue[] = [];
  for (const name of ["a", "b", "c"]) {
    const queue = await vhost.createQueue(queueSpec({ name }));
    queue.publish(textMessage(name));
    queue.publish(textMessage(name));
    queues.push(queue);
  }
  const consumer = testConsumer(queues[1]!, sink, { noAck: true });
  queues[1]!.subscribe(consumer);
  vhost.close();
  assert.ok(queues.every(({ deleted }) => deleted));
  assert.deepEqual(sink.cancellations, [consumer]);
  assert.deepEqual([...vhost.topology.queues()], []);
  assert.equal(messages.liveMessages, 0);
});
