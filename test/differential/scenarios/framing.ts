/** Frames and contents that are not as they should be, on an open connection. */

import { FieldTable } from "@haremq/wire";
import { area, type Scenario, type ScenarioOptions, scenario } from "../scenario.ts";
import { awaiting, bytes, call, frame, frameOf, on, partial, publish, together } from "../step.ts";

const qos = call("basic.qos");
const method = (classId: number, methodId: number, args: number[] = []) =>
  Buffer.from([0, classId, 0, methodId, ...args]);

/** Bytes that must end the connection, and how. */
function fatal(name: string, content: Buffer, options: ScenarioOptions = {}): Scenario {
  return scenario(name, [bytes(name, content), awaiting("connection.close")], options);
}

/** Bytes that RabbitMQ's reader dies of. */
function deadly(name: string, content: Buffer): Scenario {
  return scenario(name, [bytes(name, content), awaiting("end")]);
}

function harmless(name: string, content: Buffer): Scenario {
  return scenario(name, [bytes(name, content), qos]);
}

function oversize(type: number, size: number): Buffer {
  const content = frame(type, 1, Buffer.alloc(size));
  return content;
}

const small = { handshake: { frameMax: 4096 } };

const frames = [
  fatal("a wrong end octet", frame(1, 2, method(20, 10, [0]), 0)),
  fatal("a wrong end octet of a heartbeat", frame(8, 0, Buffer.alloc(0), 0x41)),
  fatal("a wrong end octet of a long frame", frame(1, 1, Buffer.alloc(40, 65), 65)),
  fatal("type 4 on channel 0", frame(4, 0, Buffer.from("abc"))),
  fatal("type 4 on channel 1", frame(4, 1, Buffer.from("abc"))),
  fatal("type 4 on a channel that is not open", frame(4, 7, Buffer.from("abc"))),
  fatal("type 0", frame(0, 1, Buffer.alloc(0))),
  fatal("type 255", frame(255, 1, Buffer.from("hello"))),
  fatal("an unknown type with a long payload", frame(7, 1, Buffer.from("a".repeat(17)))),
  fatal("an unknown type with a binary payload", frame(7, 1, Buffer.from([0, 1, 2, 255]))),
  fatal("a protocol header", Buffer.from("AMQP\0\0\x09\x01")),
  fatal("a frame far too large", oversize(1, 200_000)),
  fatal("a frame far too large for a small limit", oversize(1, 5000), small),
  fatal("a body far too large for a small limit", oversize(3, 5000), small),
  fatal("a body as large as the limit allows", oversize(3, 4088), small),
  fatal("a method frame without a payload", frame(1, 1, Buffer.alloc(0))),
  fatal("a method frame of 3 bytes", frame(1, 1, Buffer.from("abc"))),
  fatal("a method frame of 3 bytes on channel 0", frame(1, 0, Buffer.from([0, 10, 0]))),
  fatal("a header frame of 5 bytes", frame(2, 1, Buffer.from([0, 60, 0, 0, 0]))),
  fatal("a heartbeat with a payload", frame(8, 0, Buffer.from("abc"))),
  fatal("a heartbeat on channel 1", frame(8, 1, Buffer.alloc(0))),
  fatal("a heartbeat on a channel that is not open", frame(8, 7, Buffer.alloc(0))),
  harmless("a heartbeat", frame(8, 0, Buffer.alloc(0))),
  fatal("a body frame on channel 0", frame(3, 0, Buffer.from("abc"))),
  fatal("a header frame on channel 0", frame(2, 0, contentHeader(1))),
  fatal("a body frame on a channel that is not open", frame(3, 7, Buffer.from("abc"))),
  fatal("a header frame on a channel that is not open", frame(2, 7, contentHeader(1))),
];

