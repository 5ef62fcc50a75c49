/** Goal: the writer grows, rotates and refuses what does not fit. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { anyProperties, anyTable, argumentsOf } from "../test/arbitraries.ts";
import { encodeBodyFrames, encodeHeaderFrame } from "./content-frames.ts";
import { FieldTable } from "./field-table.ts";
import { encodeBasicAck, encodeBasicPublish } from "./generated/basic.ts";
import { encodeMethod, type Method } from "./generated/method.ts";
import { propertiesByteLength } from "./generated/properties.ts";
import { encodeQueueDeclare } from "./generated/queue.ts";
import { MalformedError } from "./malformed-error.ts";
import { classes } from "./protocol/protocol.ts";
import { WireReader } from "./wire-reader.ts";
import { uint64ByteLength, WireWriter } from "./wire-writer.ts";

/** Begins a new buffer, as a connection does that hands full ones to its socket. */
class RotatingWriter extends WireWriter {
  finished: Buffer[] = [];
  asked: number[] = [];

  override ensure(bytes: number): void {
    this.asked.push(bytes);
    if (this.offset + bytes <= this.buffer.length) return;
    this.finished.push(this.take());
    this.buffer = Buffer.alloc(Math.max(bytes, 32));
  }
}

test("a frame asks for all its room at once and is never split", () => {
  for (const owner of classes) {
    for (const method of owner.methods) {
      const id = (owner.id << 16) | method.id;
      fc.assert(
        fc.property(argumentsOf(method), (args) => {
          const writer = new RotatingWriter(8);
          writer.uint8(0x55);
          encodeMethod(writer, 1, { id, name: "", args } as unknown as Method);
          const frame = writer.take();
          assert.equal(writer.asked[0], frame.length, `${owner.name}.${method.name}`);
          assert.deepEqual(writer.finished, [Buffer.from([0x55])]);
        }),
        { numRuns: 5 },
      );
    }
  }
});

test("a header frame is never split either", () => {
  fc.assert(
    fc.property(anyProperties, (properties) => {
      const writer = new RotatingWriter(8);
      writer.uint8(0x55);
      encodeHeaderFrame(writer, 3, 2 ** 40, properties);
      const frame = writer.take();
      assert.equal(writer.asked[0], frame.length);
      assert.deepEqual(writer.finished, [Buffer.from([0x55])]);
      assert.equal(frame.length, 8 + 12 + propertiesByteLength(properties));
      const start = `020003${(frame.length - 8).toString(16).padStart(8, "0")}`;
      assert.equal(frame.subarray(0, 7).toString("hex"), start);
      assert.equal(frame.subarray(7, 19).toString("hex"), "003c00000000010000000000");
      assert.equal(frame.at(-1), 0xce);
    }),
  );
});

test("a table on its own is never split", () => {
  const writer = new RotatingWriter(8);
  writer.uint8(0x55);
  writer.table(FieldTable.from({ key: "a text", other: [1, { deeper: 2 }] }));
  const table = writer.take();
  assert.deepEqual(writer.finished, [Buffer.from([0x55])]);
  assert.equal(table.readUInt32BE(0), table.length - 4);
});

test("a body is cut into frames of frame-max at most", () => {
  const body = Buffer.from("0123456789");
  const frames = (frameMax: number, octets: Buffer = body) => {
    const writer = new RotatingWriter(4);
    encodeBodyFrames(writer, 2, octets, frameMax);
    const taken = writer.take();
    return [...writer.finished.filter((buffer) => buffer.length > 0), taken].map((buffer) =>
      buffer.toString("latin1"),
    );
  };
  const frame = (text: string) => `\x03\0\x02\0\0\0${String.fromCharCode(text.length)}${text}\xce`;
  assert.deepEqual(frames(12).join(""), frame("0123") + frame("4567") + frame("89"));
  assert.deepEqual(frames(13).join(""), frame("01234") + frame("56789"));
  for (const frameMax of [18, 100, 0]) assert.deepEqual(frames(frameMax), [frame("0123456789")]);
  assert.deepEqual(frames(12, Buffer.alloc(0)), [""]);
});

