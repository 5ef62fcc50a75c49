// Goal: an error of a channel ends that channel and nothing else; channels and connections close as
// RabbitMQ's do, also when both sides close at once; what one connection may open is bounded.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isMethod, rawFrame } from "@haremq/testkit";
import {
  channelClose,
  connectionClose,
  ended,
  reopenChannel,
  roundTrip,
  trace,
  VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

const noQueue = "404 NOT_FOUND - no queue 'missing' in vhost '/'";
const missing = { queue: "missing", passive: true };

describe("an error of a channel", () => {
  test("leaves the connection and its other channels alone", async () => {
    const connection = await broker.open({}, [1, 2]);
    connection.send(2, "queue.declare", { queue: "bystander", exclusive: true });
    connection.send(2, "basic.consume", { queue: "bystander", consumerTag: "c" });
    connection.send(1, "queue.declare", missing);
    assert.equal(await channelClose(connection), `${noQueue} (50.10)`);
    connection.send(2, "basic.publish", { routingKey: "bystander" });
    connection.sendContent(2, {}, Buffer.from("still here"));
    await connection.waitForMethod("basic.deliver");
    connection.send(1, "channel.close-ok");
    await reopenChannel(connection);
    await roundTrip(connection, 1);
    await roundTrip(connection, 2);
  });

  test("makes the channel deaf to everything but its end", async () => {
    const connection = await broker.open();
    connection.send(1, "queue.declare", missing);
    connection.send(1, "queue.declare", { queue: "unheard" });
    connection.send(1, "basic.publish", { routingKey: "unheard", mandatory: true });
    connection.sendContent(1, {}, Buffer.from("unheard"));
    connection.sendBytes(rawFrame(2, 1, Buffer.from("garbage")));
    connection.send(1, "basic.ack", { deliveryTag: 7 });
    await channelClose(connection);
    connection.send(1, "channel.close-ok");
    await reopenChannel(connection);
    assert.equal(broker.vhost.queue("unheard"), undefined);
    assert.deepEqual(trace(connection, 0, 1), [
      "channel.open-ok",
      "channel.close",
      "channel.open-ok",
    ]);
  });

  test("drops the content that was under way", async () => {
    const connection = await broker.open();
    connection.send(1, "basic.publish", { exchange: "nope" });
    connection.sendContent(1, {}, Buffer.from("a body"));
    const close = "404 NOT_FOUND - no exchange 'nope' in vhost '/' (60.40)";
    assert.equal(await channelClose(connection), close);
    connection.send(1, "channel.close-ok");
    await reopenChannel(connection);
    await roundTrip(connection);
  });

  test("comes after the confirms that were due", async () => {
    const connection = await broker.open();
    connection.send(1, "confirm.select");
    connection.send(1, "basic.publish", { routingKey: "nowhere" });
    connection.sendContent(1, {}, Buffer.from("x"));
    connection.send(1, "basic.publish", { exchange: "nope" });
    connection.sendContent(1, {}, Buffer.from("x"));
    await channelClose(connection);
    assert.deepEqual(trace(connection, 0, 1).slice(1), [
      "confirm.select-ok",
      "basic.ack",
      "channel.close",
    ]);
  });

  test("still awaits close-ok after the client's own close has been answered", async () => {
    const connection = await broker.open();
    connection.send(1, "queue.declare", missing);
    await channelClose(connection);
    connection.send(1, "channel.close", { replyCode: 200 });
    await connection.waitForMethod("channel.close-ok");
    connection.send(1, "channel.open");
    const close = "504 CHANNEL_ERROR - second 'channel.open' seen (20.10)";
    assert.equal(await connectionClose(connection), close);
  });

  test("followed by channel.open before close-ok is an error of the connection", async () => {
    const connection = await broker.open();
    connection.send(1, "queue.declare", missing);
    connection.send(1, "channel.open");
    const close = "504 CHANNEL_ERROR - second 'channel.open' seen (20.10)";
    assert.equal(await connectionClose(connection), close);
  });
});

describe("channel.close", () => {
  test("crossing the broker's own: both are answered, and the number is free again", async () => {
    const connection = await broker.open();
    connection.send(1, "queue.declare", missing);
    connection.send(1, "channel.close", { replyCode: 200 });
    await connection.waitForMethod("channel.close-ok");
    connection.send(1, "channel.close-ok");
    await reopenChannel(connection);
    await roundTrip(connection);
  });

  test("frees its number at once", async () => {
    const connection = await broker.open();
    connection.send(1, "channel.close", { replyCode: 200 });
    connection.send(1, "channel.open");
    await roundTrip(connection);
    assert.deepEqual(trace(connection, 0, 1).slice(0, 3), [
      "channel.open-ok",
      "channel.close-ok",
      "channel.open-ok",
    ]);
  });

  test("answers what was asked before, confirms included", async () => {
    const connection = await broker.open();
    connection.send(1, "confirm.select");
    connection.send(1, "basic.publish", { routingKey: "nowhere" });
    connection.sendContent(1, {}, Buffer.from("x"));
    connection.send(1, "channel.close", { replyCode: 200 });
    await connection.waitForMethod("channel.close-ok");
    assert.deepEqual(trace(connection, 0, 1).slice(1), [
      "confirm.select-ok",
      "basic.ack",
      "channel.close-ok",
    ]);
  });

  test("ends its consumers", async () => {
    const connection = await broker.open({}, [1, 2]);
    connection.send(2, "queue.declare", { queue: "left", exclusive: true });
    connection.send(1, "basic.consume", { queue: "left" });
    await connection.waitForMethod("basic.consume-ok");
    connection.send(1, "channel.close", { replyCode: 200 });
    await connection.waitForMethod("channel.close-ok");
    assert.equal(broker.vhost.queue("left")?.consumerCount, 0);
  });
});

describe("connection.close", () => {
  test("is answered, and nothing comes after the answer", async () => {
    const connection = await broker.open();
    connection.send(1, "queue.declare", { queue: "own", exclusive: true });
    connection.send(0, "connection.close", { replyCode: 200 });
    connection.send(1, "queue.declare", { queue: "never" });
    await ended(connection);
    assert.equal(connection.ended, "by end");
    assert.equal(trace(connection).at(-1), "connection.close-ok");
    assert.equal(broker.vhost.queue("own"), undefined);
    assert.equal(broker.vhost.queue("never"), undefined);
  });

  test("while a content is open drops the content", async () => {
    const connection = await broker.open();
    const queue = "half";
    connection.send(1, "queue.declare", { queue });
    connection.send(1, "basic.publish", { routingKey: queue });
    connection.sendBytes(rawFrame(2, 1, Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0])));
    connection.sendBytes(rawFrame(3, 1, Buffer.from("half")));
    connection.send(0, "connection.close", { replyCode: 200 });
    await ended(connection);
    assert.equal(trace(connection).at(-1), "connection.close-ok");
    assert.equal(broker.vhost.queue(queue)?.readyCount, 0);
  });

  test("comes after the confirms that were due", async () => {
    const connection = await broker.open({}, [1, 2]);
    for (const channel of [1, 2]) {
      connection.send(channel, "confirm.select");
      connection.send(channel, "basic.publish", { routingKey: "nowhere" });
      connection.sendContent(channel, {}, Buffer.from("x"));
    }
    connection.send(0, "connection.close", { replyCode: 200 });
    await ended(connection);
    assert.deepEqual(trace(connection).slice(-3), [
      "basic.ack",
      "basic.ack",
      "connection.close-ok",
    ]);
  });

  test("of the broker comes after the confirms that were due", async () => {
    const connection = await broker.open({}, [1, 2]);
    connection.send(1, "confirm.select");
    connection.send(1, "basic.publish", { routingKey: "nowhere" });
    connection.sendContent(1, {}, Buffer.from("x"));
    connection.send(0, "channel.open");
    await connectionClose(connection);
    await broker.settle();
    assert.deepEqual(trace(connection).slice(-2), ["basic.ack", "connection.close"]);
  });
});

