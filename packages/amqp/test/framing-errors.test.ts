// Goal: frames that are wrong, or come at the wrong time, are refused with RabbitMQ's codes and
// texts, as they were recorded from RabbitMQ 3.10.8. Where it only drops the connection, we say
// why.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { methodFrame, methodOf, type RawConnection, rawFrame } from "@haremq/testkit";
import { connectionClose, ended, roundTrip, trace, VirtualBroker } from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

const method = 1;
const header = 2;
const body = 3;
const heartbeat = 8;

function bytes(...parts: (number | string | Buffer)[]): Buffer {
  return Buffer.concat(
    parts.map((part) =>
      typeof part === "number" ? Buffer.of(part) : Buffer.from(part as string, "latin1"),
    ),
  );
}

function ids(classId: number, methodId: number): Buffer {
  return Buffer.from([classId >> 8, classId, methodId >> 8, methodId]);
}

/** A content header: class, weight, body size, then the properties as they are given. */
function contentHeader(size: number, properties = bytes(0, 0), classId = 60, weight = 0): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt16BE(classId, 0);
  head.writeUInt16BE(weight, 2);
  head.writeBigUInt64BE(BigInt(size), 4);
  return Buffer.concat([head, properties]);
}

const publish = methodFrame(1, methodOf("basic.publish", { routingKey: "nowhere" }));

function published(...frames: Buffer[]): Buffer {
  return Buffer.concat([publish, ...frames]);
}

/** queue.declare of "facts-t", non-durable, with these bytes for its arguments. */
function declareWith(args: Buffer): Buffer {
  return rawFrame(method, 1, bytes(ids(50, 10), 0, 0, 7, "facts-t", 0, args));
}

type Case = [name: string, bytes: Buffer, close: string];

/** Sends the bytes on a connection with channel 1 open. */
async function closeAfter(sent: Buffer): Promise<string> {
  const connection = await broker.open();
  connection.sendBytes(sent);
  return connectionClose(connection);
}

function refuses(cases: readonly Case[]): void {
  for (const [name, sent, close] of cases) {
    test(name, async () => {
      assert.equal(await closeAfter(sent), close);
    });
  }
}

