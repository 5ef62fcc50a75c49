// Goal: what a transaction gathers happens at its commit, all of it and in order, or not at all.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { delivered, deliveries, drain, get, messages, publish } from "./messages.ts";
import { channelClose, roundTrip, trace, VirtualBroker } from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

let queues = 0;

/** A transactional channel 1, a plain channel 2, and a fresh queue with these messages. */
async function inTransaction(bodies: readonly string[] = []) {
  const connection = await broker.open({}, [1, 2]);
  const queue = `transactions-${++queues}`;
  connection.send(2, "queue.declare", { queue });
  for (const body of bodies) publish(connection, queue, body, { channel: 2 });
  await roundTrip(connection, 2);
  connection.send(1, "tx.select");
  await connection.waitForMethod("tx.select-ok");
  const drained = async () => {
    const found: string[] = [];
    for (;;) {
      const body = await get(connection, queue, { channel: 2 });
      if (body === undefined) return found;
      found.push(body);
    }
  };
  return { connection, queue, drained };
}

describe("tx", () => {
  test("publishes at commit, in order", async () => {
    const { connection, queue, drained } = await inTransaction();
    const live = broker.broker.messages.liveMessages;
    for (const body of "123") publish(connection, queue, body);
    await roundTrip(connection);
    assert.deepEqual(await drained(), []);
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(await drained(), ["1", "2", "3"]);
    connection.send(1, "tx.commit");
    await roundTrip(connection);
    assert.deepEqual(await drained(), [], "a commit is over when it is over");
    assert.equal(broker.broker.messages.liveMessages, live);
  });

  test("publishes nothing that was rolled back", async () => {
    const { connection, queue, drained } = await inTransaction();
    const live = broker.broker.messages.liveMessages;
    publish(connection, queue, "undone");
    publish(connection, "nowhere", "undone", { mandatory: true });
    connection.send(1, "tx.rollback");
    await connection.waitForMethod("tx.rollback-ok");
    publish(connection, queue, "done");
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(await drained(), ["done"]);
    assert.ok(!trace(connection).includes("basic.return"));
    assert.equal(broker.broker.messages.liveMessages, live);
  });

  test("copies what it keeps: later input does not change it", async () => {
    const { connection, queue, drained } = await inTransaction();
    for (let i = 0; i < 200; i++) publish(connection, queue, `message ${i}`);
    publish(connection, "nowhere", "x".repeat(100_000));
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(
      await drained(),
      Array.from({ length: 200 }, (_, i) => `message ${i}`),
    );
  });

  test("returns what is unroutable before commit-ok, and not sooner than the commit", async () => {
    const { connection } = await inTransaction();
    publish(connection, "nowhere", "x", { mandatory: true });
    await roundTrip(connection);
    assert.ok(!trace(connection).includes("basic.return"));
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(trace(connection, 0, 1).slice(-4), [
      "basic.return",
      "header 1",
      "body x",
      "tx.commit-ok",
    ]);
  });

  test("returns what became unroutable before the commit", async () => {
    const { connection, queue } = await inTransaction();
    publish(connection, queue, "late", { mandatory: true });
    connection.send(1, "queue.delete", { queue });
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(
      messages(connection).map(({ method, body }) => [method.name, `${body}`]),
      [["basic.return", "late"]],
    );
  });

  test("refuses at once what would be refused without it", async () => {
    const { connection } = await inTransaction();
    publish(connection, "k", "x", { exchange: "nope" });
    assert.match(await channelClose(connection), /^404 NOT_FOUND - no exchange 'nope'/);
  });

  test("acknowledges at commit", async () => {
    const { connection, queue, drained } = await inTransaction(["1", "2", "3"]);
    for (const _ of "12") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 2, multiple: true });
    await roundTrip(connection);
    assert.equal(broker.vhost.queue(queue)?.unsettledCount, 2);
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.equal(broker.vhost.queue(queue)?.unsettledCount, 0);
    assert.deepEqual(await drained(), ["3"]);
  });

  test("owes again what was acknowledged and rolled back, by its old tag", async () => {
    const { connection, queue, drained } = await inTransaction(["1", "2", "3"]);
    for (const _ of "123") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 3 });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    connection.send(1, "tx.rollback");
    connection.send(1, "basic.ack", { deliveryTag: 2, multiple: true });
    connection.send(1, "tx.commit");
    connection.send(1, "basic.nack", { deliveryTag: 3, requeue: true });
    connection.send(1, "tx.commit");
    await roundTrip(connection);
    assert.deepEqual(await drained(), ["r3"]);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    assert.match(await channelClose(connection), /unknown delivery tag 1/);
  });

  test("requeues at commit, where it stood", async () => {
    const { connection, queue, drained } = await inTransaction(["1", "2", "3"]);
    for (const _ of "12") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.nack", { deliveryTag: 2, multiple: true, requeue: true });
    await roundTrip(connection);
    assert.equal(broker.vhost.queue(queue)?.readyCount, 1);
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(await drained(), ["r1", "r2", "3"]);
  });

  test("takes an acknowledgement once", async () => {
    const { connection, queue } = await inTransaction(["1"]);
    await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    assert.match(await channelClose(connection), /unknown delivery tag 1/);
  });

  test("gives credit back at commit", async () => {
    const { connection, queue } = await inTransaction(["1", "2"]);
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    connection.send(1, "basic.consume", { queue, consumerTag: "t" });
    await delivered(connection, 1);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    await roundTrip(connection);
    assert.deepEqual(deliveries(connection), ["t1:1"]);
    connection.send(1, "tx.commit");
    assert.deepEqual(await delivered(connection, 2), ["t1:1", "t2:2"]);
  });

  test("does not recover what it has acknowledged", async () => {
    const { connection, queue, drained } = await inTransaction(["1", "2"]);
    for (const _ of "12") await get(connection, queue, { noAck: false });
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    connection.send(1, "basic.recover", { requeue: true });
    await roundTrip(connection);
    assert.deepEqual(await drained(), ["r2"]);
    connection.send(1, "tx.commit");
    await roundTrip(connection);
    assert.equal(broker.vhost.queue(queue)?.unsettledCount, 0);
  });

  for (const [name, end] of [
    ["its channel", "channel"],
    ["its connection", "connection"],
  ] as const) {
    test(`ends with ${name} as if it were rolled back`, async () => {
      const live = broker.broker.messages.liveMessages;
      const { connection, queue } = await inTransaction(["1", "2"]);
      const other = await broker.open();
      for (const _ of "12") await get(connection, queue, { noAck: false });
      connection.send(1, "basic.ack", { deliveryTag: 1 });
      publish(connection, queue, "unborn");
      await roundTrip(connection);
      if (end === "channel") {
        connection.send(1, "channel.close", { replyCode: 200 });
        await connection.waitForMethod("channel.close-ok");
      } else {
        await connection.close();
      }
      assert.deepEqual(await drain(other, queue), ["r1", "r2"]);
      assert.equal(broker.broker.messages.liveMessages, live);
    });
  }

  test("must be selected before it is ended, and not beside confirms", async () => {
    const connection = await broker.open({}, [1, 2, 3]);
    connection.send(1, "tx.commit");
    connection.send(2, "tx.rollback");
    connection.send(3, "tx.select");
    connection.send(3, "tx.select");
    connection.send(3, "confirm.select");
    const failed = "406 PRECONDITION_FAILED - ";
    assert.equal(
      await channelClose(connection, 1),
      `${failed}channel is not transactional (90.20)`,
    );
    assert.equal(
      await channelClose(connection, 2),
      `${failed}channel is not transactional (90.30)`,
    );
    assert.equal(
      await channelClose(connection, 3),
      `${failed}cannot switch from tx to confirm mode (85.10)`,
    );
  });
});
