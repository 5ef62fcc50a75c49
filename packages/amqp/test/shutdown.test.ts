// Goal: a broker that stops tells every client, waits for their answers and for no client for ever;
// others in the same process do not notice. Sockets that are left half open go, too.

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import { methodFrame, methodOf, protocolHeader, rawFrame } from "@haremq/testkit";
import {
  connectionClose,
  ended,
  roundTrip,
  startOk,
  trace,
  turnsUntil,
  VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

const forced =
  "320 CONNECTION_FORCED - broker forced connection closure with reason 'shutdown' (0.0)";
const graceMs = 5000;

/** A peer that never ends its side of a connection, whatever it is told. */
async function stubbornPeer(broker: VirtualBroker): Promise<Socket> {
  const socket = connect({ ...broker.address, allowHalfOpen: true });
  socket.on("error", () => {});
  socket.resume();
  await new Promise<void>((resolve) => socket.once("connect", () => resolve()));
  return socket;
}

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    else socket.once("close", () => resolve());
  });
}

describe("stop", () => {
  test("tells every client, and is done when all have agreed", () =>
    withBroker(async (broker) => {
      const clients = [await broker.open(), await broker.open({}, []), await broker.open()];
      const stopped = broker.running.stop();
      for (const client of clients) {
        assert.equal(await connectionClose(client), forced);
        client.send(0, "connection.close-ok");
        await ended(client);
        assert.equal(client.ended, "by end");
      }
      await stopped;
      assert.equal(broker.running.connectionCount, 0);
      await assert.rejects(broker.connect());
    }));

  test("finishes what was being sent before it says so", () =>
    withBroker(async (broker) => {
      const client = await broker.open();
      client.send(1, "queue.declare", { queue: "q" });
      client.send(1, "confirm.select");
      client.send(1, "basic.consume", { queue: "q", noAck: true });
      client.send(1, "basic.publish", { routingKey: "q" });
      client.sendContent(1, {}, Buffer.from("last words"));
      await client.waitForMethod("basic.deliver");
      const stopped = broker.running.stop();
      await connectionClose(client);
      const seen = trace(client);
      assert.equal(seen.at(-1), "connection.close");
      assert.ok(seen.includes("body last words") && seen.includes("basic.ack"));
      client.send(0, "connection.close-ok");
      await stopped;
    }));

  test("cuts off who does not answer within five seconds", () =>
    withBroker(async (broker) => {
      const silent = await broker.open();
      const polite = await broker.open();
      let isStopped = false;
      const stopped = broker.running.stop().then(() => {
        isStopped = true;
      });
      await connectionClose(polite);
      polite.send(0, "connection.close-ok");
      await ended(polite);
      await connectionClose(silent);
      broker.clock.advance(graceMs - 1);
      await turnsUntil(() => broker.running.connectionCount === 1);
      assert.equal(silent.ended, undefined);
      assert.equal(isStopped, false);
      broker.clock.advance(1);
      await ended(silent);
      await stopped;
    }));

  test("ends connections in every state of their handshake", () =>
    withBroker(async (broker) => {
      const fresh = await broker.connect();
      const greeted = await broker.connect();
      greeted.sendBytes(protocolHeader);
      await greeted.waitForMethod("connection.start");
      const known = await broker.connect();
      await startOk(known);
      await known.waitForMethod("connection.tune");
      const refused = await broker.connect();
      await startOk(refused, { response: "\0guest\0wrong", capabilities: {} });
      await broker.log.waitFor(/login refused$/);
      const failing = await broker.open();
      failing.sendBytes(rawFrame(255, 0, Buffer.alloc(0)));
      await connectionClose(failing);
      const stopped = broker.running.stop();
      for (const connection of [fresh, greeted, known]) {
        await ended(connection);
        assert.ok(!trace(connection).includes("connection.close"));
      }
      broker.clock.advance(graceMs);
      for (const connection of [refused, failing]) await ended(connection);
      await stopped;
    }));

  test("does not wait for ever for sockets that are left half open", () =>
    withBroker(async (broker) => {
      const peer = await stubbornPeer(broker);
      await turnsUntil(() => broker.running.connectionCount === 1);
      const stopped = broker.running.stop();
      await new Promise<void>((resolve) => peer.once("end", () => resolve()));
      broker.clock.advance(graceMs);
      await stopped;
      peer.destroy();
    }));

  test("may be asked for twice", () =>
    withBroker(async (broker) => {
      const first = broker.running.stop();
      assert.equal(broker.running.stop(), first);
      await first;
    }));

  test("leaves another broker in the process alone", () =>
    withBroker(async (broker) => {
      const other = await VirtualBroker.start();
      const client = await other.open();
      client.send(1, "queue.declare", { queue: "q" });
      client.send(1, "basic.consume", { queue: "q", noAck: true });
      await client.waitForMethod("basic.consume-ok");
      await broker.running.stop();
      client.send(1, "basic.publish", { routingKey: "q" });
      client.sendContent(1, {}, Buffer.from("alive"));
      await client.waitFor(({ type }) => type === 3);
      assert.equal(other.running.connectionCount, 1);
      await other.stop();
    }));
});

