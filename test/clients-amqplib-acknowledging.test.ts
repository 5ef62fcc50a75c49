/**
 * amqplib, acknowledgements: ack, nack, reject and recover in every form, what comes back and in
 * which order, and which tags the broker refuses.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ConsumeMessage } from "amqplib";
import {
  assertChannelClosed,
  consume,
  filledQueue,
  getMessage,
  openChannel,
  settle,
  text,
} from "./clients/amqplib-actions.ts";
import { openBench } from "./clients/test-bed.ts";

const bench = await openBench();

describe("acknowledging", () => {
  test(
    "deliveries carry their fields, and tags count from 1",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, ["a", "b"]);
      const { tag, mailbox } = await consume(channel, queue);
      assert.match(tag, /^amq\.ctag-[A-Za-z0-9_-]{22}$/);
      const [first, second] = (await mailbox.take(2)) as [ConsumeMessage, ConsumeMessage];
      assert.deepEqual(first.fields, {
        consumerTag: tag,
        deliveryTag: 1,
        redelivered: false,
        exchange: "",
        routingKey: queue,
      });
      assert.equal(second.fields.deliveryTag, 2);
    }),
  );

  test(
    "what is acknowledged is gone, what is not returns in order, redelivered",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, ["a", "b", "c", "d"]);
      const worker = await connection.createChannel();
      const { mailbox } = await consume(worker, queue);
      const [, b] = await mailbox.take(4);
      worker.ack(b as ConsumeMessage);
      await worker.close();
      const { mailbox: second } = await consume(channel, queue);
      const again = await second.take(3);
      assert.deepEqual(again.map(text), ["a", "c", "d"]);
      assert.deepEqual(
        again.map((message) => message.fields.redelivered),
        [true, true, true],
      );
    }),
  );

  test(
    "unacknowledged messages come back when the connection breaks off",
    bench.scenario(async (bed) => {
      const { connection, queue } = await filledQueue(bed, ["a", "b"]);
      const { mailbox } = await consume(await connection.createChannel(), queue);
      await mailbox.take(2);
      await connection.close();
      const channel = await openChannel(bed);
      const { mailbox: second } = await consume(channel, queue);
      assert.deepEqual((await second.take(2)).map(text), ["a", "b"]);
    }),
  );

  test(
    "ack with allUpTo covers earlier deliveries only",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, ["a", "b", "c"]);
      const worker = await connection.createChannel();
      const { mailbox } = await consume(worker, queue);
      const [, b] = await mailbox.take(3);
      worker.ack(b as ConsumeMessage, true);
      await worker.close();
      assert.equal(text(await getMessage(channel, queue)), "c");
      assert.equal(await channel.get(queue), false);
    }),
  );

  test(
    "ackAll and nackAll cover the channel, and are no error when there is nothing",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, ["a", "b", "c", "d"]);
      const worker = await connection.createChannel();
      await worker.prefetch(2);
      const { tag, mailbox } = await consume(worker, queue);
      await mailbox.take(2);
      worker.ackAll();
      assert.deepEqual((await mailbox.take(2)).map(text), ["c", "d"]);
      await worker.cancel(tag);
      worker.nackAll(true);
      await settle(worker, queue);
      assert.equal((await channel.checkQueue(queue)).messageCount, 2);
      await getMessage(worker, queue, {});
      worker.nackAll(false);
      worker.ackAll();
      worker.nackAll();
      await settle(worker, queue);
      assert.equal((await channel.checkQueue(queue)).messageCount, 1);
      assert.equal(text(await getMessage(channel, queue)), "d");
    }),
  );

  test(
    "nack and reject with requeue put messages back where they were",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, ["a", "b", "c", "d"]);
      const a = await getMessage(channel, queue, {});
      const b = await getMessage(channel, queue, {});
      const c = await getMessage(channel, queue, {});
      channel.nack(b, false, true);
      channel.reject(c, true);
      channel.nack(a);
      const order = [];
      for (let i = 0; i < 4; i++) {
        const message = await getMessage(channel, queue);
        order.push([text(message), message.fields.redelivered]);
      }
      assert.deepEqual(order, [
        ["a", true],
        ["b", true],
        ["c", true],
        ["d", false],
      ]);
    }),
  );

  test(
    "nack and reject without requeue drop, singly and in ranges",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, ["a", "b", "c", "d", "e"]);
      channel.reject(await getMessage(channel, queue, {}), false);
      await getMessage(channel, queue, {});
      const c = await getMessage(channel, queue, {});
      await getMessage(channel, queue, {});
      channel.nack(c, true, false);
      await channel.recover();
      assert.equal(text(await getMessage(channel, queue)), "d");
      assert.equal(text(await getMessage(channel, queue)), "e");
      assert.equal(await channel.get(queue), false);
    }),
  );

  test(
    "recover brings everything unacknowledged back",
    bench.scenario(async (bed) => {
      const { channel, queue } = await filledQueue(bed, ["a", "b"]);
      const { mailbox } = await consume(channel, queue);
      assert.deepEqual((await mailbox.take(2)).map(text), ["a", "b"]);
      await channel.recover();
      const again = await mailbox.take(2);
      assert.deepEqual(
        again.map((message) => [text(message), message.fields]),
        ["a", "b"].map((body, i) => [
          body,
          { ...again[i]?.fields, deliveryTag: i + 3, redelivered: true },
        ]),
      );
    }),
  );

  const invalid: [string, number, boolean][] = [
    ["an unknown tag", 99, false],
    ["a tag of zero", 0, false],
    ["an unknown tag for a range", 99, true],
  ];
  for (const [what, deliveryTag, multiple] of invalid) {
    test(
      `acknowledging ${what} closes the channel`,
      bench.scenario(async (bed) => {
        const channel = await openChannel(bed);
        const message = { fields: { deliveryTag } } as ConsumeMessage;
        const text = `PRECONDITION_FAILED - unknown delivery tag ${deliveryTag}`;
        await assertChannelClosed(channel, () => channel.ack(message, multiple), {
          code: 406,
          text,
          blames: [60, 80],
        });
        const second = await openChannel(bed);
        await assertChannelClosed(second, () => second.nack(message, multiple), {
          code: 406,
          text,
          blames: [60, 120],
        });
      }),
    );
  }

  test(
    "acknowledging twice, or what noAck already settled, closes the channel",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, ["a", "b"]);
      const message = await getMessage(channel, queue, {});
      channel.ack(message);
      await assertChannelClosed(channel, () => channel.ack(message), {
        code: 406,
        text: "PRECONDITION_FAILED - unknown delivery tag 1",
      });
      const second = await connection.createChannel();
      const settled = await getMessage(second, queue, { noAck: true });
      await assertChannelClosed(second, () => second.reject(settled), {
        code: 406,
        text: "PRECONDITION_FAILED - unknown delivery tag 1",
        blames: [60, 90],
      });
    }),
  );

  test(
    "a tag belongs to its channel",
    bench.scenario(async (bed) => {
      const { connection, channel, queue } = await filledQueue(bed, ["a"]);
      const other = await connection.createChannel();
      const message = await getMessage(channel, queue, {});
      await assertChannelClosed(other, () => other.ack(message), {
        code: 406,
        text: "PRECONDITION_FAILED - unknown delivery tag 1",
      });
      channel.ack(message);
      await settle(channel, queue);
    }),
  );
});
