// Goal: consumers are served in RabbitMQ's order and within their limits; what they owe goes back
// to where it stood, however they end.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isMethod, methodFrame, methodOf, type RawConnection } from "@haremq/testkit";
import { FieldTable } from "@haremq/wire";
import { delivered, deliveries, drain, get, publish } from "./messages.ts";
import { channelClose, reopenChannel, roundTrip, trace, VirtualBroker } from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

let queues = 0;

/** A connection with a fresh queue, with these messages in it. */
async function withQueue(
  bodies: readonly string[] = [],
  options: { arguments?: FieldTable; channels?: number[]; autoDelete?: boolean } = {},
): Promise<{ connection: RawConnection; queue: string }> {
  const connection = await broker.open({}, options.channels ?? [1]);
  const queue = `consuming-${++queues}`;
  const { autoDelete = false } = options;
  const args = options.arguments ?? new FieldTable();
  connection.send(1, "queue.declare", { queue, autoDelete, arguments: args });
  for (const body of bodies) publish(connection, queue, body);
  await roundTrip(connection);
  return { connection, queue };
}

function consume(
  connection: RawConnection,
  queue: string,
  consumerTag: string,
  options: { channel?: number; noAck?: boolean; priority?: number } = {},
): void {
  const { channel = 1, noAck = false, priority } = options;
  connection.send(channel, "basic.consume", {
    queue,
    consumerTag,
    noAck,
    arguments: FieldTable.from(priority === undefined ? {} : { "x-priority": priority }),
  });
}

describe("the order of answers", () => {
  test("basic.consume-ok comes before the first delivery", async () => {
    const { connection, queue } = await withQueue(["1", "2"]);
    const from = connection.frames.length;
    consume(connection, queue, "t");
    assert.deepEqual(await delivered(connection, 2, from), ["t1:1", "t2:2"]);
    assert.deepEqual(trace(connection, from).slice(0, 2), ["basic.consume-ok", "basic.deliver"]);
  });

  test("without an answer deliveries come all the same", async () => {
    const { connection, queue } = await withQueue(["1"]);
    connection.send(1, "basic.consume", { queue, nowait: true });
    const [first] = await delivered(connection, 1);
    assert.match(first ?? "", /^amq\.ctag-[\w-]{22}1:1$/);
    assert.ok(!trace(connection).includes("basic.consume-ok"));
  });

  test("queue.delete-ok comes before the cancellation of the channel's own consumers", async () => {
    const { connection, queue } = await withQueue();
    consume(connection, queue, "t");
    consume(connection, queue, "u");
    await connection.waitForMethod("basic.consume-ok");
    const from = connection.frames.length;
    connection.send(1, "queue.delete", { queue });
    await roundTrip(connection);
    await connection.waitUntil(() => connection.frames.length >= from + 4);
    assert.deepEqual(
      trace(connection, from).filter((name) => name !== "basic.consume-ok"),
      ["queue.delete-ok", "channel.flow-ok", "basic.cancel", "basic.cancel"],
    );
    const cancelled = connection.frames
      .slice(from)
      .flatMap(({ method }) => (method?.name === "basic.cancel" ? [method.args] : []));
    assert.deepEqual(cancelled, [
      { consumerTag: "t", nowait: true },
      { consumerTag: "u", nowait: true },
    ]);
  });

  test("who cannot be told of a cancellation is not", async () => {
    const { connection, queue } = await withQueue();
    const deaf = await broker.open({ capabilities: {} });
    consume(deaf, queue, "t");
    await deaf.waitForMethod("basic.consume-ok");
    connection.send(1, "queue.delete", { queue });
    await connection.waitForMethod("queue.delete-ok");
    await roundTrip(deaf);
    await broker.settle();
    assert.ok(!trace(deaf).includes("basic.cancel"));
  });

  test("a cancelled tag may be used again, by the client's will or the broker's", async () => {
    const { connection, queue } = await withQueue();
    consume(connection, queue, "t");
    connection.send(1, "basic.cancel", { consumerTag: "t" });
    consume(connection, queue, "t");
    connection.send(1, "queue.delete", { queue });
    connection.send(1, "queue.declare", { queue });
    consume(connection, queue, "t");
    publish(connection, queue, "x");
    assert.deepEqual(await delivered(connection, 1), ["t1:x"]);
    assert.deepEqual(
      trace(connection).filter((name) => /consume-ok|cancel|delete-ok/.test(name)),
      [
        "basic.consume-ok",
        "basic.cancel-ok",
        "basic.consume-ok",
        "queue.delete-ok",
        "basic.cancel",
        "basic.consume-ok",
      ],
    );
  });
});

