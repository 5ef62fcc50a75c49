/**
 * Goal: what the broker counts as memory in use is what it uses. A backlog that is on the disk is
 * no reason to hold publishers back, however long it is, nor does it keep anything once it is gone.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DiskScheduler } from "@haremq/store";
import { blocked, FaultyBroker, PublishedMessages } from "./faulty-broker.ts";

const kib = 1024;
const sizes = { segmentBytes: 64 * kib, memoryBytes: 256 * kib };
/** The ends of a long queue, the tables of resident segments, and output on its way. */
const fixedBytes = 256 * kib;
const messages = 30_000;

async function fill(broker: FaultyBroker, options: object): Promise<void> {
  const channel = await broker.open();
  await channel.confirmSelect();
  await channel.queueDeclare("q", options);
  for (let sent = 0; sent < messages; sent += 1000) {
    const published = new PublishedMessages(channel, "q", 1000, 100);
    await broker.passUntil(published.allConfirmed);
  }
}

function usedBytes(broker: FaultyBroker): number {
  return broker.broker.messages.usedBytes;
}

/** A disk that can be halted. */
class HaltingScheduler implements DiskScheduler {
  #isHalted = false;
  #waiting: (() => void)[] = [];

  defer(complete: () => void): void {
    if (this.#isHalted) this.#waiting.push(complete);
    else queueMicrotask(complete);
  }

  halt(): void {
    this.#isHalted = true;
  }

  goOn(): void {
    this.#isHalted = false;
    for (const complete of this.#waiting.splice(0)) queueMicrotask(complete);
  }
}

describe("a publisher that waits for nothing", () => {
  for (const kind of ["durable", "transient"] as const) {
    it(`is as fast as the disk, with ${kind} messages`, async (t) => {
      const scheduler = new HaltingScheduler();
      const broker = await FaultyBroker.start(t, { ...sizes, scheduler });
      const { messages } = broker.broker;
      const channel = await broker.open();
      await channel.queueDeclare("q", { durable: true });
      const deliveryMode = kind === "durable" ? 2 : 1;
      const body = Buffer.alloc(kib);
      scheduler.halt();
      for (let i = 0; i < 5000; i++) channel.basicPublish("", "q", body, { deliveryMode });
      await broker.pass(1000);
      const heldBytes = messages.usedBytes;
      // One chunk of the socket may come on top of what may wait.
      const mostBytes = sizes.memoryBytes + 3 * sizes.segmentBytes + 64 * kib + fixedBytes;
      assert.ok(heldBytes > sizes.memoryBytes && heldBytes <= mostBytes, `${heldBytes} bytes`);
      assert.ok(messages.liveMessages < 1000);
      assert.deepEqual([...broker.broker.alarms.active], []);
      scheduler.goOn();
      while (messages.liveMessages < 5000) await broker.pass(100);
    });
  }

  it("is told when the disk fails while it is held up", async (t) => {
    const scheduler = new HaltingScheduler();
    const broker = await FaultyBroker.start(t, { ...sizes, scheduler });
    const connection = await broker.connect();
    const channel = await connection.openChannel();
    await channel.queueDeclare("q", { durable: true });
    const told = blocked(connection);
    scheduler.halt();
    const body = Buffer.alloc(kib);
    for (let i = 0; i < 5000; i++) channel.basicPublish("", "q", body, { deliveryMode: 2 });
    await broker.pass(1000);
    broker.disk.faults.inject({ operations: ["sync"], fault: "EIO" });
    scheduler.goOn();
    assert.equal(await broker.passUntil(told), "low on disk");
  });
});

describe("the memory of a backlog", () => {
  it("is that of its resident segments, and next to nothing for each message", async (t) => {
    const broker = await FaultyBroker.start(t, sizes);
    await fill(broker, { durable: true });
    await broker.pass(1000);
    const mostBytes = sizes.memoryBytes + sizes.segmentBytes + fixedBytes + 2 * messages;
    assert.ok(usedBytes(broker) <= mostBytes, `${usedBytes(broker)} bytes`);
  });

  it("does not hold publishers back", async (t) => {
    // Less than 32 bytes a message.
    const memoryBytesMax = sizes.memoryBytes + sizes.segmentBytes + fixedBytes + 8 * messages;
    const broker = await FaultyBroker.start(t, { ...sizes, memoryBytesMax });
    const heard: string[] = [];
    broker.broker.alarms.listen((active) => heard.push([...active].join()));
    await fill(broker, { durable: true });
    assert.deepEqual(heard, []);
  });

  it("is given back when the queue is purged, deleted or consumed", async (t) => {
    const broker = await FaultyBroker.start(t, sizes);
    const channel = await broker.open();
    const emptyBytes = sizes.segmentBytes * 2 + fixedBytes;
    await fill(broker, { durable: true });
    await channel.queuePurge("q");
    await broker.pass(1000);
    assert.ok(usedBytes(broker) <= emptyBytes, `${usedBytes(broker)} bytes after a purge`);
    await fill(broker, { durable: true });
    await channel.queueDelete("q");
    await broker.pass(1000);
    assert.ok(usedBytes(broker) <= emptyBytes, `${usedBytes(broker)} bytes after a deletion`);
    assert.equal(broker.broker.messages.memory.positions.bytes, 0);
  });

  it("counts what consumers have not settled, until they do or go", async (t) => {
    const broker = await FaultyBroker.start(t, sizes);
    await fill(broker, { durable: true });
    const { unsettled, positions } = broker.broker.messages.memory;
    const channel = await broker.open();
    let delivered = 0;
    await new Promise<void>((resolve, reject) => {
      const onDelivery = (): void => {
        if (++delivered === messages) resolve();
      };
      channel.basicConsume("q", {}, onDelivery).catch(reject);
    });
    assert.ok(unsettled.bytes >= messages * 32, `${unsettled.bytes} bytes`);
    assert.equal(positions.bytes, 0);
    await channel.close();
    await broker.pass(100);
    assert.equal(unsettled.bytes, 0);
    assert.ok(positions.bytes >= messages * 20, "they are back in the queue");
    const other = await broker.open();
    await other.queuePurge("q");
    assert.equal(positions.bytes, 0);
  });
});
