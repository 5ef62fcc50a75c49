/**
 * Goal: over any end of the broker a duplicate of what was confirmed stays one, and the retry of
 * what was lost is never taken for one.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Channel } from "@haremq/client";
import { drain } from "./durable-broker.ts";
import { checkMs, FaultyBroker, type FaultyBrokerOptions } from "./faulty-broker.ts";

const type = "x-message-deduplication";
const keyHeader = "x-deduplication-header";

interface Given extends FaultyBrokerOptions {
  readonly args?: Record<string, unknown>;
}

/** A durable exchange "x" that gives everything to a durable queue "q". */
async function given(t: Parameters<typeof FaultyBroker.start>[0], options: Given = {}) {
  const broker = await FaultyBroker.start(t, options);
  const channel = await broker.open();
  const args = { "x-cache-size": 10_000, ...options.args };
  await channel.exchangeDeclare("x", type, { durable: true, arguments: args });
  await channel.queueDeclare("q", { durable: true });
  await channel.queueBind("q", "x", "");
  return broker;
}

async function publisher(broker: FaultyBroker): Promise<Channel> {
  const channel = await broker.open();
  await channel.confirmSelect();
  return channel;
}

/** Resolves when it is confirmed. */
function send(channel: Channel, body: string, key: unknown, deliveryMode = 2): Promise<unknown> {
  const sent = channel.publish("x", "", body, { deliveryMode, headers: { [keyHeader]: key } });
  sent.catch(() => {});
  return sent;
}

async function left(broker: FaultyBroker): Promise<string[]> {
  return (await drain(await broker.open(), "q")).map(({ body }) => String(body));
}

describe("after the end of the process, and of the power", () => {
  for (const powerLoss of [false, true]) {
    const how = powerLoss ? "power loss" : "crash";

    it(`a duplicate of a confirmed message is dropped (${how})`, async (t) => {
      const broker = await given(t);
      await broker.passUntil(send(await publisher(broker), "1", "a"));
      await broker.crash(powerLoss);
      const channel = await publisher(broker);
      await broker.passUntil(send(channel, "2", "a"));
      await broker.passUntil(send(channel, "3", "b"));
      assert.deepEqual(await left(broker), ["1", "3"]);
      await broker.pass(checkMs);
      await broker.crash(powerLoss);
      await broker.passUntil(send(await publisher(broker), "4", "a"));
      // That its message was consumed may be forgotten when the power goes.
      assert.ok(!(await left(broker)).includes("4"), "taken for new");
    });

    it(`the retry of what was not confirmed is there, if it was lost (${how})`, async (t) => {
      // Ends at every moment of storing a message: after so many operations of the disk.
      for (let skip = 0; skip < 8; skip++) {
        const broker = await given(t);
        await broker.passUntil(send(await publisher(broker), "before", "before"));
        broker.disk.faults.inject({ operations: ["write", "sync"], fault: "EIO", skip });
        const channel = await publisher(broker);
        for (const key of ["a", "b", "c"]) void send(channel, key, key);
        await broker.pass(1);
        broker.disk.faults.clear();
        await broker.crash(powerLoss);
        const again = await publisher(broker);
        for (const key of ["a", "b", "c"]) {
          await broker.passUntil(send(again, key, key));
        }
        const found = await left(broker);
        assert.deepEqual(found.sort(), ["a", "b", "before", "c"], `after ${skip} operations`);
      }
    });
  }
});

describe("a key ends with the broker", () => {
  it("if its message does: a transient one, or one in a transient queue", async (t) => {
    const broker = await given(t);
    const channel = await publisher(broker);
    await broker.passUntil(send(channel, "1", "a", 1));
    await channel.queueUnbind("q", "x", "");
    await channel.queueDeclare("transient");
    await channel.queueBind("transient", "x", "");
    await broker.passUntil(send(channel, "2", "b"));
    for (const key of ["a", "b"]) await broker.passUntil(send(channel, "dropped", key));
    await broker.crash(false);
    const again = await publisher(broker);
    await again.queueBind("q", "x", "");
    for (const key of ["a", "b"]) await broker.passUntil(send(again, key, key));
    assert.deepEqual(await left(broker), ["a", "b"]);
  });

  it("if the exchange is to keep keys in memory", async (t) => {
    const broker = await given(t, { args: { "x-cache-persistence": "memory" } });
    const channel = await publisher(broker);
    for (const body of ["1", "2"]) await broker.passUntil(send(channel, body, "a"));
    await broker.crash(false);
    await broker.passUntil(send(await publisher(broker), "3", "a"));
    assert.deepEqual(await left(broker), ["1", "3"]);
  });

  it("if its time is over", async (t) => {
    const broker = await given(t, { args: { "x-cache-ttl": 100_000 } });
    await broker.passUntil(send(await publisher(broker), "1", "a"));
    await broker.pass(60_000);
    await broker.passUntil(send(await publisher(broker), "2", "b"));
    await broker.crash(false);
    await broker.pass(50_000);
    const channel = await publisher(broker);
    for (const key of ["a", "b"]) await broker.passUntil(send(channel, `${key} again`, key));
    assert.deepEqual(await left(broker), ["1", "2", "a again"]);
  });
});

it("a duplicate is not confirmed before its original is safe", async (t) => {
  const broker = await given(t);
  const connection = await broker.connect();
  const channels = [await connection.openChannel(), await connection.openChannel()];
  for (const channel of channels) {
    channel.on("error", () => {});
    await channel.confirmSelect();
  }
  const confirmed: number[] = [];
  broker.disk.faults.inject({ operations: ["sync"], fault: "EIO" });
  const sent = channels.map((channel, i) =>
    send(channel, `${i}`, "a").then(() => confirmed.push(i)),
  );
  await broker.pass(60_000);
  assert.deepEqual(confirmed, []);
  broker.disk.faults.clear();
  await broker.passUntil(Promise.all(sent));
  await broker.crash(true);
  assert.deepEqual(await left(broker), ["0"]);
});

