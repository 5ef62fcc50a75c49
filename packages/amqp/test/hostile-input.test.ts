// Goal: announcing much costs the broker nothing, and no input costs it more than its own size.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { methodFrame, methodOf, rawFrame } from "@haremq/testkit";
import { FieldTable, type FieldValue, WireWriter } from "@haremq/wire";
import { arrived, publish } from "./messages.ts";
import { channelClose, connectionClose, roundTrip, withBroker } from "./virtual-broker.ts";

const mib = 1024 * 1024;

/** How many bytes of buffers are allocated outside of the pool during the work. */
async function allocatedDuring(work: () => Promise<void>): Promise<number> {
  let total = 0;
  const { allocUnsafeSlow } = Buffer;
  Buffer.allocUnsafeSlow = (size) => {
    total += size;
    return allocUnsafeSlow(size);
  };
  try {
    await work();
  } finally {
    Buffer.allocUnsafeSlow = allocUnsafeSlow;
  }
  return total;
}

/** How many more bytes of buffers are reachable after the work than before. */
async function heldAfter(work: () => Promise<void>): Promise<number> {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  collect();
  const before = process.memoryUsage().arrayBuffers;
  await work();
  collect();
  return process.memoryUsage().arrayBuffers - before;
}

function contentHeader(channel: number, bodyBytes: number): Buffer {
  const payload = Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  payload.writeBigUInt64BE(BigInt(bodyBytes), 4);
  return rawFrame(2, channel, payload);
}

/** queue.declare with an argument whose value is this many tables or arrays deep. */
function nested(depth: number, type: "F" | "A"): Buffer {
  const writer = new WireWriter(4096);
  let value = Buffer.alloc(0);
  for (let level = 0; level < depth; level++) {
    const name = type === "F" ? Buffer.from([1, 0x61]) : Buffer.alloc(0);
    const length = Buffer.alloc(4);
    const inner = level === 0 ? Buffer.alloc(0) : Buffer.concat([name, Buffer.from(type), value]);
    length.writeUInt32BE(inner.length);
    value = Buffer.concat([length, inner]);
  }
  const table = Buffer.concat([Buffer.from([1, 0x61]), Buffer.from(type), value]);
  writer.bytes(Buffer.from([0, 50, 0, 10, 0, 0, 1, 0x71, 0]));
  writer.longString(table);
  return rawFrame(1, 1, writer.take());
}

describe("announcing much", () => {
  test("as the size of a body allocates nothing, also on every channel", () =>
    withBroker(async (broker) => {
      const channels = [...Array(200).keys()].map((index) => index + 1);
      const connection = await broker.open({}, channels);
      const allocated = await allocatedDuring(async () => {
        for (const channel of channels) {
          connection.send(channel, "basic.publish", { routingKey: "nowhere" });
          connection.sendBytes(contentHeader(channel, 128 * mib));
        }
        await connection.openChannel(201);
        await roundTrip(connection, 201);
      });
      assert.ok(allocated < mib, `${allocated}`);
    }));

  test("as the size of a body allocates in proportion to what comes", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({}, [1, 2]);
      const allocated = await allocatedDuring(async () => {
        connection.send(1, "basic.publish", { routingKey: "nowhere" });
        connection.sendBytes(contentHeader(1, 128 * mib));
        for (let count = 0; count < 10; count++) {
          connection.sendBytes(rawFrame(3, 1, Buffer.alloc(100_000)));
        }
        await roundTrip(connection, 2);
      });
      assert.ok(allocated < 5 * mib, `${allocated}`);
    }));

  test("as the size of a body holds the header, and not the chunk that it came in", () =>
    withBroker(async (broker) => {
      const channels = [...Array(200).keys()].map((index) => index + 1);
      const connection = await broker.open({}, channels);
      const heartbeats = Buffer.concat(Array(7000).fill(rawFrame(8, 0, Buffer.alloc(0))));
      const held = await heldAfter(async () => {
        for (const channel of channels) {
          const publish = methodFrame(channel, methodOf("basic.publish"));
          const header = contentHeader(channel, 1000);
          connection.sendBytes(Buffer.concat([heartbeats, publish, header]));
          await broker.turn();
        }
        await connection.openChannel(201);
        await roundTrip(connection, 201);
      });
      // All chunks together are eleven times as much.
      assert.ok(held < mib, `${held}`);
    }));

  test("as the size of a frame allocates nothing before it comes", () =>
    withBroker(async (broker) => {
      const connection = await broker.open();
      const allocated = await allocatedDuring(async () => {
        connection.sendBytes(rawFrame(1, 1, Buffer.alloc(131_000)).subarray(0, 7));
        await broker.settle();
      });
      assert.ok(allocated < mib, `${allocated}`);
    }));
});

