/**
 * @cloudamqp/amqp-client: consuming by callback and by iterator, transactions, and the session API
 * with its queues, exchanges, RPC and reconnecting.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AMQPMessage } from "@cloudamqp/amqp-client";
import { openClient, openSession } from "./clients/cloudamqp-actions.ts";
import { within, withResolvers } from "./clients/deadline.ts";
import { Mailbox } from "./clients/mailbox.ts";
import { openBench } from "./clients/test-bed.ts";
import { WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();

describe("consuming", () => {
  test(
    "a callback consumer of a queue that holds messages already misses none",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      const { name } = await channel.queueDeclare("");
      await channel.confirmSelect();
      for (let i = 0; i < 50; i++) await channel.basicPublish("", name, String(i));
      const mailbox = new Mailbox<AMQPMessage>();
      await channel.prefetch(10);
      const consumer = await channel.basicConsume(name, { noAck: false }, async (message) => {
        mailbox.put(message);
        await message.ack();
      });
      const bodies = (await mailbox.take(50)).map((message) => message.bodyString());
      assert.deepEqual(
        bodies,
        Array.from({ length: 50 }, (_, i) => String(i)),
      );
      await consumer.cancel();
    }),
  );

  test(
    "the iterator yields deliveries, and ends its consumer when left",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      const queue = bed.name("iterated");
      await channel.queueDeclare(queue);
      await channel.confirmSelect();
      for (let i = 0; i < 5; i++) await channel.basicPublish("", queue, String(i));
      const consumer = await channel.basicConsume(queue, { noAck: false, tag: "iterator" });
      const seen: (string | null)[] = [];
      for await (const message of consumer.messages) {
        seen.push(message.bodyString());
        await message.ack();
        if (seen.length === 5) break;
      }
      assert.deepEqual(seen, ["0", "1", "2", "3", "4"]);
      assert.equal((await channel.queueDeclare(queue, { passive: true })).consumerCount, 0);
    }),
  );

  test(
    "ack, nack, reject and recover in multiples and singly",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      const { name } = await channel.queueDeclare("");
      await channel.confirmSelect();
      for (const body of "abcdef") await channel.basicPublish("", name, body);
      const hold = async () => (await channel.basicGet(name, { noAck: false })) as AMQPMessage;
      const held: AMQPMessage[] = [];
      for (let i = 0; i < 6; i++) held.push(await hold());
      const [a, b, c, d, e, f] = held as [
        AMQPMessage,
        AMQPMessage,
        AMQPMessage,
        AMQPMessage,
        AMQPMessage,
        AMQPMessage,
      ];
      await b.ack(true);
      await c.reject(false);
      await e.nack(true, true);
      await channel.basicRecover(true);
      const left: (string | null | undefined)[] = [];
      for (let i = 0; i < 4; i++) left.push((await channel.basicGet(name))?.bodyString());
      assert.deepEqual(left, ["d", "e", "f", undefined]);
      assert.deepEqual([a.isAcked, f.deliveryTag, d.redelivered], [false, 6, false]);
    }),
  );

  test(
    "a consumer whose queue is deleted is told so",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      const channel = await client.channel();
      const queue = bed.name("doomed");
      await channel.queueDeclare(queue);
      const consumer = await channel.basicConsume(queue, {}, () => {});
      const told = assert.rejects(
        within(consumer.wait(), "the cancellation"),
        /Consumer cancelled by the server/,
      );
      await (await client.channel()).queueDelete(queue);
      await told;
    }),
  );

  test(
    "a global prefetch counts for the channel",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      const { name } = await channel.queueDeclare("");
      await channel.confirmSelect();
      for (let i = 0; i < 6; i++) await channel.basicPublish("", name, String(i));
      await channel.basicQos(2, 0, true);
      const mailbox = new Mailbox<AMQPMessage>();
      await channel.basicConsume(name, { noAck: false }, mailbox.put);
      await channel.basicConsume(name, { noAck: false }, mailbox.put);
      const [, second] = await mailbox.take(2);
      assert.equal((await channel.queueDeclare(name, { passive: true })).messageCount, 4);
      await second?.ack(true);
      await mailbox.take(2);
    }),
  );
});

describe("transactions", () => {
  test(
    "publishes and acknowledgements wait for the commit",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      const observer = await client.channel();
      const channel = await client.channel();
      const queue = bed.name("transacted");
      await channel.queueDeclare(queue);
      const count = async () =>
        (await observer.queueDeclare(queue, { passive: true })).messageCount;
      await channel.txSelect();
      await channel.basicPublish("", queue, "one");
      await channel.basicPublish("", queue, "two");
      await channel.queueDeclare(queue, { passive: true });
      assert.equal(await count(), 0);
      await channel.txCommit();
      assert.equal(await count(), 2);
      const message = await channel.basicGet(queue, { noAck: false });
      await message?.ack();
      await channel.txRollback();
      await channel.basicRecover(true);
      await channel.txCommit();
      assert.equal(await count(), 2, "the acknowledgement was rolled back");
      const again = await channel.basicGet(queue, { noAck: false });
      assert.equal(again?.redelivered, true);
      await again?.ack();
      await channel.txCommit();
      await channel.close();
      assert.equal(await count(), 1);
    }),
  );

  test(
    "a rolled back publish never happened",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      const { name } = await channel.queueDeclare("");
      await channel.txSelect();
      await channel.basicPublish("", name, "never");
      await channel.txRollback();
      await channel.txCommit();
      assert.equal((await channel.queueDeclare(name, { passive: true })).messageCount, 0);
    }),
  );

  test(
    "transactions and confirms exclude each other, and commit needs a transaction",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      client.onerror = () => {};
      const transacted = await client.channel();
      await transacted.txSelect();
      await assert.rejects(
        transacted.confirmSelect(),
        /PRECONDITION_FAILED - cannot switch from tx to confirm mode \(406\)/,
      );
      const confirmed = await client.channel();
      await confirmed.confirmSelect();
      await assert.rejects(
        confirmed.txSelect(),
        /PRECONDITION_FAILED - cannot switch from confirm to tx mode \(406\)/,
      );
      for (const method of ["txCommit", "txRollback"] as const) {
        const plain = await client.channel();
        await assert.rejects(
          plain[method](),
          /PRECONDITION_FAILED - channel is not transactional \(406\)/,
        );
      }
    }),
  );
});

describe("sessions", () => {
  test(
    "queues and exchanges as objects: bind, publish, subscribe, get, purge, delete",
    bench.scenario(async (bed) => {
      const session = await openSession(bed);
      const queue = await session.queue(bed.name("q"));
      const exchange = await session.topicExchange(bed.name("x"));
      const upstream = await session.fanoutExchange(bed.name("up"));
      await exchange.bind(upstream);
      await queue.bind(exchange, "#.wanted");
      await upstream.publish("through", { routingKey: "really.wanted" });
      await exchange.publish("dropped", { routingKey: "unwanted" });
      assert.equal((await queue.get())?.bodyString(), "through");
      await queue.publish("direct");
      assert.equal((await queue.consumeOne({ timeout: 5000 })).bodyString(), "direct");
      await queue.publish("purged");
      assert.deepEqual(await queue.purge(), { messageCount: 1 });
      await queue.unbind(exchange, "#.wanted");
      await exchange.unbind(upstream);
      await queue.delete();
      await exchange.delete();
      await upstream.delete();
    }),
  );

  test(
    "a subscription acknowledges what was handled, and requeues what failed",
    bench.scenario(async (bed) => {
      const session = await openSession(bed);
      const queue = await session.queue(bed.name("q"));
      const mailbox = new Mailbox<string>();
      const subscription = await queue.subscribe({ prefetch: 1 }, (message) => {
        mailbox.put(`${message.bodyString()} ${message.redelivered}`);
        if (!message.redelivered) throw new Error("not at first");
      });
      await queue.publish("task");
      assert.deepEqual(await mailbox.take(2), ["task false", "task true"]);
      await subscription.cancel();
      assert.equal(await queue.get(), null);
    }),
  );

  test(
    "RPC by direct reply-to, many calls at once",
    bench.scenario(async (bed) => {
      const session = await openSession(bed);
      const queue = bed.name("rpc");
      const server = await session.rpcServer(queue, (request) => `${request.bodyString()}!`, 10);
      const client = await session.rpcClient();
      const replies = await within(
        Promise.all(Array.from({ length: 20 }, (_, i) => client.call(queue, `call ${i}`))),
        "20 replies",
      );
      assert.deepEqual(
        replies.map((reply) => reply.bodyString()),
        Array.from({ length: 20 }, (_, i) => `call ${i}!`),
      );
      await client.close();
      await server.close();
    }),
  );

  test(
    "a returned message reaches onreturn",
    bench.scenario(async (bed) => {
      const returned = withResolvers<AMQPMessage>();
      const session = await openSession(bed, bed.url, { onreturn: returned.resolve });
      const exchange = await session.directExchange(bed.name("x"));
      await exchange.publish("lost", { routingKey: "nobody", mandatory: true });
      assert.equal((await within(returned.promise, "the return")).bodyString(), "lost");
    }),
  );

  test(
    "a session that is cut off reconnects, and its subscriptions go on",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const connected = new Mailbox<true>();
      const session = await openSession(bed, tap.url, {
        reconnectInterval: 1,
        onconnect: () => connected.put(true),
      });
      await connected.next();
      const queue = await session.queue(bed.name("q"));
      const mailbox = new Mailbox<string | null>();
      await queue.subscribe((message) => {
        // The acknowledgement may be cut off together with the line.
        if (!message.redelivered) mailbox.put(message.bodyString());
      });
      await queue.publish("before");
      assert.equal(await mailbox.next(), "before");
      tap.cut();
      await connected.next();
      await queue.publish("after");
      assert.equal(await mailbox.next(), "after");
    }),
  );
});
