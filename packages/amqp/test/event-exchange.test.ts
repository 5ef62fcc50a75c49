/**
 * Goal: amq.rabbitmq.event tells what happens as RabbitMQ's plugin does, and is only there when it
 * is asked for. And amq.rabbitmq.log has the log.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { RawConnection } from "@haremq/testkit";
import { FieldTable, type FieldValue, fieldText } from "@haremq/wire";
import { type Message, messages } from "./messages.ts";
import { type VirtualBroker, withBroker } from "./virtual-broker.ts";

const vhost = "events-probe";
const eventSettings = { "event_exchange.vhost": "/" };

interface Scene {
  readonly broker: VirtualBroker;
  /** The connection that is watched, once it is there. */
  connection: RawConnection;
}

type Step = (scene: Scene) => unknown;

function probed({ broker }: Scene) {
  return broker.broker.vhost(vhost) ?? assert.fail("no virtual host");
}

const queueArguments = FieldTable.from({ "x-max-length": 5, "x-note": "é" });
const declareQueue: Step = ({ connection }) =>
  connection.send(7, "queue.declare", {
    queue: "ev-w-q",
    durable: true,
    arguments: queueArguments,
  });
const bindQueue: Step = ({ connection }) =>
  connection.send(7, "queue.bind", {
    queue: "ev-w-q",
    exchange: "ev-w-x",
    routingKey: "k",
    arguments: FieldTable.from({ c: 1 }),
  });

const steps: Readonly<Record<string, Step>> = {
  "add a virtual host": ({ broker }) => broker.broker.createVhost(vhost),
  "add a user": ({ broker }) => broker.running.users.addUser("ev-user", "pw", []),
  "set permissions": ({ broker }) =>
    broker.running.users.setPermissions("ev-user", vhost, {
      configure: ".*",
      write: "ev-w.*",
      read: ".*",
    }),
  "set permissions of guest": ({ broker }) =>
    broker.running.users.setPermissions("guest", vhost, {
      configure: ".*",
      write: ".*",
      read: ".*",
    }),
  connect: async (scene) => {
    const login = { vhost, username: "ev-user", password: "pw" };
    const limits = { frameMax: 8192, channelMax: 100, heartbeat: 30 };
    scene.connection = await scene.broker.open({ ...login, ...limits }, []);
  },
  "open a channel": ({ connection }) => connection.openChannel(7),
  "declare a queue": declareQueue,
  "declare it again": declareQueue,
  "declare an exclusive queue": ({ connection }) =>
    connection.send(7, "queue.declare", {
      queue: "ev-w-mine",
      exclusive: true,
      autoDelete: true,
    }),
  "declare an exchange": ({ connection }) =>
    connection.send(7, "exchange.declare", {
      exchange: "ev-w-x",
      type: "topic",
      durable: true,
      autoDelete: true,
      internal: true,
      arguments: FieldTable.from({ a: "b", n: 1 }),
    }),
  "bind a queue": bindQueue,
  "bind it again": bindQueue,
  "declare another exchange": ({ connection }) =>
    connection.send(7, "exchange.declare", { exchange: "ev-w-y", type: "fanout" }),
  "bind an exchange": ({ connection }) =>
    connection.send(7, "exchange.bind", {
      source: "ev-w-x",
      destination: "ev-w-y",
      routingKey: "k2",
    }),
  consume: ({ connection }) => {
    connection.send(7, "basic.qos", { prefetchCount: 9 });
    connection.send(7, "basic.consume", {
      queue: "ev-w-q",
      consumerTag: "tag",
      exclusive: true,
      arguments: FieldTable.from({ "x-priority": 3 }),
    });
  },
  cancel: ({ connection }) => connection.send(7, "basic.cancel", { consumerTag: "tag" }),
  "unbind a queue": ({ connection }) =>
    connection.send(7, "queue.unbind", {
      queue: "ev-w-q",
      exchange: "ev-w-x",
      routingKey: "k",
      arguments: FieldTable.from({ c: 1 }),
    }),
  "delete an exchange that another is bound to": ({ connection }) =>
    connection.send(7, "exchange.delete", { exchange: "ev-w-y" }),
  "delete a queue": ({ connection }) => connection.send(7, "queue.delete", { queue: "ev-w-q" }),
  "consume again": ({ connection }) =>
    connection.send(7, "basic.consume", {
      queue: "ev-w-mine",
      consumerTag: "tag2",
      noAck: true,
    }),
  "close the channel": ({ connection }) => connection.send(7, "channel.close"),
  "close the connection": ({ connection }) => connection.close(),
  "log in with a wrong password": async ({ broker }) => {
    const options = { username: "ev-user", password: "wrong", vhost };
    await assert.rejects(RawConnection.open(broker.address, options));
  },
  "set a policy": (scene) =>
    probed(scene).policies.set("ev-pol", {
      pattern: "^x",
      definition: { "max-length": 5, "dead-letter-exchange": "dlx" },
      priority: 3,
      applyTo: "queues",
    }),
  "clear a policy": (scene) => probed(scene).policies.clear("ev-pol"),
  "set an operator policy": (scene) =>
    probed(scene).operatorPolicies.set("ev-opol", {
      pattern: "^x",
      definition: { "max-length": 5 },
      applyTo: "queues",
    }),
  "clear an operator policy": (scene) => probed(scene).operatorPolicies.clear("ev-opol"),
  "limit the virtual host": (scene) => probed(scene).limits.set("max-queues", 5),
  "lift the limits": (scene) => probed(scene).parameters.clear("vhost-limits", "limits"),
  "limit the user": ({ broker }) => broker.running.users.setLimit("ev-user", "max-connections", 5),
  "lift the user's limits": ({ broker }) =>
    broker.running.users.clearLimit("ev-user", "max-connections"),
  "set a global parameter": ({ broker }) =>
    broker.broker.globalParameters.set("ev-g", { a: [1, true, "x"] }),
  "clear permissions": ({ broker }) => broker.running.users.clearPermissions("ev-user", vhost),
  "delete a user": ({ broker }) => broker.running.users.deleteUser("ev-user"),
};

