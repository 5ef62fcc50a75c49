/** Goal: connections open, tune and close as the protocol says, and tell why when they do not. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { AmqpError, type Channel, ClosedError, ConnectError, connect } from "@haremq/client";
import { next, onEveryBroker } from "./brokers.ts";

onEveryBroker("connections", ({ scenario }) => {
  test(
    "a connection knows the broker and what was agreed on",
    scenario(async (bench) => {
      const connection = await bench.connect();
      assert.equal(connection.serverProperties.get("product")?.type, "S");
      assert.deepEqual(connection.tuning, {
        channelMax: 2047,
        frameMax: 131_072,
        heartbeatSeconds: 60,
      });
      assert.ok(connection.isOpen);
    }),
  );

  test(
    "the smaller limits win, and 0 switches heartbeats off",
    scenario(async (bench) => {
      const small = await bench.connect({ channelMax: 2, frameMax: 8192, heartbeatSeconds: 7 });
      assert.deepEqual(small.tuning, { channelMax: 2, frameMax: 8192, heartbeatSeconds: 7 });
      const large = await bench.connect({
        channelMax: 9999,
        frameMax: 1e6,
        heartbeatSeconds: 9999,
      });
      assert.deepEqual(large.tuning, {
        channelMax: 2047,
        frameMax: 131_072,
        heartbeatSeconds: 60,
      });
      const quiet = await bench.connect({ heartbeatSeconds: 0 });
      assert.equal(quiet.tuning.heartbeatSeconds, 0);
    }),
  );

  test(
    "AMQPLAIN logs in as well as PLAIN",
    scenario(async (bench) => {
      const channel = await bench.channel({ mechanism: "AMQPLAIN" });
      await channel.queueDeclare("", { exclusive: true });
    }),
  );

  test(
    "a wrong password is refused with the broker's words",
    scenario(async (bench) => {
      for (const mechanism of ["PLAIN", "AMQPLAIN"] as const) {
        await assert.rejects(bench.connect({ password: "wrong", mechanism }), (error) => {
          assert.ok(error instanceof AmqpError);
          assert.equal(error.scope, "connection");
          assert.equal(error.replyCode, 403);
          assert.equal(
            error.replyText,
            `ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. ` +
              "For details see the broker logfile.",
          );
          return true;
        });
      }
    }),
  );

  test(
    "an unknown virtual host is refused with 530",
    scenario(async (bench) => {
      await assert.rejects(bench.connect({ vhost: "no such/vhost" }), {
        name: "AmqpError",
        replyCode: 530,
        replyText: "NOT_ALLOWED - vhost no such/vhost not found",
      });
    }),
  );

  test(
    "closing settles what was asked before and refuses what comes after",
    scenario(async (bench) => {
      const connection = await bench.connect();
      const channel = await connection.openChannel();
      const declared = channel.queueDeclare("", { exclusive: true });
      const events: unknown[] = [];
      connection.on("close", (error) => events.push(["connection", error]));
      connection.on("error", (error) => events.push(error));
      channel.on("close", (error) => events.push(["channel", error]));
      await Promise.all([connection.close(), connection.close()]);
      assert.match((await declared).queue, /^amq\.gen-/);
      assert.deepEqual(events, [
        ["channel", undefined],
        ["connection", undefined],
      ]);
      assert.equal(connection.isOpen, false);
      await assert.rejects(connection.openChannel(), ClosedError);
      await assert.rejects(channel.queueDeclare("x"), ClosedError);
      assert.throws(() => channel.basicPublish("", "x", "body"), ClosedError);
      assert.throws(() => channel.ack(1), ClosedError);
      await channel.close();
    }),
  );

  test(
    "channel numbers are given out up to the limit, and again after closing",
    scenario(async (bench) => {
      const connection = await bench.connect({ channelMax: 3 });
      const channels: Channel[] = [];
      for (let i = 0; i < 3; i++) channels.push(await connection.openChannel());
      assert.deepEqual(
        channels.map((channel) => channel.number),
        [1, 2, 3],
      );
      await assert.rejects(connection.openChannel(), /all 3 channels/);
      await channels[1]!.close();
      assert.equal((await connection.openChannel()).number, 2);
    }),
  );

  test(
    "the broker's hard errors end the connection and all its channels",
    scenario(async (bench) => {
      const connection = await bench.connect();
      const [one, other] = [await connection.openChannel(), await connection.openChannel()];
      const closed = next<Error>(connection, "close");
      const pending = [one.basicConsume("", {}, () => {}), other.recover(false)];
      const errors: unknown[] = [];
      one.on("error", (error) => errors.push(error));
      connection.on("error", (error) => errors.push(error));
      const outcomes = await Promise.allSettled(pending);
      const error = await closed;
      assert.ok(error instanceof AmqpError);
      assert.equal(error.scope, "connection");
      assert.equal(outcomes[1]?.status === "rejected" && outcomes[1].reason, error);
      assert.deepEqual(errors.at(-1), error);
      assert.throws(() => one.basicPublish("", "x", "x"));
    }),
  );

  test(
    "a secret can be replaced",
    scenario(async (bench) => {
      const connection = await bench.connect();
      await connection.updateSecret("guest", "rotation");
      await connection.openChannel();
    }),
  );
});

test("a refused connection says where to and why", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  await assert.rejects(connect(`amqp://127.0.0.1:${port}`), (error) => {
    assert.ok(error instanceof ConnectError);
    assert.match(error.message, new RegExp(`cannot connect to 127.0.0.1:${port}: .*ECONNREFUSED`));
    return true;
  });
});
