// Goal: the methods that change topology answer what RabbitMQ answers, in the order in which they
// were sent, and not at all where no answer is wanted. What may be declared is tested in the core;
// here it is what channels and connections add to it.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type MethodName, methodFrame, methodOf, type RawConnection } from "@haremq/testkit";
import { drain, get, messages, publish } from "./messages.ts";
import { channelClose, ended, roundTrip, trace, VirtualBroker } from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

let names = 0;

function freshName(): string {
  return `topology-${++names}`;
}

/** The first method that comes after the given one was sent. */
async function answerTo<Name extends MethodName>(
  connection: RawConnection,
  name: Name,
  args: Parameters<typeof methodOf<Name>>[1],
) {
  const from = connection.frames.length;
  connection.send(1, name, args);
  const { method } = await connection.waitFor((frame) => frame.method !== undefined, from);
  assert.ok(method !== undefined);
  return [method.name, method.args] as const;
}

describe("an empty queue name", () => {
  test("makes queue.declare name the queue", async () => {
    const connection = await broker.open();
    const [name, args] = await answerTo(connection, "queue.declare", { exclusive: true });
    assert.equal(name, "queue.declare-ok");
    assert.ok("queue" in args && "messageCount" in args && "consumerCount" in args);
    assert.match(args.queue, /^amq\.gen-[\w-]{22}$/);
    assert.deepEqual([args.messageCount, args.consumerCount], [0, 0]);
    const second = await answerTo(connection, "queue.declare", { exclusive: true });
    assert.notDeepEqual(second, [name, args]);
  });

  test("stands elsewhere for the queue that was last declared on the channel", async () => {
    const connection = await broker.open();
    const [first, second] = [freshName(), freshName()];
    for (const queue of [first, second]) {
      connection.send(1, "queue.declare", { queue });
      publish(connection, queue, queue);
    }
    connection.send(1, "queue.bind", { exchange: "amq.direct", routingKey: "last" });
    publish(connection, "last", "bound", { exchange: "amq.direct" });
    assert.equal(await get(connection, ""), second);
    connection.send(1, "queue.declare", { queue: first, passive: true });
    assert.equal(await get(connection, ""), first);
    connection.send(1, "basic.consume", { consumerTag: "t" });
    await connection.waitForMethod("basic.consume-ok");
    assert.equal(broker.vhost.queue(first)?.consumerCount, 1);
    connection.send(1, "queue.purge", {});
    connection.send(1, "queue.delete", {});
    assert.deepEqual(await connection.waitForMethod("queue.delete-ok"), { messageCount: 0 });
    assert.equal(broker.vhost.queue(first), undefined);
    assert.deepEqual(await drain(connection, second), ["bound"]);
  });

  test("stands for nothing on a channel that has declared none", async () => {
    const uses: [name: MethodName, where: string][] = [
      ["queue.bind", "50.20"],
      ["queue.unbind", "50.50"],
      ["queue.purge", "50.30"],
      ["queue.delete", "50.40"],
      ["basic.get", "60.70"],
      ["basic.consume", "60.20"],
    ];
    const connection = await broker.open({}, []);
    for (const [index, [name, where]] of uses.entries()) {
      const channel = index + 1;
      await connection.openChannel(channel);
      connection.send(channel, name, {});
      const close = `404 NOT_FOUND - no previously declared queue (${where})`;
      assert.equal(await channelClose(connection, channel), close);
    }
  });

  test("is no name that could be asked for", async () => {
    const connection = await broker.open();
    connection.send(1, "queue.declare", { queue: freshName() });
    connection.send(1, "queue.declare", { passive: true });
    const close = "404 NOT_FOUND - no queue '' in vhost '/' (50.10)";
    assert.equal(await channelClose(connection), close);
  });

  test("with an empty key binds by the queue's name; with the name, by the empty key", async () => {
    const connection = await broker.open();
    const [nameless, named] = [freshName(), freshName()];
    connection.send(1, "queue.declare", { queue: named });
    connection.send(1, "queue.bind", { queue: named, exchange: "amq.direct" });
    connection.send(1, "queue.declare", { queue: nameless });
    connection.send(1, "queue.bind", { exchange: "amq.direct" });
    for (const key of [nameless, named, ""]) {
      publish(connection, key, `by '${key}'`, { exchange: "amq.direct", mandatory: true });
    }
    await roundTrip(connection);
    assert.deepEqual(await drain(connection, nameless), [`by '${nameless}'`]);
    assert.deepEqual(await drain(connection, named), ["by ''"]);
    connection.send(1, "queue.unbind", { exchange: "amq.direct" });
    connection.send(1, "queue.delete", { queue: named });
    publish(connection, nameless, "unbound", { exchange: "amq.direct", mandatory: true });
    await roundTrip(connection);
    assert.equal(
      messages(connection).filter(({ method }) => method.name === "basic.return").length,
      2,
    );
  });
});

