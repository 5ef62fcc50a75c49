/**
 * Goal: what operators have set is there after a restart, before any client is let in: policies
 * hold for the messages that were found, limits for the first connection.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Channel, connect } from "@haremq/client";
import { DurableBroker, drain, persistent } from "./durable-broker.ts";

async function bodiesIn(channel: Channel, queue: string): Promise<string[]> {
  return (await drain(channel, queue)).map(({ body }) => body.toString());
}

/** Resolves when a consumer has seen each of these, and nothing else. */
function comeTo(channel: Channel, queue: string, bodies: readonly string[]): Promise<void> {
  const missing = new Set(bodies);
  return new Promise((resolve, reject) => {
    const onDelivery = ({ body }: { readonly body: Buffer }): void => {
      const text = body.toString();
      if (!bodies.includes(text)) reject(new Error(`${text} came to ${queue}`));
      missing.delete(text);
      if (missing.size === 0) resolve();
    };
    channel.basicConsume(queue, { noAck: true }, onDelivery).catch(reject);
  });
}

describe("a restart, of what operators set", () => {
  it("finds policies, and queues that obey them", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.vhost.policies.set("dead", {
      pattern: "^q$",
      definition: { "dead-letter-exchange": "", "dead-letter-routing-key": "dlq" },
    });
    await broker.confirmed(async (channel) => {
      for (const queue of ["q", "dlq"]) await channel.queueDeclare(queue, { durable: true });
      for (const body of ["1", "2", "3"]) channel.publish("", "q", body, persistent);
    });
    await broker.restart();
    assert.equal(broker.vhost.queue("q")?.policy.name, "dead");

    // It takes effect on what a restart has brought back.
    await broker.vhost.operatorPolicies.set("quota", {
      pattern: "^q$",
      definition: { "max-length": 1 },
    });
    // Before the dead letters are safe: what has not arrived is where it was, and leaves again.
    assert.equal(broker.vhost.queue("q")?.readyCount, 1);
    await broker.restart();
    assert.equal(broker.vhost.queue("q")?.readyCount, 1);
    const { policy } = broker.vhost.queue("q")!;
    assert.deepEqual([policy.name, policy.operatorName], ["dead", "quota"]);
    await broker.onChannel(async (channel) => {
      assert.deepEqual(await bodiesIn(channel, "q"), ["3"]);
      // Each comes, perhaps twice: it may have been on its way when the broker stopped.
      await comeTo(channel, "dlq", ["1", "2"]);
    });
    await broker.vhost.policies.clear("dead");
    await broker.restart();
    assert.deepEqual(broker.vhost.policies.list(), []);
    assert.deepEqual(broker.vhost.queue("q")?.policy.toDefinition(), { "max-length": 1 });
  });

  it("finds alternate exchanges that policies have named", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.vhost.policies.set("ae", {
      pattern: "^x$",
      definition: { "alternate-exchange": "amq.fanout" },
    });
    await broker.onChannel(async (channel) => {
      await channel.exchangeDeclare("x", "direct", { durable: true });
      await channel.queueDeclare("q", { durable: true });
      await channel.queueBind("q", "amq.fanout", "");
    });
    await broker.restart();
    await broker.confirmed(async (channel) => channel.publish("x", "none", "unmatched"));
    assert.equal(broker.vhost.queue("q")?.readyCount, 1);
  });

  it("finds parameters, limits and what was said of virtual hosts", async (t) => {
    const broker = await DurableBroker.start(t);
    const metadata = { description: "d", tags: ["a", "b"], defaultQueueType: "quorum" };
    await broker.running.broker.createVhost("v", metadata);
    await broker.vhost.changeMetadata({ description: "home" });
    await broker.running.broker.globalParameters.set("g", { a: [1] });
    await broker.vhost.limits.set("max-connections", 1);
    await broker.running.users.setLimit("guest", "max-channels", 1);
    await broker.restart();
    const core = broker.running.broker;
    assert.deepEqual(core.vhost("v")?.metadata, metadata);
    assert.deepEqual(broker.vhost.metadata, {
      description: "home",
      tags: [],
      defaultQueueType: "",
    });
    assert.deepEqual(core.globalParameters.list(), [{ name: "g", value: { a: [1] } }]);
    const connection = await connect(broker.running.url);
    await assert.rejects(connect(broker.running.url), /connection limit \(1\) is reached/);
    await connection.openChannel();
    await assert.rejects(connection.openChannel(), /maximum allowed user limit of \(1\)/);
  });
});
