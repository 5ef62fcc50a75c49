/**
 * amqplib, connections: logging in and being turned away, tuning, heartbeats, many channels, many
 * connections, new secrets, closing, reconnecting, and the callback API.
 */
import assert from "node:assert/strict";
import { createConnection } from "node:net";
import { describe, test } from "node:test";
import { type ChannelModel, connect, credentials } from "amqplib";
import * as callbackApi from "amqplib/callback_api";
import {
  assertConnectionClosed,
  consume,
  getMessage,
  openConnection,
  text,
} from "./clients/amqplib-actions.ts";
import { skipWhenExternal } from "./clients/broker-under-test.ts";
import { nextEvent, within } from "./clients/deadline.ts";
import { closeQuietly, openBench } from "./clients/test-bed.ts";
import { heartbeatFrame, WireTap } from "./clients/wire-tap.ts";

const bench = await openBench();
const { broker } = bench;

describe("logging in", () => {
  test(
    "the broker introduces itself with what clients look for",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const properties = connection.connection.serverProperties as unknown as Record<
        string,
        unknown
      >;
      assert.deepEqual(properties.capabilities, {
        publisher_confirms: true,
        exchange_exchange_bindings: true,
        "basic.nack": true,
        consumer_cancel_notify: true,
        "connection.blocked": true,
        consumer_priorities: true,
        authentication_failure_close: true,
        per_consumer_qos: true,
        direct_reply_to: true,
      });
      for (const name of [
        "cluster_name",
        "copyright",
        "information",
        "platform",
        "product",
        "version",
      ]) {
        assert.equal(typeof properties[name], "string", name);
      }
      assert.match(String(properties.version), /^\d+\.\d+/);
    }),
  );

  for (const mechanism of ["plain", "amqplain"] as const) {
    test(
      `the ${mechanism} mechanism lets the right password in, and says why it lets no other`,
      bench.scenario(async (bed) => {
        const login = (password: string) => ({
          credentials: credentials[mechanism](broker.username, password),
        });
        const connection = await openConnection(bed, bed.url, login(broker.password));
        await connection.createChannel();
        await assert.rejects(
          within(connect(bed.url, login("wrong")), "the refusal"),
          new RegExp(
            'Handshake terminated by server: 403 \\(ACCESS-REFUSED\\) with message "ACCESS_REFUSED - ' +
              `Login was refused using authentication mechanism ${mechanism.toUpperCase()}. ` +
              'For details see the broker logfile\\."',
          ),
        );
      }),
    );
  }

  test(
    "an unknown user and an unknown virtual host are turned away",
    bench.scenario(async (bed) => {
      const url = new URL(bed.url);
      url.username = "nobody-of-that-name";
      await assert.rejects(within(connect(url.href), "the refusal"), /403 \(ACCESS-REFUSED\)/);
      const elsewhere = new URL(bed.url);
      elsewhere.pathname = "/no-such-vhost";
      await assert.rejects(
        within(connect(elsewhere.href), "the refusal"),
        /Expected ConnectionOpenOk; got <ConnectionClose channel:0>/,
      );
    }),
  );

  test(
    "a mechanism that the broker does not offer is not offered",
    bench.scenario(async (bed) => {
      await assert.rejects(
        connect(bed.url, { credentials: credentials.external() }),
        /SASL mechanism EXTERNAL is not provided by the server/,
      );
    }),
  );

  test(
    "a new secret is accepted, and the connection goes on",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const secret = Buffer.from(broker.password);
      await within(connection.updateSecret(secret, "rotated"), "the answer to update-secret");
      await connection.createChannel();
    }),
  );
});

