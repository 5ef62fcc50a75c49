/**
 * Goal: whatever a broker does, or fails to do, everybody who waits is told, and nothing hangs or
 * leaks.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { afterEach, beforeEach, test } from "node:test";
import {
  AmqpError,
  type Channel,
  ConnectError,
  type Connection,
  ConnectionLostError,
  type ConnectOptions,
  type Consumer,
  connect,
  PublishNackedError,
} from "@haremq/client";
import { VirtualClock } from "@haremq/kernel";
import {
  encodeBasicAck,
  encodeBasicCancel,
  encodeBasicCancelOk,
  encodeBasicConsumeOk,
  encodeBasicDeliver,
  encodeBasicGetOk,
  encodeBasicNack,
  encodeBodyFrames,
  encodeChannelClose,
  encodeChannelCloseOk,
  encodeChannelFlow,
  encodeChannelOpenOk,
  encodeConfirmSelectOk,
  encodeConnectionBlocked,
  encodeConnectionClose,
  encodeConnectionCloseOk,
  encodeConnectionTune,
  encodeConnectionUnblocked,
  encodeHeaderFrame,
  encodeQueueDeclareOk,
  encodeQueuePurgeOk,
  MethodId,
  type WireWriter,
} from "@haremq/wire";
import { next } from "./brokers.ts";
import { ScriptedBroker, type ScriptedPeer, type Tune } from "./scripted-broker.ts";

let broker: ScriptedBroker;
let clients: Connection[];

beforeEach(async () => {
  clients = [];
  broker = await ScriptedBroker.listen();
});

afterEach(async () => {
  for (const client of clients) client.destroy();
  await broker.close();
});

interface Pair {
  connection: Connection;
  peer: ScriptedPeer;
}

async function connected(options: ConnectOptions = {}, tune?: Tune): Promise<Pair> {
  const accepted = broker.accept();
  const connecting = connect(broker.url, options);
  const peer = await accepted;
  await peer.handshake(tune);
  const connection = await connecting;
  clients.push(connection);
  return { connection, peer };
}

async function withChannel(options: ConnectOptions = {}): Promise<Pair & { channel: Channel }> {
  const pair = await connected(options);
  const opening = pair.connection.openChannel();
  await pair.peer.openChannel();
  return { ...pair, channel: await opening };
}

const deliver = (
  writer: WireWriter,
  consumerTag: string,
  deliveryTag: number,
  body: string,
): void => {
  encodeBasicDeliver(writer, 1, {
    consumerTag,
    deliveryTag,
    redelivered: false,
    exchange: "",
    routingKey: "q",
  });
  encodeHeaderFrame(writer, 1, body.length, {});
  encodeBodyFrames(writer, 1, Buffer.from(body), 4096);
};

const deliverMethod = (writer: WireWriter): void =>
  encodeBasicDeliver(writer, 1, {
    consumerTag: "t",
    deliveryTag: 1,
    redelivered: false,
    exchange: "",
    routingKey: "",
  });

const close = { replyCode: 320, replyText: "CONNECTION_FORCED - bye", classId: 0, methodId: 0 };

// The way in.

test("a peer that speaks another protocol is named as such", async () => {
  const accepted = broker.accept();
  const connecting = connect(broker.url);
  (await accepted).sendBytes(Buffer.from("AMQP\x00\x01\x00\x00", "latin1"));
  await assert.rejects(connecting, (error) => {
    assert.ok(error instanceof ConnectError);
    assert.match(error.message, /does not speak AMQP 0-9-1/);
    return true;
  });
});

test("a broker that hangs up on the login refused it", async () => {
  const accepted = broker.accept();
  const connecting = connect(broker.url);
  const peer = await accepted;
  peer.sendStart();
  await peer.expect(MethodId.ConnectionStartOk);
  peer.end();
  await assert.rejects(connecting, { name: "ConnectError", message: /hung up on the login/ });
});

test("a mechanism that is not offered is not tried", async () => {
  const accepted = broker.accept();
  const connecting = connect(broker.url, { mechanism: "AMQPLAIN" });
  (await accepted).sendStart("PLAIN EXTERNAL");
  await assert.rejects(connecting, {
    name: "ConnectError",
    message: "the broker does not offer AMQPLAIN, only PLAIN, EXTERNAL",
  });
});

test("a broker that never answers is given up", async () => {
  const accepted = broker.accept();
  const connecting = connect(broker.url, { connectionTimeoutMs: 50 });
  const gone = assert.rejects(connecting, { name: "ConnectError", message: /in time/ });
  const peer = await accepted;
  await gone;
  await peer.closed;
});

test("an answer out of turn ends the handshake", async () => {
  const accepted = broker.accept();
  const connecting = connect(broker.url);
  const peer = await accepted;
  const tune = { channelMax: 1, frameMax: 4096, heartbeat: 0 };
  peer.send((writer) => encodeConnectionTune(writer, 0, tune));
  await assert.rejects(connecting, { name: "AmqpError", replyCode: 503 });
});

test("a broker without limits gets along with a client without", async () => {
  const { connection } = await connected({}, { channelMax: 0, frameMax: 0, heartbeat: 0 });
  assert.deepEqual(connection.tuning, {
    channelMax: 65_535,
    frameMax: 0xffff_ffff,
    heartbeatSeconds: 0,
  });
});

// Frames that may not come.

const brokenStreams: [string, number, (peer: ScriptedPeer) => void][] = [
  [
    "a frame without its end octet",
    501,
    (peer) => peer.sendBytes(Buffer.from("01000100000000ff", "hex")),
  ],
  [
    "a frame of an unknown type",
    501,
    (peer) => peer.sendBytes(Buffer.from("09000100000000ce", "hex")),
  ],
  [
    "a frame larger than agreed",
    501,
    (peer) => peer.sendBytes(Buffer.from("01000100ffffff", "hex")),
  ],
  [
    "a method frame with no room for a method",
    501,
    (peer) => peer.sendBytes(Buffer.from("010001000000020032ce", "hex")),
  ],
  [
    "an unknown method",
    503,
    (peer) => peer.sendBytes(Buffer.from("0100010000000400320063ce", "hex")),
  ],
  [
    "arguments cut short",
    502,
    (peer) => peer.sendBytes(Buffer.from("01000100000006003c003c05aace", "hex")),
  ],
  [
    "a frame for a channel that is not open",
    504,
    (peer) => peer.send((writer) => encodeChannelOpenOk(writer, 9)),
  ],
  [
    "an answer nobody asked for",
    503,
    (peer) =>
      peer.send((writer) =>
        encodeQueueDeclareOk(writer, 1, { queue: "q", messageCount: 0, consumerCount: 0 }),
      ),
  ],
  [
    "an answer on channel 0 nobody asked for",
    503,
    (peer) => peer.send((writer) => encodeConnectionCloseOk(writer, 0)),
  ],
  [
    "get-ok without a get",
    503,
    (peer) =>
      peer.send((writer) =>
        encodeBasicGetOk(writer, 1, {
          deliveryTag: 1,
          redelivered: false,
          exchange: "",
          routingKey: "",
          messageCount: 0,
        }),
      ),
  ],
  [
    "a header without a method",
    505,
    (peer) => peer.send((writer) => encodeHeaderFrame(writer, 1, 1, {})),
  ],
  [
    "a body without a header",
    505,
    (peer) => peer.send((writer) => encodeBodyFrames(writer, 1, Buffer.from("x"), 0)),
  ],
  [
    "a method between a method and its content",
    503,
    (peer) =>
      peer.send((writer) => {
        deliverMethod(writer);
        encodeBasicAck(writer, 1, { deliveryTag: 1, multiple: false });
      }),
  ],
  [
    "a body larger than announced",
    505,
    (peer) =>
      peer.send((writer) => {
        deliverMethod(writer);
        encodeHeaderFrame(writer, 1, 2, {});
        encodeBodyFrames(writer, 1, Buffer.from("abc"), 0);
      }),
  ],
  [
    "a body larger than anybody wants",
    501,
    (peer) =>
      peer.send((writer) => {
        deliverMethod(writer);
        encodeHeaderFrame(writer, 1, 2 ** 50, {});
      }),
  ],
];

for (const [what, replyCode, send] of brokenStreams) {
  test(`${what} closes the connection with ${replyCode}`, async () => {
    const { connection, peer, channel } = await withChannel();
    const closed = next<Error>(connection, "close");
    const pending = assert.rejects(channel.recover(), AmqpError);
    await peer.expect(MethodId.BasicRecover);
    send(peer);
    const error = await closed;
    assert.ok(error instanceof AmqpError);
    assert.equal(error.scope, "connection");
    assert.equal(error.replyCode, replyCode);
    assert.equal((await peer.expect(MethodId.ConnectionClose)).replyCode, replyCode);
    await pending;
    await peer.closed;
  });
}

// The way out.

test("a broker that hangs up fails everything that waits, at once", async () => {
  const { connection, peer, channel } = await withChannel();
  const selected = channel.confirmSelect();
  await peer.confirmSelect();
  await selected;
  const other = connection.openChannel();
  const outcomes = Promise.allSettled([
    channel.queueDeclare("q"),
    channel.basicGet("q"),
    channel.publish("", "q", "body"),
    channel.waitForConfirms(),
    connection.updateSecret("new", "why"),
    other,
  ]);
  const closed = next<Error>(connection, "close");
  peer.end();
  const error = await closed;
  assert.ok(error instanceof ConnectionLostError);
  for (const outcome of await outcomes) {
    assert.equal((outcome as PromiseRejectedResult).reason, error);
  }
  assert.throws(
    () => channel.basicPublish("", "q", ""),
    (later) => later === error,
  );
  await connection.close();
  await channel.close();
});

test("errors that nobody listens to do not end the process, and close comes once", async () => {
  const { connection, peer, channel } = await withChannel();
  const closes: string[] = [];
  channel.on("close", (error) => closes.push(`channel ${error?.name}`));
  connection.on("close", (error) => closes.push(`connection ${error?.name}`));
  const closed = next(connection, "close");
  peer.send((writer) => encodeConnectionClose(writer, 0, close));
  await closed;
  await peer.expect(MethodId.ConnectionCloseOk);
  await peer.closed;
  assert.deepEqual(closes, ["channel AmqpError", "connection AmqpError"]);
});

test("both sides may close at the same time", async () => {
  const { connection, peer } = await connected();
  const closed = connection.close();
  await peer.expect(MethodId.ConnectionClose);
  peer.send((writer) => encodeConnectionClose(writer, 0, close));
  await closed;
  await peer.expect(MethodId.ConnectionCloseOk);
});

test("a broker that does not answer close is left after the time allowed", async () => {
  const clock = new VirtualClock();
  const { connection, peer } = await connected({ clock, closeTimeoutMs: 5000 });
  let closed = false;
  const closing = connection.close().then(() => {
    closed = true;
  });
  await peer.expect(MethodId.ConnectionClose);
  clock.advance(4999);
  await Promise.resolve();
  assert.equal(closed, false);
  clock.advance(1);
  await closing;
  await peer.closed;
  assert.equal(clock.pending, 0);
});

test("both sides may close a channel at the same time", async () => {
  const { connection, peer, channel } = await withChannel();
  const pending = assert.rejects(channel.queueDeclare("q"), { replyCode: 404 });
  const closed = channel.close();
  await peer.expect(MethodId.QueueDeclare);
  await peer.expect(MethodId.ChannelClose);
  peer.send((writer) =>
    encodeChannelClose(writer, 1, {
      replyCode: 404,
      replyText: "NOT_FOUND - no queue 'q'",
      classId: 50,
      methodId: 10,
    }),
  );
  await pending;
  await peer.expect(MethodId.ChannelCloseOk);
  peer.send((writer) => encodeChannelCloseOk(writer, 1));
  await closed;
  assert.ok(connection.isOpen);
});

// Heartbeats.

test("heartbeats are sent, and a broker that is silent is given up", async () => {
  const clock = new VirtualClock();
  const tune = { channelMax: 1, frameMax: 131_072, heartbeat: 10 };
  const { connection, peer } = await connected({ clock }, tune);
  const closed = next<Error>(connection, "close");
  clock.advance(30_000);
  const error = await closed;
  assert.ok(error instanceof ConnectionLostError);
  assert.match(error.message, /two heartbeats of 10 s/);
  await peer.closed;
  assert.ok(peer.heartbeats >= 2, `${peer.heartbeats} heartbeats`);
  assert.equal(clock.pending, 0);
});

test("a paused connection does not take the broker for dead", async () => {
  const clock = new VirtualClock();
  const tune = { channelMax: 1, frameMax: 131_072, heartbeat: 10 };
  const { connection } = await connected({ clock }, tune);
  connection.pause();
  clock.advance(200_000);
  assert.ok(connection.isOpen);
});

// What a broker may ask for.

test("flow stops publishers until it starts them again", async () => {
  const { peer, channel } = await withChannel();
  const flows: boolean[] = [];
  channel.on("flow", (active) => flows.push(active));
  const stopped = next(channel, "flow");
  peer.send((writer) => encodeChannelFlow(writer, 1, { active: false }));
  await stopped;
  assert.deepEqual(await peer.expect(MethodId.ChannelFlowOk), { active: false });
  assert.equal(channel.basicPublish("", "q", "body"), false);
  const drained = next(channel, "drain");
  peer.send((writer) => encodeChannelFlow(writer, 1, { active: true }));
  await drained;
  assert.equal(channel.basicPublish("", "q", "body"), true);
  assert.deepEqual(flows, [false, true]);
});

test("blocked and unblocked are told", async () => {
  const { connection, peer } = await connected();
  const blocked = next(connection, "blocked");
  peer.send((writer) => encodeConnectionBlocked(writer, 0, { reason: "low on memory" }));
  assert.equal(await blocked, "low on memory");
  assert.equal(connection.blocked, "low on memory");
  const unblocked = next(connection, "unblocked");
  peer.send((writer) => encodeConnectionUnblocked(writer, 0));
  await unblocked;
  assert.equal(connection.blocked, undefined);
});

test("answers may come late, and consume-ok in another order than asked for", async () => {
  const { peer, channel } = await withChannel();
  const bodies: string[] = [];
  const consume = (name: string): Promise<Consumer> =>
    channel.basicConsume(name, {}, (delivery) => {
      bodies.push(`${name} got ${delivery.body}`);
    });
  const calls = Promise.all([consume("one"), consume("two"), channel.queueDeclare("q")]);
  const one = await peer.expect(MethodId.BasicConsume);
  const two = await peer.expect(MethodId.BasicConsume);
  await peer.expect(MethodId.QueueDeclare);
  const declared = { queue: "q", messageCount: 1, consumerCount: 2 };
  peer.send(
    (writer) => encodeQueueDeclareOk(writer, 1, declared),
    (writer) => encodeBasicConsumeOk(writer, 1, two),
    (writer) => deliver(writer, two.consumerTag, 1, "a"),
    (writer) => encodeBasicConsumeOk(writer, 1, one),
    (writer) => deliver(writer, one.consumerTag, 2, "b"),
  );
  const [first, second, answer] = await calls;
  assert.deepEqual(answer, declared);
  assert.deepEqual(bodies, ["two got a", "one got b"]);
  const cancelled = Promise.all([first.cancel(), second.cancel(), channel.queuePurge("q")]);
  await peer.expect(MethodId.BasicCancel);
  await peer.expect(MethodId.BasicCancel);
  await peer.expect(MethodId.QueuePurge);
  peer.send(
    (writer) => encodeQueuePurgeOk(writer, 1, { messageCount: 5 }),
    (writer) => encodeBasicCancelOk(writer, 1, two),
    (writer) => encodeBasicCancelOk(writer, 1, one),
  );
  assert.deepEqual((await cancelled)[2], { messageCount: 5 });
});

test("a cancellation that wants an answer gets one", async () => {
  const { peer, channel } = await withChannel();
  const consuming = channel.basicConsume("q", { consumerTag: "tag" }, () => {});
  await peer.consume();
  await consuming;
  const cancelled = next(channel, "cancel");
  peer.send((writer) => encodeBasicCancel(writer, 1, { consumerTag: "tag", nowait: false }));
  assert.equal(await cancelled, "tag");
  assert.deepEqual(await peer.expect(MethodId.BasicCancelOk), { consumerTag: "tag" });
});

test("deliveries in the same breath as consume-ok are not lost", async () => {
  const { peer, channel } = await withChannel();
  const bodies: string[] = [];
  const consuming = channel.basicConsume("q", { consumerTag: "t" }, (delivery) => {
    bodies.push(delivery.body.toString());
  });
  await peer.expect(MethodId.BasicConsume);
  peer.send(
    (writer) => encodeBasicConsumeOk(writer, 1, { consumerTag: "t" }),
    (writer) => deliver(writer, "t", 1, "first"),
    (writer) => deliver(writer, "t", 2, ""),
    (writer) => deliver(writer, "unknown", 3, "dropped"),
  );
  await consuming;
  assert.deepEqual(bodies, ["first", ""]);
});

test("a consumer that closes the connection gets nothing after that", async () => {
  const { connection, peer, channel } = await withChannel();
  const bodies: string[] = [];
  const consuming = channel.basicConsume("q", { consumerTag: "t" }, (delivery) => {
    bodies.push(delivery.body.toString());
    connection.destroy();
  });
  await peer.consume();
  await consuming;
  const closed = next(connection, "close");
  peer.send(
    (writer) => deliver(writer, "t", 1, "first"),
    (writer) => deliver(writer, "t", 2, "second"),
  );
  await closed;
  await peer.closed;
  assert.deepEqual(bodies, ["first"]);
});

test("confirms for tags that were never given out change nothing", async () => {
  const { peer, channel } = await withChannel();
  const selected = channel.confirmSelect();
  await peer.expect(MethodId.ConfirmSelect);
  const acks: number[] = [];
  channel.on("ack", (tag) => acks.push(tag));
  peer.send(
    (writer) => encodeConfirmSelectOk(writer, 1),
    (writer) => encodeBasicAck(writer, 1, { deliveryTag: 7, multiple: false }),
    (writer) => encodeBasicAck(writer, 1, { deliveryTag: 2 ** 60, multiple: true }),
  );
  await selected;
  const published = channel.publish("", "q", "body");
  peer.send((writer) => encodeBasicAck(writer, 1, { deliveryTag: 1, multiple: false }));
  await published;
  assert.deepEqual(acks, [7, 2 ** 60, 1]);
});

test("a nacked publish is rejected, and waitForConfirms tells once", async () => {
  const { peer, channel } = await withChannel();
  const selected = channel.confirmSelect();
  await peer.confirmSelect();
  await selected;
  const outcomes = Promise.allSettled(
    ["one", "two", "three"].map((body) => channel.publish("", "q", body)),
  );
  peer.send(
    (writer) => encodeBasicNack(writer, 1, { deliveryTag: 2, multiple: false, requeue: false }),
    (writer) => encodeBasicAck(writer, 1, { deliveryTag: 3, multiple: true }),
  );
  const [one, two, three] = await outcomes;
  assert.equal(one?.status, "fulfilled");
  assert.equal(three?.status, "fulfilled");
  const { reason } = two as PromiseRejectedResult;
  assert.ok(reason instanceof PublishNackedError);
  assert.equal(reason.deliveryTag, 2);
  await assert.rejects(channel.waitForConfirms(), PublishNackedError);
  await channel.waitForConfirms();
});

test("a broker that reads nothing costs the publisher a bounded amount", async () => {
  const highWater = 256 * 1024;
  const { peer, channel } = await withChannel({ writeHighWaterBytes: highWater });
  peer.pause();
  const body = Buffer.alloc(1000);
  let published = 0;
  // The kernel's buffers take some megabytes; a client without back-pressure would take all of it.
  while (published < 1_000_000 && channel.basicPublish("", "q", body)) published++;
  assert.ok(published < 100_000, `${published} KB were taken without complaint`);
  const drained = next(channel, "drain");
  peer.resume();
  await drained;
  assert.equal(channel.basicPublish("", "q", body), true);
});

test("what a handler throws is uncaught, and the deliveries after it still come", () => {
  const fixture = new URL("./throwing-handler.fixture.ts", import.meta.url).pathname;
  const flags = ["--conditions=source", "--import", "tsx"];
  const { stdout, status } = spawnSync(process.execPath, [...flags, fixture], { encoding: "utf8" });
  assert.equal(stdout, "delivered 1\ndelivered 2\nuncaught thrown by the handler\n");
  assert.equal(status, 0);
});
