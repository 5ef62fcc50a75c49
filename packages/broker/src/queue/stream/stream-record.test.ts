/**
 * Goal: whatever properties a message has, a stream gives it back with all of them as they were and
 * one header more; nobody else who has the message notices.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk, StreamReader, StreamStore } from "@haremq/store";
import {
  decodeProperties,
  encodeProperties,
  FieldTable,
  type Properties,
  WireReader,
  WireWriter,
} from "@haremq/wire";
import fc from "fast-check";
import { MessageView } from "../../message/message-view.ts";
import { appendMessage, viewRecord } from "./stream-record.ts";

const word = fc.string({ maxLength: 12 });
const number = fc.integer({ min: 0, max: 255 });
const headers = fc
  .array(
    fc.tuple(
      fc.oneof(word, fc.constantFrom("x-stream-offset", "x-stream-offsets", "CC")),
      fc.oneof(word, number, fc.boolean(), fc.constant("x-stream-offset")),
    ),
    { maxLength: 4 },
  )
  .map((entries) => FieldTable.from(Object.fromEntries(entries)));
const properties: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: word,
    contentEncoding: word,
    headers,
    deliveryMode: fc.constantFrom(1, 2),
    priority: number,
    correlationId: word,
    replyTo: word,
    expiration: word,
    messageId: word,
    timestamp: fc.integer({ min: 0, max: 2 ** 40 }),
    type: word,
    userId: word,
    appId: word,
    clusterId: word,
  },
  { requiredKeys: [], noNullPrototype: true },
);
const address = fc.tuple(word, word).map(([exchange, key]) => {
  const parts = [exchange, key].map((text) => Buffer.from(text));
  return Buffer.concat(parts.flatMap((part) => [Buffer.from([part.length]), part]));
});

function viewOf(given: Properties, at: Buffer, body: Buffer): MessageView {
  const writer = new WireWriter(256);
  encodeProperties(writer, given);
  const encoded = writer.take();
  const view = new MessageView();
  view.address = at;
  view.addressLength = at.length;
  // Somewhere in the middle, as in a chunk of a socket.
  view.properties = Buffer.concat([Buffer.alloc(5, 0xaa), encoded, Buffer.alloc(3, 0xaa)]);
  view.propertiesStart = 5;
  view.propertiesLength = encoded.length;
  view.body = body;
  view.bodyLength = body.length;
  return view;
}

function propertiesOf({ properties: bytes, propertiesStart, propertiesLength }: MessageView) {
  const end = propertiesStart + propertiesLength;
  const reader = new WireReader(bytes, propertiesStart, end);
  const found = decodeProperties(reader);
  assert.equal(reader.offset, end, "and nothing behind them");
  return found;
}

function hex(bytes: Buffer, start: number, length: number): string {
  return bytes.subarray(start, start + length).toString("hex");
}

test("a message comes back as it was, with its offset", async () => {
  const disk = new MemoryDisk();
  const store = await StreamStore.open({ disk, directory: "/streams" }, new Set());
  const log = store.log(1);
  const reader = new StreamReader(log, 0);
  await fc.assert(
    fc.asyncProperty(
      properties,
      address,
      fc.uint8Array({ maxLength: 40 }),
      async (given, at, b) => {
        const view = viewOf(given, at, Buffer.from(b));
        const before = { ...view, bytes: view.properties.toString("hex") };
        const offset = log.endOffset;
        appendMessage(log, view, 1000);
        assert.deepEqual({ ...view, bytes: view.properties.toString("hex") }, before);
        const found = new MessageView();
        assert.ok(reader.find());
        viewRecord(reader, found);
        reader.step();
        const expected =
          given.headers?.entries.filter(({ name }) => name !== "x-stream-offset") ?? [];
        const { headers: got, ...rest } = propertiesOf(found);
        assert.deepEqual(rest, (({ headers: _, ...others }) => others)(given));
        const own = { name: "x-stream-offset", value: { type: "l", value: offset } };
        assert.deepEqual(got?.entries, [...expected, own]);
        const foundAddress = hex(found.address, found.addressStart, found.addressLength);
        assert.equal(foundAddress, at.toString("hex"));
        const foundBody = hex(found.body, found.bodyStart, found.bodyLength);
        assert.equal(foundBody, Buffer.from(b).toString("hex"));
      },
    ),
    { numRuns: 500 },
  );
});
