/** Goal: message properties survive encoding, decoding, scanning and rewriting. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { anyProperties } from "../test/arbitraries.ts";
import { FieldTable, textField } from "./field-table.ts";
import {
  decodeProperties,
  encodeProperties,
  type Properties,
  PropertyFlag,
  propertiesByteLength,
} from "./generated/properties.ts";
import { MalformedError } from "./malformed-error.ts";
import { removeHeader, replaceReplyTo, rewriteProperties } from "./property-rewrite.ts";
import { PropertyScan, scanProperties } from "./property-scan.ts";
import { decodeText } from "./text.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

function encoded(properties: Properties): Buffer {
  const writer = new WireWriter(1);
  encodeProperties(writer, properties);
  return writer.take();
}

function octetsOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

/** Decodes the block, all of it, or returns undefined. */
function decoded(octets: Buffer): Properties | undefined {
  const reader = new WireReader(octets);
  try {
    const properties = decodeProperties(reader);
    return reader.offset === octets.length ? properties : undefined;
  } catch (error) {
    assert.ok(error instanceof MalformedError, String(error));
    return undefined;
  }
}

/** Scans the block amid other octets, which must not be looked at. */
function scanned(octets: Buffer, into = new PropertyScan()): PropertyScan {
  const buffer = Buffer.concat([Buffer.alloc(3, 1), octets, Buffer.alloc(300, 1)]);
  const valid = scanProperties(buffer, 3, 3 + octets.length, into);
  assert.equal(valid, into.valid);
  return into;
}

const all: Properties = {
  contentType: "a",
  contentEncoding: "b",
  headers: FieldTable.from({ h: 1 }),
  deliveryMode: 2,
  priority: 9,
  correlationId: "c",
  replyTo: "d",
  expiration: "e",
  messageId: "f",
  timestamp: 1,
  type: "g",
  userId: "h",
  appId: "i",
  clusterId: "j",
};
const allOctets = octetsOf(
  "fffc 0161 0162 00000007 01 68 49 00000001 02 09 0163 0164 0165 0166 0000000000000001 0167 0168 0169 016a",
);

test("properties survive the wire", () => {
  fc.assert(
    fc.property(anyProperties, (properties) => {
      const octets = encoded(properties);
      assert.equal(octets.length, propertiesByteLength(properties));
      assert.deepEqual(decoded(octets), properties);
    }),
    { numRuns: 500 },
  );
});

test("all properties in the order and with the flags of the specification", () => {
  assert.deepEqual(encoded(all), allOctets);
  assert.deepEqual(decoded(allOctets), all);
  assert.deepEqual(encoded({}), Buffer.alloc(2));
  assert.deepEqual(encoded({ userId: "" }), octetsOf("0010 00"));
  assert.deepEqual(
    [PropertyFlag.ContentType, PropertyFlag.DeliveryMode, PropertyFlag.ClusterId],
    [0x8000, 0x1000, 0x0004],
  );
});

test("a property that is undefined counts as absent", () => {
  const properties = { contentType: undefined, priority: 0 } as unknown as Properties;
  assert.deepEqual(encoded(properties), octetsOf("0800 00"));
});

test("the scan finds what the decoder decodes", () => {
  const reused = new PropertyScan();
  fc.assert(
    fc.property(anyProperties, (properties) => {
      const octets = encoded(properties);
      const buffer = Buffer.concat([Buffer.alloc(3), octets]);
      assert.equal(scanProperties(buffer, 3, buffer.length, reused), true);
      assert.equal(reused.flags, octets.readUInt16BE(0));
      assert.equal(reused.deliveryMode, properties.deliveryMode ?? 0);
      assert.equal(reused.priority, properties.priority ?? -1);
      const text = (start: number, length: number) => decodeText(buffer, start, start + length);
      if (properties.replyTo === undefined) assert.equal(reused.replyToLength, 0);
      else assert.equal(text(reused.replyToStart, reused.replyToLength), properties.replyTo);
      if (properties.expiration === undefined) assert.equal(reused.expirationLength, 0);
      else
        assert.equal(text(reused.expirationStart, reused.expirationLength), properties.expiration);
      if (properties.userId === undefined) assert.equal(reused.userIdLength, 0);
      else assert.equal(text(reused.userIdStart, reused.userIdLength), properties.userId);
      if (properties.headers === undefined) {
        assert.equal(reused.headersLength, 0);
      } else {
        const end = reused.headersStart + reused.headersLength;
        const reader = new WireReader(buffer, reused.headersStart, end);
        assert.deepEqual(reader.table(), properties.headers);
        assert.equal(reader.offset, end);
      }
    }),
    { numRuns: 500 },
  );
});