describe("frames that are none", () => {
  const unknown = (frame: string) => `501 FRAME_ERROR - ${frame}: unknown_frame (0.0)`;
  refuses([
    [
      "a payload larger than was agreed on",
      rawFrame(body, 1, Buffer.alloc(131_073)),
      "501 FRAME_ERROR - type 3, all octets = <<>>: {frame_too_large,131073,131064} (0.0)",
    ],
    [
      "the protocol header again",
      Buffer.from("AMQP\0\0\x09\x01", "latin1"),
      "501 FRAME_ERROR - type 65, all octets = <<>>: {frame_too_large,1342177289,131064} (0.0)",
    ],
    [
      "a method with a wrong end octet",
      rawFrame(method, 2, bytes(ids(20, 10), 0), 0),
      "501 FRAME_ERROR - type 1, all octets = <<0,20,0,10,0>>: {invalid_frame_end_marker,0} (0.0)",
    ],
    [
      "a heartbeat with a wrong end octet",
      rawFrame(heartbeat, 0, bytes(), 65),
      "501 FRAME_ERROR - type 8, all octets = <<>>: {invalid_frame_end_marker,65} (0.0)",
    ],
    [
      "a long payload with a wrong end octet, on two lines as RabbitMQ prints it",
      rawFrame(method, 1, Buffer.alloc(20, 1), 1),
      "501 FRAME_ERROR - type 1, first 16 octets = <<1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1>>: " +
        `{invalid_frame_end_marker,\n${" ".repeat(64)}1} (0.0)`,
    ],
    [
      "type 4 on channel 0",
      rawFrame(4, 0, bytes("abc")),
      unknown('type 4, all octets = <<"abc">>'),
    ],
    [
      "type 4 on channel 1",
      rawFrame(4, 1, bytes("abc")),
      unknown('type 4, all octets = <<"abc">>'),
    ],
    ["type 0, empty", rawFrame(0, 1, bytes()), unknown("type 0, all octets = <<>>")],
    ["type 255", rawFrame(255, 1, bytes("hello")), unknown('type 255, all octets = <<"hello">>')],
    [
      "a payload of 16 octets is shown whole",
      rawFrame(4, 1, Buffer.alloc(16, "a")),
      unknown('type 4, all octets = <<"aaaaaaaaaaaaaaaa">>'),
    ],
    [
      "a payload of 17 octets is shown in part",
      rawFrame(4, 1, Buffer.alloc(17, "a")),
      unknown('type 4, first 16 octets = <<"aaaaaaaaaaaaaaaa">>'),
    ],
    [
      "what Erlang would print is printed",
      rawFrame(4, 1, bytes('a"b\\c\n')),
      unknown('type 4, all octets = <<"a\\"b\\\\c\\n">>'),
    ],
    [
      "what Erlang would not print is listed",
      rawFrame(4, 1, bytes("a\nb\t\x1b\x7f")),
      unknown("type 4, all octets = <<97,10,98,9,27,127>>"),
    ],
    ["a method of 0 bytes", rawFrame(method, 1, bytes()), unknown("type 1, all octets = <<>>")],
    [
      "a method of 3 bytes",
      rawFrame(method, 1, bytes("abc")),
      unknown('type 1, all octets = <<"abc">>'),
    ],
    [
      "a method of 3 bytes on channel 0",
      rawFrame(method, 0, bytes("abc")),
      unknown('type 1, all octets = <<"abc">>'),
    ],
    [
      "a heartbeat that carries something",
      rawFrame(heartbeat, 0, bytes("abc")),
      unknown('type 8, all octets = <<"abc">>'),
    ],
    [
      "such a heartbeat on channel 1",
      rawFrame(heartbeat, 1, bytes("aaa")),
      unknown('type 8, all octets = <<"aaa">>'),
    ],
    [
      "a content header of 5 bytes",
      published(rawFrame(header, 1, bytes(0, 60, 0, 0, 0))),
      unknown("type 2, all octets = <<0,60,0,0,0>>"),
    ],
  ]);
});

