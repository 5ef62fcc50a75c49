// Goal: what an exchange has seen goes nowhere, and its sender is told that all is well; nothing
// is remembered of messages that nobody has got.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { EffectivePolicy } from "@haremq/broker";
import type { RawConnection } from "@haremq/testkit";
import { FieldTable } from "@haremq/wire";
import { drain, headers, publish } from "./messages.ts";
import { channelClose, reopenChannel, roundTrip, trace, VirtualBroker } from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

const keyHeader = "x-deduplication-header";
const type = "x-message-deduplication";

let exchanges = 0;

interface Given {
  readonly type?: string;
  readonly args?: Record<string, unknown>;
}

/** An exchange that gives everything to a queue of its own. */
async function given(options: Given = {}) {
  const connection = await broker.open();
  const exchange = `x${++exchanges}`;
  const queue = `${exchange}-queue`;
  const args = options.args ?? { "x-cache-size": 100 };
  connection.send(1, "exchange.declare", {
    exchange,
    type: options.type ?? type,
    arguments: FieldTable.from(args),
  });
  connection.send(1, "queue.declare", { queue });
  connection.send(1, "queue.bind", { queue, exchange, routingKey: "k" });
  await roundTrip(connection);
  const send = (body: string, key?: unknown, others: Record<string, unknown> = {}): void =>
    publish(connection, "k", body, {
      exchange,
      mandatory: true,
      properties: headers(key === undefined ? others : { [keyHeader]: key, ...others }),
    });
  return { connection, exchange, queue, send, left: () => drain(connection, queue) };
}

function acknowledged(connection: RawConnection): number {
  let highest = 0;
  for (const { method } of connection.frames) {
    if (method?.name === "basic.ack") highest = Number(method.args.deliveryTag);
  }
  return highest;
}

function deliveryTagOf(connection: RawConnection, from: number): number {
  for (const { method } of connection.frames.slice(from)) {
    if (method?.name === "basic.get-ok") return Number(method.args.deliveryTag);
  }
  return assert.fail("nothing was got");
}

describe("a deduplicating exchange", () => {
  test("drops duplicates, confirms them, and does not return them", async () => {
    const { connection, send, left } = await given();
    connection.send(1, "confirm.select");
    send("1", "a");
    send("2", "a");
    send("3", "b");
    send("4", "a");
    await connection.waitUntil(() => acknowledged(connection) === 4);
    assert.deepEqual(await left(), ["1", "3"]);
    assert.ok(!trace(connection).includes("basic.return"));
    assert.ok(!trace(connection).includes("basic.nack"));
  });

  test("drops them whether the first is still in a queue or not", async () => {
    const { send, left } = await given();
    send("1", "a");
    assert.deepEqual(await left(), ["1"]);
    send("2", "a");
    assert.deepEqual(await left(), []);
  });

  test("lets messages without a key pass", async () => {
    const { send, left } = await given();
    for (const body of ["1", "2"]) send(body);
    for (const body of ["3", "4"]) send(body, null);
    for (const body of ["5", "6"]) send(body, undefined, { other: "a" });
    assert.deepEqual(await left(), ["1", "2", "3", "4", "5", "6"]);
  });

  test("gives what is new to every binding, whatever its routing key", async () => {
    const { connection, exchange, queue, send, left } = await given();
    connection.send(1, "queue.declare", { queue: `${queue}-2` });
    connection.send(1, "queue.bind", { queue: `${queue}-2`, exchange, routingKey: "other" });
    send("1", "a");
    send("2", "a");
    assert.deepEqual(await left(), ["1"]);
    assert.deepEqual(await drain(connection, `${queue}-2`), ["1"]);
  });

  test("tells numbers, texts and long texts apart", async () => {
    const { send, left } = await given();
    const long = "k".repeat(100_000);
    const keys = [5, "5", 5.5, true, "true", long, `${long}!`, [1], [2], { a: 1 }];
    for (const [i, key] of [...keys, ...keys].entries()) send(`${i}`, key);
    assert.deepEqual(
      await left(),
      keys.map((_, i) => `${i}`),
    );
  });

  test("remembers the newest keys, as many as it is to", async () => {
    const { send, left } = await given({ args: { "x-cache-size": 3 } });
    for (const key of ["a", "b", "c", "d"]) send(key, key);
    for (const key of ["b", "a"]) send(`${key} again`, key);
    send("c once more", "c");
    assert.deepEqual(await left(), ["a", "b", "c", "d", "a again"]);
  });

  test("remembers them for a time: its own, or the message's", async () => {
    const { send, left } = await given({ args: { "x-cache-size": 100, "x-cache-ttl": 1000 } });
    send("1", "a");
    send("2", "b", { "x-cache-ttl": 5000 });
    assert.deepEqual(await left(), ["1", "2"]);
    broker.clock.advance(999);
    send("3", "a");
    assert.deepEqual(await left(), []);
    broker.clock.advance(1);
    send("4", "a");
    send("5", "b");
    assert.deepEqual(await left(), ["4"]);
    broker.clock.advance(4000);
    send("6", "b");
    assert.deepEqual(await left(), ["6"]);
  });
});

