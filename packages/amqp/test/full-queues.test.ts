/**
 * Goal: publishers are told what full queues refuse, each publish once, whatever is confirmed
 * around it; and dead letters that would go in a circle are dropped, of which the log speaks once.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { publication } from "./messages.ts";
import { roundTrip, turnsUntil, withBroker } from "./virtual-broker.ts";

const args = (table: Record<string, unknown>) => ({ arguments: FieldTable.from(table) });

test("what is refused is nacked, what is taken is acknowledged, each once", async () => {
  await withBroker(async (broker) => {
    const connection = await broker.open();
    const full = { "x-max-length": 2, "x-overflow": "reject-publish" };
    connection.send(1, "queue.declare", { queue: "full", ...args(full) });
    connection.send(1, "queue.declare", { queue: "open" });
    connection.send(1, "confirm.select");
    await roundTrip(connection);
    const taken = new Set<number>();
    const outcomes = new Map<number, string>();
    const where = ["open", "full", "full", "full", "open", "full", "full", "open", "full"];
    for (const [i, queue] of where.entries()) if (queue === "open" || i <= 2) taken.add(i + 1);
    connection.sendBytes(Buffer.concat(where.map((queue) => publication(queue, "x"))));
    await roundTrip(connection);
    let told = 0;
    for (const { method } of connection.frames) {
      if (method?.name === "basic.nack") {
        assert.equal(method.args.multiple, false);
        assert.equal(outcomes.has(method.args.deliveryTag), false, "told once");
        outcomes.set(method.args.deliveryTag, "refused");
      }
      if (method?.name !== "basic.ack") continue;
      const { deliveryTag, multiple } = method.args;
      assert.equal(outcomes.has(deliveryTag), false, "told once");
      for (let tag = multiple ? told + 1 : deliveryTag; tag <= deliveryTag; tag++) {
        if (!outcomes.has(tag)) outcomes.set(tag, "taken");
      }
      told = deliveryTag;
    }
    for (const [i] of where.entries()) {
      assert.equal(outcomes.get(i + 1), taken.has(i + 1) ? "taken" : "refused", `publish ${i + 1}`);
    }
  });
});

test("dead letters do not go in a circle, and the log says so once", async () => {
  await withBroker(async (broker) => {
    const connection = await broker.open();
    const round = { "x-message-ttl": 10, "x-dead-letter-exchange": "" };
    for (const [queue, next] of [
      ["a", "b"],
      ["b", "a"],
    ] as const) {
      const table = { ...round, "x-dead-letter-routing-key": next };
      connection.send(1, "queue.declare", { queue, ...args(table) });
    }
    connection.sendBytes(Buffer.concat([publication("a", "1"), publication("a", "2")]));
    await roundTrip(connection);
    for (let i = 0; i < 3; i++) {
      broker.clock.advance(10);
      await turnsUntil(() => true);
    }
    await turnsUntil(() => broker.broker.messages.liveMessages === 0);
    assert.equal(broker.broker.messages.liveMessages, 0);
    const said = broker.log.lines.filter(({ message }) => /go in a circle/.test(message));
    assert.equal(said.length, 1);
  });
});

test("a circle of more queues than a message remembers ends, too", async () => {
  await withBroker(async (broker) => {
    const connection = await broker.open();
    const count = 300;
    for (let i = 0; i < count; i++) {
      const next = `q${(i + 1) % count}`;
      const table = {
        "x-max-length": 0,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": next,
      };
      connection.send(1, "queue.declare", { queue: `q${i}`, ...args(table) });
    }
    connection.sendBytes(publication("q0", "x"));
    await roundTrip(connection);
    await turnsUntil(() => broker.broker.messages.liveMessages === 0);
    assert.equal(broker.broker.messages.liveMessages, 0);
  });
});
