/**
 * amqplib, publishing: properties and header values of every type, bodies around every boundary,
 * names in every script, mandatory returns, and publisher confirms.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Message, Options } from "amqplib";
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
import { WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();
const mebibyte = 1024 * 1024;

describe("what a message carries", () => {
  test(
    "every property arrives as it was sent, by delivery and by get",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queue = bed.name("properties");
      await channel.assertQueue(queue);
      const properties: Options.Publish = {
        contentType: "application/x-odd; charset=ütf-8",
        contentEncoding: "gzip",
        headers: { simple: "value" },
        deliveryMode: 2,
        priority: 7,
        correlationId: "correlation ✓",
        replyTo: "reply.to",
        expiration: "3600000",
        messageId: "message-1",
        timestamp: 1_700_000_000,
        type: "order.placed",
        userId: bed.broker.username,
        appId: "conformance",
      };
      const body = Buffer.from("body");
      channel.sendToQueue(queue, body, properties);
      channel.sendToQueue(queue, body, properties);
      await channel.waitForConfirms();
      const got = await getMessage(channel, queue);
      assert.deepEqual(got.properties, { ...properties, clusterId: undefined });
      const { mailbox } = await consume(channel, queue, { noAck: true });
      const delivered = await mailbox.next();
      assert.deepEqual(delivered.properties, { ...properties, clusterId: undefined });
    }),
  );

  test(
    "a bare message arrives without properties",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      channel.sendToQueue(queue, Buffer.from("bare"));
      await channel.waitForConfirms();
      const { properties } = await getMessage(channel, queue);
      const present = Object.entries(properties).filter(([, value]) => value !== undefined);
      assert.deepEqual(present, [["headers", {}]], "amqplib always sends a headers table");
    }),
  );

  test(
    "header values of every type that amqplib can send come back the same",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      const typed = (type: string, value: unknown) => ({ "!": type, value });
      const timestamp = typed("timestamp", 1_700_000_000);
      const decimal = typed("decimal", { places: 2, digits: 31_415 });
      const sent: Record<string, [sent: unknown, received: unknown]> = {
        string: ["text", "text"],
        empty: ["", ""],
        unicode: ["zażółć 🐇 אבג", "zażółć 🐇 אבג"],
        yes: [true, true],
        no: [false, false],
        none: [null, null],
        byte: [-128, -128],
        short: [-32_768, -32_768],
        int: [-2_147_483_648, -2_147_483_648],
        long: [Number.MIN_SAFE_INTEGER, Number.MIN_SAFE_INTEGER],
        positive: [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
        double: [Math.PI, Math.PI],
        float: [typed("float", 0.5), 0.5],
        "unsigned byte": [typed("uint8", 255), 255],
        "unsigned short": [typed("uint16", 65_535), 65_535],
        "unsigned int": [typed("uint32", 4_294_967_295), 4_294_967_295],
        "wide zero": [typed("int64", 0), 0],
        timestamp: [timestamp, timestamp],
        decimal: [decimal, decimal],
        bytes: [Buffer.from([0, 255, 128]), Buffer.from([0, 255, 128])],
        array: [
          [1, "two", [3, { four: 5 }], null],
          [1, "two", [3, { four: 5 }], null],
        ],
        table: [
          { nested: { deeper: { deepest: true } } },
          { nested: { deeper: { deepest: true } } },
        ],
        "empty table": [{}, {}],
        "empty array": [[], []],
      };
      const pick = (side: 0 | 1) =>
        Object.fromEntries(Object.entries(sent).map(([name, pair]) => [name, pair[side]]));
      channel.sendToQueue(queue, Buffer.from("x"), { headers: pick(0) });
      await channel.waitForConfirms();
      const message = await getMessage(channel, queue);
      assert.deepEqual(message.properties.headers, pick(1));
      assert.deepEqual(
        Object.keys(message.properties.headers ?? {}),
        Object.keys(sent),
        "in order",
      );
    }),
  );

  test(
    "names, keys, tags and headers may be in any script, up to 255 bytes",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const exchange = bed.name("交換機-обменник-🐇");
      const prefix = bed.name("очередь-");
      const queue = prefix + "ü".repeat((255 - Buffer.byteLength(prefix)) >> 1);
      bed.remember(queue);
      const key = `${"ключ.".repeat(27)}🗝`;
      assert.equal(Buffer.byteLength(queue) >= 254, true);
      await channel.assertExchange(exchange, "topic");
      assert.equal((await channel.assertQueue(queue)).queue, queue);
      await channel.bindQueue(queue, exchange, `${"ключ.".repeat(27)}*`);
      const { tag, mailbox } = await consume(channel, queue, { consumerTag: "消費者" });
      assert.equal(tag, "消費者");
      channel.publish(exchange, key, Buffer.from("🐇"), { headers: { ключ: "значение" } });
      const message = await mailbox.next();
      assert.equal(text(message), "🐇");
      assert.deepEqual(
        [message.fields.exchange, message.fields.routingKey, message.fields.consumerTag],
        [exchange, key, "消費者"],
      );
      assert.deepEqual(message.properties.headers, { ключ: "значение" });
    }),
  );

  test(
    "a routing key of 255 bytes, and an empty one",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      const longest = "k".repeat(255);
      await channel.bindQueue(queue, "amq.direct", longest);
      await channel.bindQueue(queue, "amq.direct", "");
      channel.publish("amq.direct", longest, Buffer.from("long"));
      channel.publish("amq.direct", "", Buffer.from("short"));
      await channel.waitForConfirms();
      assert.equal((await getMessage(channel, queue)).fields.routingKey, longest);
      assert.equal((await getMessage(channel, queue)).fields.routingKey, "");
    }),
  );
});

describe("bodies", () => {
  for (const frameMax of [4096, 8192, 131_072, 0]) {
    test(
      `bodies around the frame size survive, frameMax ${frameMax}`,
      bench.scenario(async (bed) => {
        const url = `${bed.url}?frameMax=${frameMax}`;
        const channel = await (await openConnection(bed, url)).createConfirmChannel();
        const { queue } = await channel.assertQueue("", { exclusive: true });
        const frame = frameMax === 0 ? 131_072 : frameMax;
        const sizes = [0, 1, frame - 9, frame - 8, frame - 7, frame, 2 * (frame - 8), 5 * frame];
        const bodies = sizes.map((size, index) => pattern(size, index));
        const { mailbox } = await consume(channel, queue, { noAck: true });
        for (const body of bodies) channel.sendToQueue(queue, body);
        await channel.waitForConfirms();
        for (const body of bodies) {
          const message = await mailbox.next();
          assert.equal(message.content.length, body.length);
          assert.ok(message.content.equals(body), `the ${body.length} bytes are the same`);
        }
      }),
    );
  }

  test(
    "a body sent in large frames reaches a consumer with small ones, and the other way round",
    bench.scenario(async (bed) => {
      const wide = await (await openConnection(bed)).createConfirmChannel();
      const narrowUrl = `${bed.url}?frameMax=4096`;
      const narrow = await (await openConnection(bed, narrowUrl)).createConfirmChannel();
      const queue = bed.name("frames");
      await wide.assertQueue(queue);
      const body = pattern(300_000, 3);
      wide.sendToQueue(queue, body);
      await wide.waitForConfirms();
      assert.ok((await getMessage(narrow, queue)).content.equals(body));
      narrow.sendToQueue(queue, body);
      await narrow.waitForConfirms();
      assert.ok((await getMessage(wide, queue)).content.equals(body));
    }),
  );

  for (const size of [mebibyte, 10 * mebibyte]) {
    test(
      `${size / mebibyte} MiB go through intact, delivered and got`,
      bench.scenario(async (bed) => {
        const channel = await openConfirmChannel(bed);
        const { queue } = await channel.assertQueue("", { exclusive: true });
        const body = pattern(size, 1);
        channel.sendToQueue(queue, body);
        channel.sendToQueue(queue, body);
        await channel.waitForConfirms();
        assert.ok((await getMessage(channel, queue)).content.equals(body));
        const { mailbox } = await consume(channel, queue, { noAck: true });
        assert.ok((await mailbox.next()).content.equals(body));
      }),
    );
  }

  test(
    "large and small messages of many channels share a connection unharmed",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      await Promise.all(
        Array.from({ length: 10 }, async (_, index) => {
          const channel = await connection.createConfirmChannel();
          const { queue } = await channel.assertQueue("", { exclusive: true });
          const { mailbox } = await consume(channel, queue, { noAck: true });
          const bodies = [300_000, 5, 0, 140_000, 1].map((size) => pattern(size, index));
          for (const body of bodies) channel.sendToQueue(queue, body);
          const received = await mailbox.take(bodies.length);
          received.forEach((message, i) => {
            assert.ok(message.content.equals(bodies[i] as Buffer), `channel ${index}, body ${i}`);
          });
        }),
      );
    }),
  );
});

describe("mandatory messages", () => {
  test(
    "an unroutable one comes back whole, and says why",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const returned = nextEvent<[Message]>(channel, "return");
      const body = pattern(200_000, 9);
      channel.publish("amq.direct", "nobody.listens", body, {
        mandatory: true,
        messageId: "m1",
        headers: { kept: true },
      });
      const [message] = await returned;
      assert.deepEqual(message.fields as object, {
        replyCode: 312,
        replyText: "NO_ROUTE",
        exchange: "amq.direct",
        routingKey: "nobody.listens",
      });
      assert.ok(message.content.equals(body));
      assert.equal(message.properties.messageId, "m1");
      assert.deepEqual(message.properties.headers, { kept: true });
    }),
  );

  test(
    "a routable one does not come back, and an unroutable one that is not mandatory is gone",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      const returned: Message[] = [];
      channel.on("return", (message) => returned.push(message));
      channel.sendToQueue(queue, Buffer.from("1"), { mandatory: true });
      channel.sendToQueue(`${queue}.missing`, Buffer.from("2"));
      await channel.waitForConfirms();
      assert.deepEqual(returned, []);
    }),
  );

  test(
    "in confirm mode the return comes before the acknowledgement",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const channel = await (await openConnection(bed, tap.url)).createConfirmChannel();
      channel.publish("", "no.such.queue", Buffer.from("x"), { mandatory: true });
      await channel.waitForConfirms();
      assert.deepEqual(tap.methods("broker", 1).slice(-2), ["60.50", "60.80"]);
    }),
  );
});

describe("publisher confirms", () => {
  test(
    "each publish is confirmed once, through callbacks and waitForConfirms alike",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      const outcomes: unknown[] = [];
      for (let i = 0; i < 500; i++) {
        channel.sendToQueue(queue, Buffer.from(String(i)), {}, (error) => outcomes.push(error));
      }
      await channel.waitForConfirms();
      assert.deepEqual(outcomes, Array(500).fill(null));
      assert.equal((await channel.checkQueue(queue)).messageCount, 500);
      await channel.waitForConfirms();
    }),
  );

  test(
    "delivery tags of acknowledgements cover 1 to n without gaps, singly or in ranges",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const queue = bed.name("confirmed");
      await channel.assertQueue(queue);
      const pending = new Set(Array.from({ length: 300 }, (_, i) => i + 1));
      channel.on("ack", ({ deliveryTag, multiple }) => {
        assert.ok(
          pending.has(deliveryTag),
          `tag ${deliveryTag} is acknowledged for the first time`,
        );
        for (const tag of pending) {
          if (tag === deliveryTag || (multiple && tag < deliveryTag)) pending.delete(tag);
        }
      });
      for (let i = 0; i < 300; i++) {
        const options = { persistent: i % 3 === 0, mandatory: i % 2 === 0 };
        channel.publish("", i % 7 === 0 ? "no.such.queue" : queue, Buffer.from("x"), options);
      }
      await channel.waitForConfirms();
      assert.deepEqual([...pending], []);
    }),
  );

  test(
    "batches: publish, wait, publish, wait",
    bench.scenario(async (bed) => {
      const channel = await openConfirmChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      for (let batch = 1; batch <= 10; batch++) {
        for (let i = 0; i < 20; i++) channel.sendToQueue(queue, Buffer.from("x"));
        await channel.waitForConfirms();
        assert.equal((await channel.checkQueue(queue)).messageCount, batch * 20);
      }
    }),
  );

  test(
    "a message to a missing exchange closes the channel, and fails what was unconfirmed",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createConfirmChannel();
      const exchange = bed.name("absent");
      let outcome: unknown;
      await assertChannelClosed(
        channel,
        () => {
          channel.publish(exchange, "", Buffer.from("lost"), {}, (error) => {
            outcome = error;
          });
        },
        {
          code: 404,
          text: `NOT_FOUND - no exchange '${exchange}' in vhost '${bed.broker.vhost}'`,
          blames: [60, 40],
        },
      );
      assert.match(String(outcome), /channel closed/);
      await connection.createConfirmChannel();
    }),
  );

  test(
    "a user id that is not the connection's own is refused",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      await assertChannelClosed(
        channel,
        () => channel.sendToQueue("anywhere", Buffer.from("x"), { userId: "somebody-else" }),
        {
          code: 406,
          text:
            "PRECONDITION_FAILED - user_id property set to 'somebody-else' but " +
            `authenticated user was '${bed.broker.username}'`,
          blames: [60, 40],
        },
      );
    }),
  );

  test(
    "an expiration that is no number of milliseconds is refused",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      await assertChannelClosed(
        channel,
        () => channel.sendToQueue(queue, Buffer.from("x"), { expiration: "tomorrow" }),
        {
          code: 406,
          text: "PRECONDITION_FAILED - invalid expiration 'tomorrow': no_integer",
          blames: [60, 40],
        },
      );
    }),
  );

  test(
    "publishes of one channel keep their order",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const { queue } = await channel.assertQueue("", { exclusive: true });
      const { mailbox } = await consume(channel, queue, { noAck: true });
      const bodies = Array.from({ length: 2000 }, (_, i) => String(i));
      for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body));
      const received = await mailbox.take(bodies.length);
      assert.deepEqual(received.map(text), bodies);
      assert.deepEqual(
        received.map((message) => message.fields.deliveryTag),
        bodies.map((_, i) => i + 1),
      );
      await settle(channel, queue);
      assert.deepEqual(mailbox.unread, []);
    }),
  );
});

/** `size` bytes that repeat with a prime period, so that a lost or swapped frame shows. */
function pattern(size: number, seed: number): Buffer {
  const period = Buffer.from(Array.from({ length: 251 }, (_, i) => (i * 7 + seed) & 0xff));
  return Buffer.alloc(size, period);
}