describe("basic.cancel", () => {
  test("leaves what was delivered to be settled", async () => {
    const { connection, queue } = await withQueue(["1", "2", "3"]);
    connection.send(1, "basic.qos", { prefetchCount: 2 });
    consume(connection, queue, "t");
    await delivered(connection, 2);
    connection.send(1, "basic.cancel", { consumerTag: "t" });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    connection.send(1, "basic.nack", { deliveryTag: 2, requeue: true });
    await roundTrip(connection);
    assert.deepEqual(await drain(connection, queue), ["r2", "3"]);
  });

  test("of what is unknown succeeds", async () => {
    const { connection } = await withQueue();
    connection.send(1, "basic.cancel", { consumerTag: "zz" });
    assert.deepEqual(await connection.waitForMethod("basic.cancel-ok"), { consumerTag: "zz" });
  });

  test("of the last consumer takes an auto-delete queue along", async () => {
    const { connection, queue } = await withQueue([], { autoDelete: true });
    consume(connection, queue, "t");
    consume(connection, queue, "u");
    connection.send(1, "basic.cancel", { consumerTag: "t" });
    await roundTrip(connection);
    assert.ok(broker.vhost.queue(queue) !== undefined);
    connection.send(1, "basic.cancel", { consumerTag: "u" });
    await roundTrip(connection);
    assert.equal(broker.vhost.queue(queue), undefined);
    assert.ok(!trace(connection).includes("basic.cancel"));
  });
});

describe("prefetch", () => {
  test("is counted for each consumer by itself", async () => {
    const { connection, queue } = await withQueue(["1", "2", "3", "4", "5"]);
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    consume(connection, queue, "t");
    connection.send(1, "basic.qos", { prefetchCount: 2 });
    consume(connection, queue, "u");
    await roundTrip(connection);
    assert.deepEqual(await delivered(connection, 3), ["t1:1", "u2:2", "u3:3"]);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    await roundTrip(connection);
    assert.deepEqual((await delivered(connection, 4)).slice(3), ["t4:4"]);
    connection.send(1, "basic.ack", { deliveryTag: 3, multiple: true });
    assert.deepEqual((await delivered(connection, 5)).slice(4), ["u5:5"]);
  });

  test("does not bind consumers that were there before, nor basic.get, nor no-ack", async () => {
    const { connection, queue } = await withQueue(["1", "2", "3", "4"]);
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    assert.equal(await get(connection, queue, { noAck: false }), "1");
    assert.equal(await get(connection, queue, { noAck: false }), "2");
    consume(connection, queue, "t", { noAck: true });
    assert.deepEqual(await delivered(connection, 2), ["t3:3", "t4:4"]);
    connection.send(1, "basic.qos", { prefetchCount: 0 });
    consume(connection, queue, "u");
    connection.send(1, "basic.cancel", { consumerTag: "t" });
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    for (const body of ["5", "6"]) publish(connection, queue, body);
    assert.deepEqual((await delivered(connection, 4)).slice(2), ["u5:5", "u6:6"]);
  });

  test("that is shared limits the whole channel, and only it", async () => {
    const { connection, queue } = await withQueue(["1", "2", "3", "4", "5"], { channels: [1, 2] });
    connection.send(1, "basic.qos", { prefetchCount: 2, global: true });
    consume(connection, queue, "t");
    consume(connection, queue, "u");
    await roundTrip(connection);
    assert.deepEqual(await delivered(connection, 2), ["t1:1", "t2:2"]);
    consume(connection, queue, "v", { channel: 2 });
    await delivered(connection, 5);
    assert.deepEqual(deliveries(connection).slice(2), ["v1:3", "v2:4", "v3:5"]);
    for (const body of ["6", "7", "8"]) publish(connection, queue, body, { channel: 2 });
    await delivered(connection, 8);
    connection.send(2, "basic.cancel", { consumerTag: "v" });
    for (const body of ["9", "10", "11"]) publish(connection, queue, body, { channel: 2 });
    await roundTrip(connection, 2);
    assert.equal(deliveries(connection).length, 8);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    await delivered(connection, 9);
    connection.send(1, "basic.ack", { deliveryTag: 3, multiple: true });
    await delivered(connection, 11);
    assert.deepEqual(
      deliveries(connection)
        .slice(8)
        .map((text) => text.split(":")[1]),
      ["9", "10", "11"],
    );
  });

  test("that is shared is lifted by raising it, and by 0", async () => {
    const { connection, queue } = await withQueue(["1", "2", "3", "4"]);
    connection.send(1, "basic.qos", { prefetchCount: 1, global: true });
    consume(connection, queue, "t");
    await roundTrip(connection);
    assert.deepEqual(deliveries(connection), ["t1:1"]);
    connection.send(1, "basic.qos", { prefetchCount: 2, global: true });
    await roundTrip(connection);
    assert.deepEqual(deliveries(connection), ["t1:1", "t2:2"]);
    connection.send(1, "basic.qos", { prefetchCount: 0, global: true });
    await roundTrip(connection);
    assert.deepEqual(deliveries(connection), ["t1:1", "t2:2", "t3:3", "t4:4"]);
  });

  test("that is shared does not count what is pulled, and binds no-ack, too", async () => {
    const { connection, queue } = await withQueue(["1", "2", "3"]);
    connection.send(1, "basic.qos", { prefetchCount: 1, global: true });
    assert.equal(await get(connection, queue, { noAck: false }), "1");
    consume(connection, queue, "t");
    await delivered(connection, 1);
    consume(connection, queue, "u", { noAck: true });
    await roundTrip(connection);
    assert.deepEqual(await delivered(connection, 1), ["t2:2"]);
    connection.send(1, "basic.ack", { deliveryTag: 2 });
    assert.deepEqual(await delivered(connection, 2), ["t2:2", "t3:3"]);
  });
});

