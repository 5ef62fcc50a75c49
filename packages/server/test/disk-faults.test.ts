/**
 * Goal: on a disk that is full, or fails, nothing is confirmed that is not safe, publishers are
 * told to wait, consumers go on, and everything does again once the disk works. The disk is
 * simulated; disk-full.test.ts fills a real one.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AmqpError, Channel, Delivery } from "@haremq/client";
import { drain } from "./durable-broker.ts";
import { blocked, checkMs, FaultyBroker, PublishedMessages, unblocked } from "./faulty-broker.ts";

const mib = 1024 * 1024;
const durable = { durable: true } as const;

async function declareQueue(broker: FaultyBroker): Promise<Channel> {
  const channel = await broker.open();
  await channel.queueDeclare("q", durable);
  return channel;
}

async function openPublisher(broker: FaultyBroker) {
  const connection = await broker.connect();
  const channel = await connection.openChannel();
  channel.on("error", () => {});
  await channel.confirmSelect();
  return { connection, channel };
}

/** Consumes and acknowledges; resolves when so many have come. */
function consume(channel: Channel, count: number): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const bodies: string[] = [];
    const onDelivery = (delivery: Delivery): void => {
      bodies.push(String(delivery.body));
      channel.ack(delivery);
      if (bodies.length === count) resolve(bodies);
    };
    channel.basicConsume("q", {}, onDelivery).catch(reject);
  });
}

async function left(broker: FaultyBroker): Promise<string[]> {
  return (await drain(await broker.open(), "q")).map(({ body }) => String(body));
}

describe("a disk with little room left", () => {
  it("has publishers wait before it is full, and consumers go on", async (t) => {
    const limits = { capacityBytes: 100 * mib, diskFreeBytesMin: 50 * mib };
    const broker = await FaultyBroker.start(t, limits);
    const other = await declareQueue(broker);
    const { connection, channel } = await openPublisher(broker);
    await channel.publish("", "q", "before", { deliveryMode: 2 });
    broker.disk.capacityBytes = 40 * mib;
    await broker.pass(checkMs);
    const told = blocked(connection);
    const held = channel.publish("", "q", "held", { deliveryMode: 2 });
    assert.equal(await told, "low on disk");
    assert.deepEqual([...broker.broker.alarms.active], ["disk"]);
    assert.deepEqual(await consume(other, 1), ["before"]);

    broker.disk.capacityBytes = 100 * mib;
    const released = unblocked(connection);
    await broker.pass(checkMs);
    await released;
    await held;
    assert.equal(broker.broker.alarms.active.size, 0);
  });
});

describe("a full disk", () => {
  it("gets no confirm and no more publishes, until there is room again", async (t) => {
    const broker = await FaultyBroker.start(t);
    await declareQueue(broker);
    broker.disk.capacityBytes = 200_000;
    const { connection, channel } = await openPublisher(broker);
    const told = blocked(connection);
    const published = new PublishedMessages(channel, "q", 300, 2000);
    await broker.passUntilAlarm();
    const late = channel.publish("", "q", "late", { deliveryMode: 2 });
    assert.equal(await broker.passUntil(told), "low on disk");
    await broker.pass(60_000);
    const { size } = published.confirmed;
    assert.ok(size < 100, `${size} messages of 2 kB are confirmed on a disk of 200 kB`);

    broker.disk.capacityBytes = mib * 100;
    const released = unblocked(connection);
    await broker.passUntil(Promise.all([published.allConfirmed, released, late]));
    assert.equal(broker.broker.alarms.active.size, 0);
    await broker.crash(true);
    assert.deepEqual(await left(broker), [...published.bodies, "late"]);
  });

  for (const powerLoss of [false, true]) {
    const end = powerLoss ? "the power goes" : "the process ends";
    it(`has everything that was confirmed when ${end}`, async (t) => {
      const broker = await FaultyBroker.start(t);
      await declareQueue(broker);
      broker.disk.capacityBytes = 300_000;
      const { channel } = await openPublisher(broker);
      const confirmed = new Set<string>();
      let count = 0;
      const publishSome = async (): Promise<void> => {
        for (;;) {
          const body = String(count++).padEnd(2000, ".");
          await channel.publish("", "q", body, { deliveryMode: 2 });
          confirmed.add(body);
        }
      };
      // Some at a time, so that some are confirmed before the disk is full.
      for (let lane = 0; lane < 5; lane++) publishSome().catch(() => {});
      await broker.passUntilAlarm();
      assert.ok(confirmed.size > 20, `${confirmed.size} confirmed`);
      await broker.crash(powerLoss);
      broker.disk.capacityBytes = 100 * mib;
      const found = await left(broker);
      assert.deepEqual(found.slice(0, confirmed.size), [...confirmed]);
    });
  }

  it("is drained by consumers, which makes room", async (t) => {
    const broker = await FaultyBroker.start(t, { segmentBytes: 16 * 1024 });
    const other = await declareQueue(broker);
    broker.disk.capacityBytes = 200_000;
    const { connection, channel } = await openPublisher(broker);
    const told = blocked(connection);
    const published = new PublishedMessages(channel, "q", 299, 2000);
    await broker.passUntilAlarm();
    const late = channel.publish("", "q", "late", { deliveryMode: 2 });
    await broker.passUntil(told);
    const released = unblocked(connection);
    const consumed = consume(other, 300);
    const [bodies] = await broker.passUntil(
      Promise.all([consumed, released, published.allConfirmed, late]),
    );
    assert.deepEqual(bodies, [...published.bodies, "late"]);
    assert.equal(broker.broker.alarms.active.size, 0);
    await broker.pass(checkMs);
    await broker.crash(false);
    assert.deepEqual(await left(broker), []);
  });

  it("refuses what would have to be declared, and takes it when there is room", async (t) => {
    const broker = await FaultyBroker.start(t);
    await declareQueue(broker);
    broker.metadata.isFull = true;
    const connection = await broker.connect();
    const channel = await connection.openChannel();
    channel.on("error", () => {});
    await assert.rejects(channel.queueDeclare("another", durable), (error: AmqpError) => {
      return error.replyCode === 541 && error.scope === "connection";
    });
    const again = await broker.open();
    await again.queueDeclare("transient");
    broker.metadata.isFull = false;
    await again.queueDeclare("another", durable);
    await broker.crash(true);
    const names = [...broker.broker.vhost("/")!.topology.queues()].map(({ name }) => name);
    assert.deepEqual(names.sort(), ["another", "q"]);
  });
});