describe("counts", () => {
  test("in declare-ok are of ready messages and of consumers", async () => {
    const connection = await broker.open();
    const queue = freshName();
    connection.send(1, "queue.declare", { queue });
    for (const body of "123") publish(connection, queue, body);
    await get(connection, queue, { noAck: false });
    assert.deepEqual(await answerTo(connection, "queue.declare", { queue, passive: true }), [
      "queue.declare-ok",
      { queue, messageCount: 2, consumerCount: 0 },
    ]);
    connection.send(1, "basic.qos", { prefetchCount: 1 });
    for (const consumerTag of "tu") connection.send(1, "basic.consume", { queue, consumerTag });
    await roundTrip(connection);
    assert.deepEqual(await answerTo(connection, "queue.declare", { queue }), [
      "queue.declare-ok",
      { queue, messageCount: 0, consumerCount: 2 },
    ]);
  });

  test("in purge-ok and delete-ok are of ready messages", async () => {
    const connection = await broker.open();
    const queue = freshName();
    connection.send(1, "queue.declare", { queue });
    for (const body of "123") publish(connection, queue, body);
    await get(connection, queue, { noAck: false });
    const purged = await answerTo(connection, "queue.purge", { queue });
    assert.deepEqual(purged, ["queue.purge-ok", { messageCount: 2 }]);
    publish(connection, queue, "4");
    const deleted = await answerTo(connection, "queue.delete", { queue });
    assert.deepEqual(deleted, ["queue.delete-ok", { messageCount: 1 }]);
    connection.send(1, "basic.ack", { deliveryTag: 1 });
    await roundTrip(connection);
  });

  test("of what is missing are zero", async () => {
    const connection = await broker.open();
    const deleted = await answerTo(connection, "queue.delete", {
      queue: "missing",
      ifUnused: true,
    });
    assert.deepEqual(deleted, ["queue.delete-ok", { messageCount: 0 }]);
    assert.equal(
      (await answerTo(connection, "exchange.delete", { exchange: "nope" }))[0],
      "exchange.delete-ok",
    );
  });
});

describe("without waiting", () => {
  test("everything is done, and nothing is answered", async () => {
    const connection = await broker.open();
    const [queue, exchange] = [freshName(), freshName()];
    const nowait = true;
    const from = connection.frames.length;
    connection.send(1, "queue.declare", { queue, nowait });
    connection.send(1, "exchange.declare", { exchange, type: "fanout", nowait });
    connection.send(1, "exchange.bind", { destination: exchange, source: "amq.direct", nowait });
    connection.send(1, "queue.bind", { queue, exchange, nowait });
    connection.send(1, "confirm.select", { nowait });
    connection.send(1, "basic.consume", { queue, consumerTag: "t", nowait });
    connection.send(1, "basic.cancel", { consumerTag: "t", nowait });
    await roundTrip(connection);
    assert.deepEqual(trace(connection, from), ["channel.flow-ok"]);
    publish(connection, "", "arrives", { exchange: "amq.direct" });
    await connection.waitForMethod("basic.ack");
    assert.deepEqual(await drain(connection, queue), ["arrives"]);
    publish(connection, queue, "purged");
    const purge = connection.frames.length;
    connection.send(1, "queue.purge", { queue, nowait });
    connection.send(1, "exchange.unbind", { destination: exchange, source: "amq.direct", nowait });
    connection.send(1, "queue.delete", { queue, ifEmpty: true, nowait });
    connection.send(1, "exchange.delete", { exchange, nowait });
    await roundTrip(connection);
    assert.deepEqual(
      trace(connection, purge).filter((name) => name !== "basic.ack"),
      ["channel.flow-ok"],
    );
    assert.equal(broker.vhost.queue(queue), undefined);
    assert.equal(broker.vhost.exchange(exchange), undefined);
  });

  test("errors are told all the same", async () => {
    const connection = await broker.open({}, [1, 2, 3]);
    connection.send(1, "queue.declare", { queue: "missing", passive: true, nowait: true });
    connection.send(2, "basic.consume", { queue: "missing", nowait: true });
    connection.send(3, "queue.purge", { queue: "missing", nowait: true });
    const missing = "404 NOT_FOUND - no queue 'missing' in vhost '/'";
    assert.equal(await channelClose(connection, 1), `${missing} (50.10)`);
    assert.equal(await channelClose(connection, 2), `${missing} (60.20)`);
    assert.equal(await channelClose(connection, 3), `${missing} (50.30)`);
  });
});