async function listen(broker: VirtualBroker, exchange: string): Promise<RawConnection> {
  const listener = await broker.open();
  listener.send(1, "queue.declare", { queue: "log", exclusive: true });
  listener.send(1, "queue.bind", { queue: "log", exchange, routingKey: "#" });
  listener.send(1, "basic.consume", { queue: "log", noAck: true });
  await listener.waitForMethod("basic.consume-ok");
  return listener;
}

function show(field: FieldValue): string {
  if (field.type === "S") return `S ${JSON.stringify(fieldText(field))}`;
  if (field.type === "A") return `A [${field.value.map(show).join(", ")}]`;
  if (field.type !== "F") return `${field.type} ${field.value}`;
  return `F {${field.value.entries.map(({ name, value }) => `${name}: ${show(value)}`).join(", ")}}`;
}

function keyOf({ method }: Message): string {
  assert.ok(method.name === "basic.deliver");
  return method.args.routingKey;
}

function headerOf({ properties }: Message, name: string): string | undefined {
  return fieldText(properties.headers?.get(name));
}

/** A row of the recorded file. */
function row(message: Message, node: string): string {
  const key = keyOf(message);
  const { headers, ...others } = message.properties;
  const time = headers?.entries.at(-1);
  assert.ok(time?.name === "timestamp_in_ms" && time.value.type === "l");
  const seconds = Math.floor(Number(time.value.value) / 1000);
  assert.deepEqual(others, { deliveryMode: 2, timestamp: seconds });
  assert.equal(message.body.length, 0);
  const shown = headers!.entries
    // RabbitMQ 4.0 tells a queue's type, 3.10 does not.
    .filter(
      ({ name }) => name !== "timestamp_in_ms" && !(key.startsWith("queue.") && name === "type"),
    )
    .map(({ name, value }) => `${name}=${show(value)}`);
  const text = shown
    .join(" ")
    .replaceAll(/<[^<>]*\.\d+\.\d+\.\d+>/g, "PID")
    .replaceAll(node, "NODE")
    .replaceAll(/127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+/g, "CONNECTION")
    .replaceAll(/(port|connected_at)=l \d+/g, "$1=l N");
  return `${key}\t${text}`;
}

