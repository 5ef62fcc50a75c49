// Random protocol values for the property tests of this package: texts, field tables, message
// properties, and the arguments of any method of the description.

import fc from "fast-check";
import { decodeText, FieldTable, type FieldValue, type Properties } from "../src/index.ts";
import type { FieldDescription, MethodDescription } from "../src/protocol/description.ts";

/** Whatever up to 255 octets decode to: ASCII, Unicode, and octets that are no UTF-8. */
export const anyText: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc
    .uint8Array({ maxLength: 255 })
    .map((octets) => decodeText(Buffer.from(octets), 0, octets.length)),
);

/** Text that RabbitMQ takes for a name. */
export const utf8Text: fc.Arbitrary<string> = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 60 }),
  fc.string({ minLength: 255, maxLength: 255 }),
);

const octets = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes));
const decimal = fc.record(
  { scale: fc.nat(0xff), unscaled: fc.nat(0xffff_ffff) },
  { noNullPrototype: true },
);

/** A 64-bit integer as the decoder gives it: a number where that is exact. */
function wide(min: bigint, max: bigint): fc.Arbitrary<number | bigint> {
  return fc
    .oneof(
      fc.bigInt({ min, max }),
      fc.integer().map((small) => (small < min ? -small : small)),
    )
    .map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : BigInt(value)));
}

function field<T extends FieldValue["type"]>(
  type: T,
  value: fc.Arbitrary<(FieldValue & { type: T })["value"]>,
): fc.Arbitrary<FieldValue> {
  return value.map((inner) => ({ type, value: inner }) as FieldValue);
}

export const { value: anyField, table: anyTable } = fc.letrec<{
  value: FieldValue;
  table: FieldTable;
}>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthIdentifier: "field" },
    field("t", fc.boolean()),
    field("b", fc.integer({ min: -128, max: 127 })),
    field("B", fc.nat(255)),
    field("s", fc.integer({ min: -32768, max: 32767 })),
    field("u", fc.nat(65535)),
    field("I", fc.integer()),
    field("i", fc.nat(0xffff_ffff)),
    field("l", wide(-(2n ** 63n), 2n ** 63n - 1n)),
    field("T", wide(0n, 2n ** 64n - 1n)),
    field("f", fc.float({ noNaN: true })),
    field("d", fc.double({ noNaN: true })),
    field("D", decimal),
    field("V", fc.constant(null)),
    field("S", octets),
    field("x", octets),
    field("A", fc.array(tie("value"), { maxLength: 4, depthIdentifier: "field" })),
    field("F", tie("table")),
  ),
  table: fc
    .array(fc.record({ name: anyText, value: tie("value") }, { noNullPrototype: true }), {
      maxLength: 5,
      depthIdentifier: "field",
    })
    .map((entries) => new FieldTable(entries)),
}));

export const anyProperties: fc.Arbitrary<Properties> = fc.record(
  {
    contentType: anyText,
    contentEncoding: anyText,
    headers: anyTable,
    deliveryMode: fc.nat(255),
    priority: fc.nat(255),
    correlationId: anyText,
    replyTo: anyText,
    expiration: anyText,
    messageId: anyText,
    timestamp: wide(0n, 2n ** 64n - 1n),
    type: anyText,
    userId: anyText,
    appId: anyText,
    clusterId: anyText,
  },
  { requiredKeys: [], noNullPrototype: true },
);

/** Arguments for a method, by the names the generator gives them. */
export function argumentsOf(method: MethodDescription): fc.Arbitrary<Record<string, unknown>> {
  const shape: Record<string, fc.Arbitrary<unknown>> = {};
  for (const description of method.fields) {
    if (description.reserved) continue;
    const name = description.name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    shape[name] = argument(method, description);
  }
  return fc.record(shape, { noNullPrototype: true });
}

function argument(method: MethodDescription, { type }: FieldDescription): fc.Arbitrary<unknown> {
  switch (type) {
    case "bit":
      return fc.boolean();
    case "octet":
      return fc.nat(0xff);
    case "short":
      return fc.nat(0xffff);
    case "long":
      return fc.nat(0xffff_ffff);
    case "deliveryTag":
    case "timestamp":
      return fc.maxSafeNat();
    case "shortstr":
      return method.content ? anyText : utf8Text.filter((text) => Buffer.byteLength(text) <= 255);
    case "longstr":
      return octets;
    case "table":
      return anyTable;
  }
}
