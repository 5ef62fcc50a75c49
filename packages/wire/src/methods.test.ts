/** Goal: every method survives encoding and decoding, and hostile octets do no harm. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { argumentsOf } from "../test/arbitraries.ts";
import { rejectionsOf } from "../test/rejections.ts";
import { FieldTable } from "./field-table.ts";
import { encodeMethod, type Method } from "./generated/method.ts";
import { MethodId, methodHasContent, methodName } from "./generated/method-id.ts";
import { MalformedError, UnknownMethodError } from "./malformed-error.ts";
import { decodeMethod } from "./method-decoder.ts";
import type { FieldDescription, MethodDescription } from "./protocol/description.ts";
import { classes } from "./protocol/protocol.ts";
import { WireReader } from "./wire-reader.ts";
import { WireWriter } from "./wire-writer.ts";

const everyMethod = classes.flatMap((owner) =>
  owner.methods.map((method) => ({
    method,
    id: (owner.id << 16) | method.id,
    name: `${owner.name}.${method.name}`,
  })),
);

function frameOf(method: Method, channel = 1): Buffer {
  const writer = new WireWriter(8);
  encodeMethod(writer, channel, method);
  return writer.take();
}

function decode(payloadHex: string): Method {
  return decodeMethod(new WireReader(Buffer.from(payloadHex.replaceAll(" ", ""), "hex")));
}

/** The frame by the book: interprets the description, one field after the other. */
function frameByTheBook(
  channel: number,
  id: number,
  method: MethodDescription,
  args: Record<string, unknown>,
): Buffer {
  const payload = new WireWriter();
  payload.uint32(id);
  let bits: boolean[] = [];
  const flushBits = () => {
    for (let i = 0; i < bits.length; i += 8) {
      payload.uint8(bits.slice(i, i + 8).reduce((octet, bit, j) => octet + (bit ? 2 ** j : 0), 0));
    }
    bits = [];
  };
  for (const field of method.fields) {
    const name = field.name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const value = field.reserved ? undefined : args[name];
    if (field.type === "bit") {
      bits.push(Boolean(value));
    } else {
      flushBits();
      writeField(payload, field, value);
    }
  }
  flushBits();
  const frame = new WireWriter();
  frame.uint8(1);
  frame.uint16(channel);
  frame.longString(payload.take());
  frame.uint8(0xce);
  return frame.take();
}

function writeField(writer: WireWriter, { type }: FieldDescription, value: unknown): void {
  if (type === "octet") writer.uint8(value as number);
  else if (type === "short") writer.uint16((value ?? 0) as number);
  else if (type === "long") writer.uint32(value as number);
  else if (type === "deliveryTag") writer.uint64(value as number);
  else if (type === "shortstr") writer.shortString((value ?? "") as string);
  else if (type === "longstr") writer.longString((value ?? "") as Buffer);
  else if (type === "table") writer.table(value as Parameters<WireWriter["table"]>[0]);
  else throw new Error(`no such field: ${type}`);
}

test("every method is written as the description says, and read back", () => {
  for (const { method, id, name } of everyMethod) {
    fc.assert(
      fc.property(fc.nat(0xffff), argumentsOf(method), (channel, args) => {
        const value = { id, name, args } as unknown as Method;
        const frame = frameOf(value, channel);
        assert.deepEqual(frame, frameByTheBook(channel, id, method, args), name);
        const reader = new WireReader(frame, 7, frame.length - 1);
        assert.deepEqual(decodeMethod(reader), value);
        assert.equal(reader.offset, frame.length - 1);
      }),
      { numRuns: 30 },
    );
  }
});

test("a method cut anywhere or too long is a frame error; wrong octets never do worse", () => {
  for (const { method, id, name } of everyMethod) {
    fc.assert(
      fc.property(argumentsOf(method), fc.nat(), fc.nat(255), (args, at, octet) => {
        const frame = frameOf({ id, name, args } as unknown as Method);
        const payload = frame.subarray(7, -1);
        for (const error of rejectionsOf(payload, decodeMethod)) {
          assert.equal(error.replyCode, 501);
        }
        payload[at % payload.length] = octet;
        try {
          decodeMethod(new WireReader(payload));
        } catch (error) {
          assert.ok(error instanceof MalformedError || error instanceof UnknownMethodError);
        }
      }),
      { numRuns: 10 },
    );
  }
});

// Frames that a RabbitMQ 3.10 sent, or took and answered as meant.
test("known frames", () => {
  assert.deepEqual(decode("0032 000b 01 71 00000003 00000001"), {
    id: MethodId.QueueDeclareOk,
    name: "queue.declare-ok",
    args: { queue: "q", messageCount: 3, consumerCount: 1 },
  });
  assert.deepEqual(decode("003c 0032 0138 08 4e4f5f524f555445 00 04 636166e9"), {
    id: MethodId.BasicReturn,
    name: "basic.return",
    args: { replyCode: 312, replyText: "NO_ROUTE", exchange: "", routingKey: "caf\udce9" },
  });
  assert.deepEqual(decode("0032 000a 0000 00 0c 00000000"), {
    id: MethodId.QueueDeclare,
    name: "queue.declare",
    args: {
      queue: "",
      passive: false,
      durable: false,
      exclusive: true,
      autoDelete: true,
      nowait: false,
      arguments: new FieldTable(),
    },
  });
  const ok = {
    id: MethodId.AccessRequestOk,
    name: "access.request-ok",
    args: { ticket: 1 },
  } as const;
  assert.equal(frameOf(ok).toString("hex"), "01000100000006001e000b0001ce");
  const opened = { id: MethodId.ChannelOpenOk, name: "channel.open-ok", args: {} } as const;
  assert.equal(frameOf(opened).toString("hex"), "010001000000080014000b00000000ce");
});