const methods = [
  deadly("an unknown class", frame(1, 1, method(99, 1))),
  deadly("an unknown method", frame(1, 1, method(50, 99))),
  deadly("an unknown method of connection", frame(1, 0, method(10, 99))),
  deadly("an unknown method on a channel that is not open", frame(1, 7, method(50, 99))),
  fatal("a method cut short", cut(frameOf(1, "queue.declare", { queue: "abc" }), 3)),
  fatal("a method without its arguments", frame(1, 1, method(50, 10))),
  fatal("a publish cut short", cut(frameOf(1, "basic.publish", { exchange: "abc" }), 2)),
  fatal("channel.open with more than it has", lengthen(frameOf(2, "channel.open"), "xyz")),
  fatal("tx.select with more than it has", lengthen(frameOf(1, "tx.select"), "xyz")),
  fatal("basic.qos with more than it has", lengthen(frameOf(1, "basic.qos"), "xyz")),
  fatal("queue.declare with more than it has", lengthen(frameOf(1, "queue.declare"), "xyz")),
  fatal("connection.close with more than it has", lengthen(frameOf(0, "connection.close"), "xyz")),
  deadly("a value of an unknown type", declareWith(Buffer.from("\x01aZabc", "latin1"))),
  deadly("a value longer than its table", declareWith(Buffer.from("\x01aS\0\0\0\xff", "latin1"))),
  deadly(
    "an array with an unknown type in it",
    declareWith(Buffer.from("\x01aA\0\0\0\x01Z", "latin1")),
  ),
  fatal(
    "a table longer than its frame",
    lengthen(cut(frameOf(1, "queue.declare", { queue: "q" }), 4), "\0\0\0\x64"),
  ),
  harmless("a boolean of 2", declareWith(Buffer.from("\x01at\x02", "latin1"))),
  harmless("unused bits of a method", frame(1, 1, method(60, 10, [0, 0, 0, 0, 0, 0, 0xfe]))),
];

const start = frameOf(1, "basic.publish", { routingKey: "nowhere" });
const header = (size: number, properties: number[] = [0, 0]) =>
  frame(2, 1, contentHeader(size, properties));
const body = (text: string) => frame(3, 1, Buffer.from(text));
const content = (...parts: Buffer[]) => Buffer.concat([start, ...parts]);

const contents = [
  fatal("a header without a publish", header(1)),
  fatal("a body without a publish", body("abc")),
  fatal("a method instead of a header", content(frameOf(1, "basic.qos"))),
  fatal("channel.close instead of a header", content(frameOf(1, "channel.close"))),
  fatal("a body instead of a header", content(body("abc"))),
  fatal("a header of class 50", content(frame(2, 1, contentHeader(1, [0, 0], 50)))),
  fatal("a header with a weight", content(frame(2, 1, contentHeader(1, [0, 0], 60, 1)))),
  fatal("two headers", content(header(1), header(1))),
  fatal("a method instead of a body", content(header(2), frameOf(1, "basic.qos"))),
  fatal("a method in the middle of a body", content(header(2), body("a"), frameOf(1, "basic.qos"))),
  fatal("a body longer than announced", content(header(1), body("abc"), frameOf(1, "basic.qos"))),
  fatal("a body where none was announced", content(header(0), body("a"))),
  fatal("an empty body where none was announced", content(header(0), body(""))),
  harmless(
    "empty body frames in between",
    content(header(3), body(""), body("ab"), body(""), body("c")),
  ),
  harmless(
    "heartbeats in between",
    content(frame(8, 0, Buffer.alloc(0)), header(1), frame(8, 0, Buffer.alloc(0)), body("x")),
  ),
  fatal("a heartbeat on the channel in between", content(frame(8, 1, Buffer.alloc(0)), header(0))),
  fatal("a header without flags", content(frame(2, 1, contentHeader(0, [])))),
  fatal("a header with half of the flags", content(frame(2, 1, contentHeader(0, [0])))),
  fatal("a property that is not there", content(header(0, [0x80, 0]))),
  fatal("a property cut short", content(header(0, [0x80, 0, 5, 97]))),
  fatal("bytes after the properties", content(header(0, [0, 0, 1, 2, 3]))),
  fatal("more flags announced and there", content(header(0, [0, 1, 0, 0]))),
  harmless("more flags announced and not there", content(header(0, [0, 1]))),
  harmless("the unused flag", content(header(0, [0, 2]))),
  fatal(
    "a headers table with an unknown type",
    content(header(0, [0x20, 0, 0, 0, 0, 4, 1, 97, 90, 0])),
  ),
];

