/**
 * What clients see when the broker runs short of memory: whoever publishes is blocked and told so,
 * whoever consumes goes on, and once the shortage is over everything that was written arrives.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect as connectManager } from "amqp-connection-manager";
import { Connection } from "rabbitmq-client";
import { consume, openConnection } from "./clients/amqplib-actions.ts";
import {
  type BrokerUnderTest,
  brokerUnderTest,
  skipWhenExternal,
} from "./clients/broker-under-test.ts";
import { openClient } from "./clients/cloudamqp-actions.ts";
import { nextEvent, within, withResolvers } from "./clients/deadline.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";

const bench = await openBench();
const body = Buffer.alloc(1024 * 1024, "x");
const queue = "hoard";

describe("a shortage of memory", () => {
  test(
    "amqplib: blocked and unblocked, and a connection that only consumes is left alone",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const { url } = await startSmallBroker(bed);
      const publisher = await openConnection(bed, url);
      const channel = await publisher.createConfirmChannel();
      await channel.assertQueue(queue);
      const reader = await openConnection(bed, url);
      const readerBlocked: string[] = [];
      reader.on("blocked", (reason) => readerBlocked.push(reason));
      const blocked = nextEvent<[string]>(publisher, "blocked");
      const unblocked = nextEvent(publisher, "unblocked", 10_000);
      for (let i = 0; i < 20; i++) channel.sendToQueue(queue, body);
      assert.equal((await blocked)[0], "low on memory");
      const { mailbox } = await consume(await reader.createChannel(), queue, { noAck: true });
      await unblocked;
      await channel.waitForConfirms();
      await mailbox.take(20);
      assert.deepEqual(readerBlocked, []);
    }),
  );

  test(
    "amqplib: a connection that begins to publish during a shortage is blocked as well",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const broker = await startSmallBroker(bed);
      await hoard(bed, broker);
      const late = await openConnection(bed, broker.url);
      const blocked = nextEvent<[string]>(late, "blocked");
      const channel = await late.createConfirmChannel();
      channel.sendToQueue(queue, Buffer.from("late"));
      assert.equal((await blocked)[0], "low on memory");
      const unblocked = nextEvent(late, "unblocked");
      await drain(bed, broker);
      await unblocked;
      await channel.waitForConfirms();
    }),
  );

  test(
    "amqplib: a blocked connection can be closed",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const broker = await startSmallBroker(bed);
      await hoard(bed, broker);
      const late = await openConnection(bed, broker.url);
      const blocked = nextEvent(late, "blocked");
      (await late.createChannel()).sendToQueue(queue, Buffer.from("late"));
      await blocked;
      await within(late.close(), "the blocked connection to close");
    }),
  );

  test(
    "@cloudamqp/amqp-client: onblocked, refused publishes, onunblocked",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const broker = await startSmallBroker(bed);
      await hoard(bed, broker);
      const client = await openClient(bed, broker.url);
      const blocked = withResolvers<string>();
      const unblocked = withResolvers<void>();
      client.onblocked = blocked.resolve;
      client.onunblocked = unblocked.resolve;
      const channel = await client.channel();
      await channel.confirmSelect();
      const first = channel.basicPublish("", queue, "first");
      assert.equal(await within(blocked.promise, "onblocked"), "low on memory");
      await assert.rejects(
        channel.basicPublish("", queue, "second"),
        /Connection blocked by server: low on memory/,
      );
      await drain(bed, broker);
      await within(unblocked.promise, "onunblocked");
      assert.equal(await within(first, "the confirm of what was sent before"), 1);
      assert.equal(await within(channel.basicPublish("", queue, "third"), "a confirm"), 2);
    }),
  );

  test(
    "rabbitmq-client: connection.blocked holds publishes back until connection.unblocked",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const broker = await startSmallBroker(bed);
      await hoard(bed, broker);
      const rabbit = new Connection({ url: broker.url, noDelay: true });
      await rabbit.onConnect(5000);
      const publisher = rabbit.createPublisher({ confirm: true });
      bed.defer(async () => {
        await publisher.close();
        await rabbit.close();
      });
      const blocked = nextEvent<[string]>(rabbit, "connection.blocked");
      const unblocked = nextEvent(rabbit, "connection.unblocked");
      const first = publisher.send(queue, "first");
      assert.equal((await blocked)[0], "low on memory");
      assert.equal(rabbit.ready, false);
      const second = publisher.send(queue, "second");
      await drain(bed, broker);
      await unblocked;
      await within(Promise.all([first, second]), "both confirms");
    }),
  );

  test(
    "amqp-connection-manager: blocked and unblocked",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const broker = await startSmallBroker(bed);
      await hoard(bed, broker);
      const manager = connectManager(broker.url, { connectionOptions: { noDelay: true } });
      bed.defer(() => manager.close());
      const blocked = nextEvent<[{ reason: string }]>(manager, "blocked");
      const unblocked = nextEvent(manager, "unblocked");
      const sent = manager.createChannel().sendToQueue(queue, "kept back");
      assert.equal((await blocked)[0].reason, "low on memory");
      await drain(bed, broker);
      await unblocked;
      assert.equal(await within(sent, "the confirm"), true);
    }),
  );
});

/** A broker that is short of memory once a few of `body` are queued. */
async function startSmallBroker(bed: TestBed): Promise<BrokerUnderTest> {
  const broker = await brokerUnderTest(0, { "vm_memory_high_watermark.absolute": "4MiB" });
  bed.defer(() => broker.stop());
  return broker;
}

/** Publishes until the broker is short. */
async function hoard(bed: TestBed, broker: BrokerUnderTest): Promise<void> {
  const connection = await openConnection(bed, broker.url);
  const blocked = nextEvent(connection, "blocked");
  const channel = await connection.createChannel();
  await channel.assertQueue(queue);
  for (let i = 0; i < 8; i++) channel.sendToQueue(queue, body);
  await blocked;
}

/** Takes everything out of the queue, and goes on doing so. */
async function drain(bed: TestBed, broker: BrokerUnderTest): Promise<void> {
  const connection = await openConnection(bed, broker.url);
  await consume(await connection.createChannel(), queue, { noAck: true });
}