// The texts and ids that a RabbitMQ 3.10 closed the connection with.
test("malformed methods are reported in RabbitMQ's words", () => {
  const reports: [payload: string, text: string, classId: number, methodId: number][] = [
    ["0032 000a 0000 00 0c 000001f4", "cannot decode <<0,0,0,12,0,0,1,244>>", 50, 10],
    ["0032 000a 0000 00 0c 00000000 7a7a", "cannot decode <<0,0,0,12,0,0,0,0,122,122>>", 50, 10],
    ["0032 000a 0000 00", "cannot decode <<0,0,0>>", 50, 10],
    ["003c 0028 0000 01 ff", "cannot decode <<0,0,1,255>>", 60, 40],
    ["0014 000a", "cannot decode <<>>", 20, 10],
    ["005a 000a 00", "cannot decode <<0>>", 90, 10],
    ["00", "type 1, all octets = <<0>>: unknown_frame", 0, 0],
    ["", "type 1, all octets = <<>>: unknown_frame", 0, 0],
    ["0014 000a 01 ff", "Malformed UTF-8 in shortstr", 0, 0],
    ["003c 001e 01 ff 00", "Malformed UTF-8 in shortstr", 0, 0],
  ];
  for (const [payload, message, classId, methodId] of reports) {
    assert.throws(() => decode(payload), { replyCode: 501, message, classId, methodId }, payload);
  }
});

test("a report of a long method is long enough for a reply text and bounded", () => {
  const payload = `005a 000a ${"00".repeat(100_000)}`;
  assert.throws(
    () => decode(payload),
    (error: Error) => error.message.length >= 255 && error.message.length < 1000,
  );
});

test("a broken field table is a syntax error of its method", () => {
  const expected = { replyCode: 502, classId: 50, methodId: 10 };
  assert.throws(() => decode("0032 000a 0000 00 0c 00000004 01 6b 5a 02"), expected);
  assert.throws(() => decode("0032 000a 0000 00 0c 00000003 01 6b 53"), expected);
});

test("exchanges and routing keys of messages may be any octets, other names must be UTF-8", () => {
  const publish = decode("003c 0028 0000 01 ff 01 fe 01");
  assert.deepEqual(publish.args, {
    exchange: "\udcff",
    routingKey: "\udcfe",
    mandatory: true,
    immediate: false,
  });
  for (const { method, id, name } of everyMethod) {
    for (const field of method.fields.filter(({ type }) => type === "shortstr")) {
      const [args] = fc.sample(argumentsOf(method), { numRuns: 1, seed: 1 });
      const property = field.name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
      const written = method.fields.map((other) =>
        other === field ? { ...other, reserved: false } : other,
      );
      const frame = frameByTheBook(
        1,
        id,
        { ...method, fields: written },
        { ...args, [property]: "\udcff" },
      );
      const read = () => decodeMethod(new WireReader(frame, 7, frame.length - 1));
      if (method.content) assert.equal(read().id, id);
      else assert.throws(read, { message: "Malformed UTF-8 in shortstr" }, `${name} ${field.name}`);
    }
  }
});

test("a delivery tag beyond 2^53 is a tag that was never given, not an error", () => {
  const ack = decode("003c 0050 ffffffffffffffff 00");
  assert.ok(ack.id === MethodId.BasicAck && ack.args.deliveryTag > Number.MAX_SAFE_INTEGER);
});

test("bits that have no meaning are ignored", () => {
  assert.deepEqual(decode("0014 0014 ff").args, { active: true });
  assert.deepEqual(decode("0014 0014 fe").args, { active: false });
});

test("unknown classes and methods say what they were", () => {
  for (const [payload, classId, methodId] of [
    ["0063 0001", 99, 1],
    ["0032 0063 00", 50, 99],
    ["0028 0029", 40, 41],
  ] as const) {
    assert.throws(
      () => decode(payload),
      (error) =>
        error instanceof UnknownMethodError &&
        error.classId === classId &&
        error.methodId === methodId,
    );
  }
});

test("names and content flags of all methods", () => {
  for (const { method, id, name } of everyMethod) {
    assert.equal(methodName(id), name);
    assert.equal(methodHasContent(id), method.content);
  }
  assert.equal(everyMethod.length, Object.keys(MethodId).length);
  assert.equal(methodName((50 << 16) | 99), "50.99");
  assert.equal(methodHasContent((50 << 16) | 99), false);
  const content = everyMethod.filter(({ method }) => method.content).map(({ name }) => name);
  assert.deepEqual(content, ["basic.publish", "basic.return", "basic.deliver", "basic.get-ok"]);
  assert.equal(MethodId.ExchangeUnbindOk, (40 << 16) | 51);
});
