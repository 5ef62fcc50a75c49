/**
 * amqplib, consuming: prefetch, consumer priorities, exclusive and single active consumers,
 * cancelling, direct reply-to.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConsumeMessage } from "amqplib";
import {
  assertChannelClosed,
  assertConnectionClosed,
  type Consumer,
  consume,
  filledQueue,
  getMessage,
  openChannel,
  openConfirmChannel,
  openConnection,
  settle,
  text,
} from "./clients/amqplib-actions.ts";
import { openBench } from "./clients/test-bed.ts";

const bench = await openBench();
const vhost = bench.broker.vhost;

describe("prefetch", () => {
  test(
    "a consumer is given as many as it may hold, and one more for each it settles",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, ["a", "b", "c", "d", "e", "f"]);
      await channel.prefetch(3);
      const { mailbox } = await consume(channel, queue);
      const [a, b, c] = (await mailbox.take(3)) as [ConsumeMessage, ConsumeMessage, ConsumeMessage];
      await settle(channel, queue);
      assert.deepEqual(mailbox.unread.map(text), []);
      channel.ack(a);
      assert.equal(text(await mailbox.next()), "d");
      channel.nack(b, false, false);
      assert.equal(text(await mailbox.next()), "e");
      channel.reject(c, true);
      assert.equal(text(await mailbox.next()), "c", "the requeued one stands first in line");
      await settle(channel, queue);
      assert.deepEqual(mailbox.unread, []);
    }),
  );

  test(
    "prefetch is each consumer's own, and holds for consumers that follow",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, Array(10).fill("x"));
      await channel.prefetch(1);
      const first = await consume(channel, queue);
      await first.mailbox.next();
      await channel.prefetch(2);
      const second = await consume(channel, queue);
      await second.mailbox.take(2);
      await settle(channel, queue);
      assert.deepEqual([first.mailbox.unread.length, second.mailbox.unread.length], [0, 0]);
    }),
  );

  test(
    "a global prefetch is shared by the channel's consumers",
    bench.scenario(async (bed) => {
      const { connection, queue } = await filledQueue(bed, Array(10).fill("x"));
      const channel = await connection.createChannel();
      await channel.prefetch(3, true);
      const consumers = [await consume(channel, queue), await consume(channel, queue)];
      const held = () => consumers.reduce((sum, each) => sum + each.mailbox.unread.length, 0);
      await settle(channel, queue);
      await settle(channel, queue);
      assert.equal(held(), 3);
      channel.ackAll();
      await settle(channel, queue);
      await settle(channel, queue);
      assert.equal(held(), 6);
    }),
  );

  test(
    "prefetch does not hold back gets or noAck consumers",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, Array(10).fill("x"));
      await channel.prefetch(1);
      for (let i = 0; i < 4; i++) await getMessage(channel, queue, {});
      const { mailbox } = await consume(channel, queue, { noAck: true });
      await mailbox.take(6);
    }),
  );

  test(
    "work is spread: round robin among consumers, and none to the busy",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, []);
      const consumers: Consumer[] = [];
      for (let i = 0; i < 3; i++) {
        consumers.push(await consume(await connection.createChannel(), queue, { noAck: true }));
      }
      for (let i = 0; i < 9; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
      const bodies = [];
      for (const { mailbox } of consumers) bodies.push((await mailbox.take(3)).map(text));
      assert.deepEqual(bodies, [
        ["0", "3", "6"],
        ["1", "4", "7"],
        ["2", "5", "8"],
      ]);
    }),
  );
});

describe("consumers", () => {
  test(
    "a consumer tag is the client's to choose, and unique on its channel",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, []);
      assert.equal((await consume(channel, queue, { consumerTag: "mine" })).tag, "mine");
      const other = await connection.createChannel();
      assert.equal((await consume(other, queue, { consumerTag: "mine" })).tag, "mine");
      await assertConnectionClosed(
        connection,
        () => channel.consume(queue, () => {}, { consumerTag: "mine" }),
        { code: 530, text: "NOT_ALLOWED - attempt to reuse consumer tag 'mine'" },
      );
    }),
  );

  test(
    "a cancelled consumer gets no more, keeps what it holds, and frees its tag",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, ["a"]);
      const { mailbox } = await consume(channel, queue, { consumerTag: "tag" });
      const a = await mailbox.next();
      assert.deepEqual(await channel.cancel("tag"), { consumerTag: "tag" });
      channel.sendToQueue(queue, Buffer.from("b"));
      await channel.waitForConfirms();
      assert.equal((await channel.checkQueue(queue)).messageCount, 1);
      channel.ack(a);
      const second = await consume(channel, queue, { consumerTag: "tag" });
      assert.equal(text(await second.mailbox.next()), "b");
      assert.deepEqual(mailbox.unread, []);
      await channel.cancel("never-existed");
    }),
  );

  test(
    "an exclusive consumer keeps others out, and is kept out by others",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, []);
      const inUse = {
        code: 403,
        text: `ACCESS_REFUSED - queue '${queue}' in vhost '${vhost}' in exclusive use`,
        blames: [60, 20] as const,
      };
      const { tag } = await consume(channel, queue, { exclusive: true });
      const second = await connection.createChannel();
      await assertChannelClosed(second, () => second.consume(queue, () => {}), inUse);
      await channel.cancel(tag);
      await consume(channel, queue);
      const third = await connection.createChannel();
      await assertChannelClosed(
        third,
        () => third.consume(queue, () => {}, { exclusive: true }),
        inUse,
      );
    }),
  );

  test(
    "higher priorities are served first, until they are full",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, []);
      const low = await connection.createChannel();
      const high = await connection.createChannel();
      await low.prefetch(2);
      await high.prefetch(2);
      const lower = await consume(low, queue, { priority: -1 });
      const higher = await consume(high, queue, { priority: 10 });
      for (let i = 0; i < 4; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
      assert.deepEqual((await higher.mailbox.take(2)).map(text), ["0", "1"]);
      const overflow = await lower.mailbox.take(2);
      assert.deepEqual(overflow.map(text), ["2", "3"]);
      high.ackAll();
      await settle(high, queue);
      channel.sendToQueue(queue, Buffer.from("4"));
      assert.equal(text(await higher.mailbox.next()), "4");
    }),
  );

  test(
    "a single active consumer serves alone, and is succeeded in order",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, ["a"], {
        arguments: { "x-single-active-consumer": true },
      });
      const channels = [
        await connection.createChannel(),
        await connection.createChannel(),
        await connection.createChannel(),
      ] as const;
      const consumers: Consumer[] = [];
      for (const each of channels) consumers.push(await consume(each, queue, { noAck: true }));
      const [first, second, third] = consumers as [Consumer, Consumer, Consumer];
      assert.equal(text(await first.mailbox.next()), "a");
      channel.sendToQueue(queue, Buffer.from("b"));
      assert.equal(text(await first.mailbox.next()), "b");
      await channels[0].cancel(first.tag);
      channel.sendToQueue(queue, Buffer.from("c"));
      assert.equal(text(await second.mailbox.next()), "c");
      await channels[1].close();
      channel.sendToQueue(queue, Buffer.from("d"));
      assert.equal(text(await third.mailbox.next()), "d");
      assert.deepEqual(
        [first, second, third].map((each) => each.mailbox.unread.length),
        [0, 0, 0],
      );
    }),
  );

  test(
    "a queue with a single active consumer takes no exclusive consumers",
    bench.scenario(async (bed) => {
      const { connection, queue } = await filledQueue(bed, [], {
        arguments: { "x-single-active-consumer": true },
      });
      const second = await connection.createChannel();
      await assertChannelClosed(
        second,
        () => second.consume(queue, () => {}, { exclusive: true }),
        {
          code: 403,
          text: `ACCESS_REFUSED - queue '${queue}' in vhost '${vhost}' in exclusive use`,
          blames: [60, 20],
        },
      );
    }),
  );

  test(
    "noLocal is accepted and has no effect",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, []);
      const { mailbox } = await consume(channel, queue, { noLocal: true });
      channel.sendToQueue(queue, Buffer.from("own"));
      assert.equal(text(await mailbox.next()), "own");
    }),
  );

  test(
    "several consumers on one channel each get their own deliveries",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queues = [bed.name("one"), bed.name("two"), bed.name("three")];
      const consumers = [];
      for (const queue of queues) {
        await channel.assertQueue(queue);
        consumers.push(await consume(channel, queue));
      }
      for (let i = 0; i < 30; i++) {
        channel.sendToQueue(queues[i % 3] as string, Buffer.from(String(i)));
      }
      const tags = new Set<number>();
      for (const [index, { tag, mailbox }] of consumers.entries()) {
        for (const [turn, message] of (await mailbox.take(10)).entries()) {
          assert.equal(text(message), String(turn * 3 + index));
          assert.equal(message.fields.consumerTag, tag);
          tags.add(message.fields.deliveryTag);
        }
      }
      assert.equal(tags.size, 30, "delivery tags are unique on the channel");
    }),
  );
});

describe("direct reply-to", () => {
  test(
    "a server answers through amq.rabbitmq.reply-to without a reply queue",
    bench.scenario(async (bed) => {
      const queue = bed.name("requests");
      const server = await openChannel(bed);
      await server.assertQueue(queue);
      await server.consume(queue, (request) => {
        assert.ok(request);
        const { replyTo, correlationId } = request.properties;
        assert.match(replyTo, /^amq\.rabbitmq\.reply-to\..+/);
        server.sendToQueue(replyTo, Buffer.from(`re: ${text(request)}`), { correlationId });
        server.ack(request);
      });
      const client = await openChannel(bed);
      const { mailbox } = await consume(client, "amq.rabbitmq.reply-to", { noAck: true });
      for (const correlationId of ["1", "2", "3"]) {
        client.sendToQueue(queue, Buffer.from(correlationId), {
          correlationId,
          replyTo: "amq.rabbitmq.reply-to",
        });
      }
      const replies = await mailbox.take(3);
      assert.deepEqual(
        replies.map((reply) => [text(reply), reply.properties.correlationId]),
        [
          ["re: 1", "1"],
          ["re: 2", "2"],
          ["re: 3", "3"],
        ],
      );
      assert.equal(replies[0]?.fields.exchange, "");
    }),
  );

  test(
    "misuse is refused, each with its own words",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const queue = "amq.rabbitmq.reply-to";
      const needsNoAck = await connection.createChannel();
      await assertChannelClosed(needsNoAck, () => needsNoAck.consume(queue, () => {}), {
        code: 406,
        text: "PRECONDITION_FAILED - reply consumer cannot acknowledge",
        blames: [60, 20],
      });
      const twice = await connection.createChannel();
      await consume(twice, queue, { noAck: true });
      await assertChannelClosed(twice, () => twice.consume(queue, () => {}, { noAck: true }), {
        code: 406,
        text: "PRECONDITION_FAILED - reply consumer already set",
        blames: [60, 20],
      });
      const requester = await connection.createChannel();
      await assertChannelClosed(
        requester,
        () => requester.sendToQueue("anywhere", Buffer.from("x"), { replyTo: queue }),
        {
          code: 406,
          text: "PRECONDITION_FAILED - fast reply consumer does not exist",
          blames: [60, 40],
        },
      );
    }),
  );

  test(
    "a reply to a requester that has gone is dropped, or returned if mandatory",
    bench.scenario(async (bed) => {
      const queue = bed.name("requests");
      const server = await openConfirmChannel(bed);
      await server.assertQueue(queue);
      const clientConnection = await openConnection(bed);
      const client = await clientConnection.createConfirmChannel();
      await consume(client, "amq.rabbitmq.reply-to", { noAck: true });
      client.sendToQueue(queue, Buffer.from("?"), { replyTo: "amq.rabbitmq.reply-to" });
      await client.waitForConfirms();
      const { replyTo } = (await getMessage(server, queue)).properties;
      assert.deepEqual(await server.checkQueue(replyTo), {
        queue: replyTo,
        messageCount: 0,
        consumerCount: 1,
      });
      await clientConnection.close();
      const returned: string[] = [];
      server.on("return", (message) => returned.push(text(message)));
      server.sendToQueue(replyTo, Buffer.from("dropped"));
      server.sendToQueue(replyTo, Buffer.from("returned"), { mandatory: true });
      await server.waitForConfirms();
      assert.deepEqual(returned, ["returned"]);
    }),
  );
});
