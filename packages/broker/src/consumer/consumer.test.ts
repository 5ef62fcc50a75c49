/** Goal: a consumer's credit says whether it can be sent a message. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { TestHost } from "../../test/test-host.ts";
import { MessageStore } from "../message/message-store.ts";
import { ClassicQueue } from "../queue/classic-queue.ts";
import { Consumer, unlimitedCredit } from "./consumer.ts";

const spec = { name: "q", durable: false, exclusiveOwner: null, autoDelete: false };
const queue = new ClassicQueue(
  { ...spec, arguments: new FieldTable() },
  new MessageStore(),
  new TestHost(),
);

test("a consumer is what it was made as", () => {
  const sink = new RecordingSink();
  const options = {
    tag: "t",
    noAck: false,
    exclusive: true,
    priority: -7,
    prefetch: 3,
    arguments: FieldTable.from({ a: 1 }),
  };
  const consumer = new Consumer(queue, sink, options);
  const { tag, noAck, exclusive, priority, prefetch, arguments: args } = consumer;
  assert.deepEqual({ tag, noAck, exclusive, priority, prefetch, arguments: args }, options);
  assert.equal(consumer.queue, queue);
  assert.equal(consumer.sink, sink);
  assert.equal(consumer.parked, false);
  assert.equal(consumer.unsettled, 0);
});

test("credit is spent by deliveries and regained by settling them", () => {
  const consumer = testConsumer(queue, new RecordingSink(), { prefetch: 2 });
  assert.equal(consumer.canTake, true);
  consumer.spendCredit();
  consumer.spendCredit();
  assert.deepEqual([consumer.credit, consumer.unsettled, consumer.canTake], [0, 2, false]);
  consumer.regainCredit();
  assert.deepEqual([consumer.credit, consumer.unsettled, consumer.canTake], [1, 1, true]);
});

test("without a prefetch, or without settling, credit has no end", () => {
  for (const options of [{ prefetch: 0 }, { prefetch: 1, noAck: true }]) {
    const consumer = testConsumer(queue, new RecordingSink(), options);
    for (let count = 0; count < 5; count++) consumer.spendCredit();
    assert.equal(consumer.unsettled, 5);
    assert.equal(consumer.credit, unlimitedCredit);
    consumer.regainCredit();
    assert.equal(consumer.unsettled, 4);
    assert.equal(consumer.credit, unlimitedCredit);
    assert.equal(consumer.canTake, true);
  }
});

test("the sink's room and its shared limit concern everybody", () => {
  for (const noAck of [false, true]) {
    const sink = new RecordingSink();
    const consumer = testConsumer(queue, sink, { noAck });
    sink.writable = false;
    assert.equal(consumer.canTake, false);
    sink.writable = true;
    sink.withinPrefetch = false;
    assert.equal(consumer.canTake, false);
  }
});
