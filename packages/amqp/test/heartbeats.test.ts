// Goal: who agreed on heartbeats gets them when nothing else is sent, and is taken for dead when
// nothing has come for two intervals; who cannot be heard is not taken for dead.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isMethod, rawFrame } from "@haremq/testkit";
import { ended, roundTrip, trace, withBroker } from "./virtual-broker.ts";

const heartbeat = rawFrame(8, 0, Buffer.alloc(0));
const intervalMs = 10_000;

describe("heartbeats", () => {
  test("are sent to a quiet client twice an interval", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ heartbeat: 10 });
      const from = connection.frames.length;
      // What was sent before the first look counts as a sign of life.
      broker.clock.advance(intervalMs / 2);
      await broker.settle();
      assert.deepEqual(trace(connection, from), []);
      for (let count = 1; count <= 4; count++) {
        connection.sendBytes(heartbeat);
        await broker.settle();
        broker.clock.advance(intervalMs / 2);
        await connection.waitUntil(() => connection.frames.length === from + count);
        assert.deepEqual(trace(connection, from), Array(count).fill("type 8"));
        assert.equal(connection.frames.at(-1)?.channel, 0);
        assert.equal(connection.frames.at(-1)?.payload.length, 0);
      }
    }));

  test("are not sent to a client that is sent something else", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ heartbeat: 10 });
      for (let count = 0; count < 5; count++) {
        await roundTrip(connection);
        broker.clock.advance(intervalMs / 2);
      }
      await roundTrip(connection);
      assert.ok(!trace(connection).includes("type 8"));
    }));

  test("missed for two intervals end the connection", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ heartbeat: 10 });
      connection.send(1, "queue.declare", { queue: "own", exclusive: true });
      await roundTrip(connection);
      // From the first look that finds nothing new, two intervals pass.
      broker.clock.advance(intervalMs / 2 + 2 * intervalMs - 1);
      await broker.settle();
      assert.equal(connection.ended, undefined);
      broker.clock.advance(1);
      await ended(connection);
      await broker.log.waitFor(/missed heartbeats from client/);
      assert.equal(broker.vhost.queue("own"), undefined);
      await broker.connectionsLeft(0);
      assert.equal(broker.clock.pending, 0);
    }));

  test("or anything else from the client keep it alive", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ heartbeat: 10 });
      for (let count = 0; count < 6; count++) {
        broker.clock.advance(2 * intervalMs);
        if (count % 2 === 0) connection.sendBytes(heartbeat);
        // Half a frame is a sign of life, too.
        else connection.sendBytes(heartbeat.subarray(0, 4));
        if (count % 2 !== 0) connection.sendBytes(heartbeat.subarray(4));
        await broker.settle();
      }
      await roundTrip(connection);
      assert.equal(connection.ended, undefined);
    }));

  test("of interval 0 are none, in either direction", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ heartbeat: 0 });
      const from = connection.frames.length;
      broker.clock.advance(10 * 3_600_000);
      await roundTrip(connection);
      assert.deepEqual(trace(connection, from), ["channel.flow-ok"]);
    }));

  test("of each connection go by its own interval", () =>
    withBroker(async (broker) => {
      const quick = await broker.open({ heartbeat: 1 });
      const slow = await broker.open({ heartbeat: 60 });
      broker.clock.advance(2_500);
      await ended(quick);
      await roundTrip(slow);
    }));

  test("are not missed of a client that is not read, being blocked", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({
        heartbeat: 10,
        capabilities: { "connection.blocked": true },
      });
      broker.broker.alarms.set("disk", true);
      connection.send(1, "basic.publish", { routingKey: "nowhere" });
      connection.sendContent(1, {}, Buffer.alloc(0));
      await connection.waitForMethod("connection.blocked");
      for (let count = 0; count < 10; count++) {
        connection.sendBytes(heartbeat);
        broker.clock.advance(intervalMs);
        await broker.settle();
      }
      assert.equal(connection.ended, undefined);
      broker.broker.alarms.set("disk", false);
      await roundTrip(connection);
    }));

  test("are not missed of a client that is not read, having so much to read itself", () =>
    withBroker(async (broker) => {
      const connection = await broker.open({ heartbeat: 10 });
      connection.send(1, "queue.declare", { queue: "big", exclusive: true });
      connection.send(1, "basic.publish", { routingKey: "big" });
      connection.sendContent(1, {}, Buffer.alloc(40 * 1024 * 1024));
      await roundTrip(connection);
      connection.pauseReading();
      connection.send(1, "basic.get", { queue: "big", noAck: true });
      await broker.settle();
      for (let count = 0; count < 10; count++) {
        connection.sendBytes(heartbeat);
        broker.clock.advance(intervalMs);
        await broker.settle();
      }
      connection.resumeReading();
      await connection.waitFor((frame) => isMethod(frame, "basic.get-ok"));
      await roundTrip(connection);
    }));
});
