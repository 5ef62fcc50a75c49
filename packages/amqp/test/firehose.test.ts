/**
 * Goal: while tracing is on, amq.rabbitmq.trace has copies of what is published and delivered, as
 * RabbitMQ makes them; while it is off it has nothing.
 */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import type { RawConnection } from "@haremq/testkit";
import { FieldTable, type FieldValue, fieldText, type Properties } from "@haremq/wire";
import { get, messages, publish } from "./messages.ts";
import { type VirtualBroker, withBroker } from "./virtual-broker.ts";

const work = 7;

/** All there is: names of steps to what happens in them. */
const steps: Readonly<Record<string, (connection: RawConnection) => void>> = {
  "publish plain to two": (connection) => send(connection, "amq.topic", "a.b", "hello"),
  "publish all properties to default": (connection) => {
    send(connection, "", "q", "all", {
      contentType: "text/plain",
      contentEncoding: "gzip",
      headers: FieldTable.from({ h: 1, n: { x: "y" }, a: [1, "b"] }),
      deliveryMode: 2,
      priority: 4,
      correlationId: "corr",
      replyTo: "rt",
      expiration: "100000",
      messageId: "mid",
      timestamp: 1_700_000_000,
      type: "ty",
      userId: "guest",
      appId: "app",
      clusterId: "cl",
    });
  },
  unroutable: (connection) => {
    publish(connection, "nowhere", "lost", { channel: work, mandatory: true });
  },
  "CC BCC, empty body": (connection) => {
    const headers = FieldTable.from({ CC: ["c1"], BCC: ["b1"] });
    send(connection, "amq.topic", "a.x", "", { headers });
  },
  get: (connection) => connection.send(work, "basic.get", { queue: "q" }),
  "get redelivered": (connection) => {
    connection.send(work, "basic.nack", { deliveryTag: 1, requeue: true });
    connection.send(work, "basic.get", { queue: "q", noAck: true });
  },
  consume: (connection) => {
    connection.send(work, "basic.consume", { queue: "q", consumerTag: "t" });
    connection.send(work, "basic.cancel", { consumerTag: "t" });
  },
  "exchange to exchange": (connection) => {
    connection.send(work, "exchange.declare", { exchange: "e1", type: "fanout" });
    connection.send(work, "exchange.bind", { source: "e1", destination: "amq.topic" });
    send(connection, "e1", "a.b", "via e1");
  },
  "reply-to request": (connection) => {
    const queue = "amq.rabbitmq.reply-to";
    connection.send(work, "basic.consume", { queue, noAck: true, consumerTag: "r" });
    send(connection, "", "q2", "request", { replyTo: queue });
  },
  "dead-lettered": (connection) => {
    const target = { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "q2" };
    connection.send(work, "queue.declare", {
      queue: "dead",
      arguments: FieldTable.from(target),
    });
    send(connection, "", "dead", "dies");
    connection.send(work, "basic.get", { queue: "dead" });
    connection.send(work, "basic.reject", { deliveryTag: 5, requeue: false });
  },
  "tx publish": (connection) => {
    connection.send(8, "channel.open");
    connection.send(8, "tx.select");
    publish(connection, "q2", "in tx", { channel: 8 });
    connection.send(8, "tx.rollback");
  },
};

function send(
  connection: RawConnection,
  exchange: string,
  routingKey: string,
  body: string,
  properties: Properties = {},
): void {
  publish(connection, routingKey, body, { channel: work, exchange, properties });
}

/** A queue for everything that is traced. */
async function listen(broker: VirtualBroker, queue = "log"): Promise<RawConnection> {
  const listener = await broker.open();
  listener.send(1, "queue.declare", { queue });
  listener.send(1, "queue.bind", { queue, exchange: "amq.rabbitmq.trace", routingKey: "#" });
  listener.send(1, "basic.consume", { queue, noAck: true });
  await listener.waitForMethod("basic.consume-ok");
  return listener;
}

async function openWork(broker: VirtualBroker): Promise<RawConnection> {
  const connection = await broker.open({}, [work]);
  for (const queue of ["q", "q2"]) connection.send(work, "queue.declare", { queue });
  for (const [queue, routingKey] of [
    ["q", "a.#"],
    ["q2", "a.b"],
  ]) {
    connection.send(work, "queue.bind", {
      queue: queue!,
      exchange: "amq.topic",
      routingKey: routingKey!,
    });
  }
  return connection;
}

function show(field: FieldValue): string {
  if (field.type === "S") return `S ${JSON.stringify(fieldText(field))}`;
  if (field.type === "A") return `A [${field.value.map(show).join(", ")}]`;
  if (field.type !== "F") return `${field.type} ${field.value}`;
  return `F {${field.value.entries.map(({ name, value }) => `${name}: ${show(value)}`).join(", ")}}`;
}