describe("two brokers in a process", () => {
  test("share no queue, no user and no alarm", () =>
    withBroker((first) =>
      withBroker(async (second) => {
        await first.running.users.addUser("only-here", "p", []);
        await first.running.users.setPermissions("only-here", "/", {
          configure: ".*",
          write: ".*",
          read: ".*",
        });
        const here = await first.open({ username: "only-here", password: "p" });
        here.send(1, "queue.declare", { queue: "q" });
        await roundTrip(here);
        assert.ok(first.vhost.queue("q") !== undefined);
        assert.equal(second.vhost.queue("q"), undefined);
        const there = await second.connect();
        await startOk(there, { response: "\0only-here\0p" });
        assert.match(await connectionClose(there), /^403/);
        first.broker.alarms.set("memory", true);
        const publisher = await second.open({ capabilities: { "connection.blocked": true } });
        publisher.send(1, "basic.publish", { routingKey: "q" });
        publisher.sendContent(1, {}, Buffer.alloc(0));
        await roundTrip(publisher);
        assert.ok(!trace(publisher).includes("connection.blocked"));
      }),
    ));
});

describe("a socket that its client leaves half open", () => {
  const lingerMs = 10_000;

  test("goes after a while when its header was refused", () =>
    withBroker(async (broker) => {
      const peer = await stubbornPeer(broker);
      peer.write("GET / HTTP/1.1\r\n\r\n");
      await broker.log.waitFor(/HTTP/);
      await new Promise<void>((resolve) => peer.once("end", () => resolve()));
      assert.equal(broker.running.connectionCount, 1);
      broker.clock.advance(lingerMs);
      await broker.connectionsLeft(0);
      peer.destroy();
      await closed(peer);
    }));

  test("goes after a while when it was closed in order", () =>
    withBroker(async (broker) => {
      const peer = await stubbornPeer(broker);
      const received: Buffer[] = [];
      peer.on("data", (chunk) => received.push(chunk));
      peer.write(protocolHeader);
      const response = Buffer.from("\0guest\0guest");
      for (const method of [
        methodOf("connection.start-ok", { mechanism: "PLAIN", response }),
        methodOf("connection.tune-ok"),
        methodOf("connection.open", { virtualHost: "/" }),
        methodOf("connection.close", { replyCode: 200 }),
      ]) {
        peer.write(methodFrame(0, method));
      }
      await new Promise<void>((resolve) => peer.once("end", () => resolve()));
      const closeOk = methodFrame(0, methodOf("connection.close-ok"));
      assert.ok(Buffer.concat(received).subarray(-closeOk.length).equals(closeOk));
      assert.equal(broker.running.connectionCount, 1);
      broker.clock.advance(lingerMs);
      await broker.connectionsLeft(0);
      peer.destroy();
    }));

  test("is given up with everything on it as soon as the client ends its side", () =>
    withBroker(async (broker) => {
      const watcher = await broker.open();
      watcher.send(1, "queue.declare", { queue: "q" });
      watcher.send(1, "basic.publish", { routingKey: "q" });
      watcher.sendContent(1, {}, Buffer.from("owed"));
      const client = await broker.open();
      client.send(1, "basic.consume", { queue: "q" });
      await client.waitFor(({ type }) => type === 3);
      client.endSending();
      await broker.connectionsLeft(1);
      watcher.send(1, "basic.get", { queue: "q", noAck: true });
      const got = await watcher.waitForMethod("basic.get-ok");
      assert.equal(got.redelivered, true);
    }));
});
