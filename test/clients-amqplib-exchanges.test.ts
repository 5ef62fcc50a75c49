/**
 * amqplib, exchanges: declaring and deleting them, internal and auto-delete ones, and the refusals
 * with RabbitMQ's texts.
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Channel, Options } from "amqplib";
import {
  assertChannelClosed,
  assertConnectionClosed,
  getMessage,
  openChannel,
  openConnection,
  text,
} from "./clients/amqplib-actions.ts";
import { openBench } from "./clients/test-bed.ts";

const bench = await openBench();
const vhost = bench.broker.vhost;
const exchangeDeclare = [40, 10] as const;
const exchangeDelete = [40, 20] as const;

describe("declaring and deleting exchanges", () => {
  test(
    "assert, check and delete, each of them repeatable",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      for (const type of ["direct", "fanout", "topic", "headers"]) {
        const exchange = bed.name(type);
        assert.deepEqual(await channel.assertExchange(exchange, type), { exchange });
        await channel.assertExchange(exchange, type);
        await channel.checkExchange(exchange);
        await channel.deleteExchange(exchange);
        await channel.deleteExchange(exchange);
      }
    }),
  );

  test(
    "the predeclared exchanges are there, durable, and cannot be deleted or changed",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createChannel();
      const predeclared = [
        ["amq.direct", "direct"],
        ["amq.fanout", "fanout"],
        ["amq.topic", "topic"],
        ["amq.headers", "headers"],
        ["amq.match", "headers"],
      ] as const;
      for (const [name, type] of predeclared) await channel.assertExchange(name, type);
      await channel.checkExchange("amq.rabbitmq.trace");
      for (const [name] of predeclared) {
        const doomed = await connection.createChannel();
        await assertChannelClosed(doomed, () => doomed.deleteExchange(name), {
          code: 403,
          text: `ACCESS_REFUSED - deletion of system exchange '${name}' in vhost '${vhost}' not allowed`,
          blames: exchangeDelete,
        });
      }
    }),
  );

  test(
    "the default exchange may be checked, and nothing else",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const queue = bed.name("q");
      await (await connection.createChannel()).assertQueue(queue);
      type Act = (channel: Channel) => Promise<unknown>;
      const acts: [readonly [number, number], Act][] = [
        [exchangeDeclare, (channel) => channel.assertExchange("", "direct")],
        [exchangeDelete, (channel) => channel.deleteExchange("")],
        [[50, 20], (channel) => channel.bindQueue(queue, "", "key")],
        [[50, 50], (channel) => channel.unbindQueue(queue, "", queue)],
        [[40, 30], (channel) => channel.bindExchange("amq.fanout", "", "key")],
      ];
      for (const [blames, act] of acts) {
        const channel = await connection.createChannel();
        await assertChannelClosed(channel, () => act(channel), {
          code: 403,
          text: "ACCESS_REFUSED - operation not permitted on the default exchange",
          blames,
        });
      }
    }),
  );

  const conflicts: [string, Options.AssertExchange, string, Options.AssertExchange, string][] = [
    ["type", {}, "topic", {}, "'type' for X: received 'topic' but current is 'direct'"],
    [
      "durable",
      {},
      "direct",
      { durable: false },
      "'durable' for X: received 'false' but current is 'true'",
    ],
    [
      "auto_delete",
      {},
      "direct",
      { autoDelete: true },
      "'auto_delete' for X: received 'true' but current is 'false'",
    ],
    [
      "internal",
      {},
      "direct",
      { internal: true },
      "'internal' for X: received 'true' but current is 'false'",
    ],
    [
      "alternate exchange",
      { alternateExchange: "amq.fanout" },
      "direct",
      { alternateExchange: "amq.direct" },
      "'alternate-exchange' for X: received 'amq.direct' but current is 'amq.fanout'",
    ],
  ];
  for (const [what, first, type, then, explanation] of conflicts) {
    test(
      `redeclaring with another ${what} is refused`,
      bench.scenario(async (bed) => {
        const channel = await openChannel(bed);
        const exchange = bed.name("conflict");
        await channel.assertExchange(exchange, "direct", first);
        await assertChannelClosed(channel, () => channel.assertExchange(exchange, type, then), {
          code: 406,
          text: `PRECONDITION_FAILED - inequivalent arg ${explanation.replace("X", `exchange '${exchange}' in vhost '${vhost}'`)}`,
          blames: exchangeDeclare,
        });
      }),
    );
  }

  test(
    "a new name under the reserved prefix is refused",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      await assertChannelClosed(channel, () => channel.assertExchange("amq.mine", "direct"), {
        code: 403,
        text: "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'",
        blames: exchangeDeclare,
      });
    }),
  );

  test(
    "an unknown exchange type ends the connection",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createChannel();
      await assertConnectionClosed(
        connection,
        () => channel.assertExchange(bed.name("odd"), "x-no-such-type"),
        {
          code: 503,
          text: "COMMAND_INVALID - unknown exchange type 'x-no-such-type'",
        },
      );
    }),
  );

  test(
    "a missing exchange is a 404 for check, bind and publish",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const exchange = bed.name("absent");
      const queue = bed.name("q");
      await (await connection.createChannel()).assertQueue(queue);
      type Act = (channel: Channel) => unknown;
      const acts: [readonly [number, number], Act][] = [
        [exchangeDeclare, (channel) => channel.checkExchange(exchange)],
        [[50, 20], (channel) => channel.bindQueue(queue, exchange, "key")],
        [[40, 30], (channel) => channel.bindExchange("amq.fanout", exchange, "key")],
        [[40, 30], (channel) => channel.bindExchange(exchange, "amq.fanout", "key")],
        [[60, 40], (channel) => channel.publish(exchange, "key", Buffer.from("lost"))],
      ];
      for (const [blames, act] of acts) {
        const channel = await connection.createChannel();
        await assertChannelClosed(channel, () => act(channel), {
          code: 404,
          text: `NOT_FOUND - no exchange '${exchange}' in vhost '${vhost}'`,
          blames,
        });
      }
    }),
  );

  test(
    "ifUnused protects an exchange that has bindings",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createChannel();
      const exchange = bed.name("used");
      const queue = bed.name("q");
      await channel.assertExchange(exchange, "fanout");
      await channel.assertQueue(queue);
      await channel.bindQueue(queue, exchange, "");
      const refused = await connection.createChannel();
      await assertChannelClosed(
        refused,
        () => refused.deleteExchange(exchange, { ifUnused: true }),
        {
          code: 406,
          text: `PRECONDITION_FAILED - exchange '${exchange}' in vhost '${vhost}' in use`,
          blames: exchangeDelete,
        },
      );
      await channel.unbindQueue(queue, exchange, "");
      await channel.deleteExchange(exchange, { ifUnused: true });
    }),
  );

  test(
    "an auto-delete exchange goes with its last binding",
    bench.scenario(async (bed) => {
      const channel = await openChannel(bed);
      const exchange = bed.name("short-lived");
      const first = bed.name("first");
      const second = bed.name("second");
      await channel.assertExchange(exchange, "fanout", { autoDelete: true });
      await channel.assertQueue(first);
      await channel.assertQueue(second);
      await channel.bindQueue(first, exchange, "");
      await channel.bindQueue(second, exchange, "");
      await channel.unbindQueue(first, exchange, "");
      await channel.checkExchange(exchange);
      await channel.deleteQueue(second);
      await assertChannelClosed(channel, () => channel.checkExchange(exchange), {
        code: 404,
        text: `NOT_FOUND - no exchange '${exchange}' in vhost '${vhost}'`,
      });
    }),
  );

  test(
    "an internal exchange takes messages from exchanges only",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const channel = await connection.createConfirmChannel();
      const internal = bed.name("internal");
      const front = bed.name("front");
      const queue = bed.name("q");
      await channel.assertExchange(internal, "fanout", { internal: true });
      await channel.assertExchange(front, "fanout");
      await channel.bindExchange(internal, front, "");
      await channel.assertQueue(queue);
      await channel.bindQueue(queue, internal, "");
      channel.publish(front, "", Buffer.from("through the front"));
      await channel.waitForConfirms();
      assert.equal(text(await getMessage(channel, queue)), "through the front");
      await assertChannelClosed(channel, () => channel.publish(internal, "", Buffer.from("x")), {
        code: 403,
        text: `ACCESS_REFUSED - cannot publish to internal exchange '${internal}' in vhost '${vhost}'`,
        blames: [60, 40],
      });
    }),
  );
});