describe("tuning", () => {
  test(
    "a client that asks for 3 channels gets 3, and reuses their numbers",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed, `${bed.url}?channelMax=3`);
      const channels = [];
      for (let i = 0; i < 3; i++) channels.push(await connection.createChannel());
      await assert.rejects(connection.createChannel(), /No channels left to allocate/);
      for (let round = 0; round < 20; round++) {
        await channels.pop()?.close();
        channels.push(await connection.createChannel());
      }
    }),
  );

  test(
    "a channel number over the limit ends the connection",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed, `${bed.url}?channelMax=2`);
      await connection.createChannel();
      await connection.createChannel();
      // The client would not let itself be talked into this, were it not lied to.
      (connection.connection as unknown as { channelMax: number }).channelMax = 3;
      await assertConnectionClosed(connection, () => connection.createChannel(), {
        code: 530,
        text: "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)",
      });
    }),
  );

  test(
    "without demands the broker's own limits hold",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed, `${bed.url}?frameMax=0&channelMax=0`);
      const { channelMax, frameMax, heartbeat } = connection.connection as unknown as {
        channelMax: number;
        frameMax: number;
        heartbeat: number;
      };
      assert.deepEqual([channelMax, frameMax, heartbeat], [2047, 131_072, 60]);
    }),
  );

  test(
    "a frame larger than agreed ends the connection",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed, `${bed.url}?frameMax=4096`);
      const channel = await connection.createChannel();
      (connection.connection as unknown as { frameMax: number }).frameMax = 8192;
      await assertConnectionClosed(connection, () => channel.sendToQueue("q", Buffer.alloc(8000)), {
        code: 501,
        text: "FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,8000,4088}",
      });
    }),
  );
});

describe("many at once", () => {
  test(
    "200 channels on a connection work side by side",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const queue = bed.name("shared");
      const first = await connection.createChannel();
      await first.assertQueue(queue);
      const { mailbox } = await consume(first, queue, { noAck: true });
      const channels = await Promise.all(
        Array.from({ length: 199 }, () => connection.createConfirmChannel()),
      );
      await Promise.all(
        channels.map(async (channel, index) => {
          channel.sendToQueue(queue, Buffer.from(String(index)));
          await channel.waitForConfirms();
        }),
      );
      const received = (await mailbox.take(199)).map((message) => Number(text(message)));
      assert.deepEqual(
        received.sort((a, b) => a - b),
        channels.map((_, index) => index),
      );
      await Promise.all(channels.map((channel) => channel.close()));
    }),
  );

  test(
    "100 connections publish to one queue, and leave nothing behind",
    bench.scenario(async (bed) => {
      const queue = bed.name("meeting-point");
      const reader = await (await openConnection(bed)).createChannel();
      await reader.assertQueue(queue);
      const { mailbox } = await consume(reader, queue, { noAck: true });
      const connections = await Promise.all(Array.from({ length: 100 }, () => openConnection(bed)));
      await Promise.all(
        connections.map(async (connection, index) => {
          const channel = await connection.createConfirmChannel();
          await channel.assertQueue(`${queue}.${index}`, { exclusive: true });
          channel.sendToQueue(queue, Buffer.from(String(index)));
          await channel.waitForConfirms();
        }),
      );
      const received = (await mailbox.take(100)).map((message) => Number(text(message)));
      assert.equal(new Set(received).size, 100);
      await Promise.all(connections.map((connection) => connection.close()));
      const channel = await (await openConnection(bed)).createChannel();
      await channel.assertQueue(`${queue}.42`, { exclusive: true });
    }),
  );
});

describe("heartbeats", { concurrency: true }, () => {
  test(
    "both sides beat while nothing else is said",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const connection = await openConnection(bed, `${tap.url}?heartbeat=1`);
      for (const side of ["broker", "client"] as const) {
        await tap.frame(
          `a heartbeat from the ${side}`,
          (frame) => frame.from === side && frame.type === heartbeatFrame && frame.channel === 0,
        );
      }
      await connection.createChannel();
    }),
  );

  test(
    "a client that falls silent is cut off",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const connection = await openConnection(bed, `${tap.url}?heartbeat=1`);
      const queue = bed.name("held");
      const channel = await connection.createChannel();
      await channel.assertQueue(queue, { exclusive: true });
      connection.on("error", () => {});
      const dropped = nextEvent(tap, "disconnected", 10_000);
      tap.muteClients();
      await dropped;
      const successor = await (await openConnection(bed)).createChannel();
      await successor.assertQueue(queue, { exclusive: true });
    }),
  );

  test(
    "heartbeat=0 turns them off",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed, `${bed.url}?heartbeat=0`);
      assert.equal((connection.connection as unknown as { heartbeat: number }).heartbeat, 0);
      await connection.createChannel();
    }),
  );
});

