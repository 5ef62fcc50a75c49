/**
 * Goal: a durable x-recent-history exchange knows its persistent messages after any end of the
 * process, even those that memory had no room for.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Channel } from "@haremq/client";
import { drain, persistent } from "./durable-broker.ts";
import { FaultyBroker } from "./faulty-broker.ts";

const history = { type: "x-recent-history", durable: true } as const;

async function declare(broker: FaultyBroker, length: number): Promise<Channel> {
  const channel = await broker.open();
  const args = { "x-recent-history-length": length };
  await channel.exchangeDeclare("x", history.type, { durable: true, arguments: args });
  await channel.confirmSelect();
  return channel;
}

/** What a new queue gets by being bound. */
async function historyOf(broker: FaultyBroker, queue: string, durable = false): Promise<string[]> {
  const channel = await broker.open();
  await channel.queueDeclare(queue, { durable });
  await broker.passUntil(channel.queueBind(queue, "x", ""));
  return (await drain(channel, queue)).map(({ body }) => String(body));
}

describe("a durable exchange with a history", () => {
  for (const powerLoss of [false, true]) {
    it(`has it again when ${powerLoss ? "the power" : "the process"} has gone`, async (t) => {
      const broker = await FaultyBroker.start(t);
      const channel = await declare(broker, 3);
      for (const body of ["1", "2", "3", "4"]) await channel.publish("x", "k", body, persistent);
      await channel.publish("x", "k", "in memory", {});
      await broker.crash(powerLoss);
      const found = await historyOf(broker, "q");
      // That "2" had made room for what has gone may be known or not.
      assert.ok(found.length <= 3);
      assert.deepEqual(found.slice(-2), ["3", "4"]);
      assert.deepEqual(await historyOf(broker, "durable", true), found);
      // It goes on from there, and over another end.
      const again = await broker.open();
      await again.confirmSelect();
      await again.publish("x", "k", "5", persistent);
      await broker.crash(powerLoss);
      assert.deepEqual(await historyOf(broker, "r"), ["3", "4", "5"]);
    });
  }

  it("gives it to durable queues for good", async (t) => {
    const broker = await FaultyBroker.start(t);
    const channel = await declare(broker, 3);
    for (const body of ["1", "2"]) await channel.publish("x", "k", body, persistent);
    await channel.queueDeclare("q", { durable: true });
    await channel.queueBind("q", "x", "");
    await channel.publish("x", "k", "3", persistent);
    await channel.exchangeDelete("x");
    await broker.crash(true);
    const left = await drain(await broker.open(), "q");
    assert.deepEqual(
      left.map(({ body }) => String(body)),
      ["1", "2", "3"],
    );
    assert.equal(broker.broker.messages.liveMessages, 0, "nobody remembers the rest");
  });

  it("has what is not in memory read from the disk first", async (t) => {
    const broker = await FaultyBroker.start(t, { memoryBytes: 300_000 });
    const channel = await declare(broker, 40);
    const numbers = Array.from({ length: 60 }, (_, n) => `${n}`);
    for (const number of numbers) {
      await broker.passUntil(channel.publish("x", "k", number.padEnd(20_000, "."), persistent));
    }
    const found = (await historyOf(broker, "q")).map((body) => body.replaceAll(".", ""));
    assert.deepEqual(found, numbers.slice(-40));
  });
});
