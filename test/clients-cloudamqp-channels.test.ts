/**
 * @cloudamqp/amqp-client: connections, channels, queues, exchanges, messages, and the refusals of
 * what no RabbitMQ implements.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AMQPClient, type AMQPError } from "@cloudamqp/amqp-client";
import { openClient } from "./clients/cloudamqp-actions.ts";
import { within, withResolvers } from "./clients/deadline.ts";
import { openBench } from "./clients/test-bed.ts";
import { heartbeatFrame, WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();
const vhost = bench.broker.vhost;

describe("connections and channels", () => {
  test(
    "connect, open channels, close the one and then the other",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      assert.deepEqual([client.channelMax, client.frameMax, client.heartbeat], [2047, 8192, 0]);
      const first = await client.channel();
      const second = await client.channel();
      assert.deepEqual([first.id, second.id], [1, 2]);
      await first.close("enough", 200);
      assert.equal((await client.channel()).id, 1);
      assert.equal((await client.channel(17)).id, 17);
      await client.close("goodbye");
      await assert.rejects(client.channel(), /Connection closed/);
    }),
  );

  test(
    "heartbeats keep an idle connection open on both sides",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const client = await openClient(bed, `${tap.url}?heartbeat=1`);
      assert.equal(client.heartbeat, 1);
      let beats = 0;
      await tap.frame(
        "two heartbeats from the broker",
        (frame) => frame.from === "broker" && frame.type === heartbeatFrame && ++beats === 2,
      );
      await client.channel();
    }),
  );

  test(
    "a wrong password is refused with the broker's words",
    bench.scenario(async (bed) => {
      const url = new URL(bed.url);
      url.password = "wrong";
      await assert.rejects(
        within(new AMQPClient(url.href).connect(), "the refusal"),
        /ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN\..* \(403\)/,
      );
    }),
  );

  test(
    "an unknown virtual host is refused with the broker's words",
    bench.scenario(async (bed) => {
      const url = new URL(bed.url);
      url.pathname = "/no-such-vhost";
      await assert.rejects(
        within(new AMQPClient(url.href).connect(), "the refusal"),
        /connection closed: NOT_ALLOWED - vhost no-such-vhost not found \(530\)/,
      );
    }),
  );

  test(
    "a new secret is acknowledged",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      await within(client.updateSecret(bed.broker.password, "rotation"), "update-secret-ok");
      await client.channel();
    }),
  );

  test(
    "a channel error rejects the operation, tells onerror, and leaves the connection",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      const reported = withResolvers<string>();
      const channel = await client.channel();
      channel.onerror = reported.resolve;
      const queue = bed.name("absent");
      const words = `channel 1 closed: NOT_FOUND - no queue '${queue}' in vhost '${vhost}' (404)`;
      await assert.rejects(channel.queueDeclare(queue, { passive: true }), { message: words });
      assert.equal(await within(reported.promise, "onerror"), words);
      assert.equal(channel.closed, true);
      await (await client.channel()).queueDeclare("");
    }),
  );

  test(
    "a connection error reaches every channel",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      const reported = withResolvers<AMQPError>();
      client.onerror = reported.resolve;
      const first = await client.channel();
      const second = await client.channel();
      first.onerror = second.onerror = () => {};
      const refused = /NOT_IMPLEMENTED - immediate=true \(540\)/;
      await first.basicPublish("amq.direct", "k", "now", {}, false, true);
      assert.match((await within(reported.promise, "onerror")).message, refused);
      assert.deepEqual([first.closed, second.closed, client.closed], [true, true, true]);
    }),
  );

  const unsupported: [string, RegExp, (client: AMQPClient) => Promise<unknown>][] = [
    [
      "channel.flow off",
      /NOT_IMPLEMENTED - active=false \(540\)/,
      async (client) => (await client.channel()).basicFlow(false),
    ],
    [
      "a prefetch size",
      /NOT_IMPLEMENTED - prefetch_size!=0 \(100\) \(540\)/,
      async (client) => (await client.channel()).basicQos(1, 100),
    ],
    [
      "recover without requeue",
      /NOT_IMPLEMENTED - requeue=false \(540\)/,
      async (client) => (await client.channel()).basicRecover(false),
    ],
  ];
  for (const [what, refusal, act] of unsupported) {
    test(
      `${what} is not implemented, and ends the connection`,
      bench.scenario(async (bed) => {
        const client = await openClient(bed);
        await assert.rejects(within(act(client), "the refusal"), refusal);
      }),
    );
  }

  test(
    "channel.flow on is granted",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      assert.equal(await within(channel.basicFlow(true), "flow-ok"), true);
    }),
  );
});

describe("queues, exchanges, messages", () => {
  test(
    "declare, bind, publish, count, get, purge, unbind and delete",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      await channel.confirmSelect();
      const [exchange, front, queue] = [bed.name("x"), bed.name("front"), bed.name("q")];
      await channel.exchangeDeclare(exchange, "topic");
      await channel.exchangeDeclare(exchange, "", { passive: true });
      await channel.exchangeDeclare(front, "fanout", { autoDelete: true, durable: false });
      await channel.exchangeBind(exchange, front);
      const fresh = { name: queue, messageCount: 0, consumerCount: 0 };
      assert.deepEqual(await channel.queueDeclare(queue), fresh);
      await channel.queueBind(queue, exchange, "a.*");
      assert.deepEqual(
        [
          await channel.basicPublish(exchange, "a.b", "one"),
          await channel.basicPublish(front, "a.c", "two"),
          await channel.basicPublish(exchange, "b", "lost"),
        ],
        [1, 2, 3],
        "confirms resolve to the publish's number",
      );
      assert.deepEqual(await channel.queueDeclare(queue, { passive: true }), {
        ...fresh,
        messageCount: 2,
      });
      const message = await channel.basicGet(queue, { noAck: false });
      assert.equal(message?.bodyString(), "one");
      assert.equal(message?.messageCount, 1);
      await message?.nack(true);
      assert.equal((await channel.basicGet(queue))?.redelivered, true);
      assert.deepEqual(await channel.queuePurge(queue), { messageCount: 1 });
      assert.equal(await channel.basicGet(queue), null);
      await channel.queueUnbind(queue, exchange, "a.*");
      await channel.basicPublish(exchange, "a.b", "nowhere");
      assert.deepEqual(await channel.queueDelete(queue), { messageCount: 0 });
      await channel.exchangeUnbind(exchange, front);
      await assert.rejects(
        channel.exchangeDeclare(front, "", { passive: true }),
        /no exchange/,
        "the auto-delete exchange went with its last binding",
      );
    }),
  );

  test(
    "properties and header values survive, dates and bytes and bigints included",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      const { name } = await channel.queueDeclare("");
      const properties = {
        contentType: "text/plain",
        contentEncoding: "identity",
        deliveryMode: 2,
        priority: 9,
        correlationId: "c",
        replyTo: "r",
        expiration: "60000",
        messageId: "m",
        timestamp: new Date(1_700_000_000_000),
        type: "t",
        userId: bed.broker.username,
        appId: "a",
        headers: {
          text: "ü",
          yes: true,
          nothing: null,
          int: 1_000_000,
          negative: -5,
          wide: 5_000_000_000,
          real: 0.5,
          date: new Date(1_600_000_000_000),
          list: [1, "two", { three: [3] }],
          table: { deep: { deeper: "deepest" } },
          bytes: new Uint8Array([1, 2, 3]),
        },
      };
      await channel.basicPublish("", name, "body", properties);
      const message = await channel.basicGet(name);
      assert.equal(message?.bodyString(), "body");
      assert.deepEqual(message?.properties, properties);
    }),
  );

  test(
    "bodies of every kind and size",
    bench.scenario(async (bed) => {
      const client = await openClient(bed);
      const channel = await client.channel();
      await channel.confirmSelect();
      const { name } = await channel.queueDeclare("");
      const frame = client.frameMax;
      const sizes = [1, frame - 9, frame - 8, frame - 7, frame, 200_000, 1_048_576];
      for (const size of sizes) {
        const body = Buffer.alloc(size, `${size}-`);
        await channel.basicPublish("", name, body);
        const message = await channel.basicGet(name);
        assert.equal(message?.bodySize, size);
        assert.ok(Buffer.from(message?.body as Uint8Array).equals(body), `${size} bytes`);
      }
      await channel.basicPublish("", name, null);
      assert.equal((await channel.basicGet(name))?.bodySize, 0);
      await channel.basicPublish("", name, new Uint8Array([7, 8]).buffer);
      assert.deepEqual((await channel.basicGet(name))?.body, new Uint8Array([7, 8]));
    }),
  );

  test(
    "a mandatory message comes back, and is confirmed after that",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      await channel.confirmSelect();
      const events: string[] = [];
      channel.onReturn = (message) =>
        events.push(`${message.replyCode} ${message.replyText} ${message.bodyString()}`);
      await channel.basicPublish("", "nobody", "body", {}, true);
      events.push("confirmed");
      assert.deepEqual(events, ["312 NO_ROUTE body", "confirmed"]);
    }),
  );

  test(
    "a publish to a missing exchange fails its confirm",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      channel.onerror = () => {};
      await channel.confirmSelect();
      await assert.rejects(
        within(channel.basicPublish(bed.name("absent"), "k", "x"), "the refusal"),
        /NOT_FOUND - no exchange .* \(404\)/,
      );
    }),
  );

  test(
    "300 concurrent confirmed publishes each resolve to their own number",
    bench.scenario(async (bed) => {
      const channel = await (await openClient(bed)).channel();
      await channel.confirmSelect();
      const { name } = await channel.queueDeclare("");
      const numbers = await within(
        Promise.all(Array.from({ length: 300 }, () => channel.basicPublish("", name, "x"))),
        "all confirms",
      );
      assert.deepEqual(
        numbers,
        Array.from({ length: 300 }, (_, i) => i + 1),
      );
    }),
  );
});