describe("whose turn it is", () => {
  test("goes round among equals", async () => {
    const { connection, queue } = await withQueue([], { channels: [1, 2] });
    consume(connection, queue, "t");
    consume(connection, queue, "u", { channel: 2 });
    consume(connection, queue, "v");
    await roundTrip(connection);
    for (const body of "123456") publish(connection, queue, body);
    const received = await delivered(connection, 6);
    assert.deepEqual(received.map((text) => text[0]).sort(), [..."ttuuvv"]);
    assert.deepEqual(
      received.map((text) => text.split(":")[1]),
      [..."123456"],
    );
  });

  test("passes over who has no credit, and comes back to who settles", async () => {
    const { connection, queue } = await withQueue();
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    consume(connection, queue, "t");
    consume(connection, queue, "u");
    for (const body of "1234") publish(connection, queue, body);
    await roundTrip(connection);
    assert.deepEqual(deliveries(connection), ["t1:1", "u2:2"]);
    connection.send(1, "basic.ack", { deliveryTag: 2 });
    await delivered(connection, 3);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    assert.deepEqual(await delivered(connection, 4), ["t1:1", "u2:2", "u3:3", "t4:4"]);
  });

  test("is asked for once, however many deliveries a chunk settles", async () => {
    const { connection, queue } = await withQueue();
    connection.send(1, "basic.qos", { prefetchCount: 50 });
    consume(connection, queue, "t");
    for (let index = 0; index < 100; index++) publish(connection, queue, `${index}`);
    await delivered(connection, 50);
    const served = broker.vhost.queue(queue)!;
    const { wake } = served;
    let wakes = 0;
    served.wake = (consumer) => {
      wakes++;
      wake.call(served, consumer);
    };
    const acks = [...Array(50).keys()].map((index) =>
      methodFrame(1, methodOf("basic.ack", { deliveryTag: index + 1 })),
    );
    connection.sendBytes(Buffer.concat(acks));
    const received = await delivered(connection, 100);
    assert.equal(received.at(-1), "t100:99");
    assert.equal(wakes, 1);
  });

  test("is the higher priority's as long as it has credit", async () => {
    const { connection, queue } = await withQueue();
    consume(connection, queue, "t");
    connection.send(1, "basic.qos", { prefetchCount: 2 });
    consume(connection, queue, "u", { priority: 10 });
    consume(connection, queue, "v", { priority: 5 });
    for (const body of "123456") publish(connection, queue, body);
    assert.deepEqual(await delivered(connection, 6), [
      "u1:1",
      "u2:2",
      "v3:3",
      "v4:4",
      "t5:5",
      "t6:6",
    ]);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    await roundTrip(connection);
    for (const body of "78") publish(connection, queue, body);
    assert.deepEqual((await delivered(connection, 8)).slice(6), ["u7:7", "t8:8"]);
  });

  test("is the single active consumer's until it goes", async () => {
    const args = FieldTable.from({ "x-single-active-consumer": true });
    const { connection, queue } = await withQueue([], { arguments: args, channels: [1, 2, 3] });
    consume(connection, queue, "t");
    consume(connection, queue, "u", { channel: 2, priority: 10 });
    consume(connection, queue, "v", { channel: 3 });
    await roundTrip(connection, 3);
    for (const body of "123") publish(connection, queue, body);
    assert.deepEqual(await delivered(connection, 3), ["t1:1", "t2:2", "t3:3"]);
    // It cancels: what it holds stays with it, what comes next is the successor's.
    connection.send(1, "basic.cancel", { consumerTag: "t" });
    publish(connection, queue, "4");
    await delivered(connection, 4);
    // Its channel goes: what it held goes to whoever is active now, in its old order.
    connection.send(1, "channel.close", { replyCode: 200 });
    assert.deepEqual((await delivered(connection, 7)).slice(3), [
      "u1:4",
      "u2r:1",
      "u3r:2",
      "u4r:3",
    ]);
    connection.send(2, "channel.close", { replyCode: 200 });
    assert.deepEqual((await delivered(connection, 11)).slice(7), [
      "v1r:1",
      "v2r:2",
      "v3r:3",
      "v4r:4",
    ]);
  });

  test("changes only after the cancellation has been answered", async () => {
    const args = FieldTable.from({ "x-single-active-consumer": true });
    const { connection, queue } = await withQueue([], { arguments: args });
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    consume(connection, queue, "t");
    consume(connection, queue, "u");
    for (const body of "12") publish(connection, queue, body);
    await delivered(connection, 1);
    const from = connection.frames.length;
    connection.send(1, "basic.cancel", { consumerTag: "t" });
    await delivered(connection, 1, from);
    assert.deepEqual(trace(connection, from), [
      "basic.cancel-ok",
      "basic.deliver",
      "header 1",
      "body 2",
    ]);
  });
});