describe("methods that are none", () => {
  const unimplemented = (where: string) => `503 COMMAND_INVALID - unimplemented method (${where})`;
  const undecodable = (shown: string, where: string) =>
    `501 FRAME_ERROR - cannot decode <<${shown}>> (${where})`;
  const tableError = (text: string) => `502 SYNTAX_ERROR - ${text} (50.10)`;
  refuses([
    ["an unknown class", rawFrame(method, 1, ids(99, 1)), unimplemented("99.1")],
    ["an unknown method", rawFrame(method, 1, ids(50, 99)), unimplemented("50.99")],
    ["the highest ids", rawFrame(method, 1, ids(0xffff, 0xffff)), unimplemented("65535.65535")],
    ["an unknown method on channel 0", rawFrame(method, 0, ids(10, 99)), unimplemented("10.99")],
    [
      "a cut queue.declare",
      rawFrame(method, 1, bytes(ids(50, 10), 0, 0, 3, "abc", 0, 0)),
      undecodable("0,0,3,97,98,99,0,0", "50.10"),
    ],
    ["a queue.declare of nothing", rawFrame(method, 1, ids(50, 10)), undecodable("", "50.10")],
    [
      "a cut basic.publish",
      rawFrame(method, 1, bytes(ids(60, 40), 0, 0, 3, "abc")),
      undecodable("0,0,3,97,98,99", "60.40"),
    ],
    ["a basic.publish of nothing", rawFrame(method, 1, ids(60, 40)), undecodable("", "60.40")],
    [
      "a basic.publish of one byte",
      rawFrame(method, 1, bytes(ids(60, 40), 0)),
      undecodable("0", "60.40"),
    ],
    [
      "a basic.publish with more behind it",
      rawFrame(method, 1, bytes(ids(60, 40), 0, 0, 0, 0, 0, 120)),
      undecodable("0,0,0,0,0,120", "60.40"),
    ],
    [
      "a cut basic.ack",
      rawFrame(method, 1, bytes(ids(60, 80), Buffer.alloc(7), 1)),
      undecodable("0,0,0,0,0,0,0,1", "60.80"),
    ],
    [
      "a basic.ack with more behind it",
      rawFrame(method, 1, bytes(ids(60, 80), Buffer.alloc(7), 1, 0, 120)),
      undecodable("0,0,0,0,0,0,0,1,0,120", "60.80"),
    ],
    [
      "channel.open with more behind it",
      rawFrame(method, 2, bytes(ids(20, 10), 0, "xyz")),
      undecodable("0,120,121,122", "20.10"),
    ],
    [
      "queue.declare with more behind it",
      rawFrame(method, 1, bytes(ids(50, 10), 0, 0, 7, "facts-t", 0, 0, 0, 0, 0, "xyz")),
      undecodable("0,0,7,102,97,99,116,115,45,116,0,0,0,0,0,120,121,122", "50.10"),
    ],
    [
      "tx.select with more behind it",
      rawFrame(method, 1, bytes(ids(90, 10), "xyz")),
      undecodable("120,121,122", "90.10"),
    ],
    [
      "basic.qos with more behind it",
      rawFrame(method, 1, bytes(ids(60, 10), Buffer.alloc(7), "xyz")),
      undecodable("0,0,0,0,0,0,0,120,121,122", "60.10"),
    ],
    [
      "arguments that do not fit a reply text are cut",
      rawFrame(method, 1, bytes(ids(50, 10), Buffer.alloc(300, 5))),
      `501 FRAME_ERROR - cannot decode <<${"5,".repeat(111)}... (50.10)`,
    ],
    [
      "a table longer than its frame",
      declareWith(bytes(0, 0, 0, 100)),
      undecodable("0,0,7,102,97,99,116,115,45,116,0,0,0,0,100", "50.10"),
    ],
    [
      "a table with a value of unknown type",
      declareWith(bytes(0, 0, 0, 3, 1, "aZ")),
      tableError("unknown field type 90"),
    ],
    [
      "a table with an entry longer than itself",
      declareWith(bytes(0, 0, 0, 5, 1, "aI", 0, 0)),
      tableError("malformed field table"),
    ],
    [
      "a table with an array of garbage",
      declareWith(bytes(0, 0, 0, 9, 1, "aA", 0, 0, 0, 2, "ZZ")),
      tableError("unknown field type 90"),
    ],
  ]);

  test("a queue name that is no UTF-8", async () => {
    const text = "501 FRAME_ERROR - Malformed UTF-8 in shortstr (0.0)";
    const declare = bytes(ids(50, 10), 0, 0, 2, "\xff\xfe", 0, 0, 0, 0, 0);
    assert.equal(await closeAfter(rawFrame(method, 1, declare)), text);
  });

  for (const [name, value] of [
    ["an empty name", bytes(0, "I", 0, 0, 0, 1)],
    ["a boolean of 2", bytes(1, "at", 2)],
    ["the same name twice", bytes(1, "aV", 1, "aV")],
  ] as const) {
    test(`a table with ${name} is in order`, async () => {
      const connection = await broker.open();
      connection.sendBytes(declareWith(bytes(0, 0, 0, value.length, value)));
      await connection.waitForMethod("queue.declare-ok");
    });
  }
});

