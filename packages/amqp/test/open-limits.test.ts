// Goal: virtual hosts and users have as many connections and channels open as they may, and what
// was closed, by whomever, makes room at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  channelClose,
  connectionClose,
  reopenChannel,
  roundTrip,
  startOk,
  type VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

/** How connection.open ends for one more connection: "ok", or what it is refused with. */
async function openingEnds(broker: VirtualBroker): Promise<string> {
  const connection = await broker.connect();
  await startOk(connection);
  await connection.waitForMethod("connection.tune");
  connection.send(0, "connection.tune-ok", { channelMax: 0, frameMax: 0, heartbeat: 0 });
  connection.send(0, "connection.open", { virtualHost: "/" });
  const opened = connection.waitForMethod("connection.open-ok").then(() => "ok");
  return Promise.race([opened, connectionClose(connection)]);
}

const vhostFull =
  "530 NOT_ALLOWED - access to vhost '/' refused for user 'guest': connection limit (1) is " +
  "reached (10.40)";
const userFull =
  "530 NOT_ALLOWED - connection refused for user 'guest': user connection limit (1) is reached " +
  "(10.40)";
const tooManyChannels =
  "530 NOT_ALLOWED - number of channels opened for user 'guest' has reached the maximum allowed " +
  "user limit of (2) (0.0)";

test("a virtual host is full until a connection has closed", async () => {
  await withBroker(async (broker) => {
    await broker.vhost.limits.set("max-connections", 1);
    const connection = await broker.open();
    assert.equal(await openingEnds(broker), vhostFull);
    assert.equal(await openingEnds(broker), vhostFull, "one that was refused does not count");
    await connection.close();
    assert.equal(await openingEnds(broker), "ok");
  });
});

test("a connection that breaks off makes room", async () => {
  await withBroker(async (broker) => {
    await broker.running.users.setLimit("guest", "max-connections", 1);
    const connection = await broker.open();
    assert.equal(await openingEnds(broker), userFull);
    connection.destroy();
    await broker.connectionsLeft(1); // The refused one waits for its client.
    assert.equal(await openingEnds(broker), "ok");
  });
});

test("a user has so many channels over all connections, and loses the one that asks for more", async () => {
  await withBroker(async (broker) => {
    await broker.running.users.setLimit("guest", "max-channels", 2);
    const one = await broker.open({}, [1]);
    const other = await broker.open({}, [1]);
    one.send(2, "channel.open");
    assert.equal(await connectionClose(one), tooManyChannels);
    // Its channel has gone with it.
    await other.openChannel(2);
    await roundTrip(other, 2);
  });
});

test("a channel that either side closes makes room", async () => {
  await withBroker(async (broker) => {
    await broker.running.users.setLimit("guest", "max-channels", 2);
    const connection = await broker.open({}, [1, 2]);
    connection.send(2, "channel.close");
    await connection.waitForMethod("channel.close-ok");
    await connection.openChannel(3);
    connection.send(1, "queue.declare", { queue: "missing", passive: true });
    await channelClose(connection);
    connection.send(1, "channel.close-ok");
    await reopenChannel(connection);
    connection.send(4, "channel.open");
    assert.equal(await connectionClose(connection), tooManyChannels);
  });
});

test("a limit on queues is told to whoever declares one too many", async () => {
  await withBroker(async (broker) => {
    await broker.vhost.limits.set("max-queues", 1);
    const connection = await broker.open();
    connection.send(1, "queue.declare", { queue: "one" });
    await connection.waitForMethod("queue.declare-ok");
    connection.send(1, "queue.declare", { queue: "two" });
    assert.equal(
      await channelClose(connection),
      "406 PRECONDITION_FAILED - cannot declare queue 'two': queue limit in vhost '/' (1) is " +
        "reached (50.10)",
    );
  });
});
