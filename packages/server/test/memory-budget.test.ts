/**
 * Goal: what the broker counts as memory in use is what it uses. A backlog that is on the disk is
 * no reason to hold publishers back, however long it is, nor does it keep anything once it is gone.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FaultyBroker, PublishedMessages } from "./faulty-broker.ts";

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