describe("what goes back", () => {
  test("stands where it stood, marked as redelivered", async () => {
    const { connection, queue } = await withQueue([..."12345"]);
    for (const _ of "123") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.reject", { deliveryTag: 3, requeue: true });
    connection.send(1, "basic.nack", { deliveryTag: 1, requeue: true });
    await roundTrip(connection);
    assert.deepEqual(await drain(connection, queue), ["r1", "r3", "4", "5"]);
  });

  test("is dropped where that was asked for", async () => {
    const { connection, queue } = await withQueue([..."123"]);
    for (const _ of "123") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.reject", { deliveryTag: 1, requeue: false });
    connection.send(1, "basic.nack", { deliveryTag: 3, multiple: true, requeue: false });
    await roundTrip(connection);
    assert.deepEqual(await drain(connection, queue), []);
  });

  test("goes to consumers of its own channel, too", async () => {
    const { connection, queue } = await withQueue([..."12"]);
    connection.send(1, "basic.qos", { prefetchCount: 2 });
    consume(connection, queue, "t");
    await delivered(connection, 2);
    connection.send(1, "basic.nack", { deliveryTag: 2, requeue: true });
    await delivered(connection, 3);
    connection.send(1, "basic.nack", { deliveryTag: 1, requeue: true });
    assert.deepEqual(await delivered(connection, 4), ["t1:1", "t2:2", "t3r:2", "t4r:1"]);
  });

  const ends: [name: string, end: (connection: RawConnection) => Promise<void>][] = [
    [
      "with channel.close",
      async (connection) => {
        connection.send(1, "channel.close", { replyCode: 200 });
        await connection.waitForMethod("channel.close-ok");
      },
    ],
    [
      "with an error of the channel",
      async (connection) => {
        connection.send(1, "basic.ack", { deliveryTag: 77 });
        await channelClose(connection);
      },
    ],
    ["with connection.close", (connection) => connection.close()],
    [
      "with an error of the connection",
      async (connection) => {
        connection.send(0, "channel.open");
        await connection.waitForMethod("connection.close");
      },
    ],
    [
      "with the death of the connection",
      async (connection) => {
        connection.destroy();
        await broker.connectionsLeft(1);
      },
    ],
  ];
  for (const [name, end] of ends) {
    test(`in order ${name}, consumed or pulled`, async () => {
      await closeAll();
      const { connection, queue } = await withQueue([..."123456"]);
      const consumer = await broker.open();
      assert.equal(await get(consumer, queue, { noAck: false }), "1");
      consumer.send(1, "basic.qos", { prefetchCount: 3 });
      consume(consumer, queue, "t");
      await delivered(consumer, 3);
      consumer.send(1, "basic.ack", { deliveryTag: 3 });
      await delivered(consumer, 4);
      await end(consumer);
      assert.deepEqual(await drain(connection, queue), ["r1", "r2", "r4", "r5", "6"]);
    });
  }

  test("is not lost to a consumer without acknowledgements that ends with it", async () => {
    await closeAll();
    const { connection, queue } = await withQueue([..."123"]);
    const dying = await broker.open({}, [1, 2]);
    for (const _ of "123") await get(dying, queue, { noAck: false });
    consume(dying, queue, "lost", { channel: 2, noAck: true });
    await roundTrip(dying, 2);
    dying.destroy();
    await broker.connectionsLeft(1);
    assert.deepEqual(await drain(connection, queue), ["r1", "r2", "r3"]);
  });

  test("on basic.recover comes after recover-ok, from consumers and gets alike", async () => {
    const { connection, queue } = await withQueue([..."123"]);
    await get(connection, queue, { noAck: false });
    connection.send(1, "basic.qos", { prefetchCount: 2 });
    consume(connection, queue, "t");
    await delivered(connection, 2);
    const from = connection.frames.length;
    connection.send(1, "basic.recover", { requeue: true });
    assert.deepEqual(await delivered(connection, 2, from), ["t4r:1", "t5r:2"]);
    assert.equal(trace(connection, from)[0], "basic.recover-ok");
    connection.send(1, "basic.ack", { deliveryTag: 5, multiple: true });
    assert.deepEqual((await delivered(connection, 3, from)).slice(2), ["t6r:3"]);
  });

  test("on a channel opened anew has tags from 1 again", async () => {
    const { connection, queue } = await withQueue([..."12"]);
    await get(connection, queue, { noAck: false });
    connection.send(1, "channel.close", { replyCode: 200 });
    await connection.waitForMethod("channel.close-ok");
    await reopenChannel(connection);
    consume(connection, queue, "t");
    assert.deepEqual(await delivered(connection, 2), ["t1r:1", "t2:2"]);
  });

  test("to a queue that is gone is gone", async () => {
    const { connection, queue } = await withQueue([..."12"]);
    const live = broker.broker.messages.liveMessages;
    await get(connection, queue, { noAck: false });
    connection.send(1, "queue.delete", { queue });
    connection.send(1, "basic.nack", { deliveryTag: 1, requeue: true });
    await roundTrip(connection);
    assert.equal(broker.broker.messages.liveMessages, live - 2);
  });
});