/** A message's queues are in no particular order, in no broker. */
function inOrder(queues: FieldValue): FieldValue {
  assert.ok(queues.type === "A");
  return { type: "A", value: queues.value.toSorted((a, b) => (show(a) < show(b) ? -1 : 1)) };
}

/** What the listener has got, each as a row of the recorded file. */
function rows(broker: VirtualBroker, listener: RawConnection, from = 0): string[] {
  return messages(listener, from).map(({ method, properties, body }) => {
    assert.ok(method.name === "basic.deliver");
    assert.equal(method.args.exchange, "amq.rabbitmq.trace");
    assert.deepEqual(Object.keys(properties), ["headers"]);
    const shown = properties.headers!.entries.map(
      ({ name, value }) => `${name}=${show(name === "routed_queues" ? inOrder(value) : value)}`,
    );
    const text = shown
      .join(" ")
      .replace(`node=S "${broker.broker.nodeName}"`, 'node=S "NODE"')
      .replace(/connection=S "127\.0\.0\.1:\d+ -> 127\.0\.0\.1:\d+"/, 'connection=S "CONNECTION"')
      .replace(/amq\.rabbitmq\.reply-to\.[^"]*/, "ADDRESS");
    return [method.args.routingKey, text, body.toString()].join("\t");
  });
}

test("copies are as RabbitMQ makes them, to the last header", () =>
  withBroker(async (broker) => {
    const text = readFileSync(new URL("recorded/firehose.tsv", import.meta.url), "utf8");
    const recorded = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const connection = await openWork(broker);
    await broker.vhost.setTracing(true);
    const listener = await listen(broker);
    const traced: string[] = [];
    for (const [step, happen] of Object.entries(steps)) {
      const from = listener.frames.length;
      happen(connection);
      await broker.settle();
      traced.push(...rows(broker, listener, from).map((row) => `${step}\t${row}`));
    }
    assert.deepEqual(traced, recorded);
  }));

test("nothing is traced before it is on, after it is off, or in other virtual hosts", () =>
  withBroker(async (broker) => {
    const listener = await listen(broker);
    const connection = await openWork(broker);
    const bodies = async (): Promise<string[]> => {
      await broker.settle();
      return messages(listener).map(({ body }) => body.toString());
    };
    send(connection, "", "q", "before");
    assert.deepEqual(await bodies(), []);
    const other = await broker.broker.createVhost("other");
    await other.setTracing(true);
    send(connection, "", "q", "elsewhere");
    assert.deepEqual(await bodies(), []);
    await broker.vhost.setTracing(true);
    assert.equal(broker.vhost.isTraced, true);
    send(connection, "", "q", "during");
    assert.deepEqual(await bodies(), ["during"]);
    await broker.vhost.setTracing(false);
    send(connection, "", "q", "after");
    await get(connection, "q", { channel: work });
    assert.deepEqual(await bodies(), ["during"]);
  }));

test("a queue that has both messages and copies of them gets each once", () =>
  withBroker(async (broker) => {
    await broker.vhost.setTracing(true);
    const listener = await listen(broker);
    const queue = "log";
    listener.send(1, "queue.bind", { queue, exchange: "amq.fanout", routingKey: "" });
    publish(listener, "k", "m", { exchange: "amq.fanout" });
    await broker.settle();
    const got = messages(listener).map(({ method, body }) => {
      assert.ok(method.name === "basic.deliver");
      return `${method.args.routingKey}: ${body}`;
    });
    assert.deepEqual(got, ["k: m", "publish.amq.fanout: m", "deliver.log: m"]);
  }));

test("timestamps beyond 32 bits, and names as long as a key, are no problem", () =>
  withBroker(async (broker) => {
    await broker.vhost.setTracing(true);
    const listener = await listen(broker);
    const connection = await openWork(broker);
    const exchange = "x".repeat(255);
    connection.send(work, "exchange.declare", { exchange, type: "fanout" });
    send(connection, exchange, "k", "1", { timestamp: 3_000_000_000 });
    send(connection, "", "nowhere", "2", { timestamp: 2n ** 64n - 1n });
    await broker.settle();
    const [first, second] = rows(broker, listener);
    assert.match(first!, /^publish\.x{247}\t.*properties=F \{timestamp: l 3000000000\}/);
    assert.match(second!, /properties=F \{timestamp: l -1\}/);
  }));

test("large messages are copied whole", () =>
  withBroker(async (broker) => {
    await broker.vhost.setTracing(true);
    const listener = await listen(broker);
    const body = Buffer.alloc(1_000_000, "large ");
    publish(listener, "nowhere", body);
    await listener.waitUntil(() => messages(listener).length === 1);
    assert.ok(messages(listener)[0]!.body.equals(body));
  }));