describe("an exchange of another type", () => {
  test("deduplicates if its arguments say so, by the header that they name", async () => {
    const args = { [type]: true, [keyHeader]: "id" };
    const { connection, exchange, send, left } = await given({ type: "topic", args });
    send("1", "same", { id: 1 });
    send("2", "same", { id: 2 });
    send("3", "other", { id: 1 });
    publish(connection, "unbound", "4", { exchange, properties: headers({ id: 3 }) });
    send("5", "same", { id: 3 });
    assert.deepEqual(await left(), ["1", "2", "5"]);
  });

  test("remembers 128 keys if it is not told how many", async () => {
    const { send, left } = await given({ type: "fanout", args: { [type]: true } });
    for (let key = 0; key < 129; key++) send("first", key);
    assert.equal((await left()).length, 129);
    send("1", 1);
    send("0", 0);
    assert.deepEqual(await left(), ["0"]);
  });

  test("does not if the argument says no", async () => {
    const { send, left } = await given({ type: "fanout", args: { [type]: false } });
    for (const body of ["1", "2"]) send(body, "a");
    assert.deepEqual(await left(), ["1", "2"]);
  });

  test("does while a policy says so, from then on", async () => {
    const { exchange, send, left } = await given({ type: "fanout", args: {} });
    const { topology } = broker.vhost;
    const node = topology.exchange(exchange);
    assert.ok(node !== undefined);
    const apply = (values: Record<string, number | boolean>): void =>
      topology.applyPolicy(
        node,
        new EffectivePolicy("p", undefined, new Map(Object.entries(values))),
      );
    send("1", "a");
    assert.deepEqual(await left(), ["1"]);
    apply({ "message-deduplication": true, "cache-size": 2 });
    for (const body of ["2", "3"]) send(body, "a");
    assert.deepEqual(await left(), ["2"]);
    for (const key of ["b", "c", "a"]) send(key, key);
    assert.deepEqual(await left(), ["b", "c", "a"]);
    apply({ "x-message-deduplication": true, "x-cache-size": 1 });
    for (const key of ["a", "c"]) send(key, key);
    assert.deepEqual(await left(), ["c"]);
    apply({});
    send("4", "c");
    assert.deepEqual(await left(), ["4"]);
  });
});

describe("a key is not remembered", () => {
  test("of a message that came back because it was unroutable", async () => {
    const { connection, exchange, queue, send, left } = await given();
    connection.send(1, "queue.unbind", { queue, exchange, routingKey: "k" });
    send("1", "a");
    await connection.waitForMethod("basic.return");
    connection.send(1, "queue.bind", { queue, exchange, routingKey: "k" });
    send("2", "a");
    assert.deepEqual(await left(), ["2"]);
  });

  test("of a message that a queue has refused", async () => {
    const { connection, exchange, send, left } = await given();
    const full = `${exchange}-full`;
    const limits = FieldTable.from({ "x-max-length": 1, "x-overflow": "reject-publish" });
    connection.send(1, "queue.declare", { queue: full, arguments: limits });
    connection.send(1, "queue.bind", { queue: full, exchange });
    connection.send(1, "confirm.select");
    for (const key of ["a", "b", "b"]) send(key, key);
    await connection.waitUntil(
      () => trace(connection).filter((name) => name === "basic.nack").length === 2,
    );
    assert.deepEqual(await drain(connection, full), ["a"]);
    send("b at last", "b");
    assert.deepEqual(await left(), ["a", "b", "b", "b at last"]);
    assert.deepEqual(await drain(connection, full), ["b at last"]);
  });

  test("of a transaction that is rolled back; of one that is committed it is", async () => {
    const { connection, send, left } = await given();
    connection.send(1, "tx.select");
    send("1", "a");
    connection.send(1, "tx.rollback");
    await roundTrip(connection);
    for (const body of ["2", "3"]) send(body, "a");
    assert.deepEqual(await left(), []);
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(await left(), ["2"]);
    send("4", "a");
    connection.send(1, "tx.commit");
    await roundTrip(connection);
    assert.deepEqual(await left(), []);
  });

  test("by an exchange of the same name that is declared anew", async () => {
    const { connection, exchange, queue, send, left } = await given();
    send("1", "a");
    connection.send(1, "exchange.delete", { exchange });
    connection.send(1, "exchange.declare", {
      exchange,
      type,
      arguments: FieldTable.from({ "x-cache-size": 100 }),
    });
    connection.send(1, "queue.bind", { queue, exchange, routingKey: "k" });
    send("2", "a");
    assert.deepEqual(await left(), ["1", "2"]);
  });
});