describe("a disk that fails", () => {
  for (const operation of ["write", "sync", "open"] as const) {
    it(`is not trusted with what a failed ${operation} was to make safe`, async (t) => {
      const broker = await FaultyBroker.start(t, { segmentBytes: 16 * 1024 });
      await declareQueue(broker);
      const { channel } = await openPublisher(broker);
      await channel.publish("", "q", "first", { deliveryMode: 2 });
      const path = /messages/;
      broker.disk.faults.inject({ operations: [operation], fault: "EIO", path, times: 3 });
      const published = new PublishedMessages(channel, "q", 40, 1000);
      await broker.passUntil(published.allConfirmed);
      await broker.crash(true);
      assert.deepEqual(await left(broker), ["first", ...published.bodies]);
    });
  }

  it("keeps consumers waiting until it can be read again, and no longer", async (t) => {
    const sizes = { segmentBytes: 16 * 1024, memoryBytes: 32 * 1024 };
    const broker = await FaultyBroker.start(t, sizes);
    const other = await declareQueue(broker);
    const { channel } = await openPublisher(broker);
    const published = new PublishedMessages(channel, "q", 200, 1000);
    await broker.passUntil(published.allConfirmed);
    broker.disk.faults.inject({ operations: ["read"], fault: "EIO", times: 5 });
    const bodies = await broker.passUntil(consume(other, 200));
    assert.deepEqual(bodies, published.bodies);
  });

  /** Begins to commit: one message out of the queue, two others into it. */
  async function commit(broker: FaultyBroker): Promise<{ readonly answer: Promise<void> }> {
    const channel = await broker.open();
    await channel.txSelect();
    channel.ack((await channel.basicGet("q"))!);
    for (const body of "ab") channel.basicPublish("", "q", body, { deliveryMode: 2 });
    const answer = channel.txCommit();
    answer.catch(() => {});
    return { answer };
  }

  it("answers a transaction once it is safe, and keeps half of it at no time", async (t) => {
    const broker = await FaultyBroker.start(t);
    const other = await declareQueue(broker);
    await other.confirmSelect();
    await other.publish("", "q", "taken", { deliveryMode: 2 });
    broker.disk.faults.inject({ operations: ["sync"], fault: "EIO" });
    const { answer } = await commit(broker);
    let isAnswered = false;
    answer.then(
      () => {
        isAnswered = true;
      },
      () => {},
    );
    await broker.pass(60_000);
    assert.equal(isAnswered, false);
    broker.disk.faults.clear();
    await broker.crash(true);
    const found = (await left(broker)).join(" ");
    assert.ok(found === "taken" || found === "a b", found);
  });

  it("has a transaction that was answered after its trouble", async (t) => {
    const broker = await FaultyBroker.start(t);
    const other = await declareQueue(broker);
    await other.confirmSelect();
    await other.publish("", "q", "taken", { deliveryMode: 2 });
    broker.disk.faults.inject({ operations: ["sync"], fault: "EIO", times: 3 });
    const { answer } = await commit(broker);
    await broker.passUntil(answer);
    await broker.crash(true);
    assert.deepEqual(await left(broker), ["a", "b"]);
  });
});
