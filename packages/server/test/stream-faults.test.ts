/**
 * Goal: while a stream's files cannot be written, publishers wait and nothing is lost, readers go
 * on; a chunk that is damaged costs itself and nothing else. The disk is simulated.
 */

import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { Channel } from "@haremq/client";
import { blocked, FaultyBroker, unblocked } from "./faulty-broker.ts";

const stream = { durable: true, arguments: { "x-queue-type": "stream" } };
const streamFiles = /\/streams\//;

async function given(t: TestContext) {
  const broker = await FaultyBroker.start(t);
  const connection = await broker.connect();
  const channel = await connection.openChannel();
  await channel.queueDeclare("s", stream);
  await channel.confirmSelect();
  const publish = async (from: number, to: number): Promise<void> => {
    for (let i = from; i < to; i++) channel.basicPublish("", "s", `m${i}`);
    await broker.passUntil(channel.waitForConfirms());
  };
  return { broker, connection, publish };
}

/** Offsets and bodies of all messages, in the order in which they come. */
async function read(broker: FaultyBroker, channel?: Channel): Promise<string[]> {
  const reading = channel ?? (await broker.open());
  const { messageCount } = await reading.queueDeclare("s", stream);
  await reading.basicQos(1000);
  const seen: string[] = [];
  const all = new Promise<void>((resolve, reject) => {
    const args = { arguments: { "x-stream-offset": "first" } };
    reading
      .basicConsume("s", args, ({ body, properties }) => {
        const { value } = properties.headers!.get("x-stream-offset")!;
        seen.push(`${value} ${body}`);
        if (Number(value) === messageCount - 1) resolve();
      })
      .catch(reject);
  });
  await broker.passUntil(all);
  return seen;
}

const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `${from + i} m${from + i}`);

describe("a stream whose files cannot be written", () => {
  for (const operation of ["write", "sync", "open", "syncDirectory"] as const) {
    it(`has publishers wait, and goes on: ${operation}`, async (t) => {
      const { broker, connection, publish } = await given(t);
      await publish(0, 10);
      const cure = broker.disk.faults.inject({
        operations: [operation],
        fault: "EIO",
        path: /\/streams/,
      });
      const told = blocked(connection);
      await broker.passUntilAlarm();
      assert.deepEqual(await read(broker), numbered(0, 10));
      const held = publish(10, 20);
      assert.equal(await broker.passUntil(told), "low on disk");
      const freed = unblocked(connection);
      cure();
      await broker.passUntil(Promise.all([freed, held]));
      assert.deepEqual(await read(broker), numbered(0, 20));
      await broker.pass(6000);
      await broker.crash(true);
      assert.deepEqual(await read(broker), numbered(0, 20));
    });
  }

  it("finds in the log what it could not write", async (t) => {
    const { broker, publish } = await given(t);
    await publish(0, 10);
    await broker.pass(6000);
    await publish(10, 20);
    broker.disk.faults.inject({ operations: ["sync"], fault: "EIO", path: streamFiles });
    await broker.passUntilAlarm();
    broker.disk.faults.clear();
    await broker.crash(true);
    assert.deepEqual(await read(broker), numbered(0, 20));
  });
});

describe("a stream that cannot be read", () => {
  it("has its readers wait until it can be", async (t) => {
    const { broker, publish } = await given(t);
    await publish(0, 10);
    await broker.pass(6000);
    broker.disk.faults.inject({ operations: ["read"], fault: "EIO", path: streamFiles, times: 3 });
    assert.deepEqual(await read(broker), numbered(0, 10));
  });

  for (const [part, at] of [
    ["records", 0.9],
    ["head", 0.76],
  ] as const) {
    it(`never uses the offsets again of what is lost at its end: the ${part}`, async (t) => {
      const { broker, publish } = await given(t);
      for (const from of [0, 10, 20, 30]) {
        await publish(from, from + 10);
        await broker.pass(6000);
      }
      // Until the log has noted that it need not have them any more.
      await broker.pass(1000);
      await broker.pass(1000);
      const [name] = await broker.disk.list("/data/streams");
      const file = await broker.disk.open(`/data/streams/${name}`, "write");
      await file.write(Buffer.from("rot"), 0, 3, Math.floor((await file.size()) * at));
      await file.sync();
      await file.close();
      await broker.crash(false);
      const channel = await broker.open();
      await channel.confirmSelect();
      await broker.passUntil(channel.publish("", "s", "new"));
      const seen = await read(broker);
      assert.deepEqual(seen.slice(0, -1), numbered(0, 30));
      const [offset, body] = seen.at(-1)!.split(" ");
      assert.equal(body, "new");
      assert.ok(Number(offset) >= 40, offset);
      await broker.pass(6000);
      await broker.crash(true);
      assert.deepEqual(await read(broker), seen);
    });
  }

  it("lacks what is damaged, and nothing else", async (t) => {
    const { broker, publish } = await given(t);
    for (const from of [0, 10, 20, 30]) {
      await publish(from, from + 10);
      await broker.pass(6000);
    }
    const [name] = await broker.disk.list("/data/streams");
    const file = await broker.disk.open(`/data/streams/${name}`, "write");
    const length = await file.size();
    // Somewhere in the second of four chunks, which are alike.
    await file.write(Buffer.from("rot"), 0, 3, Math.floor(length * 0.4));
    await file.close();
    assert.deepEqual(await read(broker), [...numbered(0, 10), ...numbered(20, 40)]);
    await broker.crash(false);
    assert.deepEqual(await read(broker), [...numbered(0, 10), ...numbered(20, 40)]);
  });
});