describe("methods in the wrong place", () => {
  const frame = methodFrame;
  const unimplemented = (where: string) => `503 COMMAND_INVALID - unimplemented method (${where})`;
  const running = (where: string) =>
    `504 CHANNEL_ERROR - unexpected method in connection state running (${where})`;
  const unopened = (where: string) => `504 CHANNEL_ERROR - expected 'channel.open' (${where})`;
  refuses([
    [
      "connection.close on channel 1",
      frame(1, methodOf("connection.close")),
      unimplemented("10.50"),
    ],
    [
      "connection.tune-ok on channel 1",
      frame(1, methodOf("connection.tune-ok")),
      unimplemented("10.31"),
    ],
    ["connection.open on channel 1", frame(1, methodOf("connection.open")), unimplemented("10.40")],
    [
      "connection.close-ok on channel 1",
      frame(1, methodOf("connection.close-ok")),
      unimplemented("10.51"),
    ],
    ["connection.close on channel 7", frame(7, methodOf("connection.close")), unopened("10.50")],
    ["queue.declare on channel 0", frame(0, methodOf("queue.declare")), running("50.10")],
    ["channel.open on channel 0", frame(0, methodOf("channel.open")), running("20.10")],
    ["channel.close on channel 0", frame(0, methodOf("channel.close")), running("20.40")],
    ["connection.open again", frame(0, methodOf("connection.open")), running("10.40")],
    ["start-ok again", frame(0, methodOf("connection.start-ok")), running("10.11")],
    ["tune-ok again", frame(0, methodOf("connection.tune-ok")), running("10.31")],
    ["secure-ok", frame(0, methodOf("connection.secure-ok")), running("10.21")],
    ["connection.close-ok unasked", frame(0, methodOf("connection.close-ok")), running("10.51")],
    ["connection.start of a client", frame(0, methodOf("connection.start")), running("10.10")],
    ["connection.blocked of a client", frame(0, methodOf("connection.blocked")), running("10.60")],
    [
      "queue.declare on a channel that is not open",
      frame(7, methodOf("queue.declare")),
      unopened("50.10"),
    ],
    ["channel.close on such a channel", frame(7, methodOf("channel.close")), unopened("20.40")],
    [
      "channel.close-ok on such a channel",
      frame(7, methodOf("channel.close-ok")),
      unopened("20.41"),
    ],
    ["queue.declare beyond channel_max", frame(3000, methodOf("queue.declare")), unopened("50.10")],
    [
      "channel.open twice",
      frame(1, methodOf("channel.open")),
      "504 CHANNEL_ERROR - second 'channel.open' seen (20.10)",
    ],
    ["channel.close-ok unasked", frame(1, methodOf("channel.close-ok")), unimplemented("20.41")],
    ["channel.open-ok of a client", frame(1, methodOf("channel.open-ok")), unimplemented("20.11")],
    [
      "queue.declare-ok of a client",
      frame(1, methodOf("queue.declare-ok")),
      unimplemented("50.11"),
    ],
    ["basic.cancel-ok of a client", frame(1, methodOf("basic.cancel-ok")), unimplemented("60.31")],
    ["channel.flow-ok of a client", frame(1, methodOf("channel.flow-ok")), unimplemented("20.21")],
    ["basic.deliver of a client", frame(1, methodOf("basic.deliver")), unimplemented("60.60")],
    ["basic.return of a client", frame(1, methodOf("basic.return")), unimplemented("60.50")],
  ]);
});