describe("field tables", () => {
  for (const type of ["F", "A"] as const) {
    test(`of ${type} in ${type} are taken a hundred deep, and no deeper`, () =>
      withBroker(async (broker) => {
        const connection = await broker.open();
        connection.sendBytes(nested(99, type));
        await connection.waitForMethod("queue.declare-ok");
        connection.sendBytes(nested(100, type));
        assert.equal(
          await connectionClose(connection),
          "502 SYNTAX_ERROR - field table nested too deeply (50.10)",
        );
      }));

    test(`of ${type} in ${type} as deep as a frame is long do not exhaust the stack`, () =>
      withBroker(async (broker) => {
        const connection = await broker.open();
        connection.sendBytes(nested(10_000, type));
        assert.match(await connectionClose(connection), /^502 SYNTAX_ERROR/);
      }));
  }

  test("that are too deep are refused in a message's headers, too", () =>
    withBroker(async (broker) => {
      const connection = await broker.open();
      connection.send(1, "queue.declare", { queue: "q" });
      let value: FieldValue = { type: "V", value: null };
      for (let level = 0; level < 99; level++) {
        value = { type: "F", value: new FieldTable([{ name: "a", value }]) };
      }
      const headers = new FieldTable([{ name: "a", value }]);
      publish(connection, "q", "x", { properties: { headers } });
      await roundTrip(connection);
      assert.equal(broker.vhost.queue("q")?.readyCount, 1);
      const frame = nested(100, "F");
      const table = frame.subarray(frame.length - 1 - (frame.length - 8 - 9), frame.length - 1);
      const payload = Buffer.concat([
        Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0]),
        table,
      ]);
      connection.send(1, "basic.publish", { routingKey: "q" });
      connection.sendBytes(rawFrame(2, 1, payload));
      assert.equal(await connectionClose(connection), "541 INTERNAL_ERROR (0.0)");
    }));

  test("with as many entries as fit a frame are taken", () =>
    withBroker(async (broker) => {
      const connection = await broker.open();
      const entries = [...Array(30_000).keys()].map((index) => ({
        name: `${index % 10}`,
        value: { type: "V", value: null } as const,
      }));
      const declare = methodOf("queue.declare", { queue: "q", arguments: new FieldTable(entries) });
      connection.sendBytes(methodFrame(1, declare));
      await connection.waitForMethod("queue.declare-ok");
      // And compared, entry by entry, in time that the next method does not notice.
      connection.sendBytes(methodFrame(1, declare));
      await roundTrip(connection);
    }));
});

describe("many", () => {
  test("consumers of one queue each get theirs, and end in order", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({}, [1, 2]);
      const count = 5000;
      connection.send(1, "queue.declare", { queue: "q" });
      connection.send(1, "basic.qos", { prefetchCount: 1 });
      for (let index = 0; index < count; index++) {
        connection.send(1, "basic.consume", { queue: "q", consumerTag: `${index}`, nowait: true });
      }
      for (let index = 0; index < count; index++) publish(connection, "q", "x", { channel: 2 });
      await arrived(connection, "basic.deliver", count);
      const tags = new Set(
        connection.frames.flatMap(({ method }) =>
          method?.name === "basic.deliver" ? [method.args.consumerTag] : [],
        ),
      );
      assert.equal(tags.size, count);
      connection.send(1, "channel.close", { replyCode: 200 });
      await connection.waitForMethod("channel.close-ok");
      assert.equal(broker.vhost.queue("q")?.readyCount, count);
      assert.equal(broker.vhost.queue("q")?.consumerCount, 0);
    }));

  test("unsettled deliveries are settled in any order, and at once", () =>
    withBroker(async (broker) => {
      const connection = await broker.open();
      const count = 20_000;
      connection.send(1, "queue.declare", { queue: "q" });
      for (let index = 0; index < count; index++) publish(connection, "q", "x");
      connection.send(1, "basic.consume", { queue: "q" });
      await arrived(connection, "basic.deliver", count);
      for (let tag = count; tag > count / 2; tag--) {
        connection.send(1, "basic.ack", { deliveryTag: tag });
      }
      connection.send(1, "basic.ack", { deliveryTag: count / 2, multiple: true });
      await roundTrip(connection);
      assert.equal(broker.vhost.queue("q")?.unsettledCount, 0);
      assert.equal(broker.broker.messages.liveMessages, 0);
    }));

  test("errors of one channel after the other leave no trace", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ channelMax: 5 }, []);
      for (let round = 0; round < 200; round++) {
        const from = connection.frames.length;
        connection.send(1, "channel.open");
        connection.send(1, "queue.declare", { queue: "missing", passive: true });
        await channelClose(connection, 1, from);
        connection.send(1, "channel.close-ok");
      }
      await connection.openChannel(2);
      await roundTrip(connection, 2);
    }));
});
