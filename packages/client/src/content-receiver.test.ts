/**
 * Goal: deliveries come out whole however the stream is cut, and nonsense is refused, not
 * allocated.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeBasicDeliver,
  encodeBodyFrames,
  encodeHeaderFrame,
  type FrameHandler,
  FrameReader,
  MalformedError,
  WireWriter,
} from "@haremq/wire";
import fc from "fast-check";
import { ContentReceiver } from "./content-receiver.ts";
import { DeliveryDecoder } from "./delivery-decoder.ts";
import type { Delivery } from "./message.ts";

const frameMax = 4096;

/** A frame handler that has one channel with nothing but deliveries. */
function deliveriesOf(chunks: Buffer[], borrow = false): Delivery[] {
  const deliveries: Delivery[] = [];
  const decoder = new DeliveryDecoder();
  const receiver = new ContentReceiver<Delivery>(1 << 20, (delivery) => {
    if (borrow) delivery.body = Buffer.from(delivery.body);
    deliveries.push(delivery);
  });
  const handler: FrameHandler = {
    onMethodFrame: (_channel, buffer, start, end) =>
      receiver.begin(decoder.decode(buffer, start, end), borrow),
    onHeaderFrame: (_channel, buffer, start, end) => assert.ok(receiver.header(buffer, start, end)),
    onBodyPiece: (_channel, buffer, start, end) => assert.ok(receiver.body(buffer, start, end)),
    onHeartbeatFrame: () => {},
    onFrameFault: (fault) => assert.fail(JSON.stringify(fault)),
  };
  const reader = new FrameReader(handler, frameMax);
  for (const chunk of chunks) {
    reader.read(chunk, 0, chunk.length);
    // The receive buffer is reused: whoever kept a view of it now sees rubbish.
    chunk.fill(0xff);
  }
  return deliveries;
}

test("deliveries cut anywhere come out as they went in", () => {
  const text = fc.constantFrom("", "a", "queue.one", "queue.two", "ü", "x".repeat(255));
  const delivery = fc.record({
    consumerTag: text,
    deliveryTag: fc.integer({ min: 1, max: 2 ** 40 }),
    redelivered: fc.boolean(),
    exchange: text,
    routingKey: text,
    properties: fc.constantFrom({}, { deliveryMode: 2 }, { messageId: "m", timestamp: 5 }),
    size: fc.oneof(fc.nat({ max: 100 }), fc.constantFrom(4088, 4089, 10_000)),
  });
  const cuts = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(delivery, { maxLength: 8 }), cuts, fc.boolean(), (sent, sizes, borrow) => {
      const writer = new WireWriter();
      for (const { size, properties, ...method } of sent) {
        encodeBasicDeliver(writer, 1, method);
        encodeHeaderFrame(writer, 1, size, properties);
        encodeBodyFrames(writer, 1, Buffer.alloc(size, size), frameMax);
      }
      const stream = writer.take();
      const chunks: Buffer[] = [];
      for (let at = 0, i = 0; at < stream.length; i++) {
        const size = sizes[i % sizes.length]!;
        chunks.push(Buffer.from(stream.subarray(at, at + size)));
        at += size;
      }
      const expected = sent.map(({ size, ...rest }) => ({
        ...rest,
        body: Buffer.alloc(size, size),
      }));
      assert.deepEqual(
        deliveriesOf(chunks, borrow).map((each) => ({ ...each })),
        expected,
      );
    }),
  );
});

test("a basic.deliver cut short inside its frame is malformed wherever it is cut", () => {
  const writer = new WireWriter();
  encodeBasicDeliver(writer, 1, {
    consumerTag: "tag",
    deliveryTag: 1,
    redelivered: false,
    exchange: "exchange",
    routingKey: "key",
  });
  const frame = writer.take();
  const [start, end] = [7, frame.length - 1];
  const decoder = new DeliveryDecoder();
  for (let cut = start + 4; cut < end; cut++) {
    assert.throws(() => decoder.decode(frame, start, cut), MalformedError, `cut at ${cut}`);
  }
  assert.equal(decoder.decode(frame, start, end).routingKey, "key");
});

test("headers and bodies that do not fit together are refused", () => {
  const header = (size: number, classId = 60): Buffer => {
    const payload = Buffer.alloc(14);
    payload.writeUInt16BE(classId, 0);
    payload.writeUInt32BE(Math.floor(size / 2 ** 32), 4);
    payload.writeUInt32BE(size % 2 ** 32, 8);
    return payload;
  };
  const begun = (): ContentReceiver<Delivery> => {
    const receiver = new ContentReceiver<Delivery>(1000, () => assert.fail("complete"));
    receiver.begin({ properties: {}, body: Buffer.alloc(0) } as Delivery, false);
    return receiver;
  };
  const idle = new ContentReceiver<Delivery>(1000, () => assert.fail("complete"));
  assert.equal(idle.header(header(1), 0, 14), false);
  assert.equal(idle.body(Buffer.alloc(1), 0, 1), false);
  assert.equal(begun().body(Buffer.alloc(1), 0, 1), false);
  assert.throws(() => begun().header(header(1), 0, 13), /too short/);
  assert.throws(() => begun().header(header(1, 50), 0, 14), /another class/);
  assert.throws(() => begun().header(header(1001), 0, 14), /body of 1001 bytes \(maximum 1000\)/);
  assert.throws(() => begun().header(header(2 ** 60), 0, 14), /maximum 1000/);
  const twice = begun();
  assert.ok(twice.header(header(10), 0, 14));
  assert.equal(twice.header(header(10), 0, 14), false);
  const tooMuch = begun();
  assert.ok(tooMuch.header(header(10), 0, 14));
  assert.ok(tooMuch.body(Buffer.alloc(6), 0, 6));
  assert.equal(tooMuch.body(Buffer.alloc(5), 0, 5), false);
});