describe("content in the wrong place", () => {
  const noMethod =
    "505 UNEXPECTED_FRAME - expected method frame, got non method frame instead (0.0)";
  const noHeader =
    "505 UNEXPECTED_FRAME - expected content header for class 60, " +
    "got non content header frame instead (60.40)";
  const noBody =
    "505 UNEXPECTED_FRAME - expected content body, got non content body frame instead (60.40)";
  const raw = (type: number, octets: string) =>
    `505 UNEXPECTED_FRAME - type ${type}, all octets = <<${octets}>> (0.0)`;
  const qos = methodFrame(1, methodOf("basic.qos"));
  const one = rawFrame(header, 1, contentHeader(1));
  refuses([
    ["a body on channel 0", rawFrame(body, 0, bytes("abc")), raw(3, '"abc"')],
    [
      "a header on channel 0",
      rawFrame(header, 0, contentHeader(1)),
      raw(2, "0,60,0,0,0,0,0,0,0,0,0,1,0,0"),
    ],
    [
      "a long body on channel 0",
      rawFrame(body, 0, Buffer.alloc(17, "a")),
      '505 UNEXPECTED_FRAME - type 3, first 16 octets = <<"aaaaaaaaaaaaaaaa">> (0.0)',
    ],
    ["a body on a channel that is not open", rawFrame(body, 7, bytes("abc")), noMethod],
    ["a header on such a channel", rawFrame(header, 7, contentHeader(1)), noMethod],
    ["a heartbeat on such a channel", rawFrame(heartbeat, 7, bytes()), raw(8, "")],
    ["a heartbeat on channel 1", rawFrame(heartbeat, 1, bytes()), raw(8, "")],
    ["a header without publish", rawFrame(header, 1, contentHeader(1)), noMethod],
    ["a body without publish", rawFrame(body, 1, bytes("abc")), noMethod],
    ["publish, then a method", published(qos), noHeader],
    ["publish, then channel.close", published(methodFrame(1, methodOf("channel.close"))), noHeader],
    ["publish twice", published(publish), noHeader],
    ["publish, then a heartbeat on its channel", published(rawFrame(8, 1, bytes())), raw(8, "")],
    ["publish, then a body", published(rawFrame(body, 1, bytes("x"))), noHeader],
    [
      "publish, then a header of class 50",
      published(rawFrame(header, 1, contentHeader(1, bytes(0, 0), 50))),
      "505 UNEXPECTED_FRAME - expected content header for class 60, " +
        "got one for class 50 instead (60.40)",
    ],
    [
      "publish, then a header with a weight",
      published(rawFrame(header, 1, contentHeader(1, bytes(0, 0), 60, 1))),
      noHeader,
    ],
    ["publish, then two headers", published(one, one), noBody],
    ["publish and header, then a method", published(one, qos), noBody],
    [
      "half a body, then a method",
      published(rawFrame(header, 1, contentHeader(2)), rawFrame(body, 1, bytes("x")), qos),
      noBody,
    ],
    ["more body than announced", published(one, rawFrame(body, 1, bytes("abc"))), noBody],
    [
      "more body than announced, in the second frame",
      published(
        rawFrame(header, 1, contentHeader(3)),
        rawFrame(body, 1, bytes("ab")),
        rawFrame(body, 1, bytes("cd")),
      ),
      noBody,
    ],
    [
      "a body where none was announced",
      published(rawFrame(header, 1, contentHeader(0)), rawFrame(body, 1, bytes("a"))),
      noMethod,
    ],
    [
      "an empty body where none was announced",
      published(rawFrame(header, 1, contentHeader(0)), rawFrame(body, 1, bytes())),
      noMethod,
    ],
  ]);
});

describe("properties that are none", () => {
  const internal = "541 INTERNAL_ERROR (0.0)";
  const withProperties = (properties: Buffer) =>
    published(rawFrame(header, 1, contentHeader(0, properties)));
  refuses([
    ["no flags", withProperties(bytes()), internal],
    ["half the flags", withProperties(bytes(0)), internal],
    ["a content type without its value", withProperties(bytes(0x80, 0)), internal],
    ["a content type that is cut", withProperties(bytes(0x80, 0, 5, "abc")), internal],
    ["bytes behind the properties", withProperties(bytes(0, 0, "x")), internal],
    ["a second word of flags", withProperties(bytes(0, 1, 0, 0)), internal],
    ["headers of unknown type", withProperties(bytes(0x20, 0, 0, 0, 0, 3, 1, "aZ")), internal],
    ["headers longer than the frame", withProperties(bytes(0x20, 0, 0, 0, 0, 99)), internal],
    [
      "headers with an entry beyond their end",
      withProperties(bytes(0x20, 0, 0, 0, 0, 4, 1, "aI", 0)),
      internal,
    ],
  ]);

  test("the flag that means nothing is in order", async () => {
    const connection = await broker.open();
    connection.sendBytes(withProperties(bytes(0, 2)));
    await roundTrip(connection);
  });
});