const interleaving = [
  scenario("contents on two channels at once", [
    on(2, call("channel.open")),
    together(
      bytes("publish on 1", start),
      bytes(
        "publish on 2",
        frameOf(2, "basic.publish", { routingKey: "nowhere", mandatory: true }),
      ),
      bytes("header on 1", header(2)),
      bytes("header on 2", frame(2, 2, contentHeader(1))),
      bytes("half a body on 1", body("a")),
      bytes("body on 2", frame(3, 2, Buffer.from("b"))),
      bytes("the rest on 1", body("a")),
    ),
    qos,
  ]),
  scenario("a content in many pieces", [
    call("queue.declare", { queue: "~q", exclusive: true }),
    partial("publish", frameOf(1, "basic.publish", { exchange: "amq.fanout" })),
    partial("header", header(4)),
    partial("half a body", body("ab")),
    bytes("the other half", body("cd")),
    qos,
  ]),
  scenario("closing the connection in the middle of a content", [
    partial("publish and header", content(header(5))),
    on(0, call("connection.close", { replyCode: 200 })),
    awaiting("connection.close-ok"),
  ]),
];

const afterwards = [
  scenario(
    "after a hard error everything but closing is ignored",
    [
      bytes("a method cut short", cut(frameOf(1, "queue.declare", { queue: "abc" }), 3)),
      awaiting("connection.close"),
      qos,
      publish("", "~missing", "1", { mandatory: true }),
      on(0, call("connection.close-ok")),
      awaiting("end"),
    ],
    { leaveCloseOpen: true },
  ),
  scenario(
    "after a hard error the client closes too",
    [
      bytes("a method cut short", cut(frameOf(1, "queue.declare", { queue: "abc" }), 3)),
      awaiting("connection.close"),
      on(0, call("connection.close", { replyCode: 200 })),
      awaiting("connection.close-ok"),
    ],
    { leaveCloseOpen: true },
  ),
];

function contentHeader(size: number, properties = [0, 0], classId = 60, weight = 0): Buffer {
  const payload = Buffer.alloc(12);
  payload.writeUInt16BE(classId, 0);
  payload.writeUInt16BE(weight, 2);
  payload.writeUInt32BE(size, 8);
  return Buffer.concat([payload, Buffer.from(properties)]);
}

/** The method without its last bytes, in a sound frame. */
function cut(whole: Buffer, bytesLess: number): Buffer {
  return frame(1, whole.readUInt16BE(1), whole.subarray(7, whole.length - 1 - bytesLess));
}

function lengthen(whole: Buffer, more: string): Buffer {
  const payload = Buffer.concat([whole.subarray(7, whole.length - 1), Buffer.from(more, "latin1")]);
  return frame(1, whole.readUInt16BE(1), payload);
}

/** An exclusive, server-named queue whose arguments are these bytes. */
function declareWith(table: Buffer): Buffer {
  const whole = frameOf(1, "queue.declare", { exclusive: true, arguments: new FieldTable() });
  const length = Buffer.alloc(4);
  length.writeUInt32BE(table.length);
  return lengthen(cut(whole, 4), Buffer.concat([length, table]).toString("latin1"));
}

const patient = true;

export const framing = area(
  "framing",
  [...frames, ...methods, ...contents, ...interleaving, ...afterwards],
  patient,
);