describe("what a connection may open", () => {
  test("is channel_max channels, closing ones included", async () => {
    const connection = await broker.open({ channelMax: 3 }, [1, 2, 3]);
    connection.send(2, "queue.declare", missing);
    await channelClose(connection, 2);
    connection.send(4, "channel.open");
    assert.equal(
      await connectionClose(connection),
      "530 NOT_ALLOWED - number of channels opened (3) has reached the negotiated " +
        "channel_max (3) (20.10)",
    );
  });

  test("is as many channels again as were closed", async () => {
    const connection = await broker.open({ channelMax: 2 }, [1, 2]);
    for (let round = 0; round < 5; round++) {
      connection.send(1, "channel.close", { replyCode: 200 });
      await roundTrip(connection, 2);
      await reopenChannel(connection);
    }
  });

  test("is 2047 channels, each of which works", async () => {
    const connection = await broker.open({}, []);
    for (let channel = 1; channel <= 2047; channel++) connection.send(channel, "channel.open");
    for (let channel = 1; channel <= 2047; channel++) {
      connection.send(channel, "basic.qos", { prefetchCount: channel });
    }
    const from = connection.frames.length;
    await connection.waitFor(
      (frame) => frame.channel === 2047 && isMethod(frame, "basic.qos-ok"),
      from,
    );
    const count = (name: string) => trace(connection).filter((each) => each === name).length;
    assert.equal(count("channel.open-ok"), 2047);
    assert.equal(count("basic.qos-ok"), 2047);
    connection.send(2048, "channel.open");
    assert.match(await connectionClose(connection), /^530 NOT_ALLOWED - number of channels/);
  });

  test("is so many consumers a channel as configured", () =>
    withBroker(
      async (own) => {
        const connection = await own.open({}, [1, 2]);
        connection.send(1, "queue.declare", { queue: "q" });
        for (const channel of [1, 1, 2]) connection.send(channel, "basic.consume", { queue: "q" });
        connection.send(1, "basic.cancel", { consumerTag: "none" });
        await connection.waitForMethod("basic.cancel-ok");
        connection.send(1, "basic.consume", { queue: "q" });
        assert.equal(
          await connectionClose(connection),
          "530 NOT_ALLOWED - reached maximum (2) of consumers per channel (60.20)",
        );
      },
      { consumer_max_per_channel: 2 },
    ));

  test("is so large a message as configured: refused by its header", () =>
    withBroker(
      async (own) => {
        const connection = await own.open();
        connection.send(1, "queue.declare", { queue: "q" });
        const announce = (bytes: number) => {
          const header = Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
          header.writeBigUInt64BE(BigInt(bytes), 4);
          connection.send(1, "basic.publish", { routingKey: "q" });
          connection.sendBytes(rawFrame(2, 1, header));
        };
        announce(1000);
        connection.sendBytes(rawFrame(3, 1, Buffer.alloc(1000)));
        await roundTrip(connection);
        assert.equal(own.vhost.queue("q")?.readyCount, 1);
        announce(1001);
        assert.equal(
          await channelClose(connection),
          "406 PRECONDITION_FAILED - message size 1001 is larger than configured max size 1000 " +
            "(60.40)",
        );
        // What the client sends meanwhile, not knowing of it, is of no interest.
        connection.sendBytes(rawFrame(3, 1, Buffer.alloc(1001)));
        connection.send(1, "channel.close-ok");
        await reopenChannel(connection);
        announce(2 ** 63);
        assert.match(
          await channelClose(connection, 1, connection.frames.length),
          /^406 PRECONDITION_FAILED - message size 9223372036854775808 is larger than/,
        );
      },
      { max_message_size: 1000 },
    ));
});
