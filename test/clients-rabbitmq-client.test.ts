/**
 * rabbitmq-client (npm): channels with their events and error codes, the self-healing Publisher,
 * Consumer and RPCClient with the topology they declare, and all of it across lost connections.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type AMQPChannelError,
  type AsyncMessage,
  Connection,
  type ConnectionOptions,
  type Consumer,
  ConsumerStatus,
  type ReturnedMessage,
} from "rabbitmq-client";
import { nextEvent, within, withResolvers } from "./clients/deadline.ts";
import { Mailbox } from "./clients/mailbox.ts";
import { openBench, type TestBed } from "./clients/test-bed.ts";
import { WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();
const vhost = bench.broker.vhost;

describe("connections", () => {
  test(
    "connect, use, close; and wait for channels that are still open",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed, { connectionName: "conformance" });
      assert.equal(rabbit.ready, true);
      const channel = await rabbit.acquire();
      const closing = rabbit.close();
      assert.equal(channel.active, true, "an acquired channel may finish its work");
      await channel.queueDeclare({ exclusive: true });
      await channel.close();
      await within(closing, "the connection to close");
      await assert.rejects(rabbit.acquire(), { code: "CLOSING" });
    }),
  );

  test(
    "a wrong password and an unknown virtual host are named as such",
    bench.scenario(async (bed) => {
      for (const [options, code, words] of [
        [{ password: "wrong" }, "ACCESS_REFUSED", /Login was refused using.*PLAIN/],
        [{ vhost: "no-such-vhost" }, "NOT_ALLOWED", /NOT_ALLOWED - vhost no-such-vhost not found/],
      ] as const) {
        const rabbit = new Connection({ ...settings(bed), ...options });
        bed.defer(() => rabbit.unsafeDestroy());
        const [error] = await nextEvent<[AMQPChannelError]>(rabbit, "error");
        assert.equal(error.code, code);
        assert.match(error.message, words);
        rabbit.on("error", () => {});
      }
    }),
  );

  test(
    "errors carry code and cause, close the channel, and spare the connection",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const absent = bed.name("absent");
      const channel = await rabbit.acquire();
      const closed = nextEvent(channel, "close");
      await assert.rejects(channel.queueDeclare({ queue: absent, passive: true }), {
        name: "AMQPChannelError",
        code: "NOT_FOUND",
        message: `QueueDeclare: NOT_FOUND - no queue '${absent}' in vhost '${vhost}'`,
      });
      await closed;
      const queue = bed.name("q");
      await rabbit.queueDeclare({ queue, durable: true });
      await assert.rejects(rabbit.queueDeclare({ queue, durable: false }), {
        code: "PRECONDITION_FAILED",
      });
      await assert.rejects(rabbit.queueDeclare("amq.reserved"), { code: "ACCESS_REFUSED" });
      const other = await openRabbit(bed);
      const mine = bed.name("mine");
      await rabbit.queueDeclare({ queue: mine, exclusive: true });
      await assert.rejects(other.basicGet(mine), { code: "RESOURCE_LOCKED" });
      assert.equal(rabbit.ready, true);
    }),
  );

  test(
    "an asynchronous channel error is emitted",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const channel = await rabbit.acquire({ emitErrorsFromChannel: true });
      const failed = nextEvent<[AMQPChannelError]>(channel, "error");
      channel.basicAck({ deliveryTag: 5 });
      const [error] = await failed;
      assert.deepEqual(
        [error.code, error.message],
        ["PRECONDITION_FAILED", "BasicAck: PRECONDITION_FAILED - unknown delivery tag 5"],
      );
    }),
  );

  test(
    "a hard error resets the connection, which comes back by itself",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const failed = nextEvent<[AMQPChannelError]>(rabbit, "error");
      const channel = await rabbit.acquire();
      await assert.rejects(
        channel.exchangeDeclare({ exchange: bed.name("x"), type: "no-such-type" }),
      );
      assert.equal((await failed)[0].code, "COMMAND_INVALID");
      await rabbit.queueDeclare({ exclusive: true });
    }),
  );
});

describe("channels", () => {
  test(
    "the whole of a topology through the connection's own channel",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const [exchange, source, queue] = [bed.name("x"), bed.name("source"), bed.name("q")];
      await rabbit.exchangeDeclare({ exchange, type: "direct", autoDelete: true });
      await rabbit.exchangeDeclare({ exchange: source, type: "fanout", durable: false });
      const args = { "x-max-priority": 5, "x-max-length": 1000 };
      assert.deepEqual(await rabbit.queueDeclare({ queue, arguments: args }), {
        queue,
        messageCount: 0,
        consumerCount: 0,
      });
      await rabbit.queueBind({ queue, exchange, routingKey: "key" });
      await rabbit.exchangeBind({ destination: exchange, source });
      const publisher = rabbit.createPublisher({ confirm: true });
      bed.defer(() => publisher.close());
      await publisher.send({ exchange: source, routingKey: "key" }, { json: [1, "two"] });
      await publisher.send({ exchange: source, routingKey: "other" }, "dropped");
      const message = await rabbit.basicGet({ queue, noAck: true });
      assert.deepEqual(message?.body, { json: [1, "two"] });
      assert.deepEqual([message?.contentType, message?.exchange], ["application/json", source]);
      assert.equal(await rabbit.basicGet(queue), undefined);
      await publisher.send(queue, "purged");
      assert.deepEqual(await rabbit.queuePurge(queue), { messageCount: 1 });
      await rabbit.exchangeUnbind({ destination: exchange, source });
      await rabbit.queueUnbind({ queue, exchange, routingKey: "key" });
      await assert.rejects(rabbit.exchangeDeclare({ exchange, passive: true }), {
        code: "NOT_FOUND",
      });
      assert.deepEqual(await rabbit.queueDelete({ queue, ifUnused: true, ifEmpty: true }), {
        messageCount: 0,
      });
      await rabbit.exchangeDelete({ exchange: source, ifUnused: true });
    }),
  );

  test(
    "properties, headers and bodies of every kind survive",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const channel = await rabbit.acquire();
      bed.defer(() => channel.close());
      await channel.confirmSelect();
      const { queue } = await channel.queueDeclare({ exclusive: true });
      const properties = {
        durable: true,
        priority: 3,
        correlationId: "c",
        replyTo: "r",
        expiration: "60000",
        messageId: "m",
        timestamp: 1_700_000_000,
        type: "t",
        userId: bed.broker.username,
        appId: "a",
        headers: {
          text: "🐇",
          yes: false,
          nothing: null,
          int: -7,
          wide: 2 ** 40,
          real: 1.25,
          list: [1, ["nested", true]],
          table: { a: { b: "c" } },
        },
      };
      const bodies = ["text", Buffer.from([1, 2, 3]), { an: "object" }, "", Buffer.alloc(100_000)];
      for (const body of bodies) {
        await channel.basicPublish({ ...properties, routingKey: queue }, body);
        const message = await channel.basicGet({ queue, noAck: true });
        assert.deepEqual(message?.body, body);
        const { headers, ...rest } = properties;
        assert.deepEqual(message?.headers, headers);
        for (const [name, value] of Object.entries(rest)) {
          assert.deepEqual(message?.[name as keyof typeof message], value, name);
        }
      }
    }),
  );

  test(
    "a mandatory message is returned, and confirmed",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const channel = await rabbit.acquire();
      bed.defer(() => channel.close());
      await channel.confirmSelect();
      const returned = nextEvent<[ReturnedMessage]>(channel, "basic.return");
      await channel.basicPublish({ routingKey: "nobody", mandatory: true }, "lost");
      const [message] = await returned;
      assert.deepEqual(
        [message.replyCode, message.replyText, message.routingKey, message.body],
        [312, "NO_ROUTE", "nobody", "lost"],
      );
    }),
  );

  test(
    "transactions: commit, rollback, and acknowledgements inside",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const channel = await rabbit.acquire();
      bed.defer(() => channel.close());
      const { queue } = await channel.queueDeclare({ exclusive: true });
      await channel.txSelect();
      await channel.basicPublish(queue, "rolled back");
      await channel.txRollback();
      await channel.basicPublish(queue, "committed");
      assert.equal(await channel.basicGet(queue), undefined);
      await channel.txCommit();
      const message = await channel.basicGet(queue);
      assert.equal(message?.body, "committed");
      channel.basicAck({ deliveryTag: message?.deliveryTag ?? 0 });
      await channel.txCommit();
      assert.equal((await channel.queueDeclare({ queue, passive: true })).messageCount, 0);
    }),
  );
});

describe("Publisher", () => {
  test(
    "declares its topology before the first message",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const [exchange, inner, queue] = [bed.name("outer"), bed.name("inner"), bed.name("q")];
      const returned = withResolvers<ReturnedMessage>();
      const publisher = rabbit.createPublisher({
        confirm: true,
        queues: [{ queue }],
        exchanges: [
          { exchange, type: "topic" },
          { exchange: inner, type: "fanout" },
        ],
        queueBindings: [{ exchange: inner, queue }],
        exchangeBindings: [{ source: exchange, destination: inner, routingKey: "a.#" }],
      });
      bed.defer(() => publisher.close());
      publisher.on("basic.return", returned.resolve);
      await publisher.send({ exchange, routingKey: "a.b" }, "hello");
      await publisher.send({ exchange, routingKey: "b", mandatory: true }, "back");
      assert.equal((await within(returned.promise, "the return")).body, "back");
      assert.equal((await rabbit.basicGet({ queue, noAck: true }))?.body, "hello");
    }),
  );

  test(
    "tries again after a failure, on a new channel",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const exchange = bed.name("late");
      const publisher = rabbit.createPublisher({ confirm: true, maxAttempts: 2 });
      bed.defer(() => publisher.close());
      let retries = 0;
      publisher.on("retry", () => retries++);
      const sent = publisher.send({ exchange, routingKey: "k" }, "hello");
      await assert.rejects(within(sent, "the second failure"), { code: "NOT_FOUND" });
      assert.equal(retries, 1);
      await rabbit.exchangeDeclare({ exchange, type: "fanout" });
      await publisher.send({ exchange, routingKey: "k" }, "hello");
    }),
  );
});

describe("Consumer", () => {
  test(
    "declares, binds and consumes; ACK, REQUEUE and DROP mean what they say",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const [exchange, queue] = [bed.name("x"), bed.name("q")];
      const seen = new Mailbox<string>();
      const consumer = openConsumer(
        bed,
        rabbit,
        {
          queue,
          queueOptions: { durable: true },
          exchanges: [{ exchange, type: "topic" }],
          queueBindings: [{ exchange, queue, routingKey: "users.*" }],
          qos: { prefetchCount: 1 },
          concurrency: 1,
        },
        (message) => {
          seen.put(`${message.body} ${message.redelivered}`);
          if (message.body === "drop") return ConsumerStatus.DROP;
          if (message.body === "again" && !message.redelivered) return ConsumerStatus.REQUEUE;
          return ConsumerStatus.ACK;
        },
      );
      await nextEvent(consumer, "ready");
      assert.match(consumer.consumerTag, /^amq\.ctag-/);
      const publisher = rabbit.createPublisher({ confirm: true });
      bed.defer(() => publisher.close());
      for (const body of ["plain", "drop", "again", "end"]) {
        await publisher.send({ exchange, routingKey: "users.new" }, body);
      }
      const order = await seen.take(5);
      assert.deepEqual(order.sort(), [
        "again false",
        "again true",
        "drop false",
        "end false",
        "plain false",
      ]);
      await consumer.close();
      const { acknowledged, dropped, requeued } = consumer.stats;
      assert.deepEqual([acknowledged, dropped, requeued], [3, 1, 1]);
      assert.equal((await rabbit.queueDeclare({ queue, passive: true })).messageCount, 0);
    }),
  );

  test(
    "a handler that throws has its message requeued, or not, as configured",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const queue = bed.name("q");
      const seen = new Mailbox<boolean>();
      const errors = new Mailbox<Error>();
      const consumer = openConsumer(bed, rabbit, { queue, requeue: true }, (message) => {
        seen.put(message.redelivered);
        if (!message.redelivered) throw new Error("broken at first");
      });
      consumer.on("error", errors.put);
      await nextEvent(consumer, "ready");
      const publisher = rabbit.createPublisher({ confirm: true });
      bed.defer(() => publisher.close());
      await publisher.send(queue, "task");
      assert.deepEqual(await seen.take(2), [false, true]);
      assert.match((await errors.next()).message, /broken at first/);
    }),
  );

  test(
    "concurrency and prefetch bound what runs at once",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const queue = bed.name("q");
      const started = new Mailbox<() => void>();
      let running = 0;
      const consumer = openConsumer(
        bed,
        rabbit,
        { queue, concurrency: 3, qos: { prefetchCount: 6 } },
        async () => {
          running++;
          const { promise, resolve } = withResolvers<void>();
          started.put(resolve);
          await promise;
          running--;
        },
      );
      await nextEvent(consumer, "ready");
      const publisher = rabbit.createPublisher({ confirm: true });
      bed.defer(() => publisher.close());
      for (let i = 0; i < 10; i++) await publisher.send(queue, i);
      const waiting = await rabbit.queueDeclare({ queue, passive: true });
      assert.equal(waiting.messageCount, 4, "6 are prefetched");
      for (let finished = 0; finished < 10; finished++) {
        const finish = await started.next();
        assert.ok(running <= 3);
        finish();
      }
    }),
  );

  test(
    "a consumer whose queue is deleted says so, and sets itself up again",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const queue = bed.name("q");
      const bodies = new Mailbox<unknown>();
      const consumer = openConsumer(bed, rabbit, { queue }, (message) => bodies.put(message.body));
      await nextEvent(consumer, "ready");
      const failed = nextEvent<[AMQPChannelError]>(consumer, "error");
      await rabbit.queueDelete(queue);
      assert.equal((await failed)[0].code, "CANCEL_FORCED");
      await nextEvent(consumer, "ready");
      const publisher = rabbit.createPublisher({ confirm: true });
      bed.defer(() => publisher.close());
      await publisher.send(queue, "again");
      assert.equal(await bodies.next(), "again");
    }),
  );
});

describe("RPCClient", () => {
  test(
    "asks and is answered, many at once",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const queue = bed.name("rpc");
      const server = openConsumer(bed, rabbit, { queue }, async (request, reply) => {
        assert.equal(request.expiration, "4000");
        await reply({ doubled: request.body.n * 2 });
      });
      await nextEvent(server, "ready");
      const client = rabbit.createRPCClient({ confirm: true, timeout: 4000 });
      bed.defer(() => client.close());
      const replies = await within(
        Promise.all(Array.from({ length: 20 }, (_, n) => client.send(queue, { n }))),
        "20 replies",
      );
      assert.deepEqual(
        replies.map((reply) => reply.body.doubled),
        Array.from({ length: 20 }, (_, n) => 2 * n),
      );
    }),
  );

  test(
    "a request that nobody serves times out",
    bench.scenario(async (bed) => {
      const rabbit = await openRabbit(bed);
      const client = rabbit.createRPCClient({ confirm: true, timeout: 20 });
      bed.defer(() => client.close());
      await assert.rejects(client.send(bed.name("nobody"), "?"), { code: "RPC_TIMEOUT" });
    }),
  );
});

describe("lost connections", () => {
  test(
    "publisher, consumer and RPC client carry on after the line was cut",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const rabbit = await openRabbit(bed, { port: tap.port, hostname: "127.0.0.1" });
      const queue = bed.name("q");
      const bodies = new Mailbox<string>();
      const consumer = openConsumer(bed, rabbit, { queue }, async (message, reply) => {
        // The acknowledgement may be cut off together with the line.
        if (!message.redelivered) bodies.put(message.body);
        if (message.replyTo) await reply("pong");
      });
      await nextEvent(consumer, "ready");
      const publisher = rabbit.createPublisher({ confirm: true, maxAttempts: 3 });
      bed.defer(() => publisher.close());
      const client = rabbit.createRPCClient({ timeout: 4000, maxAttempts: 3 });
      bed.defer(() => client.close());
      await publisher.send(queue, "before");
      assert.equal((await client.send(queue, "ping")).body, "pong");
      assert.deepEqual(await bodies.take(2), ["before", "ping"]);

      const ready = nextEvent(consumer, "ready");
      tap.cut();
      await ready;
      await publisher.send(queue, "after");
      assert.equal((await client.send(queue, "ping")).body, "pong");
      assert.deepEqual(await bodies.take(2), ["after", "ping"]);
    }),
  );

  test(
    "what a cut consumer held comes back to it, redelivered",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const rabbit = await openRabbit(bed, { port: tap.port, hostname: "127.0.0.1" });
      const queue = bed.name("q");
      const seen = new Mailbox<AsyncMessage>();
      const never = withResolvers<void>();
      bed.defer(() => never.resolve());
      const channel = await rabbit.acquire();
      await channel.queueDeclare({ queue });
      await channel.confirmSelect();
      await channel.basicPublish(queue, "held");
      await channel.basicConsume({ queue }, seen.put);
      assert.equal((await seen.next()).redelivered, false);
      const back = nextEvent(rabbit, "connection");
      tap.cut();
      await back;
      const again = await rabbit.acquire();
      bed.defer(() => again.close());
      await again.basicConsume({ queue }, seen.put);
      const message = await seen.next();
      assert.deepEqual([message.body, message.redelivered], ["held", true]);
      again.basicAck({ deliveryTag: message.deliveryTag });
    }),
  );
});

function settings(bed: TestBed): ConnectionOptions {
  const { host, port, username, password } = bed.broker;
  return {
    hostname: host,
    port,
    username,
    password,
    vhost,
    noDelay: true,
    retryLow: 1,
    retryHigh: 50,
  };
}

async function openRabbit(bed: TestBed, options: ConnectionOptions = {}): Promise<Connection> {
  const rabbit = new Connection({ ...settings(bed), ...options });
  // Errors that a test is about are awaited there; others show up as a missing reply.
  rabbit.on("error", () => {});
  bed.defer(() => rabbit.close());
  await rabbit.onConnect(5000);
  return rabbit;
}

function openConsumer(
  bed: TestBed,
  rabbit: Connection,
  ...[props, handler]: Parameters<Connection["createConsumer"]>
): Consumer {
  const consumer = rabbit.createConsumer(props, handler);
  consumer.on("error", () => {});
  bed.defer(() => consumer.close());
  return consumer;
}
