// Goal: what the deliver path writes by hand is octet for octet what the codec would write.

import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageView } from "@haremq/broker";
import {
  encodeBasicDeliver,
  encodeBodyFrames,
  encodeHeaderFrame,
  type Properties,
  shortStringByteLength,
  WireWriter,
} from "@haremq/wire";
import fc from "fast-check";
import { deliveryPrefix, writeContent, writeDelivery } from "./deliver-path.ts";
import type { Output } from "./output.ts";

/** A message that lies somewhere in larger memory, as a stored one does. */
function viewOf(address: Buffer, properties: Buffer, body: Buffer, gap: number): MessageView {
  const memory = Buffer.concat([
    Buffer.alloc(gap, 0xaa),
    address,
    properties,
    body,
    Buffer.alloc(9),
  ]);
  const view = new MessageView();
  view.address = memory;
  view.addressStart = gap;
  view.addressLength = address.length;
  view.properties = memory;
  view.propertiesStart = gap + address.length;
  view.propertiesLength = properties.length;
  view.body = memory;
  view.bodyStart = view.propertiesStart + properties.length;
  view.bodyLength = body.length;
  return view;
}

const name = fc.string({ unit: "grapheme", maxLength: 60 }).filter((text) => {
  return shortStringByteLength(text) < 256;
});

const deliveries = fc.record({
  channel: fc.integer({ min: 1, max: 65_535 }),
  consumerTag: name,
  deliveryTag: fc.oneof(fc.nat(), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })),
  redelivered: fc.boolean(),
  exchange: name,
  routingKey: name,
  properties: fc.record(
    { contentType: name, messageId: name, priority: fc.nat(255), deliveryMode: fc.nat(255) },
    { requiredKeys: [] },
  ),
  body: fc.oneof(fc.uint8Array({ maxLength: 50 }), fc.uint8Array({ maxLength: 9000 })),
  frameMax: fc.constantFrom(4096, 4097, 131_072),
  gap: fc.nat(7),
});

test("a delivery is what the codec makes of it", () => {
  fc.assert(
    fc.property(deliveries, (each) => {
      const { channel, consumerTag, deliveryTag, redelivered, exchange, routingKey } = each;
      const body = Buffer.from(each.body);
      const properties = each.properties as Properties;
      const method = new WireWriter();
      encodeBasicDeliver(method, channel, {
        consumerTag,
        deliveryTag,
        redelivered,
        exchange,
        routingKey,
      });
      const content = new WireWriter();
      encodeHeaderFrame(content, channel, body.length, properties);
      const header = content.take();
      encodeBodyFrames(content, channel, body, each.frameMax);
      const frames = content.take();

      const address = new WireWriter();
      address.shortString(exchange);
      address.shortString(routingKey);
      const view = viewOf(address.take(), header.subarray(19, -1), body, each.gap);
      const out = new WireWriter();
      const prefix = deliveryPrefix(channel, consumerTag);
      writeDelivery(out as Output, channel, prefix, deliveryTag, redelivered, view, each.frameMax);
      assert.deepEqual(out.take(), Buffer.concat([method.take(), header, frames]));
      writeContent(out as Output, channel, view, each.frameMax);
      assert.deepEqual(out.take(), Buffer.concat([header, frames]));
    }),
  );
});

test("the prefix of a consumer serves one delivery after the other", () => {
  const prefix = deliveryPrefix(7, "tag");
  const out = new WireWriter();
  const lengths = [];
  for (const size of [0, 1, 100]) {
    const view = viewOf(Buffer.from([0, 1, 0x6b]), Buffer.from([0, 0]), Buffer.alloc(size), 0);
    writeDelivery(out as Output, 7, prefix, size, false, view, 4096);
    lengths.push(out.take().length);
  }
  assert.deepEqual(lengths, [50, 50 + 9, 50 + 108]);
});
