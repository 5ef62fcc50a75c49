// Goal: a stream keeps every message, in order and at its offset, over restarts of the broker.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Channel } from "@haremq/client";
import { DurableBroker } from "./durable-broker.ts";

const stream = { durable: true, arguments: { "x-queue-type": "stream" } };

interface Seen {
  readonly offset: number;
  readonly body: string;
}

/** Reads so many messages from there on, and acknowledges each. */
async function read(
  channel: Channel,
  queue: string,
  offset: string | number,
  count: number,
): Promise<Seen[]> {
  const seen: Seen[] = [];
  await channel.basicQos(100);
  await new Promise<void>((resolve) => {
    void channel.basicConsume(
      queue,
      { consumerTag: "reader", arguments: { "x-stream-offset": offset } },
      (message) => {
        const header = message.properties.headers?.get("x-stream-offset")?.value;
        seen.push({ offset: Number(header), body: message.body.toString() });
        channel.ack(message);
        if (seen.length === count) resolve();
      },
    );
  });
  await channel.basicCancel("reader");
  return seen;
}

const numbered = (from: number, to: number): Seen[] =>
  Array.from({ length: to - from }, (_, i) => ({ offset: from + i, body: `m${from + i}` }));

async function publish(broker: DurableBroker, from: number, to: number): Promise<void> {
  await broker.confirmed(async (channel) => {
    await channel.queueDeclare("s", stream);
    // Transient, to show that a stream keeps them all the same.
    for (let i = from; i < to; i++) channel.basicPublish("", "s", `m${i}`);
  });
}

test("a stream goes on where it ended, restart after restart", async (t) => {
  const broker = await DurableBroker.start(t);
  for (const from of [0, 300, 600]) {
    await publish(broker, from, from + 300);
    const seen = await broker.onChannel((channel) => read(channel, "s", "first", from + 300));
    assert.deepEqual(seen, numbered(0, from + 300));
    await broker.restart();
    const again = await broker.onChannel((channel) => read(channel, "s", "first", from + 300));
    assert.deepEqual(again, numbered(0, from + 300));
  }
  const rest = await broker.onChannel((channel) => read(channel, "s", 450, 450));
  assert.deepEqual(rest, numbered(450, 900));
  assert.deepEqual(broker.complaints, []);
});

test("a stream that was deleted leaves nothing for the next one of its name", async (t) => {
  const broker = await DurableBroker.start(t);
  await publish(broker, 0, 100);
  await broker.restart();
  await broker.onChannel((channel) => channel.queueDelete("s"));
  await publish(broker, 0, 10);
  await broker.restart();
  const seen = await broker.onChannel((channel) => read(channel, "s", "first", 10));
  assert.deepEqual(seen, numbered(0, 10));
  const { messageCount } = await broker.onChannel((channel) => channel.queueDeclare("s", stream));
  assert.equal(messageCount, 10);
});