it("a transaction and its keys are there together, or not at all", async (t) => {
  for (let skip = 0; skip < 6; skip++) {
    const broker = await given(t);
    broker.disk.faults.inject({ operations: ["write", "sync"], fault: "EIO", skip });
    const channel = await broker.open();
    await channel.txSelect();
    for (const key of ["a", "b", "a"]) {
      channel.basicPublish("x", "", key, { deliveryMode: 2, headers: { [keyHeader]: key } });
    }
    channel.txCommit().catch(() => {});
    await broker.pass(1);
    broker.disk.faults.clear();
    await broker.crash(true);
    const again = await publisher(broker);
    for (const key of ["a", "b"]) await broker.passUntil(send(again, key, key));
    assert.deepEqual(await left(broker), ["a", "b"], `after ${skip} operations`);
  }
});

it("keys are found among messages in many segments, with memory for few of them", async (t) => {
  const options = { segmentBytes: 16 * 1024, memoryBytes: 48 * 1024 };
  const broker = await given(t, { ...options, args: { "x-cache-size": 300 } });
  const channel = await publisher(broker);
  const body = "m".repeat(1000);
  const keys = Array.from({ length: 500 }, (_, key) => key);
  await broker.passUntil(Promise.all(keys.map((key) => send(channel, body, key))));
  await broker.crash(true);
  const again = await publisher(broker);
  await broker.passUntil(Promise.all(keys.slice(200).map((key) => send(again, "again", key))));
  assert.equal(broker.broker.vhost("/")?.queue("q")?.readyCount, 500);
  await broker.passUntil(send(again, "again", 199));
  assert.equal(broker.broker.vhost("/")?.queue("q")?.readyCount, 501);
  assert.equal((await left(broker)).length, 501);
});

it("what is forgotten leaves nothing in the log", async (t) => {
  const broker = await given(t, { args: { "x-cache-size": 10 } });
  const channel = await publisher(broker);
  const keys = Array.from({ length: 100 }, (_, key) => key);
  await broker.passUntil(Promise.all(keys.map((key) => send(channel, `${key}`, key))));
  await left(broker);
  assert.equal(broker.broker.messages.liveMessages, 10);
  await broker.pass(checkMs);
  await broker.crash(false);
  assert.equal(broker.broker.messages.liveMessages, 10);
  await (await broker.open()).exchangeDelete("x");
  assert.equal(broker.broker.messages.liveMessages, 0);
  await broker.crash(false);
  assert.equal(broker.broker.messages.liveMessages, 0);
});

describe("a deduplicating queue", () => {
  async function withQueue(t: Parameters<typeof FaultyBroker.start>[0], options: Given = {}) {
    const broker = await FaultyBroker.start(t, options);
    const channel = await broker.open();
    const args = { "x-message-deduplication": true, ...options.args };
    await channel.queueDeclare("q", { durable: true, arguments: args });
    await channel.exchangeDeclare("x", "fanout", { durable: true });
    await channel.queueBind("q", "x", "");
    return broker;
  }

  for (const powerLoss of [false, true]) {
    it(`has each key once after ${powerLoss ? "a power loss" : "a crash"}`, async (t) => {
      const broker = await withQueue(t);
      const channel = await publisher(broker);
      for (const key of ["a", "b"]) await broker.passUntil(send(channel, `${key}1`, key));
      const other = await broker.open();
      assert.ok((await other.basicGet("q")) !== undefined);
      await broker.crash(powerLoss);
      const again = await publisher(broker);
      for (const key of ["a", "b", "c"]) await broker.passUntil(send(again, `${key}2`, key));
      assert.deepEqual(await left(broker), ["a1", "b1", "c2"]);
      for (const key of ["a", "b"]) await broker.passUntil(send(again, `${key}3`, key));
      assert.deepEqual(await left(broker), ["a3", "b3"]);
    });
  }

  it("takes the retry of what was lost", async (t) => {
    for (let skip = 0; skip < 6; skip++) {
      const broker = await withQueue(t);
      broker.disk.faults.inject({ operations: ["write", "sync"], fault: "EIO", skip });
      const channel = await publisher(broker);
      for (const key of ["a", "b"]) void send(channel, key, key);
      await broker.pass(1);
      broker.disk.faults.clear();
      await broker.crash(true);
      const again = await publisher(broker);
      for (const key of ["a", "b"]) await broker.passUntil(send(again, key, key));
      assert.deepEqual(await left(broker), ["a", "b"], `after ${skip} operations`);
    }
  });

  it("reads its keys from many segments, with memory for few of them", async (t) => {
    const broker = await withQueue(t, { segmentBytes: 16 * 1024, memoryBytes: 48 * 1024 });
    const channel = await publisher(broker);
    const body = "m".repeat(1000);
    const keys = Array.from({ length: 300 }, (_, key) => key);
    await broker.passUntil(Promise.all(keys.map((key) => send(channel, body, key))));
    await broker.crash(true);
    const again = await publisher(broker);
    await broker.passUntil(Promise.all(keys.map((key) => send(again, "again", key))));
    await broker.passUntil(send(again, "new", "new"));
    assert.equal(broker.broker.vhost("/")?.queue("q")?.readyCount, 301);
    assert.equal((await left(broker)).length, 301);
  });
});