test("messages that come over bindings or as to an alternate are deduplicated as well", async () => {
  const { connection, exchange, left } = await given();
  const first = `${exchange}-first`;
  connection.send(1, "exchange.declare", { exchange: first, type: "direct" });
  connection.send(1, "exchange.bind", { source: first, destination: exchange, routingKey: "k" });
  connection.send(1, "exchange.declare", {
    exchange: `${first}-2`,
    type: "direct",
    arguments: FieldTable.from({ "alternate-exchange": exchange }),
  });
  const properties = headers({ [keyHeader]: "a" });
  publish(connection, "k", "1", { exchange: first, properties });
  publish(connection, "k", "2", { exchange: first, properties });
  publish(connection, "k", "3", { exchange: `${first}-2`, properties });
  assert.deepEqual(await left(), ["1"]);
});

test("a dead letter is no duplicate of what it was", async () => {
  const { connection, exchange, queue, send, left } = await given();
  const retry = `${queue}-retry`;
  const toRetry = FieldTable.from({
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": retry,
  });
  connection.send(1, "queue.declare", { queue: `${queue}-first`, arguments: toRetry });
  const back = FieldTable.from({ "x-dead-letter-exchange": exchange, "x-message-ttl": 1000 });
  connection.send(1, "queue.declare", { queue: retry, arguments: back });
  connection.send(1, "queue.bind", { queue: `${queue}-first`, exchange });
  send("1", "a");
  assert.deepEqual(await left(), ["1"]);
  const from = connection.frames.length;
  connection.send(1, "basic.get", { queue: `${queue}-first` });
  await connection.waitUntil(() => trace(connection, from).includes("basic.get-ok"));
  connection.send(1, "basic.reject", {
    deliveryTag: deliveryTagOf(connection, from),
    requeue: false,
  });
  await roundTrip(connection);
  broker.clock.advance(1000);
  await roundTrip(connection);
  assert.deepEqual(await left(), ["1"]);
});

describe("declarations", () => {
  const size = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0";
  const ttl = "Invalid argument, 'x-cache-ttl' must be an integer greater than 0";
  const persistence = "Invalid argument, 'x-cache-persistence' must be either 'disk' or 'memory'";
  const header = "Invalid argument, 'x-deduplication-header' must be a string";
  const refused: [string, Record<string, unknown>, string][] = [
    [type, {}, size],
    [type, { "x-cache-size": 0 }, size],
    [type, { "x-cache-size": -1 }, size],
    [type, { "x-cache-size": 1.5 }, size],
    [type, { "x-cache-size": "many" }, size],
    ["fanout", { [type]: true, "x-cache-size": 0 }, size],
    [type, { "x-cache-size": 1, "x-cache-ttl": 0 }, ttl],
    [type, { "x-cache-size": 1, "x-cache-ttl": "soon" }, ttl],
    [type, { "x-cache-size": 1, "x-cache-persistence": "tape" }, persistence],
    [type, { "x-cache-size": 1, "x-deduplication-header": 5 }, header],
  ];

  test("are refused as RabbitMQ's plugin refuses them", async () => {
    const connection = await broker.open();
    for (const [of, args, text] of refused) {
      const from = connection.frames.length;
      const declaration = { exchange: "refused", type: of, arguments: FieldTable.from(args) };
      connection.send(1, "exchange.declare", declaration);
      const reply = await channelClose(connection, 1, from);
      assert.equal(reply, `406 PRECONDITION_FAILED - ${text} (40.10)`, JSON.stringify(args));
      connection.send(1, "channel.close-ok");
      await reopenChannel(connection);
    }
  });

  test("may be repeated, and write numbers as text", async () => {
    const connection = await broker.open();
    const args = { "x-cache-size": "10", "x-cache-ttl": "1000", "x-cache-persistence": "memory" };
    const declaration = { exchange: "texts", type, arguments: FieldTable.from(args) };
    for (let i = 0; i < 2; i++) connection.send(1, "exchange.declare", declaration);
    await roundTrip(connection);
  });

  test("of exchanges that are not deduplicated may have any such argument", async () => {
    const connection = await broker.open();
    const declaration = { exchange: "plain", type: "fanout" };
    connection.send(1, "exchange.declare", {
      ...declaration,
      arguments: FieldTable.from({ "x-cache-size": "none" }),
    });
    await roundTrip(connection);
  });
});