describe("what is in order although it looks odd", () => {
  const accepted: [name: string, sent: Buffer][] = [
    [
      "a heartbeat between the frames of a content",
      published(
        rawFrame(heartbeat, 0, bytes()),
        rawFrame(header, 1, contentHeader(1)),
        rawFrame(heartbeat, 0, bytes()),
        rawFrame(body, 1, bytes("x")),
      ),
    ],
    [
      "empty body frames before, between and after the rest",
      published(
        rawFrame(header, 1, contentHeader(3)),
        rawFrame(body, 1, bytes()),
        rawFrame(body, 1, bytes("ab")),
        rawFrame(body, 1, bytes()),
        rawFrame(body, 1, bytes("c")),
      ),
    ],
    [
      "a routing key that is no UTF-8",
      rawFrame(method, 1, bytes(ids(60, 40), 0, 0, 0, 2, "\xff\xfe", 0)),
    ],
  ];
  for (const [name, sent] of accepted) {
    test(name, async () => {
      const connection = await broker.open();
      const isWhole = !name.startsWith("a routing");
      connection.sendBytes(isWhole ? sent : bytes(sent, rawFrame(header, 1, contentHeader(0))));
      await roundTrip(connection);
    });
  }

  test("contents of two channels, frame by frame in turn", async () => {
    const connection = await broker.open({}, [1, 2]);
    const mandatory = (channel: number) =>
      methodFrame(
        channel,
        methodOf("basic.publish", { routingKey: `key ${channel}`, mandatory: true }),
      );
    connection.sendBytes(
      Buffer.concat([
        mandatory(1),
        mandatory(2),
        rawFrame(header, 1, contentHeader(4)),
        rawFrame(header, 2, contentHeader(2)),
        rawFrame(body, 1, bytes("on")),
        rawFrame(body, 2, bytes("tw")),
        rawFrame(body, 1, bytes("e!")),
      ]),
    );
    await roundTrip(connection);
    await roundTrip(connection, 2);
    const returned = (channel: number) => trace(connection, 0, channel).slice(1, 4);
    assert.deepEqual(returned(1), ["basic.return", "header 4", "body one!"]);
    assert.deepEqual(returned(2), ["basic.return", "header 2", "body tw"]);
  });

  for (const size of [131_064, 131_072]) {
    test(`a frame of ${size} bytes`, async () => {
      const connection = await broker.open();
      connection.send(1, "queue.declare", { queue: `large-${size}`, exclusive: true });
      connection.send(1, "basic.publish", { routingKey: `large-${size}` });
      connection.sendBytes(rawFrame(header, 1, contentHeader(size)));
      connection.sendBytes(rawFrame(body, 1, Buffer.alloc(size, "x")));
      connection.send(1, "basic.get", { queue: `large-${size}`, noAck: true });
      const content = await connection.waitFor(({ header: found }) => found !== undefined);
      assert.equal(content.header?.bodySize, size);
    });
  }
});

describe("after a hard error", () => {
  async function refused(): Promise<RawConnection> {
    const connection = await broker.open();
    connection.sendBytes(rawFrame(255, 0, bytes()));
    await connectionClose(connection);
    return connection;
  }

  test("only close-ok counts, whatever else comes", async () => {
    const connection = await broker.open();
    connection.send(0, "channel.open");
    await connectionClose(connection);
    connection.send(1, "queue.declare", { queue: "never" });
    connection.sendBytes(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await broker.settle();
    assert.equal(broker.vhost.queue("never"), undefined);
    assert.equal(connection.ended, undefined);
    assert.equal(trace(connection).at(-1), "connection.close");
  });

  test("the first bytes behind a fault end the connection, for they cannot be read", async () => {
    const connection = await refused();
    connection.send(0, "connection.close-ok");
    await ended(connection);
  });

  test("nothing behind the fault is carried out", async () => {
    const connection = await broker.open();
    connection.sendBytes(
      bytes(
        methodFrame(0, methodOf("channel.open")),
        methodFrame(1, methodOf("queue.declare", { queue: "never" })),
        publish,
      ),
    );
    await connectionClose(connection);
    assert.equal(broker.vhost.queue("never"), undefined);
    connection.send(0, "connection.close-ok");
    await ended(connection);
  });

  test("a connection.close that crosses ours is answered, and then close-ok awaited", async () => {
    const connection = await broker.open();
    connection.send(0, "channel.open");
    connection.send(0, "connection.close", { replyCode: 200 });
    await connectionClose(connection);
    await connection.waitForMethod("connection.close-ok");
    await broker.settle();
    assert.equal(connection.ended, undefined);
    connection.send(0, "connection.close-ok");
    await ended(connection);
  });

  test("a client that never answers is cut off", async () => {
    const connection = await refused();
    broker.clock.advance(9_999);
    await broker.settle();
    assert.equal(connection.ended, undefined);
    broker.clock.advance(1);
    await ended(connection);
  });
});
