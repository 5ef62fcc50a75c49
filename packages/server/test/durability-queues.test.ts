/**
 * Goal: what queues are asked besides keeping messages survives a restart: times to live run on,
 * priorities hold, returns are counted, dead letters are neither lost nor doubled.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Channel } from "@haremq/client";
import { DurableBroker, drain, persistent } from "./durable-broker.ts";

const bodies = (messages: readonly { body: Buffer }[]): string =>
  messages.map(({ body }) => body.toString()).join(" ");

async function declare(
  channel: Channel,
  name: string,
  args: Record<string, unknown> = {},
): Promise<void> {
  await channel.queueDeclare(name, { durable: true, arguments: args });
}

const toDead = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" };

describe("a restart, of what queues are asked", () => {
  it("finds priorities", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.confirmed(async (channel) => {
      await declare(channel, "q", { "x-max-priority": 5 });
      for (const priority of [1, 5, 0, 3, 5, 1]) {
        channel.basicPublish("", "q", String(priority), { ...persistent, priority });
      }
    });
    await broker.restart();
    assert.equal(bodies(await broker.drain("q")), "5 5 3 1 1 0");
  });

  it("lets time run on", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.confirmed(async (channel) => {
      await declare(channel, "dead");
      await declare(channel, "own", toDead);
      await declare(channel, "queue's", { ...toDead, "x-message-ttl": 400 });
      channel.basicPublish("", "own", "short", { ...persistent, expiration: "400" });
      channel.basicPublish("", "own", "long", { ...persistent, expiration: "600000" });
      channel.basicPublish("", "queue's", "other", persistent);
    });
    await broker.stop();
    await broker.start();
    const dead = await broker.onChannel(async (channel) => {
      const found: string[] = [];
      await new Promise<void>((resolve, reject) => {
        const consume = channel.basicConsume("dead", { noAck: true }, ({ body }) => {
          if (found.push(body.toString()) === 2) resolve();
        });
        consume.catch(reject);
      });
      return found.sort();
    });
    assert.deepEqual(dead, ["other", "short"]);
    assert.equal(bodies(await broker.drain("own")), "long");
  });

  it("counts what came back before", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.confirmed(async (channel) => {
      await declare(channel, "dead");
      await declare(channel, "q", { ...toDead, "x-queue-type": "quorum", "x-delivery-limit": 3 });
      channel.basicPublish("", "q", "m");
      await channel.waitForConfirms();
      for (let i = 0; i < 2; i++) {
        const message = await channel.basicGet("q");
        channel.nack(message!);
      }
    });
    await broker.restart();
    await broker.onChannel(async (channel) => {
      for (const count of [2, 3]) {
        const message = (await channel.basicGet("q"))!;
        assert.equal(message.properties.headers?.get("x-delivery-count")?.value, count);
        channel.nack(message);
      }
      assert.equal(await channel.basicGet("q"), undefined);
    });
    assert.equal(bodies(await broker.drain("dead")), "m");
  });

  it("finds dead letters in one place", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.confirmed(async (channel) => {
      await declare(channel, "dead");
      await declare(channel, "q", { ...toDead, "x-max-length": 3 });
      for (let i = 0; i < 10; i++) channel.basicPublish("", "q", String(i), persistent);
    });
    await broker.restart();
    assert.equal(bodies(await broker.drain("q")), "7 8 9");
    assert.equal(bodies(await broker.drain("dead")), "0 1 2 3 4 5 6");
  });

  it("knows the blind copies of a message that dies afterwards", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.confirmed(async (channel) => {
      await channel.exchangeDeclare("x", "direct", { durable: true });
      await declare(channel, "copies");
      await channel.queueBind("copies", "x", "blind");
      await declare(channel, "q", { "x-dead-letter-exchange": "x" });
      channel.basicPublish("", "q", "m", { ...persistent, headers: { BCC: ["blind", "ä"] } });
    });
    await broker.restart();
    await broker.onChannel(async (channel) => {
      const message = (await channel.basicGet("q"))!;
      assert.equal(message.properties.headers?.has("BCC"), false);
      channel.reject(message, false);
      await channel.queueDeclare("q", { passive: true });
    });
    assert.equal(bodies(await broker.drain("copies")), "m");
  });

  it("knows how long messages are", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.confirmed(async (channel) => {
      await declare(channel, "q", { "x-max-length-bytes": 10 });
      for (const body of ["12345", "6789"]) channel.basicPublish("", "q", body, persistent);
    });
    await broker.restart();
    await broker.confirmed(async (channel) => {
      channel.basicPublish("", "q", "12", persistent);
      await channel.waitForConfirms();
      assert.equal(bodies(await drain(channel, "q")), "6789 12");
    });
  });
});
