/**
 * amqp-connection-manager: channel wrappers with setup functions, publishes that wait for a
 * connection, consumers that survive, and reconnecting after the line was cut, the broker could not
 * be reached for a while, or was stopped and started again on the same port.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type AmqpConnectionManager,
  type AmqpConnectionManagerOptions,
  type ChannelWrapper,
  type CreateChannelOpts,
  connect,
} from "amqp-connection-manager";
import type { Channel, ConfirmChannel, ConsumeMessage } from "amqplib";
import { getMessage, openConfirmChannel, text } from "./clients/amqplib-actions.ts";
import { brokerUnderTest, skipWhenExternal } from "./clients/broker-under-test.ts";
import { nextEvent, within } from "./clients/deadline.ts";
import { Mailbox } from "./clients/mailbox.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";
import { WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();

describe("channel wrappers", () => {
  test(
    "setup runs before anything is published, and publishes made too early are kept",
    bench.scenario(async (bed) => {
      const manager = openManager(bed, bed.url);
      const queue = bed.name("q");
      const channel = manager.createChannel({
        json: true,
        setup: async (raw: Channel) => {
          await raw.assertQueue(queue);
        },
      });
      const early = channel.sendToQueue(queue, { early: true }, { persistent: true });
      assert.equal(channel.queueLength(), 1);
      assert.equal(await within(early, "the early publish"), true);
      assert.equal(manager.isConnected(), true);
      await channel.publish("", queue, ["late"]);
      const reader = await openConfirmChannel(bed);
      assert.equal(text(await getMessage(reader, queue)), '{"early":true}');
      assert.equal(text(await getMessage(reader, queue)), '["late"]');
    }),
  );

  test(
    "the wrapper's operations reach the broker",
    bench.scenario(async (bed) => {
      const channel = openManager(bed, bed.url).createChannel();
      await within(channel.waitForConnect(), "the wrapper to connect");
      const [exchange, source, queue] = [bed.name("x"), bed.name("source"), bed.name("q")];
      await channel.assertExchange(exchange, "topic");
      await channel.assertExchange(source, "fanout");
      await channel.checkExchange(exchange);
      assert.equal((await channel.assertQueue(queue)).queue, queue);
      await channel.bindQueue(queue, exchange, "a.*");
      await channel.bindExchange(exchange, source, "#");
      await channel.publish(source, "a.b", Buffer.from("one"));
      await channel.publish(exchange, "a.c", "two");
      assert.equal((await channel.checkQueue(queue)).messageCount, 2);
      const first = await channel.get(queue);
      assert.ok(first);
      assert.equal(text(first), "one");
      channel.nack(first, false, true);
      const again = await channel.get(queue);
      assert.ok(again);
      assert.equal(again.fields.redelivered, true);
      channel.ack(again);
      assert.deepEqual(await channel.purgeQueue(queue), { messageCount: 1 });
      await channel.unbindExchange(exchange, source, "#");
      await channel.unbindQueue(queue, exchange, "a.*");
      await channel.deleteExchange(source);
      await channel.deleteExchange(exchange);
      assert.deepEqual(await channel.deleteQueue(queue), { messageCount: 0 });
    }),
  );

  test(
    "a publish that the broker refuses is rejected",
    bench.scenario(async (bed) => {
      const channel = openManager(bed, bed.url).createChannel({
        // The wrapper leaves the error event to whoever looks at the channel beneath it.
        setup: async (raw: Channel) => void raw.on("error", () => {}),
      });
      await assert.rejects(
        within(channel.publish(bed.name("absent"), "k", Buffer.from("x")), "the refusal"),
        /channel closed/,
      );
    }),
  );

  test(
    "wrong credentials end the initial connect",
    bench.scenario(async (bed) => {
      const url = new URL(bed.url);
      url.password = "wrong";
      const manager = openManager(bed, url.href);
      const [{ err }] = await nextEvent<[{ err: Error }]>(manager, "connectFailed");
      assert.match(err.message, /403 \(ACCESS-REFUSED\)/);
    }),
  );

  test(
    "of several brokers the first that answers is taken",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const deaf = tap.url;
      await tap.refuse();
      const manager = openManager(bed, [deaf, bed.url]);
      const failed = nextEvent(manager, "connectFailed");
      const connected = nextEvent<[{ url: string }]>(manager, "connect");
      await failed;
      assert.equal((await connected)[0].url, bed.url);
    }),
  );
});

describe("consumers", () => {
  test(
    "a consumer with its own prefetch consumes, acknowledges and is cancelled",
    bench.scenario(async (bed) => {
      const queue = bed.name("q");
      const channel = openManager(bed, bed.url).createChannel(declaring(queue));
      const mailbox = new Mailbox<ConsumeMessage>();
      await channel.waitForConnect();
      const { consumerTag } = await channel.consume(queue, mailbox.put, { prefetch: 2 });
      for (const body of ["a", "b", "c"]) await channel.sendToQueue(queue, body);
      const [a, b] = (await mailbox.take(2)) as [ConsumeMessage, ConsumeMessage];
      assert.deepEqual([text(a), text(b), mailbox.unread.length], ["a", "b", 0]);
      channel.ack(a);
      channel.nack(b, false, false);
      const c = await mailbox.next();
      channel.ack(c);
      await channel.cancel(consumerTag);
      await channel.sendToQueue(queue, "d");
      assert.equal((await channel.checkQueue(queue)).messageCount, 1);
    }),
  );

  test(
    "a consumer comes back after its connection was cut, and gets what it had not settled",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const queue = bed.name("q");
      const manager = openManager(bed, tap.url);
      const channel = manager.createChannel(declaring(queue));
      const mailbox = new Mailbox<ConsumeMessage>();
      await channel.waitForConnect();
      await channel.consume(queue, mailbox.put);
      await channel.sendToQueue(queue, "unsettled");
      assert.equal((await mailbox.next()).fields.redelivered, false);
      const back = nextEvent(channel, "connect");
      tap.cut();
      await back;
      const again = await mailbox.next();
      assert.deepEqual([text(again), again.fields.redelivered], ["unsettled", true]);
      channel.ack(again);
      await channel.sendToQueue(queue, "new");
      assert.equal(text(await mailbox.next()), "new");
    }),
  );
});

describe("outages", () => {
  test(
    "publishes made while the broker cannot be reached are delivered afterwards, in order",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const queue = bed.name("q");
      const manager = openManager(bed, tap.url);
      const channel = manager.createChannel(declaring(queue));
      await channel.waitForConnect();
      await publishThroughOutage(channel, queue, {
        begin: async () => {
          const disconnected = nextEvent(manager, "disconnect");
          await tap.refuse();
          await disconnected;
          await nextEvent(manager, "connectFailed");
        },
        end: () => tap.accept(),
      });
      const reader = await openConfirmChannel(bed);
      const bodies = [];
      for (let i = 0; i < 21; i++) bodies.push(text(await getMessage(reader, queue)));
      assert.deepEqual(bodies, ["before", ...Array.from({ length: 20 }, (_, i) => `during ${i}`)]);
    }),
  );

  test(
    "a broker that is stopped and started again on its port is found again",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      let broker = await brokerUnderTest();
      bed.defer(() => broker.stop());
      const queue = bed.name("q");
      const manager = openManager(bed, broker.url);
      const received = new Mailbox<ConsumeMessage>();
      const channel = manager.createChannel(declaring(queue));
      await channel.waitForConnect();
      await channel.consume(queue, received.put, { noAck: true });
      await publishThroughOutage(channel, queue, {
        begin: async () => {
          const disconnected = nextEvent<[{ err: Error }]>(manager, "disconnect");
          await broker.stop();
          assert.match((await disconnected)[0].err.message, /320 \(CONNECTION-FORCED\)/);
        },
        end: async () => {
          broker = await brokerUnderTest(broker.port);
        },
      });
      const bodies = (await received.take(21)).map(text);
      assert.deepEqual(bodies, ["before", ...Array.from({ length: 20 }, (_, i) => `during ${i}`)]);
    }),
  );

  test(
    "a forced reconnect runs setups again and keeps the queue's content",
    bench.scenario(async (bed) => {
      const queue = bed.name("q");
      const manager = openManager(bed, bed.url);
      let setups = 0;
      const channel = manager.createChannel({
        setup: async (raw: ConfirmChannel) => {
          setups++;
          await raw.assertQueue(queue);
        },
      });
      await channel.sendToQueue(queue, "kept");
      const back = nextEvent(channel, "connect");
      manager.reconnect();
      await back;
      assert.equal(setups, 2);
      assert.equal((await channel.checkQueue(queue)).messageCount, 1);
    }),
  );
});

function declaring(queue: string): CreateChannelOpts {
  return {
    setup: async (raw: ConfirmChannel) => {
      await raw.assertQueue(queue);
    },
  };
}

async function publishThroughOutage(
  channel: ChannelWrapper,
  queue: string,
  outage: { begin: () => Promise<void>; end: () => Promise<void> },
): Promise<void> {
  await channel.sendToQueue(queue, "before");
  await outage.begin();
  const during = Array.from({ length: 20 }, (_, i) => channel.sendToQueue(queue, `during ${i}`));
  assert.equal(channel.queueLength(), 20);
  await outage.end();
  await within(Promise.all(during), "the publishes made during the outage");
}

function openManager(bed: TestBed, urls: string | string[]): AmqpConnectionManager {
  const options: AmqpConnectionManagerOptions = {
    heartbeatIntervalInSeconds: 5,
    reconnectTimeInSeconds: 0.005,
    connectionOptions: { noDelay: true },
  };
  const manager = connect(urls, options);
  bed.defer(() => manager.close());
  return manager;
}
