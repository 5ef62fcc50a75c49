/** Goal: a templated publish is octet for octet what the generated encoders write. */

import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import {
  encodeBasicPublish,
  encodeBodyFrames,
  encodeHeaderFrame,
  type Properties,
  WireWriter,
} from "@haremq/wire";
import fc from "fast-check";
import type { ChannelHost } from "./channel-host.ts";
import { FrameOutput } from "./frame-output.ts";
import { PublishPath } from "./publish-path.ts";

const channel = 7;
const frameMax = 4096;

/** Collects what a publish path sends. */
class Sink extends Duplex {
  readonly chunks: Buffer[] = [];
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    done();
  }
  override _read(): void {}
}

function publishPath(): { path: PublishPath; output: FrameOutput; sent: () => Buffer } {
  const sink = new Sink();
  const output = new FrameOutput(sink, 1 << 20);
  const path = new PublishPath({ output, frameMax } as ChannelHost, channel);
  const sent = (): Buffer => {
    output.flush();
    return Buffer.concat(sink.chunks);
  };
  return { path, output, sent };
}

function reference(
  writer: WireWriter,
  exchange: string,
  routingKey: string,
  mandatory: boolean,
  properties: Properties,
  body: Buffer,
): void {
  encodeBasicPublish(writer, channel, { exchange, routingKey, mandatory, immediate: false });
  encodeHeaderFrame(writer, channel, body.length, properties);
  encodeBodyFrames(writer, channel, body, frameMax);
}

test("any sequence of publishes, repeated or not, has the octets of the generated encoders", () => {
  const publish = fc.record({
    exchange: fc.constantFrom("", "orders", "ördérs"),
    routingKey: fc.constantFrom("", "k", "a.b.c"),
    mandatory: fc.boolean(),
    properties: fc.constantFrom<Properties | undefined>(
      undefined,
      undefined,
      { deliveryMode: 2 },
      { contentType: "text/plain", messageId: "m-1", timestamp: 1 },
    ),
    // Around the limits of one and two frames, and anything small.
    size: fc.oneof(fc.nat({ max: 40 }), fc.constantFrom(4087, 4088, 4089, 8176, 8177, 20_000)),
    asText: fc.boolean(),
    times: fc.integer({ min: 1, max: 4 }),
    prepared: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(publish, { maxLength: 12 }), (publishes) => {
      const { path, sent } = publishPath();
      const expected = new WireWriter();
      for (const each of publishes) {
        const { exchange, routingKey, mandatory, properties } = each;
        const text = "é".repeat(each.size >> 1).padEnd(each.size - (each.size >> 1), "x");
        const body = each.asText ? Buffer.from(text) : Buffer.alloc(each.size, each.size);
        const template = each.prepared
          ? path.prepare(exchange, routingKey, properties, mandatory)
          : undefined;
        for (let i = 0; i < each.times; i++) {
          if (template !== undefined) path.writePrepared(template, each.asText ? text : body);
          else path.write(exchange, routingKey, each.asText ? text : body, properties, mandatory);
          reference(expected, exchange, routingKey, mandatory, properties ?? {}, body);
        }
      }
      assert.ok(sent().equals(expected.take()));
    }),
  );
});

test("a publish that cannot be encoded sends nothing and leaves the channel usable", () => {
  const { path, sent } = publishPath();
  const body = Buffer.from("b");
  const tooLong = "k".repeat(256);
  path.write("", "k", body, undefined, false);
  assert.throws(() => path.write("", tooLong, body, undefined, false), RangeError);
  assert.throws(() => path.write("", tooLong, body, undefined, false), RangeError);
  assert.throws(() => path.write("", "k", body, { type: tooLong }, false), RangeError);
  const headers = { large: "x".repeat(frameMax) };
  assert.throws(() => path.write("", "k", body, { headers }, false), /frame-max is 4096/);
  assert.throws(() => path.prepare("", "k", { headers }, false), /frame-max is 4096/);
  path.write("", "k", body, undefined, false);
  const expected = new WireWriter();
  for (let i = 0; i < 2; i++) reference(expected, "", "k", false, {}, body);
  assert.deepEqual(sent(), expected.take());
});

test("properties are read at each publish, headers as a plain object or a table", () => {
  const { path, sent } = publishPath();
  const properties = { headers: { n: 1 }, priority: 3 };
  path.write("", "k", "1", properties, false);
  properties.headers.n = 2;
  path.write("", "k", "2", properties, false);
  assert.deepEqual(
    [
      ...sent()
        .toString("latin1")
        .matchAll(/nI\0\0\0(.)/gs),
    ].map((match) => match[1]),
    ["\x01", "\x02"],
  );
});