describe("acknowledgements", () => {
  const unknown: [name: string, tag: number, multiple: boolean][] = [
    ["of a tag that was never delivered", 7, false],
    ["of 0", 0, false],
    ["of all up to a tag beyond the last", 5, true],
    ["of a tag far beyond the last", 2 ** 52, false],
  ];
  for (const [name, deliveryTag, multiple] of unknown) {
    test(`${name} are refused`, async () => {
      const { connection, queue } = await withQueue([..."1"]);
      await get(connection, queue, { noAck: false });
      connection.send(1, "basic.ack", { deliveryTag, multiple });
      assert.equal(
        await channelClose(connection),
        `406 PRECONDITION_FAILED - unknown delivery tag ${deliveryTag} (60.80)`,
      );
    });
  }

  test("twice of the same delivery are refused", async () => {
    const { connection, queue } = await withQueue([..."12"]);
    for (const _ of "12") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 2 });
    connection.send(1, "basic.ack", { deliveryTag: 2, multiple: true });
    assert.match(await channelClose(connection), /unknown delivery tag 2/);
  });

  test("of what another channel was delivered are refused", async () => {
    const { connection, queue } = await withQueue([..."1"], { channels: [1, 2] });
    await get(connection, queue, { noAck: false, channel: 2 });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    assert.match(await channelClose(connection), /unknown delivery tag 1/);
  });

  test("of 0 and all before settle everything, or nothing", async () => {
    const { connection, queue } = await withQueue([..."123"]);
    for (const _ of "123") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 0, multiple: true });
    connection.send(1, "basic.ack", { deliveryTag: 0, multiple: true });
    await roundTrip(connection);
    assert.equal(broker.vhost.queue(queue)?.unsettledCount, 0);
  });

  test("settle at once what the next method counts", async () => {
    const { connection, queue } = await withQueue([..."12"]);
    for (const _ of "12") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    connection.send(1, "queue.delete", { queue });
    await connection.waitFor((frame) => isMethod(frame, "queue.delete-ok"));
  });
});

/** Ends what earlier tests have left open, so that connections can be counted. */
async function closeAll(): Promise<void> {
  await broker.closeConnections();
  await broker.connectionsLeft(0);
}
