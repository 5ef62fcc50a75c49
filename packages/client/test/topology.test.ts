/**
 * Goal: the verbs that shape the topology do what they say, and fail with the broker's own words.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { AmqpError, FieldTable } from "@haremq/client";
import { onEveryBroker } from "./brokers.ts";

onEveryBroker("topology", ({ scenario }) => {
  test(
    "queues are declared, counted, purged and deleted",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = bench.queueName();
      assert.deepEqual(await channel.queueDeclare(queue), {
        queue,
        messageCount: 0,
        consumerCount: 0,
      });
      await channel.confirmSelect();
      for (let i = 0; i < 3; i++) channel.basicPublish("", queue, `${i}`);
      await channel.waitForConfirms();
      assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 3);
      assert.deepEqual(await channel.queuePurge(queue), { messageCount: 3 });
      channel.basicPublish("", queue, "one more");
      await channel.waitForConfirms();
      assert.deepEqual(await channel.queueDelete(queue), { messageCount: 1 });
      await assert.rejects(channel.queueDeclare(queue, { passive: true }), { replyCode: 404 });
    }),
  );

  test(
    "bindings take messages along, through another exchange too",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const [source, destination] = [bench.exchangeName(), bench.exchangeName()];
      await channel.exchangeDeclare(source, "topic", { autoDelete: true });
      await channel.exchangeDeclare(destination, "headers", { internal: true });
      const queue = await bench.queue(channel);
      await channel.exchangeBind(destination, source, "orders.#");
      const wanted = { "x-match": "all", colour: "red" };
      await channel.queueBind(queue, destination, "", wanted);
      await channel.confirmSelect();
      const send = (key: string, colour: string): Promise<void> =>
        channel.publish(source, key, key, { headers: { colour } });
      await send("orders.new", "red");
      await send("orders.new", "blue");
      await send("invoices.new", "red");
      assert.equal((await channel.basicGet(queue, { noAck: true }))?.body.toString(), "orders.new");
      assert.equal(await channel.basicGet(queue), undefined);
      await channel.queueUnbind(queue, destination, "", FieldTable.from(wanted));
      await send("orders.new", "red");
      assert.equal(await channel.basicGet(queue), undefined);
      await channel.exchangeUnbind(destination, source, "orders.#");
      await assert.rejects(channel.exchangeDeclare(source, "topic", { passive: true }), {
        replyCode: 404,
      });
    }),
  );

  test(
    "an error ends its channel, rejects what waits there, and spares the others",
    scenario(async (bench) => {
      const connection = await bench.connect();
      const [failing, other] = [await connection.openChannel(), await connection.openChannel()];
      const queue = bench.queueName();
      const closes: unknown[] = [];
      failing.on("close", (error) => closes.push(error));
      const outcomes = await Promise.allSettled([
        failing.queueDeclare(queue),
        failing.queueDeclare(queue, { durable: true }),
        failing.queueDeclare(queue),
        failing.basicGet(queue),
      ]);
      assert.deepEqual(
        outcomes.map((outcome) => outcome.status),
        ["fulfilled", "rejected", "rejected", "rejected"],
      );
      const reasons = outcomes.slice(1).map((outcome) => (outcome as PromiseRejectedResult).reason);
      const [error] = reasons;
      assert.ok(error instanceof AmqpError);
      assert.deepEqual(
        { ...error },
        {
          name: "AmqpError",
          scope: "channel",
          replyCode: 406,
          replyText:
            `PRECONDITION_FAILED - inequivalent arg 'durable' for queue '${queue}' in vhost '/': ` +
            "received 'true' but current is 'false'",
          classId: 50,
          methodId: 10,
        },
      );
      assert.ok(reasons.every((reason) => reason === error));
      assert.deepEqual(closes, [error]);
      await assert.rejects(failing.queueDeclare(queue), (later) => later === error);
      assert.throws(
        () => failing.basicPublish("", queue, ""),
        (later) => later === error,
      );
      assert.ok(failing.isOpen === false && other.isOpen && connection.isOpen);
      await other.queueDeclare(queue);
      assert.equal((await connection.openChannel()).number, failing.number);
    }),
  );

  test(
    "answers belong to their calls however many wait",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queues = Array.from({ length: 50 }, () => bench.queueName());
      const answers = await Promise.all(queues.map((queue) => channel.queueDeclare(queue)));
      assert.deepEqual(
        answers.map((answer) => answer.queue),
        queues,
      );
    }),
  );

  test(
    "what does not fit on the wire is refused here, and harms nothing",
    scenario(async (bench) => {
      const channel = await bench.channel({ frameMax: 8192 });
      await assert.rejects(channel.queueDeclare("x".repeat(256)), RangeError);
      await assert.rejects(
        channel.queueDeclare("", { arguments: { large: "x".repeat(9000) } }),
        /frame-max is 8192/,
      );
      await channel.queueDeclare("", { exclusive: true });
    }),
  );

  test(
    "send does without an answer",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = bench.queueName();
      channel.send({
        id: 0x0032_000a,
        name: "queue.declare",
        args: {
          queue,
          passive: false,
          durable: false,
          exclusive: false,
          autoDelete: false,
          nowait: true,
          arguments: new FieldTable(),
        },
      });
      assert.equal((await channel.queueDeclare(queue, { passive: true })).queue, queue);
    }),
  );
});
