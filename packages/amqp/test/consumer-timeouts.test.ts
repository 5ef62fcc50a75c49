// Goal: a channel that does not settle what it was delivered is closed in time, with RabbitMQ's
// text, and what it held goes back.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EffectivePolicy } from "@haremq/broker";
import type { RawConnection } from "@haremq/testkit";
import { FieldTable } from "@haremq/wire";
import { delivered, drain, publish } from "./messages.ts";
import {
  channelClose,
  reopenChannel,
  roundTrip,
  type VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

const minuteMs = 60_000;

function closedAfter(timeoutMs: number, channel = 1): string {
  return (
    `406 PRECONDITION_FAILED - delivery acknowledgement on channel ${channel} timed out. ` +
    `Timeout value used: ${timeoutMs} ms. This timeout value can be configured, see consumers ` +
    "doc guide to learn more (0.0)"
  );
}

/** A connection with a queue `q` that has these messages. */
async function withMessages(
  broker: VirtualBroker,
  bodies: readonly string[],
  args: Record<string, unknown> = {},
): Promise<RawConnection> {
  const connection = await broker.open({}, [1, 2]);
  connection.send(1, "queue.declare", { queue: "q", arguments: FieldTable.from(args) });
  for (const body of bodies) publish(connection, "q", body);
  await roundTrip(connection);
  return connection;
}

async function consume(connection: RawConnection, consumerTag: string, args = {}): Promise<void> {
  connection.send(1, "basic.consume", {
    queue: "q",
    consumerTag,
    arguments: FieldTable.from(args),
  });
  await roundTrip(connection);
}

function queueOf(broker: VirtualBroker) {
  const queue = broker.vhost.queue("q");
  assert.ok(queue !== undefined);
  return queue;
}

describe("a delivery that is not settled", () => {
  test("closes its channel after half an hour; its messages go back, the log names it", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1", "2"]);
      await consume(connection, "slow");
      assert.deepEqual(await delivered(connection, 2), ["slow1:1", "slow2:2"]);
      broker.clock.advance(30 * minuteMs - 1);
      await roundTrip(connection);
      broker.clock.advance(1);
      assert.equal(await channelClose(connection), closedAfter(1_800_000));
      const { message, level } = await broker.log.waitFor(/has not acknowledged/);
      assert.equal(level, "warn");
      assert.match(message, /^consumer 'slow' on channel 1 of connection 127\.0\.0\.1:\d+ -> /);
      assert.match(message, /delivery 1 of queue 'q' in vhost '\/' for 1800000 ms/);
      const { readyCount, unsettledCount, consumerCount } = queueOf(broker);
      assert.deepEqual([readyCount, unsettledCount, consumerCount], [2, 0, 0]);
      connection.send(1, "channel.close-ok");
      await reopenChannel(connection);
      assert.deepEqual(await drain(connection, "q"), ["r1", "r2"]);
    }));

  test("does so though newer ones are settled, and other channels go on", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1", "2"]);
      await consume(connection, "t");
      await delivered(connection, 2);
      connection.send(1, "basic.ack", { deliveryTag: 2 });
      await roundTrip(connection);
      broker.clock.advance(30 * minuteMs);
      assert.equal(await channelClose(connection), closedAfter(1_800_000));
      await roundTrip(connection, 2);
    }));

  test("may be one that was pulled", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1"]);
      connection.send(2, "basic.get", { queue: "q" });
      await connection.waitForMethod("basic.get-ok");
      broker.clock.advance(30 * minuteMs);
      assert.equal(await channelClose(connection, 2), closedAfter(1_800_000, 2));
      assert.equal(broker.log.count(/^the client on channel 2 .* queue 'q'/), 1);
      assert.equal(queueOf(broker).readyCount, 1);
    }));

  test("may be of a consumer that was cancelled", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1"]);
      await consume(connection, "gone");
      connection.send(1, "basic.cancel", { consumerTag: "gone" });
      await connection.waitForMethod("basic.cancel-ok");
      broker.clock.advance(30 * minuteMs);
      assert.equal(await channelClose(connection), closedAfter(1_800_000));
    }));

  test("of a consumer that need not acknowledge there is none", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1", "2"]);
      connection.send(1, "basic.consume", { queue: "q", noAck: true });
      await connection.waitForMethod("basic.deliver");
      broker.clock.advance(24 * 60 * minuteMs);
      await roundTrip(connection);
      assert.equal(broker.clock.pending, 0);
    }));
});

describe("the timeout", () => {
  test("is the configured one", () =>
    withBroker(
      async (broker) => {
        const connection = await withMessages(broker, ["1"]);
        await consume(connection, "t");
        broker.clock.advance(5000);
        assert.equal(await channelClose(connection), closedAfter(5000));
      },
      { consumer_timeout: 5000 },
    ));

  for (const never of ["undefined", 0, "infinity"]) {
    test(`is none for consumer_timeout = ${never}`, () =>
      withBroker(
        async (broker) => {
          const connection = await withMessages(broker, ["1"]);
          await consume(connection, "t");
          broker.clock.advance(10 * 24 * 60 * minuteMs);
          await roundTrip(connection);
        },
        { consumer_timeout: never },
      ));
  }

  test("is the queue's, if it has one", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1"], { "x-consumer-timeout": 7000 });
      await consume(connection, "t");
      broker.clock.advance(7000);
      assert.equal(await channelClose(connection), closedAfter(7000));
    }));

  test("is the consumer's before the queue's", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1"], { "x-consumer-timeout": 7000 });
      await consume(connection, "t", { "x-consumer-timeout": 9000 });
      broker.clock.advance(9000);
      assert.equal(await channelClose(connection), closedAfter(9000));
    }));

  test("is the smaller one of queue and policy, and a policy counts at once", () =>
    withBroker(async (broker) => {
      const connection = await withMessages(broker, ["1"], { "x-consumer-timeout": 900_000 });
      await consume(connection, "t");
      broker.clock.advance(2 * minuteMs);
      const values = new Map([["consumer-timeout", 90_000]]);
      queueOf(broker).applyPolicy(new EffectivePolicy("p", undefined, values));
      broker.clock.advance(minuteMs);
      assert.equal(await channelClose(connection), closedAfter(90_000));
    }));
});

test("a consumer in step is left alone for a day, and idle it costs no timer", () =>
  withBroker(async (broker) => {
    const connection = await withMessages(broker, []);
    await consume(connection, "t");
    for (let i = 1; i <= 96; i++) {
      publish(connection, "q", `${i}`);
      await delivered(connection, i);
      broker.clock.advance(15 * minuteMs);
      connection.send(1, "basic.ack", { deliveryTag: i });
      await roundTrip(connection);
    }
    broker.clock.advance(minuteMs);
    assert.equal(broker.clock.pending, 0);
  }));
