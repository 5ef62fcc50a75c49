/**
 * amqplib, queues: declaring, checking, deleting, purging, getting, and every way in which the
 * broker refuses to. The reply texts are RabbitMQ's own, to the letter.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  assertChannelClosed,
  consume,
  getMessage,
  openChannel,
  openConfirmChannel,
  openConnection,
  settle,
  text,
} from "./clients/amqplib-actions.ts";
import { nextEvent } from "./clients/deadline.ts";
import { openBench } from "./clients/test-bed.ts";

const bench = await openBench();
const vhost = bench.broker.vhost;
const queueDeclare = [50, 10] as const;
const queueDelete = [50, 40] as const;

describe("declaring queues", () => {
  test(
    "assertQueue answers with the name, and with counts that a later check confirms",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queue = bed.name("counted");
      assert.deepEqual(await channel.assertQueue(queue), {
        queue,
        messageCount: 0,
        consumerCount: 0,
      });
      for (const body of ["a", "b", "c"]) channel.sendToQueue(queue, Buffer.from(body));
      await channel.waitForConfirms();
      assert.deepEqual(await channel.checkQueue(queue), {
        queue,
        messageCount: 3,
        consumerCount: 0,
      });
      await channel.prefetch(1);
      const consumer = await consume(channel, queue);
      await consumer.mailbox.next();
      assert.deepEqual(
        await channel.assertQueue(queue),
        { queue, messageCount: 2, consumerCount: 1 },
        "an unacknowledged message is not counted as ready",
      );
    }),
  );

  test(
    "an empty name gets a generated one, which later empty names on the channel mean",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      assert.match(queue, /^amq\.gen-[A-Za-z0-9_-]{22}$/);
      channel.sendToQueue(queue, Buffer.from("for the latest queue"));
      await settle(channel, queue);
      assert.equal(text(await getMessage(channel, "")), "for the latest queue");
      const exchange = "amq.fanout";
      await channel.bindQueue("", exchange, "");
      const second = await channel.assertQueue("", { exclusive: true });
      assert.notEqual(second.queue, queue);
    }),
  );

  test(
    "an empty queue name before any declaration is refused",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      await assertChannelClosed(channel, () => channel.purgeQueue(""), {
        code: 404,
        text: "NOT_FOUND - no previously declared queue",
        blames: [50, 30],
      });
    }),
  );

  test(
    "redeclaring with the same properties succeeds as often as one likes",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const queue = bed.name("twice");
      const options = { durable: false, arguments: { "x-max-length": 5, "x-custom": "kept" } };
      await channel.assertQueue(queue, options);
      await channel.assertQueue(queue, options);
      await (await openChannel(bed)).assertQueue(queue, options);
    }),
  );

  const conflicts = [
    [
      "durable",
      { durable: false },
      { durable: true },
      "inequivalent arg 'durable' for Q: received 'true' but current is 'false'",
    ],
    [
      "auto_delete",
      { autoDelete: false },
      { autoDelete: true },
      "inequivalent arg 'auto_delete' for Q: received 'true' but current is 'false'",
    ],
    [
      "an added argument",
      {},
      { messageTtl: 60_000 },
      "inequivalent arg 'x-message-ttl' for Q: received the value '60000' of type 'signedint' but current is none",
    ],
    [
      "a dropped argument",
      { maxLength: 10 },
      {},
      "inequivalent arg 'x-max-length' for Q: received none but current is the value '10' of type 'byte'",
    ],
    [
      "a changed string argument",
      { deadLetterExchange: "one" },
      { deadLetterExchange: "two" },
      "inequivalent arg 'x-dead-letter-exchange' for Q: received 'two' but current is 'one'",
    ],
    [
      "a changed number argument",
      { expires: 60_000 },
      { expires: 70_000 },
      "inequivalent arg 'x-expires' for Q: received '70000' but current is '60000'",
    ],
  ] as const;
  for (const [what, first, then, explanation] of conflicts) {
    test(
      `redeclaring with a different property is refused: ${what}`,
      bench.scenario(async (bed) => {
        const connection = await openConnection(bed);
        const channel = await connection.createChannel();
        const queue = bed.name("conflict");
        await channel.assertQueue(queue, first);
        await assertChannelClosed(channel, () => channel.assertQueue(queue, then), {
          code: 406,
          text: refusal(explanation, queue),
          blames: queueDeclare,
        });
        const survivor = await connection.createChannel();
        assert.equal((await survivor.checkQueue(queue)).queue, queue, "the connection lives on");
      }),
    );
  }

  test(
    "an integer argument may be sent in any width when redeclaring",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const queue = bed.name("widths");
      await channel.assertQueue(queue, { maxLength: 100 });
      for (const type of ["int16", "int32", "int64"]) {
        await channel.assertQueue(queue, {
          arguments: { "x-max-length": { "!": type, value: 100 } },
        });
      }
    }),
  );

  test(
    "new names under the reserved prefix are refused",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      await assertChannelClosed(channel, () => channel.assertQueue("amq.mine"), {
        code: 403,
        text: "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'",
        blames: queueDeclare,
      });
    }),
  );

  const badArguments = [
    [
      { "x-message-ttl": "soon" },
      `invalid arg 'x-message-ttl' for Q: "expected integer, got longstr"`,
    ],
    [{ "x-message-ttl": -1 }, "invalid arg 'x-message-ttl' for Q: {value_negative,-1}"],
    [{ "x-expires": 0 }, "invalid arg 'x-expires' for Q: {value_zero,0}"],
    [{ "x-max-length": -5 }, "invalid arg 'x-max-length' for Q: {value_negative,-5}"],
    [{ "x-dead-letter-exchange": 7 }, "invalid type 'byte' for arg 'x-dead-letter-exchange' in Q"],
    [{ "x-max-priority": 300 }, "invalid arg 'x-max-priority' for Q: {max_value_exceeded,300}"],
    [{ "x-overflow": "explode" }, "invalid arg 'x-overflow' for Q: invalid_overflow"],
    [
      { "x-queue-mode": "eager" },
      `invalid arg 'x-queue-mode' for Q: "unsupported queue mode 'eager'"`,
    ],
    [
      { "x-single-active-consumer": "yes" },
      "invalid arg 'x-single-active-consumer' for Q: {unacceptable_type,longstr}",
    ],
  ] as const;
  for (const [argument, explanation] of badArguments) {
    test(
      `the argument ${JSON.stringify(argument)} is refused`,
      bench.scenario(async (bed) => {
        const channel = await openChannel(bed);
        const queue = bed.name("bad-argument");
        await assertChannelClosed(
          channel,
          () => channel.assertQueue(queue, { arguments: argument }),
          {
            code: 406,
            text: refusal(explanation, queue),
            blames: queueDeclare,
          },
        );
      }),
    );
  }
});

describe("exclusive, auto-delete and durable queues", () => {
  test(
    "an exclusive queue is locked to its connection, and goes with it",
    bench.scenario(async (bed) => {
      const owner = await openConnection(bed);
      const queue = bed.name("mine");
      await (await owner.createChannel()).assertQueue(queue, { exclusive: true });
      await (await owner.createChannel()).checkQueue(queue);

      const other = await openConnection(bed);
      const locked = {
        code: 405,
        text:
          `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}' in vhost '${vhost}'. ` +
          "It could be originally declared on another connection or the exclusive property value " +
          "does not match that of the original declaration.",
      };
      type Act = (channel: Awaited<ReturnType<typeof openChannel>>) => Promise<unknown>;
      const acts: [string, readonly [number, number], Act][] = [
        ["check", queueDeclare, (channel) => channel.checkQueue(queue)],
        ["declare", queueDeclare, (channel) => channel.assertQueue(queue, { exclusive: true })],
        ["delete", queueDelete, (channel) => channel.deleteQueue(queue)],
        ["purge", [50, 30], (channel) => channel.purgeQueue(queue)],
        ["bind", [50, 20], (channel) => channel.bindQueue(queue, "amq.direct", "k")],
        ["consume", [60, 20], (channel) => channel.consume(queue, () => {})],
        ["get", [60, 70], (channel) => channel.get(queue)],
      ];
      for (const [, blames, act] of acts) {
        const channel = await other.createChannel();
        await assertChannelClosed(channel, () => act(channel), { ...locked, blames });
      }

      const publisher = await other.createConfirmChannel();
      publisher.sendToQueue(queue, Buffer.from("anyone may publish to it"));
      await publisher.waitForConfirms();

      await owner.close();
      const channel = await other.createChannel();
      await assertChannelClosed(channel, () => channel.checkQueue(queue), {
        code: 404,
        text: `NOT_FOUND - no queue '${queue}' in vhost '${vhost}'`,
        blames: queueDeclare,
      });
    }),
  );

  test(
    "a queue cannot be made exclusive, or shared, by redeclaring it",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const shared = bed.name("shared");
      const channel = await connection.createChannel();
      await channel.assertQueue(shared);
      await assertChannelClosed(channel, () => channel.assertQueue(shared, { exclusive: true }), {
        code: 405,
        text:
          `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${shared}' in vhost '${vhost}'. ` +
          "It could be originally declared on another connection or the exclusive property value " +
          "does not match that of the original declaration.",
        blames: queueDeclare,
      });
    }),
  );

  test(
    "an auto-delete queue survives until its last consumer goes",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createChannel();
      const queue = bed.name("short-lived");
      await channel.assertQueue(queue, { autoDelete: true });
      const first = await consume(channel, queue);
      const secondChannel = await connection.createChannel();
      await consume(secondChannel, queue);
      await channel.cancel(first.tag);
      assert.equal((await channel.checkQueue(queue)).consumerCount, 1);
      await secondChannel.close();
      await assertChannelClosed(channel, () => channel.checkQueue(queue), {
        code: 404,
        text: `NOT_FOUND - no queue '${queue}' in vhost '${vhost}'`,
      });
    }),
  );

  test(
    "an auto-delete queue that never had a consumer stays",
    bench.scenario(async (bed) => {
      const queue = bed.name("patient");
      const connection = await openConnection(bed);
      await (await connection.createChannel()).assertQueue(queue, { autoDelete: true });
      await connection.close();
      await (await openChannel(bed)).checkQueue(queue);
    }),
  );
});

describe("deleting and purging queues", () => {
  test(
    "deleteQueue tells how many messages went with it, and may be repeated",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queue = bed.name("doomed");
      await channel.assertQueue(queue);
      channel.sendToQueue(queue, Buffer.from("1"));
      channel.sendToQueue(queue, Buffer.from("2"));
      await channel.waitForConfirms();
      assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 2 });
      assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
    }),
  );

  test(
    "ifUnused and ifEmpty protect a queue",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createConfirmChannel();
      const queue = bed.name("protected");
      await channel.assertQueue(queue);
      channel.sendToQueue(queue, Buffer.from("precious"));
      await channel.waitForConfirms();
      const empties = await connection.createChannel();
      await assertChannelClosed(empties, () => empties.deleteQueue(queue, { ifEmpty: true }), {
        code: 406,
        text: `PRECONDITION_FAILED - queue '${queue}' in vhost '${vhost}' not empty`,
        blames: queueDelete,
      });
      const consumer = await consume(channel, queue, { noAck: true });
      assert.equal(text(await consumer.mailbox.next()), "precious");
      const unused = await connection.createChannel();
      await assertChannelClosed(unused, () => unused.deleteQueue(queue, { ifUnused: true }), {
        code: 406,
        text: `PRECONDITION_FAILED - queue '${queue}' in vhost '${vhost}' in use`,
        blames: queueDelete,
      });
      await channel.cancel(consumer.tag);
      await channel.deleteQueue(queue, { ifUnused: true, ifEmpty: true });
    }),
  );

  test(
    "purgeQueue counts and removes what is ready, and leaves what is out for acknowledgement",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createConfirmChannel();
      const queue = bed.name("purged");
      await channel.assertQueue(queue);
      for (let i = 0; i < 5; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
      await channel.waitForConfirms();
      const held = await connection.createChannel();
      assert.equal(text(await getMessage(held, queue, {})), "0");
      assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 4 });
      await held.close();
      const returned = await getMessage(channel, queue);
      assert.equal(text(returned), "0");
      assert.equal(returned.fields.redelivered, true);
      assert.equal(await channel.get(queue), false);
    }),
  );

  test(
    "purging, checking, getting from and consuming from a missing queue is a 404",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const queue = bed.name("absent");
      const gone = { code: 404, text: `NOT_FOUND - no queue '${queue}' in vhost '${vhost}'` };
      type Act = (channel: Awaited<ReturnType<typeof openChannel>>) => Promise<unknown>;
      const acts: [readonly [number, number], Act][] = [
        [[50, 30], (channel) => channel.purgeQueue(queue)],
        [queueDeclare, (channel) => channel.checkQueue(queue)],
        [[60, 70], (channel) => channel.get(queue)],
        [[60, 20], (channel) => channel.consume(queue, () => {})],
        [[50, 20], (channel) => channel.bindQueue(queue, "amq.direct", "k")],
      ];
      for (const [blames, act] of acts) {
        const channel = await connection.createChannel();
        await assertChannelClosed(channel, () => act(channel), { ...gone, blames });
      }
    }),
  );

  test(
    "deleting a queue cancels its consumers, and each client hears of it",
    bench.scenario(async (bed) => {
      const queue = bed.name("cancelled");
      const channel = await openChannel(bed);
      await channel.assertQueue(queue);
      const mine = await consume(channel, queue);
      const other = await openChannel(bed);
      const theirs = await consume(other, queue);
      const heard = nextEvent<[{ consumerTag: string }]>(other, "cancel");
      await channel.deleteQueue(queue);
      await mine.cancelled;
      await theirs.cancelled;
      assert.equal((await heard)[0].consumerTag, theirs.tag);
    }),
  );
});

describe("basic.get", () => {
  test(
    "get answers false on an empty queue, then messages with what remains",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queue = bed.name("polled");
      await channel.assertQueue(queue);
      assert.equal(await channel.get(queue), false);
      for (const body of ["one", "two"]) channel.sendToQueue(queue, Buffer.from(body));
      await channel.waitForConfirms();
      const first = await getMessage(channel, queue, {});
      assert.equal(text(first), "one");
      assert.deepEqual(first.fields, {
        deliveryTag: 1,
        redelivered: false,
        exchange: "",
        routingKey: queue,
        messageCount: 1,
      });
      const second = await getMessage(channel, queue);
      assert.deepEqual([second.fields.deliveryTag, second.fields.messageCount], [2, 0]);
      channel.ack(first);
      assert.equal(await channel.get(queue), false);
      assert.equal((await channel.deleteQueue(queue)).messageCount, 0);
    }),
  );

  test(
    "gets may be pipelined and are answered in order",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queue = bed.name("pipelined");
      await channel.assertQueue(queue);
      for (let i = 0; i < 20; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
      await channel.waitForConfirms();
      const all = await Promise.all(
        Array.from({ length: 22 }, () => channel.get(queue, { noAck: true })),
      );
      const bodies = all.map((message) => (message ? text(message) : false));
      assert.deepEqual(bodies, [...Array.from({ length: 20 }, (_, i) => String(i)), false, false]);
    }),
  );
});

/** A 406 text, with the queue put where the explanation has a Q. */
function refusal(explanation: string, queue: string): string {
  const resource = `queue '${queue}' in vhost '${vhost}'`;
  return `PRECONDITION_FAILED - ${explanation.replace("Q", resource)}`;
}