/** The connections that only see to it that everything has arrived are of another virtual host. */
function isProbed(message: Message, pids: ReadonlySet<string>): boolean {
  const { properties } = message;
  const texts = properties.headers!.entries.map(({ value }) => fieldText(value) ?? "");
  return texts.some((text) => text === vhost || text.startsWith("ev-") || pids.has(text));
}

test("everything that happens is told as RabbitMQ tells it, to the last header", () =>
  withBroker(async (broker) => {
    const text = readFileSync(new URL("recorded/events.tsv", import.meta.url), "utf8");
    const recorded = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const listener = await listen(broker, "amq.rabbitmq.event");
    const scene = { broker, connection: listener };
    const pids = new Set<string>();
    for (const [step, happen] of Object.entries(steps)) {
      const from = listener.frames.length;
      await happen(scene);
      await broker.settle();
      const told = messages(listener, from).filter((message) => isProbed(message, pids));
      for (const message of told) {
        const pid = headerOf(message, "pid");
        if (keyOf(message).endsWith(".created") && pid !== undefined) pids.add(pid);
      }
      const rows = told.map((message) => `${step}\t${row(message, broker.broker.nodeName)}`);
      const expected = recorded.filter((line) => line.startsWith(`${step}\t`));
      assert.deepEqual(rows.sort(), expected.sort());
    }
    for (const line of recorded) assert.ok(Object.hasOwn(steps, line.split("\t")[0]!), line);
  }, eventSettings));

test("alarms are told when they are raised and when they are cleared", () =>
  withBroker(async (broker) => {
    const listener = await listen(broker, "amq.rabbitmq.event");
    broker.broker.alarms.set("disk", true);
    broker.broker.alarms.set("memory", true);
    broker.broker.alarms.set("disk", false);
    broker.broker.alarms.set("memory", false);
    await broker.settle();
    const told = messages(listener)
      .filter((message) => keyOf(message).startsWith("alarm."))
      .map((message) => `${keyOf(message)} ${headerOf(message, "source")}`);
    assert.deepEqual(told, [
      "alarm.set disk",
      "alarm.set memory",
      "alarm.cleared disk",
      "alarm.cleared memory",
    ]);
  }, eventSettings));

test("a queue that goes by itself is told with its bindings and consumers", () =>
  withBroker(async (broker) => {
    const listener = await listen(broker, "amq.rabbitmq.event");
    const connection = await broker.open();
    connection.send(1, "queue.declare", { queue: "q", exclusive: true });
    connection.send(1, "queue.bind", { queue: "q", exchange: "amq.topic", routingKey: "k" });
    connection.send(1, "basic.consume", { queue: "q", consumerTag: "t" });
    await broker.settle();
    const from = listener.frames.length;
    connection.destroy();
    await broker.connectionsLeft(1);
    await broker.settle();
    const told = messages(listener, from)
      .filter((message) => headerOf(message, "vhost") === "/")
      .filter((message) => /^(queue|binding|consumer)\./.test(keyOf(message)))
      .map((message) => `${keyOf(message)} ${headerOf(message, "user_who_performed_action")}`);
    assert.deepEqual(told, [
      "consumer.deleted rmq-internal",
      "queue.deleted rmq-internal",
      "binding.deleted rmq-internal",
    ]);
  }, eventSettings));

