/** Goal: deliveries reach their consumer, in order, and go where acknowledgements send them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Delivery, GetMessage } from "@haremq/client";
import { collector, next, onEveryBroker } from "./brokers.ts";

onEveryBroker("consuming", ({ scenario }) => {
  test(
    "a consumer gets what waits and what comes, in order",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      for (let i = 0; i < 100; i++) channel.basicPublish("", queue, `${i}`);
      const { handler, all } = collector<Delivery>(200);
      const consumer = await channel.basicConsume(
        queue,
        { noAck: true, consumerTag: "mine" },
        handler,
      );
      assert.equal(consumer.consumerTag, "mine");
      for (let i = 100; i < 200; i++) channel.basicPublish("", queue, `${i}`);
      const deliveries = await all;
      for (const [i, delivery] of deliveries.entries()) {
        assert.equal(delivery.body.toString(), `${i}`);
        assert.equal(delivery.deliveryTag, i + 1);
        assert.equal(delivery.consumerTag, "mine");
        assert.equal(delivery.exchange, "");
        assert.equal(delivery.routingKey, queue);
        assert.equal(delivery.redelivered, false);
        assert.deepEqual(delivery.properties, {});
      }
    }),
  );

  test(
    "prefetch holds deliveries back until they are acknowledged",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      await channel.confirmSelect();
      for (let i = 0; i < 5; i++) channel.basicPublish("", queue, `${i}`);
      await channel.waitForConfirms();
      await channel.basicQos(2);
      const first = collector<Delivery>(2);
      let rest = first.handler;
      await channel.basicConsume(queue, {}, (delivery) => rest(delivery));
      const [one, two] = await first.all;
      assert.equal((await channel.queueDeclare(queue, { passive: true })).messageCount, 3);
      const later = collector<Delivery>(2);
      rest = later.handler;
      channel.ack(two!, true);
      assert.equal((await later.all)[0]?.deliveryTag, 3);
      assert.equal(one?.deliveryTag, 1);
    }),
  );

  test(
    "nack, reject and recover bring messages back, marked",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      await channel.confirmSelect();
      await channel.publish("", queue, "again and again");
      const take = async (): Promise<GetMessage> => {
        const message = await channel.basicGet(queue);
        assert.ok(message instanceof GetMessage);
        return message;
      };
      let message = await take();
      assert.equal(message.redelivered, false);
      channel.nack(message);
      message = await take();
      assert.equal(message.redelivered, true);
      assert.equal(message.messageCount, 0);
      channel.reject(message);
      await take();
      await channel.recover();
      message = await take();
      channel.nack(message, false, false);
      assert.equal(await channel.basicGet(queue), undefined);
    }),
  );

  test(
    "a cancelled consumer gets nothing more",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      const consumer = await channel.basicConsume(queue, {}, () => assert.fail("delivered"));
      await consumer.cancel();
      await consumer.cancel();
      await channel.confirmSelect();
      await channel.publish("", queue, "for nobody");
      const state = await channel.queueDeclare(queue, { passive: true });
      assert.deepEqual([state.messageCount, state.consumerCount], [1, 0]);
    }),
  );

  test(
    "a consumer learns that its queue was deleted",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      let told!: () => void;
      const cancelled = new Promise<void>((resolve) => {
        told = resolve;
      });
      const consumer = await channel.basicConsume(queue, { onCancel: told }, () => {});
      const event = next<string>(channel, "cancel");
      await channel.queueDelete(queue);
      await cancelled;
      assert.equal(await event, consumer.consumerTag);
      await consumer.cancel();
    }),
  );

  test(
    "several consumers on a channel get what is theirs",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queues = [await bench.queue(channel), await bench.queue(channel)];
      const collectors = queues.map(() => collector<Delivery>(50));
      for (const [i, queue] of queues.entries()) {
        await channel.basicConsume(queue, { noAck: true }, collectors[i]!.handler);
      }
      for (let i = 0; i < 100; i++) channel.basicPublish("", queues[i % 2]!, `${i}`);
      for (const [i, { all }] of collectors.entries()) {
        assert.deepEqual(
          (await all).map((delivery) => Number(delivery.body)),
          Array.from({ length: 50 }, (_, n) => 2 * n + i),
        );
      }
    }),
  );

  test(
    "a kept body stays as it was; a borrowed one is right while it is lent",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      const total = 2000;
      const fill = (i: number, body: Buffer): boolean => body.equals(Buffer.alloc(300, i));
      const kept = collector<Delivery>(total);
      await channel.basicConsume(queue, { noAck: true, consumerTag: "keeps" }, kept.handler);
      for (let i = 0; i < total; i++) channel.basicPublish("", queue, Buffer.alloc(300, i));
      assert.ok((await kept.all).every((delivery, i) => fill(i, delivery.body)));
      await channel.basicCancel("keeps");
      const lent = collector<boolean>(total);
      let count = 0;
      await channel.basicConsume(queue, { noAck: true, borrowBody: true }, (delivery) =>
        lent.handler(fill(count++, delivery.body)),
      );
      for (let i = 0; i < total; i++) channel.basicPublish("", queue, Buffer.alloc(300, i));
      assert.ok((await lent.all).every((right) => right));
    }),
  );

  test(
    "unacknowledged messages go back when the connection is destroyed",
    scenario(async (bench) => {
      const channel = await bench.channel();
      const queue = await bench.queue(channel);
      const crashing = await bench.connect();
      const consuming = await crashing.openChannel();
      const first = collector<Delivery>(1);
      await consuming.basicConsume(queue, {}, first.handler);
      channel.basicPublish("", queue, "precious");
      await first.all;
      const second = collector<Delivery>(1);
      await channel.basicConsume(queue, {}, second.handler);
      crashing.destroy();
      const [delivery] = await second.all;
      assert.equal(delivery?.redelivered, true);
      assert.equal(delivery?.body.toString(), "precious");
    }),
  );

  test(
    "a paused connection makes the broker wait, and loses nothing",
    scenario(async (bench) => {
      const publisher = await bench.channel();
      const connection = await bench.connect();
      const channel = await connection.openChannel();
      const queue = await bench.queue(publisher);
      const total = 3000;
      const { handler, all } = collector<number>(total);
      await channel.basicConsume(queue, { noAck: true }, (delivery) => {
        handler(delivery.body.length);
        if (delivery.deliveryTag !== 1) return;
        connection.pause();
        setImmediate(() => connection.resume());
      });
      for (let i = 0; i < total; i++) publisher.basicPublish("", queue, Buffer.alloc(1000));
      assert.equal((await all).length, total);
    }),
  );
});
