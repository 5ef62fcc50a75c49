/** Goal: every publish arrives as it was sent, and its sender learns what became of it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable, PublishReturnedError, type ReturnedMessage } from "@haremq/client";
import { collector, next, onEveryBroker } from "./brokers.ts";

onEveryBroker("publishing", ({ scenario }) => {
  test(
    "properties and headers come back as they went out",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      const headers = new FieldTable([
        { name: "bool", value: { type: "t", value: true } },
        { name: "byte", value: { type: "b", value: -5 } },
        { name: "short", value: { type: "s", value: -300 } },
        { name: "int", value: { type: "I", value: -70_000 } },
        { name: "long", value: { type: "l", value: 2 ** 40 } },
        { name: "double", value: { type: "d", value: 0.5 } },
        { name: "text", value: { type: "S", value: Buffer.from("ü") } },
        { name: "bytes", value: { type: "x", value: Buffer.from([0, 255]) } },
        { name: "list", value: { type: "A", value: [{ type: "V", value: null }] } },
        { name: "time", value: { type: "T", value: 1_700_000_000 } },
      ]);
      const properties = {
        contentType: "text/plain",
        contentEncoding: "utf-8",
        headers,
        deliveryMode: 2,
        priority: 3,
        correlationId: "c",
        replyTo: "r",
        expiration: "100000",
        messageId: "m",
        timestamp: 1_700_000_000,
        type: "t",
        userId: "guest",
        appId: "a",
        clusterId: "x",
      };
      channel.basicPublish("", queue, "grüße", properties);
      channel.basicPublish("", queue, Buffer.from([0, 1, 2]), {
        headers: { n: 1, deep: { s: "x" } },
      });
      const { handler, all } = collector<{ properties: object; body: Buffer }>(2);
      await channel.basicConsume(queue, { noAck: true }, handler);
      const [first, second] = await all;
      assert.deepEqual(first?.properties, properties);
      assert.equal(first?.body.toString(), "grüße");
      assert.deepEqual(second?.properties, {
        headers: FieldTable.from({ n: 1, deep: { s: "x" } }),
      });
      assert.deepEqual(second?.body, Buffer.from([0, 1, 2]));
    }),
  );

  test(
    "bodies of every size around the limit of a frame arrive whole",
    scenario(async (bench) => {
      const channel = await bench.channel({ frameMax: 8192 });
      const queue = await bench.queue(channel);
      const sizes = [0, 1, 8183, 8184, 8185, 16_368, 16_369, 1_000_000];
      const { handler, all } = collector<{ body: Buffer }>(sizes.length);
      await channel.basicConsume(queue, { noAck: true }, handler);
      const body = Buffer.alloc(1_000_000);
      for (const size of sizes) {
        const part = body.subarray(0, size).fill(size & 0xff);
        channel.basicPublish("", queue, part);
        // The caller may reuse its buffer at once.
        part.fill(0xee);
      }
      const received = await all;
      assert.deepEqual(
        received.map((delivery) => delivery.body.length),
        sizes,
      );
      for (const delivery of received) {
        const fill = delivery.body.length & 0xff;
        assert.ok(delivery.body.every((octet) => octet === fill));
      }
    }),
  );

  test(
    "each publish is confirmed to its own caller",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      await channel.confirmSelect();
      assert.equal(channel.nextPublishSeqNo, 1);
      await Promise.all(Array.from({ length: 500 }, (_, i) => channel.publish("", queue, `${i}`)));
      assert.equal(channel.unconfirmed, 0);
      assert.equal(channel.nextPublishSeqNo, 501);
      assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 500);
    }),
  );

  test(
    "publishes made before confirm.select-ok are counted as the broker counts them",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      const selected = channel.confirmSelect();
      const confirmed = channel.publish("", queue, "1");
      channel.basicPublish("", queue, "2");
      await Promise.all([selected, confirmed, channel.waitForConfirms()]);
      assert.equal(channel.unconfirmed, 0);
    }),
  );

  test(
    "waitForConfirms and publish need confirm mode",
    scenario(async (bench) => {
      const channel = await bench.channel();
      await assert.rejects(channel.publish("", "x", ""), /confirmSelect first/);
      await assert.rejects(channel.waitForConfirms(), /confirm mode/);
    }),
  );

  test(
    "a mandatory message that reaches no queue comes back to its own caller",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      await channel.confirmSelect();
      const returns: ReturnedMessage[] = [];
      channel.on("return", (message) => returns.push(message));
      const mandatory = { mandatory: true };
      const nowhere = `${queue}.nowhere`;
      const outcomes = await Promise.allSettled([
        channel.publish("", queue, "a", {}, mandatory),
        channel.publish("", nowhere, "b", { messageId: "id", headers: { n: 1 } }, mandatory),
        channel.publish("", queue, "c", {}, mandatory),
        channel.publish("", nowhere, "d", undefined, mandatory),
        channel.publish("", nowhere, "not mandatory"),
      ]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status),
        ["fulfilled", "rejected", "fulfilled", "rejected", "fulfilled"],
      );
      const [first, second] = [outcomes[1], outcomes[3]].map((outcome) => {
        const { reason } = outcome as PromiseRejectedResult;
        assert.ok(reason instanceof PublishReturnedError);
        return reason.returned;
      });
      assert.deepEqual(returns, [first, second]);
      assert.equal(first?.replyCode, 312);
      assert.equal(first?.replyText, "NO_ROUTE");
      assert.equal(first?.exchange, "");
      assert.equal(first?.routingKey, nowhere);
      assert.equal(first?.body.toString(), "b");
      assert.equal(first?.properties.messageId, "id");
      assert.equal(second?.body.toString(), "d");
    }),
  );

  test(
    "publishing to no exchange closes the channel and rejects what is unconfirmed",
    scenario(async (bench) => {
      const channel = await bench.channel();
      await channel.confirmSelect();
      const exchange = bench.exchangeName();
      const closed = next<Error>(channel, "close");
      const publish = channel.publish(exchange, "k", "body");
      const all = channel.waitForConfirms();
      const outcomes = await Promise.allSettled([publish, all]);
      const error = await closed;
      assert.equal(error.message.includes(`no exchange '${exchange}' in vhost '/'`), true);
      for (const outcome of outcomes) {
        assert.equal((outcome as PromiseRejectedResult).reason, error);
      }
    }),
  );

  test(
    "a transaction is all or nothing",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      await channel.txSelect();
      channel.basicPublish("", queue, "rolled back");
      await channel.txRollback();
      channel.basicPublish("", queue, "committed");
      const before = await channel.queueDeclare(queue, { passive: true });
      await channel.txCommit();
      const after = await channel.queueDeclare(queue, { passive: true });
      assert.deepEqual([before.messageCount, after.messageCount], [0, 1]);
      assert.equal((await channel.basicGet(queue))?.body.toString(), "committed");
    }),
  );

  test(
    "a prepared publish arrives like any other",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      const properties = { deliveryMode: 2, headers: { n: 1 } };
      const prepared = channel.prepare("", queue, properties);
      properties.headers.n = 2;
      for (const body of ["one", "", "three"]) prepared.publish(body);
      const { handler, all } = collector<{ properties: object; body: Buffer }>(3);
      await channel.basicConsume(queue, { noAck: true }, handler);
      for (const [i, delivery] of (await all).entries()) {
        assert.equal(delivery.body.toString(), ["one", "", "three"][i]);
        assert.deepEqual(delivery.properties, {
          deliveryMode: 2,
          headers: FieldTable.from({ n: 1 }),
        });
      }
    }),
  );

  test(
    "a flood is slowed down by false and goes on after drain, with nothing lost",
    scenario(async (bench) => {
      const channel = await bench.channel({ writeHighWaterBytes: 64 * 1024 });
      const queue = await bench.queue(channel);
      await channel.confirmSelect();
      const body = Buffer.alloc(10_000);
      let waits = 0;
      const total = 2000;
      for (let sent = 0; sent < total; sent++) {
        if (channel.basicPublish("", queue, body)) continue;
        waits++;
        await next(channel, "drain");
      }
      assert.ok(waits > 0, "20 MB went out without a single wait");
      await channel.waitForConfirms();
      assert.equal((await channel.queuePurge(queue)).messageCount, total);
    }),
  );
});
