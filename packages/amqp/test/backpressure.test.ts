// Goal: a client that does not read costs the broker a fixed amount, whatever it asked for; nothing
// is lost by that, nobody else waits for it, and it goes on where it stopped.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isMethod, methodFrame, methodOf } from "@haremq/testkit";
import { FieldTable } from "@haremq/wire";
import { arrived, delivered, deliveries, messages, publication, publish } from "./messages.ts";
import { OutputWatch } from "./output-watch.ts";
import { roundTrip, turnsUntil, type VirtualBroker, withBroker } from "./virtual-broker.ts";

const kib = 1024;
const mib = 1024 * kib;
/**
 * What an output holds of deliveries at most: its high water mark, and the chunk that crossed it.
 */
const deliveryBytesMax = 512 * kib + 64 * kib;
/** What it holds of replies at most, likewise. */
const replyBytesMax = 8 * mib + 64 * kib;

async function watched(
  work: (broker: VirtualBroker, watch: OutputWatch) => Promise<void>,
): Promise<void> {
  const watch = new OutputWatch();
  try {
    await withBroker((broker) => work(broker, watch));
  } finally {
    watch.stop();
  }
}

/** Waits until the queue hands nothing out any more. */
async function standstill(broker: VirtualBroker, queue: string): Promise<number> {
  const ready = () => broker.vhost.queue(queue)?.readyCount ?? 0;
  for (let before = -1; before !== ready(); ) {
    before = ready();
    await broker.settle();
  }
  return ready();
}

describe("a consumer that does not read", () => {
  const count = 2500;
  const bodyBytes = 10 * kib;

  for (const noAck of [true, false]) {
    test(`stops getting deliveries ${noAck ? "without" : "with"} acknowledgements`, () =>
      watched(async (broker, watch) => {
        const publisher = await broker.open();
        publisher.send(1, "queue.declare", { queue: "q" });
        const slow = await broker.open();
        slow.send(1, "basic.consume", { queue: "q", noAck, consumerTag: "" });
        await slow.waitForMethod("basic.consume-ok");
        slow.pauseReading();
        const filler = "x".repeat(bodyBytes);
        for (let i = 0; i < count; i++) publish(publisher, "q", `${i} ${filler}`);
        await roundTrip(publisher);
        const left = await standstill(broker, "q");
        // The operating system takes its share; most must have stayed on the queue.
        assert.ok(left > count / 2, `${left} left`);
        assert.ok(watch.mostBytes <= deliveryBytesMax, `${watch.mostBytes}`);
        assert.ok(watch.mostBytes > deliveryBytesMax / 2, "the test did not fill the output");

        // Others get theirs, from the same queue and from others.
        const quick = await broker.open();
        quick.send(1, "basic.qos", { prefetchCount: 10 });
        quick.send(1, "basic.consume", { queue: "q", consumerTag: "quick" });
        await quick.waitUntil(() => messages(quick).length === 10);
        quick.send(1, "queue.declare", { queue: "other", exclusive: true });
        quick.send(1, "basic.consume", { queue: "other", consumerTag: "other", noAck: true });
        publish(publisher, "other", "through");
        await quick.waitUntil(() => deliveries(quick).includes("other11:through"));
        await quick.close();

        slow.resumeReading();
        await arrived(slow, "basic.deliver", count);
        await roundTrip(slow);
        const order = messages(slow).map(({ body }) => Number.parseInt(`${body}`, 10));
        assert.deepEqual(order, [...Array(count).keys()]);
      }));
  }

  test("with its consumers on many channels holds no more", () =>
    watched(async (broker, watch) => {
      const publisher = await broker.open();
      const channels = [...Array(50).keys()].map((index) => index + 1);
      const slow = await broker.open({}, channels);
      for (const channel of channels) {
        const queue = `q${channel}`;
        slow.send(channel, "queue.declare", { queue });
        slow.send(channel, "basic.consume", { queue, noAck: true, consumerTag: "" });
      }
      await roundTrip(slow, 50);
      slow.pauseReading();
      const filler = "x".repeat(bodyBytes);
      for (let i = 0; i < 100; i++) {
        for (const channel of channels) publish(publisher, `q${channel}`, `${i} ${filler}`);
      }
      await roundTrip(publisher);
      await broker.settle();
      assert.ok(watch.mostBytes <= deliveryBytesMax, `${watch.mostBytes}`);
      slow.resumeReading();
      await arrived(slow, "basic.deliver", 5000);
      await roundTrip(slow);
      const all = messages(slow);
      for (const channel of channels) {
        const order = all.flatMap((message) =>
          message.channel === channel ? [Number.parseInt(`${message.body}`, 10)] : [],
        );
        assert.deepEqual(order, [...Array(100).keys()], `channel ${channel}`);
      }
    }));

  test("does not keep the others of its channel waiting once it reads, whose credit is left", () =>
    watched(async (broker) => {
      const slow = await broker.open();
      slow.send(1, "queue.declare", { queue: "limited" });
      slow.send(1, "queue.declare", { queue: "free" });
      slow.send(1, "basic.qos", { prefetchCount: 1 });
      slow.send(1, "basic.consume", { queue: "limited", consumerTag: "limited" });
      slow.send(1, "basic.consume", { queue: "free", consumerTag: "free", noAck: true });
      const publisher = await broker.open();
      for (const body of ["1", "2"]) publish(publisher, "limited", body);
      await delivered(slow, 1);
      slow.pauseReading();
      const filler = "x".repeat(bodyBytes);
      for (let i = 0; i < 2000; i++) publish(publisher, "free", filler);
      await roundTrip(publisher);
      assert.ok((await standstill(broker, "free")) > 0);
      slow.resumeReading();
      await turnsUntil(() => broker.vhost.queue("free")?.readyCount === 0);
      assert.equal(broker.vhost.queue("free")?.readyCount, 0);
      assert.equal(broker.vhost.queue("limited")?.readyCount, 1);
    }));

  test("leaves nothing behind when it dies", () =>
    watched(async (broker) => {
      const publisher = await broker.open();
      publisher.send(1, "queue.declare", { queue: "q" });
      for (let i = 0; i < 2000; i++) publish(publisher, "q", "x".repeat(bodyBytes));
      await roundTrip(publisher);
      const slow = await broker.open();
      slow.pauseReading();
      slow.send(1, "basic.consume", { queue: "q" });
      await standstill(broker, "q");
      assert.ok((broker.vhost.queue("q")?.unsettledCount ?? 0) > 0);
      slow.destroy();
      await broker.connectionsLeft(1);
      assert.equal(broker.vhost.queue("q")?.readyCount, 2000);
      assert.equal(broker.vhost.queue("q")?.unsettledCount, 0);
    }));
});

