/** Goal: operators are told what stored messages cost, and how storing goes. */

import assert from "node:assert/strict";
import { it } from "node:test";
import { startBroker } from "haremq";
import { DurableBroker, persistent } from "./durable-broker.ts";

it("stored messages and flushes are counted", async (t) => {
  const broker = await DurableBroker.start(t);
  const stats = () => {
    const found = broker.running.broker.storeStats();
    assert.ok(found !== undefined);
    return found;
  };
  assert.deepEqual(
    [stats().liveRecords, stats().flushBytes.count, stats().flushBytes.p99],
    [0, 0, 0],
  );
  await broker.confirmed(async (channel) => {
    await channel.queueDeclare("q", { durable: true });
    for (let i = 0; i < 20; i++) channel.basicPublish("", "q", "x".repeat(1000), persistent);
  });
  const { liveRecords, liveBytes, segments, residentBytes, flushBytes, ...full } = stats();
  assert.deepEqual([liveRecords, segments], [20, 1]);
  assert.ok(liveBytes > 20_000 && residentBytes >= liveBytes, `${liveBytes} of ${residentBytes}`);
  assert.ok(flushBytes.count >= 1 && flushBytes.max > 1000, JSON.stringify(flushBytes));
  const { count, p50, p99, max } = full.flushMicroseconds;
  assert.ok(count === flushBytes.count && p50 >= 1 && p99 >= p50 && max >= p50);
  assert.deepEqual([full.faults, full.compactions, full.damagedRecords], [0, 0, 0]);
  assert.equal(full.fault, undefined);

  await broker.onChannel(async (channel) => {
    for (let i = 0; i < 5; i++) await channel.basicGet("q", { noAck: true });
  });
  assert.equal(stats().liveRecords, 15);
  assert.ok(stats().garbageBytes > 5000);
});

it("a broker without a data directory has nothing to tell", async () => {
  const broker = await startBroker({ port: 0 });
  assert.equal(broker.broker.storeStats(), undefined);
  await broker.stop();
});