describe("the order", () => {
  test("of answers is that of the methods, across channels and whatever they are", async () => {
    const connection = await broker.open({}, [1, 2]);
    const from = connection.frames.length;
    const frames: Buffer[] = [];
    const expected: string[] = [];
    for (let index = 0; index < 300; index++) {
      const channel = 1 + (index % 2);
      const queue = `${freshName()}-order`;
      const steps = [
        methodOf("queue.declare", { queue, exclusive: true }),
        methodOf("basic.qos", { prefetchCount: index }),
        methodOf("queue.bind", { queue, exchange: "amq.fanout" }),
        methodOf("queue.delete", { queue }),
      ];
      for (const step of steps) {
        frames.push(methodFrame(channel, step));
        expected.push(`${channel} ${step.name}-ok`);
      }
    }
    connection.sendBytes(Buffer.concat(frames));
    await roundTrip(connection, 2);
    const seen = connection.frames
      .slice(from)
      .flatMap(({ channel, method }) =>
        method === undefined ? [] : [`${channel} ${method.name}`],
      );
    assert.deepEqual(seen.slice(0, -1), expected);
  });

  test("of a declaration and what uses it may be taken for granted", async () => {
    const connection = await broker.open();
    const queue = freshName();
    const frames = [
      methodFrame(1, methodOf("queue.declare", { queue })),
      methodFrame(1, methodOf("queue.bind", { queue, exchange: "amq.topic", routingKey: "#" })),
    ];
    connection.sendBytes(Buffer.concat(frames));
    publish(connection, "any.key", "arrives", { exchange: "amq.topic" });
    connection.send(1, "queue.unbind", { queue, exchange: "amq.topic", routingKey: "#" });
    publish(connection, "any.key", "does not", { exchange: "amq.topic" });
    assert.deepEqual(await drain(connection, queue), ["arrives"]);
  });
});

describe("an exclusive queue", () => {
  const locked =
    /^405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'topology-\d+' in vhost '\/'/;

  test("is its connection's alone, but for who publishes to it", async () => {
    const owner = await broker.open();
    const queue = freshName();
    owner.send(1, "queue.declare", { queue, exclusive: true });
    await roundTrip(owner);
    const channels = [1, 2, 3, 4, 5, 6];
    const other = await broker.open({}, [...channels, 7]);
    other.send(1, "queue.declare", { queue, passive: true });
    other.send(2, "queue.bind", { queue, exchange: "amq.direct" });
    other.send(3, "queue.purge", { queue });
    other.send(4, "queue.delete", { queue });
    other.send(5, "basic.get", { queue });
    other.send(6, "basic.consume", { queue });
    for (const channel of channels) assert.match(await channelClose(other, channel), locked);
    publish(other, queue, "let in", { channel: 7, mandatory: true });
    await roundTrip(other, 7);
    assert.deepEqual(await drain(owner, queue), ["let in"]);
  });

  for (const [name, end] of [
    ["close", (owner: RawConnection) => owner.close()],
    ["death", async (owner: RawConnection) => owner.destroy()],
    [
      "error",
      async (owner: RawConnection) => {
        owner.send(0, "channel.open");
        await owner.waitForMethod("connection.close");
        owner.send(0, "connection.close-ok");
        await ended(owner);
      },
    ],
  ] as const) {
    test(`goes with its connection's ${name}, and takes its bindings along`, async () => {
      await broker.closeConnections();
      await broker.connectionsLeft(0);
      const watcher = await broker.open();
      const owner = await broker.open();
      const queue = freshName();
      owner.send(1, "queue.declare", { queue, exclusive: true });
      owner.send(1, "queue.bind", { queue, exchange: "amq.direct", routingKey: queue });
      await roundTrip(owner);
      await end(owner);
      await broker.connectionsLeft(1);
      publish(watcher, queue, "too late", { exchange: "amq.direct", mandatory: true });
      await watcher.waitForMethod("basic.return");
      watcher.send(1, "queue.declare", { queue, passive: true });
      assert.match(await channelClose(watcher), /^404/);
    });
  }
});
