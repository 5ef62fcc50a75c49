// Goal: whatever opens a connection gets as far as it would with RabbitMQ, and is told as much.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isMethod, protocolHeader, type RawConnection, rawFrame } from "@haremq/testkit";
import { FieldTable, MethodId, WireWriter } from "@haremq/wire";
import {
  connectionClose,
  ended,
  roundTrip,
  startOk,
  trace,
  VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

describe("the protocol header", () => {
  const refused: [name: string, bytes: string, logged: RegExp][] = [
    ["of version 0-9-2", "AMQP\0\0\x09\x02", /AMQP with version bytes 0-0-9-2/],
    ["of version 0-9-0", "AMQP\0\0\x09\0", /0-0-9-0/],
    ["of version 0-8-0", "AMQP\0\0\x08\0", /0-0-8-0/],
    ["of AMQP 1.0", "AMQP\0\x01\0\0", /0-1-0-0/],
    ["of AMQP 1.0 over SASL", "AMQP\x03\x01\0\0", /3-1-0-0/],
    ["that is garbage", "XXXXXXXX", /unknown bytes 5858585858585858/],
    ["that is an HTTP request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", /HTTP: .*management port/],
    ["that is an HTTP POST", "POST /api/x HTTP/1.1\r\n\r\n", /HTTP: /],
    [
      "that is a TLS hello",
      "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
      /TLS: .*configured for TLS/,
    ],
  ];
  for (const [name, bytes, logged] of refused) {
    test(`${name} is answered with ours, and with the end`, async () => {
      const connection = await broker.connect();
      connection.sendBytes(Buffer.from(bytes, "latin1"));
      await ended(connection);
      assert.deepEqual(connection.rest, protocolHeader);
      assert.equal(connection.ended, "by end");
      await broker.log.waitFor(logged);
    });
  }

  test("of version 0-9 is taken for 0-9-1", async () => {
    const connection = await broker.connect();
    connection.sendBytes(Buffer.from("AMQP\x01\x01\0\x09", "latin1"));
    await connection.waitForMethod("connection.start");
  });

  test("may come byte by byte, with what follows on its heels", async () => {
    const connection = await broker.connect();
    for (const byte of protocolHeader) connection.sendBytes(Buffer.of(byte));
    await connection.waitForMethod("connection.start");

    const hasty = await broker.connect();
    const writer = new WireWriter(64);
    writer.bytes(protocolHeader);
    writer.bytes(rawFrame(8, 0, Buffer.alloc(0)));
    hasty.sendBytes(writer.take());
    const { versionMajor, versionMinor } = await hasty.waitForMethod("connection.start");
    assert.deepEqual([versionMajor, versionMinor], [0, 9]);
  });
});

describe("connection.start", () => {
  test("says what RabbitMQ says of itself, and who we are", async () => {
    const connection = await broker.connect();
    connection.sendBytes(protocolHeader);
    const start = await connection.waitForMethod("connection.start");
    assert.equal(start.mechanisms.toString(), "PLAIN AMQPLAIN");
    assert.equal(start.locales.toString(), "en_US");
    const properties = start.serverProperties.toObject();
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
    assert.equal(properties.product, "HareMQ");
    assert.equal(properties.version, "3.13.7");
  });
});

function table(properties: Record<string, unknown>): Buffer {
  const writer = new WireWriter(64);
  writer.table(FieldTable.from(properties));
  return writer.take().subarray(4);
}

describe("SASL", () => {
  const accepted: [name: string, mechanism: string, response: Buffer][] = [
    ["PLAIN", "PLAIN", Buffer.from("\0guest\0guest")],
    ["AMQPLAIN", "AMQPLAIN", table({ LOGIN: "guest", PASSWORD: "guest" })],
    ["AMQPLAIN, the other way round", "AMQPLAIN", table({ PASSWORD: "guest", LOGIN: "guest" })],
  ];
  for (const [name, mechanism, response] of accepted) {
    test(`${name} lets the right password in`, async () => {
      const connection = await broker.connect();
      await startOk(connection, { mechanism, response });
      assert.deepEqual(await connection.waitForMethod("connection.tune"), {
        channelMax: 2047,
        frameMax: 131_072,
        heartbeat: 60,
      });
    });
  }

  test("an unknown locale does not matter", async () => {
    const connection = await broker.connect();
    await startOk(connection, { locale: "de_DE" });
    await connection.waitForMethod("connection.tune");
  });

  const wrongPasswords: [name: string, mechanism: string, response: Buffer][] = [
    ["a wrong password", "PLAIN", Buffer.from("\0guest\0wrong")],
    ["an unknown user", "PLAIN", Buffer.from("\0nobody\0guest")],
    ["an empty password", "PLAIN", Buffer.from("\0guest\0")],
    ["a wrong password", "AMQPLAIN", table({ LOGIN: "guest", PASSWORD: "wrong" })],
  ];
  for (const [name, mechanism, response] of wrongPasswords) {
    test(`${mechanism} with ${name}: told at once to who wants to know`, async () => {
      const connection = await broker.connect();
      await startOk(connection, { mechanism, response });
      assert.equal(
        await connectionClose(connection),
        `403 ACCESS_REFUSED - Login was refused using authentication mechanism ${mechanism}. ` +
          "For details see the broker logfile. (0.0)",
      );
      connection.send(0, "connection.close-ok");
      await ended(connection);
      assert.deepEqual(trace(connection), ["connection.start", "connection.close"]);
    });
  }

  test("the log says why a login was refused, and not with what password", async () => {
    const connection = await broker.connect();
    await startOk(connection, { response: "\0stranger\0secret" });
    await connectionClose(connection);
    await broker.log.waitFor(/PLAIN login refused: user 'stranger' - invalid credentials/);
    assert.equal(broker.log.count(/secret/), 0);
  });

  const silentlyRefused: [name: string, options: Parameters<typeof startOk>[1], logged: RegExp][] =
    [
      [
        "a wrong password, of a client that does not want to know",
        { response: "\0guest\0wrong", capabilities: {} },
        /login refused$/,
      ],
      ["an unknown mechanism", { mechanism: "NOPE" }, /unknown .* mechanism 'NOPE'/],
      ["a mechanism in small letters", { mechanism: "plain" }, /unknown .* mechanism 'plain'/],
      ["a mechanism that is not offered", { mechanism: "EXTERNAL" }, /mechanism 'EXTERNAL'/],
      ["PLAIN without zeros", { response: "guest" }, /malformed PLAIN response/],
      ["PLAIN on behalf of another", { response: "other\0guest\0guest" }, /malformed PLAIN/],
      ["PLAIN with one zero too many", { response: "\0guest\0guest\0" }, /malformed PLAIN/],
      [
        "AMQPLAIN without a password",
        { mechanism: "AMQPLAIN", response: table({ LOGIN: "guest" }) },
        /malformed AMQPLAIN response/,
      ],
      [
        "AMQPLAIN that is cut",
        { mechanism: "AMQPLAIN", response: Buffer.from("\x05LOGINS\0\0\0\x05gu") },
        /malformed AMQPLAIN response/,
      ],
    ];
  for (const [name, options, logged] of silentlyRefused) {
    test(`${name}: three seconds of silence, then the end`, () =>
      withBroker(async (own) => {
        const connection = await own.connect();
        await startOk(connection, options);
        await own.log.waitFor(logged);
        own.clock.advance(2999);
        await own.settle();
        assert.equal(connection.ended, undefined);
        own.clock.advance(1);
        await ended(connection);
        assert.deepEqual(trace(connection), ["connection.start"]);
      }));
  }
});

/** As far as connection.tune. */
async function tuned(on: VirtualBroker = broker): Promise<RawConnection> {
  const connection = await on.connect();
  await startOk(connection);
  await connection.waitForMethod("connection.tune");
  return connection;
}

const offered = { channelMax: 2047, frameMax: 131_072, heartbeat: 60 };

describe("tuning", () => {
  const accepted: [name: string, args: Partial<typeof offered>][] = [
    ["what was offered", {}],
    ["the smallest frame", { frameMax: 4096 }],
    ["one channel", { channelMax: 1 }],
    ["no heartbeats", { heartbeat: 0 }],
    ["fewer heartbeats than were offered", { heartbeat: 65_535 }],
    ["more heartbeats than were offered", { heartbeat: 1 }],
  ];
  for (const [name, args] of accepted) {
    test(`a client may have ${name}`, async () => {
      const connection = await tuned();
      connection.send(0, "connection.tune-ok", { ...offered, ...args });
      connection.send(0, "connection.open", { virtualHost: "/" });
      assert.deepEqual(await connection.waitForMethod("connection.open-ok"), {});
    });
  }

  const refused: [args: Partial<typeof offered>, text: string][] = [
    [
      { frameMax: 4095 },
      "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
    ],
    [{ frameMax: 1 }, "negotiated frame_max = 1 is lower than the minimum allowed value (4096)"],
    [
      { frameMax: 131_073 },
      "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
    ],
    [
      { channelMax: 2048 },
      "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
    ],
  ];
  for (const [args, text] of refused) {
    test(`${JSON.stringify(args)} is refused`, async () => {
      const connection = await tuned();
      connection.send(0, "connection.tune-ok", { ...offered, ...args });
      assert.equal(await connectionClose(connection), `530 NOT_ALLOWED - ${text} (10.31)`);
    });
  }

  test("0 stands for what was offered", async () => {
    const connection = await tuned();
    connection.send(0, "connection.tune-ok", { channelMax: 0, frameMax: 0, heartbeat: 0 });
    connection.send(0, "connection.open", { virtualHost: "/" });
    await connection.waitForMethod("connection.open-ok");
    await connection.openChannel(1);
    connection.sendBytes(rawFrame(1, 1, Buffer.alloc(131_073)));
    assert.equal(
      await connectionClose(connection),
      "501 FRAME_ERROR - type 1, all octets = <<>>: {frame_too_large,131073,131064} (0.0)",
    );
  });

  test("without limits on our side 0 stands for none", () =>
    withBroker(
      async (own) => {
        const connection = await tuned(own);
        connection.send(0, "connection.tune-ok", { channelMax: 0, frameMax: 0, heartbeat: 0 });
        connection.send(0, "connection.open", { virtualHost: "/" });
        await connection.waitForMethod("connection.open-ok");
        for (const channel of [1, 3000, 65_535]) await connection.openChannel(channel);
      },
      { channel_max: 0, frame_max: 0 },
    ));

  test("what was agreed on holds for frames in both directions", async () => {
    const connection = await broker.open({ frameMax: 4096 });
    connection.send(1, "queue.declare", { queue: "tuned", exclusive: true });
    connection.send(1, "basic.consume", { queue: "tuned", noAck: true });
    connection.send(1, "basic.publish", { routingKey: "tuned" });
    connection.sendContent(1, {}, Buffer.alloc(10_000, "x"));
    await connection.waitUntil(
      () => connection.frames.filter(({ type }) => type === 3).length === 3,
    );
    assert.deepEqual(
      connection.frames.filter(({ type }) => type === 3).map(({ payload }) => payload.length),
      [4088, 4088, 1824],
    );
    connection.sendBytes(rawFrame(1, 1, Buffer.alloc(4097)));
    assert.match(await connectionClose(connection), /\{frame_too_large,4097,4088\}/);
  });
});

describe("connection.open", () => {
  for (const [vhost, text] of [
    ["nope", "vhost nope not found"],
    ["", "vhost  not found"],
  ] as const) {
    test(`of virtual host '${vhost}' is refused`, async () => {
      const connection = await tuned();
      connection.send(0, "connection.tune-ok", offered);
      connection.send(0, "connection.open", { virtualHost: vhost });
      assert.equal(await connectionClose(connection), `530 NOT_ALLOWED - ${text} (10.40)`);
      connection.send(0, "connection.close-ok");
      await ended(connection);
    });
  }

  test("of a virtual host without permission is refused", () =>
    withBroker(async (own) => {
      await own.running.users.addUser("stranger", "s", []);
      const connection = await own.connect();
      await startOk(connection, { response: "\0stranger\0s" });
      await connection.waitForMethod("connection.tune");
      connection.send(0, "connection.tune-ok", offered);
      connection.send(0, "connection.open", { virtualHost: "/" });
      assert.equal(
        await connectionClose(connection),
        "530 NOT_ALLOWED - access to vhost '/' refused for user 'stranger' (10.40)",
      );
    }));
});

describe("methods out of order", () => {
  type Send = (connection: RawConnection) => void;
  const beforeLogin: [name: string, send: Send][] = [
    ["tune-ok", (to) => to.send(0, "connection.tune-ok", offered)],
    ["connection.open", (to) => to.send(0, "connection.open", { virtualHost: "/" })],
    ["connection.close", (to) => to.send(0, "connection.close")],
    ["channel.open", (to) => to.send(1, "channel.open")],
    ["a body", (to) => to.sendBytes(rawFrame(3, 0, Buffer.from("x")))],
    ["a content header", (to) => to.sendBytes(rawFrame(2, 1, Buffer.alloc(14)))],
    ["an unknown method", (to) => to.sendBytes(rawFrame(1, 0, Buffer.from([0, 10, 0, 99])))],
    ["a cut start-ok", (to) => to.sendBytes(rawFrame(1, 0, Buffer.from([0, 10, 0, 11, 0, 0])))],
    ["half a method id", (to) => to.sendBytes(rawFrame(1, 0, Buffer.from([0, 10])))],
    ["a wrong end octet", (to) => to.sendBytes(rawFrame(1, 0, Buffer.from([0, 10, 0, 11]), 0))],
    ["an unknown frame type", (to) => to.sendBytes(rawFrame(5, 0, Buffer.alloc(0)))],
    ["a frame beyond initial_frame_max", (to) => to.sendBytes(rawFrame(1, 0, Buffer.alloc(4097)))],
  ];
  for (const [name, send] of beforeLogin) {
    test(`${name} before start-ok ends the connection without a word`, async () => {
      const connection = await broker.connect();
      connection.sendBytes(protocolHeader);
      await connection.waitForMethod("connection.start");
      send(connection);
      await ended(connection);
      assert.deepEqual(trace(connection), ["connection.start"]);
    });
  }

  const beforeTuning: [name: string, send: Send][] = [
    ["channel.open", (to) => to.send(1, "channel.open")],
    ["connection.open", (to) => to.send(0, "connection.open", { virtualHost: "/" })],
    ["start-ok again", (to) => to.send(0, "connection.start-ok")],
    ["connection.close", (to) => to.send(0, "connection.close")],
  ];
  for (const [name, send] of beforeTuning) {
    test(`${name} before tune-ok gets no further`, async () => {
      const connection = await tuned();
      send(connection);
      const arrived = await connection.waitUntil(
        () =>
          connection.ended !== undefined ||
          connection.frames.some((frame) => isMethod(frame, "connection.close")),
      );
      assert.ok(arrived);
      assert.ok(!trace(connection).includes("connection.open-ok"));
    });
  }

  const beforeOpen: [name: string, send: Send, close: string][] = [
    [
      "channel.open",
      (to) => to.send(1, "channel.open"),
      "505 UNEXPECTED_FRAME - type 1, all octets = <<0,20,0,10,0>> (0.0)",
    ],
    [
      "tune-ok again",
      (to) => to.send(0, "connection.tune-ok", offered),
      "504 CHANNEL_ERROR - unexpected method in connection state opening (10.31)",
    ],
    [
      "connection.close",
      (to) => to.send(0, "connection.close"),
      "504 CHANNEL_ERROR - unexpected method in connection state opening (10.50)",
    ],
  ];
  for (const [name, send, close] of beforeOpen) {
    test(`${name} before connection.open is refused`, async () => {
      const connection = await tuned();
      connection.send(0, "connection.tune-ok", offered);
      send(connection);
      assert.equal(await connectionClose(connection), close);
    });
  }

  test("a heartbeat may come at any time", async () => {
    const heartbeat = rawFrame(8, 0, Buffer.alloc(0));
    const connection = await broker.connect();
    connection.sendBytes(protocolHeader);
    await connection.waitForMethod("connection.start");
    connection.sendBytes(heartbeat);
    connection.send(0, "connection.start-ok", {
      mechanism: "PLAIN",
      response: Buffer.from("\0guest\0guest"),
    });
    await connection.waitForMethod("connection.tune");
    connection.sendBytes(heartbeat);
    connection.send(0, "connection.tune-ok", offered);
    connection.sendBytes(heartbeat);
    connection.send(0, "connection.open", { virtualHost: "/" });
    connection.sendBytes(heartbeat);
    await connection.waitForMethod("connection.open-ok");
    await connection.openChannel(1);
    await roundTrip(connection);
  });

  test("the whole handshake and more may be sent at once", async () => {
    const connection = await broker.connect();
    connection.sendBytes(protocolHeader);
    connection.send(0, "connection.start-ok", {
      mechanism: "PLAIN",
      response: Buffer.from("\0guest\0guest"),
    });
    connection.send(0, "connection.tune-ok", offered);
    connection.send(0, "connection.open", { virtualHost: "/" });
    connection.send(1, "channel.open");
    connection.send(0, "connection.close", { replyCode: 200 });
    await ended(connection);
    assert.deepEqual(trace(connection), [
      "connection.start",
      "connection.tune",
      "connection.open-ok",
      "channel.open-ok",
      "connection.close-ok",
    ]);
  });
});

describe("the handshake's time", () => {
  type Step = (own: VirtualBroker) => Promise<RawConnection>;
  const steps: [name: string, step: Step][] = [
    ["nothing was sent", (own) => own.connect()],
    [
      "half a header was sent",
      async (own) => {
        const connection = await own.connect();
        connection.sendBytes(Buffer.from("AMQ"));
        return connection;
      },
    ],
    [
      "the header was sent",
      async (own) => {
        const connection = await own.connect();
        connection.sendBytes(protocolHeader);
        await connection.waitForMethod("connection.start");
        return connection;
      },
    ],
    ["the login succeeded", (own) => tuned(own)],
    [
      "everything but connection.open was sent",
      async (own) => {
        const connection = await tuned(own);
        connection.send(0, "connection.tune-ok", offered);
        return connection;
      },
    ],
  ];
  for (const [name, step] of steps) {
    test(`is over after ten seconds if ${name}`, () =>
      withBroker(async (own) => {
        const connection = await step(own);
        await own.settle();
        own.clock.advance(9999);
        await own.settle();
        assert.equal(connection.ended, undefined);
        own.clock.advance(1);
        await ended(connection);
        await own.log.waitFor(/handshake timed out/);
        assert.ok(!trace(connection).includes("connection.close"));
      }));
  }

  test("is configurable", () =>
    withBroker(
      async (own) => {
        const connection = await own.connect();
        await own.settle();
        own.clock.advance(499);
        await own.settle();
        assert.equal(connection.ended, undefined);
        own.clock.advance(1);
        await ended(connection);
      },
      { handshake_timeout: 500 },
    ));

  test("does not pass for those who made it", () =>
    withBroker(async (own) => {
      const connection = await own.open();
      own.clock.advance(3_600_000);
      await roundTrip(connection);
      assert.equal(own.clock.pending, 0);
    }));
});

test("update-secret is taken note of", async () => {
  const connection = await broker.open();
  connection.send(0, "connection.update-secret", {
    newSecret: Buffer.from("token"),
    reason: "renewal",
  });
  await connection.waitForMethod("connection.update-secret-ok");
  assert.equal(MethodId.ConnectionUpdateSecret, (10 << 16) | 70);
  await roundTrip(connection);
});

test("more connections than connection_max are refused", () =>
  withBroker(
    async (own) => {
      const first = await own.open();
      const second = await own.open();
      const third = await own.connect();
      await ended(third);
      await own.log.waitFor(/refused a connection: 2 are open/);
      await second.close();
      await own.connectionsLeft(1);
      await own.open();
      await roundTrip(first);
    },
    { connection_max: 2 },
  ));