describe("a client that asks and does not read", () => {
  const longName = "n".repeat(255);

  test("is not read any more, whatever it asks for", () =>
    watched(async (broker, watch) => {
      const client = await broker.open();
      client.send(1, "queue.declare", { queue: longName, exclusive: true });
      await client.waitForMethod("queue.declare-ok");
      client.pauseReading();
      const count = 120_000;
      const declare = methodFrame(1, methodOf("queue.declare", { queue: longName, passive: true }));
      const batch = Buffer.concat(Array(1000).fill(declare));
      for (let sent = 0; sent < count; sent += 1000) client.sendBytes(batch);
      for (let before = -1; before !== watch.mostBytes; ) {
        before = watch.mostBytes;
        await broker.settle();
      }
      assert.ok(watch.mostBytes <= replyBytesMax, `${watch.mostBytes}`);
      assert.ok(watch.mostBytes > replyBytesMax / 2, "the test did not fill the output");
      client.resumeReading();
      await arrived(client, "queue.declare-ok", count + 1);
      await roundTrip(client);
    }));

  test("gets no more large messages at once than fit", () =>
    watched(async (broker, watch) => {
      const client = await broker.open();
      client.send(1, "queue.declare", { queue: "q", exclusive: true });
      const count = 64;
      const body = Buffer.alloc(mib);
      for (let i = 0; i < count; i++) {
        body.writeUInt32BE(i);
        publish(client, "q", body);
      }
      await roundTrip(client);
      client.pauseReading();
      // All in one chunk, so that the first answers are still unsent when the last is asked for.
      const from = client.frames.length;
      const get = methodFrame(1, methodOf("basic.get", { queue: "q", noAck: true }));
      client.sendBytes(Buffer.concat(Array(count).fill(get)));
      await standstill(broker, "q");
      assert.ok(watch.mostBytes <= replyBytesMax + mib, `${watch.mostBytes}`);
      client.resumeReading();
      await arrived(client, "basic.get-ok", count, from);
      await roundTrip(client);
      const order = messages(client, from).map((message) => message.body.readUInt32BE());
      assert.deepEqual(order, [...Array(count).keys()]);
    }));

  test("gets no more returned messages at once than fit", () =>
    watched(async (broker, watch) => {
      const client = await broker.open();
      client.pauseReading();
      const count = 400;
      for (let i = 0; i < count; i++) {
        publish(client, "nowhere", Buffer.alloc(100 * kib), { mandatory: true });
      }
      for (let before = -1; before !== watch.mostBytes; ) {
        before = watch.mostBytes;
        await broker.settle();
      }
      assert.ok(watch.mostBytes <= replyBytesMax + 200 * kib, `${watch.mostBytes}`);
      client.resumeReading();
      await arrived(client, "basic.return", count);
      await roundTrip(client);
    }));

  test("is not taken for anybody else: another connection is served meanwhile", () =>
    watched(async (broker) => {
      const stuck = await broker.open();
      stuck.pauseReading();
      for (let i = 0; i < 400; i++) {
        publish(stuck, "nowhere", Buffer.alloc(100 * kib), { mandatory: true });
      }
      const other = await broker.open();
      for (let i = 0; i < 20; i++) await roundTrip(other);
    }));
});

describe("one large message", () => {
  test("goes to a slow reader whole, with what follows behind it", () =>
    watched(async (broker) => {
      const publisher = await broker.open();
      const reader = await broker.open();
      reader.send(1, "queue.declare", { queue: "q", exclusive: true });
      reader.send(1, "basic.consume", { queue: "q", consumerTag: "t", noAck: true });
      await reader.waitForMethod("basic.consume-ok");
      reader.pauseReading();
      const body = Buffer.alloc(30 * mib, "large");
      publisher.sendBytes(
        Buffer.concat([
          publication("q", body),
          publication("q", "small", { properties: { headers: FieldTable.from({ a: 1 }) } }),
        ]),
      );
      reader.sendBytes(methodFrame(1, methodOf("basic.qos", { prefetchCount: 3 })));
      await broker.settle();
      reader.resumeReading();
      await reader.waitFor((frame) => isMethod(frame, "basic.qos-ok"));
      await reader.waitUntil(() => messages(reader).length === 2);
      assert.ok(messages(reader)[0]?.body.equals(body));
      assert.equal(`${messages(reader)[1]?.body}`, "small");
    }));
});