test("arguments that do not fit throw before the frame is begun", () => {
  const writer = new WireWriter(16);
  const declare = {
    passive: false,
    durable: false,
    exclusive: false,
    autoDelete: false,
    nowait: false,
  };
  const none = new FieldTable();
  const tooLong = "é".repeat(128);
  const bad: (() => void)[] = [
    () => encodeQueueDeclare(writer, 1, { ...declare, queue: tooLong, arguments: none }),
    () =>
      encodeQueueDeclare(writer, 1, {
        ...declare,
        queue: "q",
        arguments: new FieldTable([{ name: "k", value: { type: "B", value: -1 } }]),
      }),
    () =>
      encodeBasicPublish(writer, 1, {
        exchange: "",
        routingKey: tooLong,
        mandatory: false,
        immediate: false,
      }),
    () => encodeBasicAck(writer, 1, { deliveryTag: -1, multiple: false }),
    () => encodeBasicAck(writer, 1, { deliveryTag: Number.NaN, multiple: false }),
    () => encodeHeaderFrame(writer, 1, 0.5, {}),
    () => encodeHeaderFrame(writer, 1, 0, { userId: tooLong }),
    () => encodeHeaderFrame(writer, 1, 0, { timestamp: -1 }),
  ];
  for (const encode of bad) {
    assert.throws(encode, RangeError);
    assert.equal(writer.offset, 0);
  }
});

test("what is written is read back, however small the first buffer", () => {
  fc.assert(
    fc.property(
      fc.nat(20),
      fc.nat(0xffff_ffff),
      fc.maxSafeNat(),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.string({ unit: "binary", maxLength: 60 }),
      anyTable,
      (initialBytes, number, wide, wider, text, fields) => {
        const writer = new WireWriter(initialBytes);
        writer.uint8(number & 0xff);
        writer.uint16(number & 0xffff);
        writer.uint32(number);
        writer.uint64(wide);
        writer.uint64(wider);
        writer.shortString(text);
        writer.longString(text);
        writer.longString(Buffer.from(text));
        writer.table(fields);
        writer.bytes(Buffer.from([1, 2, 3, 4]), 1, 3);
        const reader = new WireReader(writer.take());
        assert.equal(writer.offset, 0);
        assert.equal(reader.uint8(), number & 0xff);
        assert.equal(reader.uint16(), number & 0xffff);
        assert.equal(reader.uint32(), number);
        assert.equal(reader.uint64(), wide);
        assert.equal(BigInt(reader.exactUint64()), wider);
        assert.equal(reader.shortString(), text);
        assert.equal(reader.longString().toString(), text);
        assert.equal(reader.longString().toString(), text);
        assert.deepEqual(reader.table(), fields);
        assert.deepEqual([reader.uint8(), reader.uint8(), reader.remaining], [2, 3, 0]);
        assert.throws(() => reader.uint8(), MalformedError);
      },
    ),
  );
});

test("64-bit values: exact where they can be, refused or rounded where they cannot", () => {
  const reader = (hex: string) => new WireReader(Buffer.from(hex, "hex"));
  assert.equal(reader("001fffffffffffff").uint64(), Number.MAX_SAFE_INTEGER);
  assert.throws(() => reader("0020000000000000").uint64(), MalformedError);
  assert.equal(reader("001fffffffffffff").exactUint64(), Number.MAX_SAFE_INTEGER);
  assert.equal(reader("0020000000000000").exactUint64(), 2n ** 53n);
  assert.equal(reader("ffffffffffffffff").deliveryTag(), 2 ** 64);
  for (const value of [2 ** 64, 2n ** 64n, -1n, 1.5, Number.NaN]) {
    assert.throws(() => uint64ByteLength(value), RangeError);
  }
  const writer = new WireWriter();
  writer.uint64(2 ** 63);
  assert.equal(writer.take().toString("hex"), "8000000000000000");
});

test("a reader stays within its region and is reusable", () => {
  const reader = new WireReader(Buffer.from("05616263", "hex"), 0, 3);
  assert.throws(() => reader.shortString(), { replyCode: 501 });
  reader.reset(Buffer.from("ff0161ff", "hex"), 1, 3);
  assert.equal(reader.shortString(), "a");
  assert.equal(reader.remaining, 0);
  assert.throws(() => reader.skip(1), MalformedError);
});