test("a block that is cut, too long or altered: scan and decoder agree", () => {
  fc.assert(
    fc.property(anyProperties, fc.nat(), fc.nat(255), (properties, at, octet) => {
      const octets = encoded(properties);
      for (let end = 0; end < octets.length; end++) {
        const cut = octets.subarray(0, end);
        assert.equal(decoded(cut), undefined);
        assert.equal(scanned(cut).valid, false, `cut at ${end}`);
      }
      assert.equal(scanned(Buffer.concat([octets, Buffer.from([0])])).valid, false);
      octets[at % octets.length] = octet;
      if ((octets[1] as number) & 1) assert.equal(scanned(octets).valid, false);
      else assert.equal(scanned(octets).valid, decoded(octets) !== undefined);
    }),
    { numRuns: 200 },
  );
});

test("random blocks: scan and decoder agree, and what is found are always integers", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat(255), fc.nat(3)), { maxLength: 40 }), (contents) => {
      const octets = Buffer.from(contents);
      const scan = scanned(octets);
      if (octets.length < 2 || (octets[1] as number) & 1) assert.equal(scan.valid, false);
      else assert.equal(scan.valid, decoded(octets) !== undefined);
      for (const [name, value] of Object.entries(scan)) {
        if (name !== "valid") assert.ok(Number.isInteger(value), name);
      }
    }),
    { numRuns: 3000 },
  );
});

test("a scan leaves nothing of the one before", () => {
  const scan = scanned(allOctets);
  assert.deepEqual([scan.valid, scan.priority, scan.headersLength], [true, 9, 11]);
  scanned(octetsOf("0000"), scan);
  const { valid, flags, deliveryMode, priority, headersLength } = scan;
  assert.deepEqual([valid, flags, deliveryMode, priority, headersLength], [true, 0, 0, -1, 0]);
  assert.deepEqual([scan.replyToLength, scan.expirationLength, scan.userIdLength], [0, 0, 0]);
});

test("the flag without a property is ignored, a second word of flags is not passed on", () => {
  assert.deepEqual(decoded(octetsOf("0002")), {});
  assert.equal(scanned(octetsOf("0002")).valid, true);
  assert.deepEqual(decoded(octetsOf("1001 0001 0000 02")), { deliveryMode: 2 });
  assert.equal(decoded(octetsOf("0001 8000 0161")), undefined);
  assert.equal(decoded(octetsOf("0001 0001")), undefined);
  for (const hex of ["0001 0000", "0001 8000 0161", "0001"]) {
    assert.equal(scanned(octetsOf(hex)).valid, false, hex);
  }
});

test("broken headers make the block invalid", () => {
  for (const hex of [
    "2000 00000004 01 6b 5a 02",
    "2000 00000063",
    "2000 ffffffff",
    "2000 00000002 05 74",
  ]) {
    assert.equal(scanned(octetsOf(hex)).valid, false, hex);
    assert.equal(decoded(octetsOf(hex)), undefined, hex);
  }
});

test("a rewrite changes what it is asked to change and keeps every other octet", () => {
  const block = Buffer.concat([Buffer.from([7, 7]), allOctets, Buffer.from([7])]);
  const end = block.length - 1;
  const replied = replaceReplyTo(block, 2, end, "amq.reply");
  assert.deepEqual(decoded(replied), { ...all, replyTo: "amq.reply" });
  assert.deepEqual(replaceReplyTo(replied, 0, replied.length, "d"), allOctets);
  const expiring = rewriteProperties(block, 2, end, (properties) => {
    delete properties.expiration;
  });
  const { expiration: _, ...rest } = all;
  assert.deepEqual(decoded(expiring), rest);
});

test("a rewrite keeps values that JavaScript has no exact number for", () => {
  const octets = octetsOf(
    "2040 00000016 01 61 64 7ff0000000000001 01 62 54 ffffffffffffffff fffffffffffffffe",
  );
  assert.equal(scanned(octets).valid, true);
  assert.deepEqual(
    rewriteProperties(octets, 0, octets.length, () => {}),
    octets,
  );
});

test("removing a header removes all of that name and keeps the table", () => {
  const headers = new FieldTable([
    { name: "BCC", value: textField("a") },
    { name: "CC", value: textField("b") },
    { name: "BCC", value: textField("c") },
  ]);
  const octets = encoded({ headers, priority: 1 });
  const without = removeHeader(octets, 0, octets.length, "BCC");
  assert.deepEqual(decoded(without), { headers: FieldTable.from({ CC: "b" }), priority: 1 });
  const empty = removeHeader(without, 0, without.length, "CC");
  assert.deepEqual(decoded(empty), { headers: new FieldTable(), priority: 1 });
  const none = encoded({ priority: 1 });
  assert.deepEqual(removeHeader(none, 0, none.length, "BCC"), none);
});