describe("the event exchange", () => {
  test("is not there unless it is asked for, and nobody makes events", () =>
    withBroker(async (broker) => {
      assert.equal(broker.vhost.exchange("amq.rabbitmq.event"), undefined);
      assert.equal(broker.vhost.exchange("amq.rabbitmq.log"), undefined);
      assert.equal(broker.broker.events.isHeard, false);
    }));

  test("is in the virtual host that was named, a durable internal topic exchange", () =>
    withBroker(
      async (broker) => {
        assert.equal(broker.vhost.exchange("amq.rabbitmq.event"), undefined);
        const ops = await broker.broker.createVhost("ops");
        const exchange = ops.exchange("amq.rabbitmq.event");
        const { type, durable, internal, autoDelete } = exchange ?? assert.fail("no exchange");
        assert.deepEqual(
          { type, durable, internal, autoDelete },
          {
            type: "topic",
            durable: true,
            internal: true,
            autoDelete: false,
          },
        );
      },
      { "event_exchange.vhost": "ops" },
    ));

  test("goes on when a listener of events fails", () =>
    withBroker(async (broker) => {
      broker.broker.events.listen(() => {
        throw new Error("deaf");
      });
      const listener = await listen(broker, "amq.rabbitmq.event");
      listener.send(1, "queue.declare", { queue: "q" });
      await broker.settle();
      assert.ok(messages(listener).some((message) => keyOf(message) === "queue.created"));
      assert.equal(broker.log.count(/cannot tell of an event/) > 0, true);
    }, eventSettings));
});

describe("the log exchange", () => {
  test("has every line of the log from its level on, as it is written", () =>
    withBroker(
      async (broker) => {
        const listener = await listen(broker, "amq.rabbitmq.log");
        broker.broker.log.debug("too quiet");
        broker.broker.log.info("hello", { who: "world" });
        broker.broker.log.warn("careful");
        broker.broker.log.error("oh no", { error: new Error("broken") });
        await listener.waitUntil(() => messages(listener).some((each) => keyOf(each) === "error"));
        const lines = messages(listener).filter(({ body }) => !/connection/.test(`${body}`));
        assert.deepEqual(lines.map(keyOf), ["info", "warning", "error"]);
        const [info, , error] = lines;
        assert.match(`${info!.body}`, /^\d{4}-.* \[info\] hello who=world\n$/);
        assert.match(`${error!.body}`, /\[error\] oh no\n(.*\n)*.*Error: broken/);
        assert.equal(info!.properties.contentType, "text/plain");
        assert.equal(headerOf(info!, "node"), broker.broker.nodeName);
        assert.equal(typeof info!.properties.timestamp, "number");
      },
      { "log.exchange": true },
    ));

  test("has JSON, and only what is loud enough, where that is configured", () =>
    withBroker(
      async (broker) => {
        const listener = await listen(broker, "amq.rabbitmq.log");
        broker.broker.log.info("too quiet");
        broker.broker.log.warn("careful");
        await listener.waitUntil(() => messages(listener).length > 0);
        const [line] = messages(listener);
        assert.equal(line!.properties.contentType, "application/json");
        assert.equal(JSON.parse(`${line!.body}`).message, "careful");
        assert.equal(messages(listener).length, 1);
      },
      { "log.exchange": true, "log.exchange.formatter": "json", "log.exchange.level": "warning" },
    ));

  test("does not talk to itself when publishing to it is worth a line", () =>
    withBroker(
      async (broker) => {
        const listener = await listen(broker, "amq.rabbitmq.log");
        const args = FieldTable.from({ "alternate-exchange": "missing" });
        listener.send(1, "exchange.declare", { exchange: "lost", type: "direct", arguments: args });
        const source = "amq.rabbitmq.log";
        listener.send(1, "exchange.bind", { destination: "lost", source, routingKey: "warning" });
        listener.send(1, "queue.unbind", { queue: "log", exchange: source, routingKey: "#" });
        await broker.settle();
        broker.broker.log.warn("into the void");
        await broker.settle();
        assert.equal(broker.log.count(/alternate exchange 'missing'/), 1);
      },
      { "log.exchange": true },
    ));
});