describe("ending", () => {
  test(
    "closing a channel leaves its siblings, and closing a connection takes them all",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      const first = await connection.createChannel();
      const second = await connection.createChannel();
      await first.close();
      await second.assertQueue("", { exclusive: true });
      const closed = nextEvent(second, "close");
      await connection.close();
      await closed;
      assert.throws(() => second.sendToQueue("q", Buffer.from("x")), /Channel closed/);
    }),
  );

  test(
    "what was published before closing the connection arrives",
    bench.scenario(async (bed) => {
      const queue = bed.name("last-words");
      const publisher = await openConnection(bed);
      const channel = await publisher.createChannel();
      await channel.assertQueue(queue);
      for (let i = 0; i < 100; i++) channel.sendToQueue(queue, Buffer.from(String(i)));
      await channel.close();
      await publisher.close();
      const reader = await (await openConnection(bed)).createChannel();
      assert.equal((await reader.checkQueue(queue)).messageCount, 100);
    }),
  );

  test(
    "a broker that shuts down says so to its clients",
    { skip: skipWhenExternal },
    bench.scenario(async (bed) => {
      const { startBroker } = await import("haremq");
      const mortal = await startBroker({ port: 0 });
      const connection = await openConnection(bed, mortal.url);
      await connection.createChannel();
      const closed = nextEvent<[Error]>(connection, "close");
      await within(mortal.stop(), "the broker to stop");
      const [reason] = await closed;
      assert.match(
        reason.message,
        /320 \(CONNECTION-FORCED\) with message "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"/,
      );
      await assert.rejects(connect(mortal.url), /ECONNREFUSED/);
    }),
  );

  test(
    "a stranger on the port is told the protocol, and disturbs nobody",
    bench.scenario(async (bed) => {
      const connection = await openConnection(bed);
      for (const greeting of ["GET / HTTP/1.1\r\n\r\n", "AMQP\x01\x01\x00\x0a", "XXXXXXXXXXXX"]) {
        const socket = createConnection({ host: broker.host, port: broker.port });
        const answer: Buffer[] = [];
        socket.on("data", (chunk) => answer.push(chunk));
        socket.on("error", () => {});
        const ended = nextEvent(socket, "close");
        socket.write(greeting, "latin1");
        await ended;
        assert.equal(Buffer.concat(answer).toString("latin1"), "AMQP\x00\x00\x09\x01", greeting);
      }
      await connection.createChannel();
    }),
  );
});

describe("amqplib's own recovery", () => {
  test(
    "a connection that is cut comes back, and its setup runs again",
    bench.scenario(async (bed) => {
      const tap = await WireTap.open(bed);
      const queue = bed.name("recovered");
      let setups = 0;
      const recovery = {
        initialDelay: 1,
        setup: async (model: ChannelModel) => {
          setups++;
          const channel = await model.createChannel();
          await channel.assertQueue(queue);
          await channel.close();
        },
      };
      const connection = await connect(tap.url, { noDelay: true, recovery });
      bed.defer(() => connection.close());
      connection.on("error", () => {});
      const again = nextEvent(connection, "connect");
      tap.cut();
      await again;
      assert.equal(setups, 2);
      const channel = await connection.createConfirmChannel();
      channel.sendToQueue(queue, Buffer.from("after"));
      await channel.waitForConfirms();
      assert.equal(text(await getMessage(channel, queue)), "after");
    }),
  );
});

describe("the callback API", () => {
  test(
    "connect, declare, publish with a confirm, get, and close",
    bench.scenario(async (bed) => {
      const queue = bed.name("callbacks");
      const connection = await callback<callbackApi.Connection>((done) =>
        callbackApi.connect(bed.url, { noDelay: true }, done),
      );
      bed.defer(() => closeQuietly(connection as unknown as ChannelModel));
      const channel = await callback<callbackApi.ConfirmChannel>((done) => {
        connection.createConfirmChannel(done);
      });
      const declared = await callback((done) => channel.assertQueue(queue, {}, done));
      assert.deepEqual(declared, { queue, messageCount: 0, consumerCount: 0 });
      await callback((done) => channel.sendToQueue(queue, Buffer.from("hello"), {}, done));
      const message = await callback<callbackApi.GetMessage | false>((done) =>
        channel.get(queue, { noAck: true }, done),
      );
      assert.ok(message);
      assert.equal(text(message), "hello");
      channel.on("error", () => {});
      await assert.rejects(
        callback((done) => channel.checkQueue(`${queue}.missing`, done)),
        /404 \(NOT-FOUND\)/,
      );
      await callback((done) => connection.close(done as (error: Error) => void));
    }),
  );
});

function callback<T>(
  act: (done: (error: Error | null, value?: unknown) => void) => unknown,
): Promise<T> {
  const settled = new Promise<T>((resolve, reject) => {
    act((error, value) => (error ? reject(error) : resolve(value as T)));
  });
  return within(settled, "the callback");
}