test("what is remembered counts as memory, is bounded, and goes with its exchange", async () => {
  const own = await VirtualBroker.start({ "vm_memory_high_watermark.absolute": "4MiB" });
  try {
    const connection = await own.open();
    const args = FieldTable.from({ "x-cache-size": 10_000_000 });
    connection.send(1, "exchange.declare", { exchange: "x", type, arguments: args });
    connection.send(1, "queue.declare", { queue: "q", arguments: FieldTable.from({}) });
    connection.send(1, "queue.bind", { queue: "q", exchange: "x" });
    connection.send(1, "basic.consume", { queue: "q", noAck: true });
    await roundTrip(connection);
    const { messages } = own.broker;
    for (let key = 0; key < 12_000; key++) {
      publish(connection, "", "", { exchange: "x", properties: headers({ [keyHeader]: key }) });
      if (key % 1000 === 0) await roundTrip(connection);
    }
    await roundTrip(connection);
    const { bytes } = messages.memory.keys;
    assert.ok(bytes <= 512 * 1024 && bytes > 128 * 1024, `${bytes}`);
    assert.equal(own.broker.alarms.active.size, 0);
    connection.send(1, "exchange.delete", { exchange: "x" });
    await roundTrip(connection);
    assert.equal(messages.memory.keys.bytes, 0);
  } finally {
    await own.stop();
  }
});

describe("a deduplicating queue", () => {
  async function withQueue(args: Record<string, unknown> = { [type]: true }) {
    const connection = await broker.open();
    const queue = `deduplicating-${++exchanges}`;
    connection.send(1, "queue.declare", { queue, arguments: FieldTable.from(args) });
    await roundTrip(connection);
    const send = (body: string, key: unknown): void =>
      publish(connection, queue, body, {
        mandatory: true,
        properties: headers({ [keyHeader]: key }),
      });
    return { connection, queue, send };
  }

  test("has each key once, confirms the others and does not return them", async () => {
    const { connection, queue, send } = await withQueue();
    connection.send(1, "confirm.select");
    send("1", "a");
    send("2", "a");
    send("3", "b");
    await connection.waitUntil(() => acknowledged(connection) === 3);
    assert.deepEqual(await drain(connection, queue), ["1", "3"]);
    send("4", "a");
    assert.deepEqual(await drain(connection, queue), ["4"]);
    assert.ok(!trace(connection).includes("basic.return"));
    assert.ok(!trace(connection).includes("basic.nack"));
  });

  test("has it until its message is acknowledged", async () => {
    const { connection, queue, send } = await withQueue();
    send("1", "a");
    connection.send(1, "basic.get", { queue });
    await connection.waitForMethod("basic.get-ok");
    send("2", "a");
    connection.send(1, "basic.nack", { deliveryTag: 1, requeue: true });
    send("3", "a");
    assert.deepEqual(await drain(connection, queue), ["r1"]);
    send("4", "a");
    assert.deepEqual(await drain(connection, queue), ["4"]);
  });

  test("goes by the header that it is told", async () => {
    const { connection, queue, send } = await withQueue({ [type]: true, [keyHeader]: "id" });
    for (const body of ["1", "2"]) send(body, "a");
    for (const body of ["3", "4"])
      publish(connection, queue, body, { properties: headers({ id: 1 }) });
    assert.deepEqual(await drain(connection, queue), ["1", "2", "3"]);
  });

  test("lets a key go with a message that expires or is one too many", async () => {
    const args = { [type]: true, "x-message-ttl": 1000, "x-max-length": 2 };
    const { connection, queue, send } = await withQueue(args);
    for (const key of ["a", "b", "c"]) send(`${key}1`, key);
    send("a2", "a");
    send("c2", "c");
    await roundTrip(connection);
    broker.clock.advance(1000);
    for (const key of ["c", "a"]) send(`${key}3`, key);
    assert.deepEqual(await drain(connection, queue), ["c3", "a3"]);
  });

  test("may be full, and takes what it has for confirmed", async () => {
    const args = { [type]: true, "x-max-length": 1, "x-overflow": "reject-publish" };
    const { connection, queue, send } = await withQueue(args);
    connection.send(1, "confirm.select");
    for (const key of ["a", "a", "b"]) send(key, key);
    await connection.waitForMethod("basic.nack");
    await roundTrip(connection);
    assert.equal(acknowledged(connection), 2);
    assert.deepEqual(await drain(connection, queue), ["a"]);
    send("b", "b");
    assert.deepEqual(await drain(connection, queue), ["b"]);
  });

  test("does in a transaction what it does without", async () => {
    const { connection, queue, send } = await withQueue();
    connection.send(1, "tx.select");
    for (const body of ["1", "2"]) send(body, "a");
    connection.send(1, "tx.commit");
    await connection.waitForMethod("tx.commit-ok");
    assert.deepEqual(await drain(connection, queue), ["1"]);
  });
});
