// Goal: when messages take up more memory than they may, publishers wait and are told so if they
// can be told; consumers go on, and once they have made room publishers do, too.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { HandshakeOptions, RawConnection } from "@haremq/testkit";
import { arrived, delivered, get, messages, publish } from "./messages.ts";
import {
  ended,
  roundTrip,
  trace,
  turnsUntil,
  type VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

const mib = 1024 * 1024;
const limit = { "vm_memory_high_watermark.absolute": 8 * mib };
const told: HandshakeOptions = { capabilities: { "connection.blocked": true } };
const large = Buffer.alloc(mib - 200, "x");

async function withQueue(broker: VirtualBroker): Promise<RawConnection> {
  const connection = await broker.open();
  connection.send(1, "queue.declare", { queue: "q" });
  await roundTrip(connection);
  return connection;
}

function ready(broker: VirtualBroker): number {
  return broker.vhost.queue("q")?.readyCount ?? 0;
}

/** Publishes until the alarm goes off. */
async function fill(broker: VirtualBroker, publisher: RawConnection): Promise<void> {
  for (let count = 0; count < 9; count++) publish(publisher, "q", large);
  await turnsUntil(() => broker.broker.alarms.active.size > 0);
  assert.deepEqual([...broker.broker.alarms.active], ["memory"]);
}

function blockedAndUnblocked(connection: RawConnection): string[] {
  return trace(connection).filter((name) => /blocked/.test(name));
}

describe("a broker short of memory", () => {
  test("blocks who publishes, and tells them why", () =>
    withBroker(async (broker) => {
      const control = await withQueue(broker);
      const publisher = await broker.open(told);
      await fill(broker, publisher);
      publish(publisher, "q", "one more");
      const { reason } = await publisher.waitForMethod("connection.blocked");
      assert.equal(reason, "low on memory");
      const before = ready(broker);
      for (let count = 0; count < 100; count++) publish(publisher, "q", "held back");
      publisher.send(1, "queue.declare", { queue: "held back" });
      await broker.settle();
      assert.equal(ready(broker), before);
      assert.equal(broker.vhost.queue("held back"), undefined);
      assert.deepEqual(blockedAndUnblocked(publisher), ["connection.blocked"]);

      control.send(1, "queue.purge", { queue: "q" });
      await publisher.waitForMethod("connection.unblocked");
      await publisher.waitForMethod("queue.declare-ok");
      // All of the hundred, and what had made the broker block, whose body was still to come.
      assert.ok(ready(broker) > 100);
      assert.deepEqual(blockedAndUnblocked(publisher), [
        "connection.blocked",
        "connection.unblocked",
      ]);
    }, limit));

  test("does not tell those who did not ask to be told, and holds them back all the same", () =>
    withBroker(async (broker) => {
      const control = await withQueue(broker);
      const publisher = await broker.open();
      await fill(broker, publisher);
      publish(publisher, "q", "one more");
      await broker.settle();
      const before = ready(broker);
      publish(publisher, "q", "held back");
      await broker.settle();
      assert.equal(ready(broker), before);
      control.send(1, "queue.purge", { queue: "q" });
      await roundTrip(publisher);
      assert.deepEqual(blockedAndUnblocked(publisher), []);
    }, limit));

  test("does not trouble those who do not publish", () =>
    withBroker(async (broker) => {
      const consumer = await broker.open(told);
      const publisher = await withQueue(broker);
      await fill(broker, publisher);
      consumer.send(1, "queue.declare", { queue: "another", exclusive: true });
      consumer.send(1, "basic.qos", { prefetchCount: 1 });
      consumer.send(1, "basic.consume", { queue: "q", consumerTag: "t" });
      for (let tag = 1; tag <= 9; tag++) {
        await arrived(consumer, "basic.deliver", tag);
        consumer.send(1, "basic.ack", { deliveryTag: tag });
      }
      await roundTrip(consumer);
      assert.equal(broker.broker.alarms.active.size, 0);
      assert.deepEqual(blockedAndUnblocked(consumer), []);
    }, limit));

  test("takes up again what it held back when a consumer has made room", () =>
    withBroker(async (broker) => {
      const consumer = await withQueue(broker);
      const publisher = await broker.open(told);
      const count = 60;
      for (let i = 0; i < count; i++) {
        large.writeUInt32BE(i);
        publish(publisher, "q", large);
      }
      await publisher.waitForMethod("connection.blocked");
      consumer.send(1, "basic.consume", { queue: "q", noAck: true, consumerTag: "t" });
      // The alarm is looked at when messages come in, and by the clock when none do.
      await turnsUntil(() => {
        broker.clock.advance(100);
        return trace(consumer).length > 0 && countDelivered(consumer) === count;
      });
      await roundTrip(consumer);
      const order = messages(consumer).map(({ body }) => body.readUInt32BE());
      assert.deepEqual(order, [...Array(count).keys()]);
      await roundTrip(publisher);
      const seen = blockedAndUnblocked(publisher);
      for (const [index, name] of seen.entries()) {
        assert.equal(name, index % 2 === 0 ? "connection.blocked" : "connection.unblocked");
      }
      assert.equal(seen.length % 2, 0);
      assert.equal(broker.clock.pending, 0);
    }, limit));

  test("never holds more than its limit and what came in with the last chunk", () =>
    withBroker(async (broker) => {
      await withQueue(broker);
      const publishers = await Promise.all([1, 2, 3, 4].map(() => broker.open(told)));
      for (let i = 0; i < 30; i++) {
        for (const publisher of publishers) publish(publisher, "q", large);
      }
      for (const publisher of publishers) await publisher.waitForMethod("connection.blocked");
      await broker.settle();
      // Each had one message under way when it was told to wait, and the arena counts in slabs.
      assert.ok(broker.broker.messages.usedBytes <= 8 * mib + 5 * mib);
    }, limit));

  test("blocks for want of disk and memory by name", () =>
    withBroker(async (broker) => {
      await withQueue(broker);
      broker.broker.alarms.set("disk", true);
      const first = await broker.open(told);
      publish(first, "q", "x");
      assert.equal((await first.waitForMethod("connection.blocked")).reason, "low on disk");
      broker.broker.alarms.set("memory", true);
      const second = await broker.open(told);
      publish(second, "q", "x");
      assert.equal(
        (await second.waitForMethod("connection.blocked")).reason,
        "low on memory & disk",
      );
      broker.broker.alarms.set("disk", false);
      await broker.settle();
      assert.deepEqual(blockedAndUnblocked(first), ["connection.blocked"]);
      broker.broker.alarms.set("memory", false);
      await first.waitForMethod("connection.unblocked");
      await second.waitForMethod("connection.unblocked");
    }));

  test("tells a publisher that it is blocked again after it was told that it is not", () =>
    withBroker(async (broker) => {
      const control = await withQueue(broker);
      const publisher = await broker.open(told);
      for (let i = 0; i < 40; i++) publish(publisher, "q", large);
      await publisher.waitForMethod("connection.blocked");
      for (let round = 2; round <= 4; round++) {
        control.send(1, "queue.purge", { queue: "q" });
        await arrived(publisher, "connection.blocked", round);
      }
      const seen = blockedAndUnblocked(publisher);
      assert.deepEqual(
        seen,
        seen.map((_, index) => (index % 2 === 0 ? "connection.blocked" : "connection.unblocked")),
      );
    }, limit));

  test("still sees a blocked client's errors and end once it reads again", () =>
    withBroker(async (broker) => {
      const control = await withQueue(broker);
      const leaving = await broker.open(told);
      const failing = await broker.open(told);
      broker.broker.alarms.set("disk", true);
      for (const connection of [leaving, failing]) {
        publish(connection, "q", "x");
        await connection.waitForMethod("connection.blocked");
      }
      leaving.send(0, "connection.close", { replyCode: 200 });
      failing.send(0, "channel.open");
      await broker.settle();
      assert.equal(leaving.ended, undefined);
      broker.broker.alarms.set("disk", false);
      await ended(leaving);
      assert.equal(trace(leaving).at(-1), "connection.close-ok");
      await failing.waitForMethod("connection.close");
      await roundTrip(control);
      assert.equal(trace(failing).at(-1), "connection.close");
    }));

  test("can be stopped", () =>
    withBroker(async (broker) => {
      await (await withQueue(broker)).close();
      const publisher = await broker.open(told);
      await fill(broker, publisher);
      publish(publisher, "q", "one more");
      await publisher.waitForMethod("connection.blocked");
      publish(publisher, "q", "held back");
      const stopped = broker.running.stop();
      assert.equal((await publisher.waitForMethod("connection.close")).replyCode, 320);
      publisher.send(0, "connection.close-ok");
      await stopped;
    }, limit));

  test("delivers to a blocked publisher what it consumes itself", () =>
    withBroker(async (broker) => {
      const control = await withQueue(broker);
      publish(control, "q", "seen");
      assert.equal(await get(control, "q", { noAck: false }), "seen");
      const both = await broker.open(told);
      both.send(1, "basic.consume", { queue: "q", noAck: true, consumerTag: "t" });
      await both.waitForMethod("basic.consume-ok");
      broker.broker.alarms.set("disk", true);
      publish(both, "q", "held back");
      await both.waitForMethod("connection.blocked");
      control.send(1, "basic.reject", { deliveryTag: 1, requeue: true });
      assert.deepEqual(await delivered(both, 1), ["t1r:seen"]);
      assert.equal(await get(control, "q"), undefined);
      broker.broker.alarms.set("disk", false);
      await roundTrip(both);
    }));
});

function countDelivered(connection: RawConnection): number {
  return connection.frames.filter(({ method }) => method?.name === "basic.deliver").length;
}
