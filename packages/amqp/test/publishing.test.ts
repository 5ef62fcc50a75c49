// Goal: a message arrives whole and as it was sent, however its frames are cut; what the sender is
// told comes in RabbitMQ's order.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { methodFrame, methodOf, type RawConnection, rawFrame } from "@haremq/testkit";
import { encodeHeaderFrame, FieldTable, type Properties, WireWriter } from "@haremq/wire";
import { delivered, drain, headers, messages, publication, publish } from "./messages.ts";
import {
  channelClose,
  connectionClose,
  roundTrip,
  trace,
  VirtualBroker,
} from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

let queues = 0;

async function withQueue(channels: readonly number[] = [1]) {
  const connection = await broker.open({}, channels);
  const queue = `publishing-${++queues}`;
  connection.send(1, "queue.declare", { queue });
  await connection.waitForMethod("queue.declare-ok");
  return { connection, queue };
}

function confirmed(connection: RawConnection): [tag: number, multiple: boolean][] {
  return connection.frames.flatMap(({ method }) =>
    method?.name === "basic.ack" ? [[Number(method.args.deliveryTag), method.args.multiple]] : [],
  );
}

describe("confirms", () => {
  test("of one chunk are one, of all that came before", async () => {
    const { connection, queue } = await withQueue();
    connection.send(1, "confirm.select");
    await connection.waitForMethod("confirm.select-ok");
    const chunk = Buffer.concat([..."12345"].map((body) => publication(queue, body)));
    connection.sendBytes(chunk);
    await connection.waitForMethod("basic.ack");
    await roundTrip(connection);
    const confirms = confirmed(connection);
    assert.equal(confirms.at(-1)?.[0], 5);
    for (const [index, [tag, multiple]] of confirms.entries()) {
      const previous = confirms[index - 1]?.[0] ?? 0;
      assert.ok(tag > previous);
      assert.equal(multiple, tag - previous > 1);
    }
    assert.equal(broker.vhost.queue(queue)?.readyCount, 5);
  });

  test("are counted from confirm.select on, which may come twice", async () => {
    const { connection, queue } = await withQueue();
    publish(connection, queue, "before");
    connection.send(1, "confirm.select");
    publish(connection, queue, "first");
    await roundTrip(connection);
    connection.send(1, "confirm.select");
    publish(connection, queue, "second");
    await roundTrip(connection);
    await connection.waitUntil(() => confirmed(connection).length === 2);
    assert.deepEqual(confirmed(connection), [
      [1, false],
      [2, false],
    ]);
  });

  test("come for what is unroutable, after it has come back", async () => {
    const { connection } = await withQueue();
    connection.send(1, "confirm.select");
    publish(connection, "nowhere", "returned", { mandatory: true });
    publish(connection, "nowhere", "dropped");
    await connection.waitUntil(() => confirmed(connection).at(-1)?.[0] === 2);
    const seen = trace(connection, 0, 1);
    assert.deepEqual(seen.filter((name) => /return|body|ack/.test(name)).slice(0, 3), [
      "basic.return",
      "body returned",
      "basic.ack",
    ]);
    const [message] = messages(connection);
    assert.ok(message?.method.name === "basic.return");
    assert.deepEqual(message.method.args, {
      replyCode: 312,
      replyText: "NO_ROUTE",
      exchange: "",
      routingKey: "nowhere",
    });
  });

  test("are each channel's own", async () => {
    const { connection, queue } = await withQueue([1, 2]);
    connection.send(1, "confirm.select");
    connection.send(2, "confirm.select");
    publish(connection, queue, "1", { channel: 1 });
    publish(connection, queue, "2", { channel: 2 });
    publish(connection, queue, "3", { channel: 2 });
    await roundTrip(connection, 2);
    await connection.waitUntil(() => confirmed(connection).length >= 2);
    const last = (channel: number) =>
      connection.frames.findLast(
        (frame) => frame.channel === channel && frame.method?.name === "basic.ack",
      )?.method?.args;
    assert.equal((last(1) as { deliveryTag: number }).deliveryTag, 1);
    assert.equal((last(2) as { deliveryTag: number }).deliveryTag, 2);
  });

  test("do not mix with transactions", async () => {
    const { connection } = await withQueue();
    connection.send(1, "confirm.select");
    connection.send(1, "tx.select");
    assert.equal(
      await channelClose(connection),
      "406 PRECONDITION_FAILED - cannot switch from confirm to tx mode (90.10)",
    );
  });
});

describe("a message", () => {
  const everything: Properties = {
    contentType: "text/plain",
    contentEncoding: "gzip",
    headers: FieldTable.from({ a: 1, b: "two", c: { d: [true, null] } }),
    deliveryMode: 2,
    priority: 255,
    correlationId: "c",
    replyTo: "r",
    expiration: "100000",
    messageId: "m",
    timestamp: 1_700_000_000,
    type: "t",
    userId: "guest",
    appId: "app",
    clusterId: "cluster",
  };

  test("keeps all its properties, octet by octet", async () => {
    const { connection, queue } = await withQueue();
    publish(connection, queue, "x", { properties: everything });
    connection.send(1, "basic.get", { queue, noAck: true });
    const writer = new WireWriter();
    encodeHeaderFrame(writer, 1, 1, everything);
    const got = await connection.waitFor(({ type }) => type === 2);
    assert.deepEqual(got.payload, writer.take().subarray(7, -1));
  });

  test("keeps what is no text in properties and routing keys", async () => {
    const { connection, queue } = await withQueue();
    const key = Buffer.from([0xff, 0xfe]);
    connection.send(1, "queue.bind", { queue, exchange: "amq.fanout" });
    const method = Buffer.concat([
      Buffer.from([0, 60, 0, 40, 0, 0, 10]),
      Buffer.from("amq.fanout"),
      Buffer.from([key.length]),
      key,
      Buffer.from([0]),
    ]);
    const properties = Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 2, 0xff, 0xfe]);
    connection.sendBytes(Buffer.concat([rawFrame(1, 1, method), rawFrame(2, 1, properties)]));
    connection.send(1, "basic.get", { queue, noAck: true });
    const got = await connection.waitFor(({ type }) => type === 2);
    assert.deepEqual(got.payload, properties);
    const answer = connection.frames.find((frame) => frame.method?.name === "basic.get-ok");
    assert.ok(answer?.payload.includes(Buffer.concat([Buffer.from([2]), key])));
    connection.send(1, "queue.delete", { queue });
  });

  const sizes = [0, 1, 4087, 4088, 4089, 131_064, 131_065, 1_000_000];
  for (const size of sizes) {
    test(`of ${size} bytes goes round in frames of either side's size`, async () => {
      const body = Buffer.alloc(size);
      for (let i = 0; i < size; i++) body[i] = i * 7 + (i >>> 8);
      const small = await broker.open({ frameMax: 4096 });
      const { connection, queue } = await withQueue();
      small.send(1, "basic.publish", { routingKey: queue });
      small.sendContent(1, { messageId: `${size}` }, body);
      await roundTrip(small);
      connection.send(1, "basic.get", { queue });
      await connection.waitUntil(() => messages(connection).length === 1);
      const frames = connection.frames.filter(({ type }) => type === 3);
      assert.equal(frames.length, Math.ceil(size / 131_064));
      assert.ok(messages(connection)[0]?.body.equals(body));
      connection.send(1, "basic.reject", { deliveryTag: 1, requeue: true });
      small.send(1, "basic.consume", { queue, noAck: true });
      await small.waitUntil(() => messages(small).length === 1);
      assert.ok(messages(small)[0]?.body.equals(body));
      assert.ok(small.frames.every(({ payload }) => payload.length <= 4088));
    });
  }

  test("arrives whole from frames of any size, empty ones included, cut anywhere", async () => {
    const { connection, queue } = await withQueue();
    const stream = Buffer.concat([
      methodFrame(1, methodOf("basic.publish", { routingKey: queue })),
      rawFrame(2, 1, Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x80, 0, 1, 0x61])),
      rawFrame(3, 1, Buffer.alloc(0)),
      rawFrame(3, 1, Buffer.from("abc")),
      rawFrame(3, 1, Buffer.alloc(0)),
      rawFrame(3, 1, Buffer.from("defg")),
    ]);
    connection.send(1, "basic.consume", { queue, noAck: true, consumerTag: "" });
    await connection.waitForMethod("basic.consume-ok");
    for (let cut = 1; cut < stream.length; cut++) {
      connection.sendBytes(stream.subarray(0, cut));
      // So that the pieces are read one by one.
      await broker.turn();
      connection.sendBytes(stream.subarray(cut));
      await connection.waitUntil(() => messages(connection).length === cut);
      const message = messages(connection)[cut - 1];
      assert.equal(`${message?.body}`, "abcdefg", `cut at ${cut}`);
      assert.equal(message?.properties.contentType, "a", `cut at ${cut}`);
    }
  });

  test("of several channels arrive whole when their frames are interleaved", async () => {
    const { connection, queue } = await withQueue([1, 2, 3]);
    const frames = (channel: number, body: string) => [
      methodFrame(channel, methodOf("basic.publish", { routingKey: queue })),
      rawFrame(
        2,
        channel,
        Buffer.from([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 0, 1, 48 + channel]),
      ),
      rawFrame(3, channel, Buffer.from(body.slice(0, 2))),
      rawFrame(3, channel, Buffer.from(body.slice(2))),
    ];
    const streams = [frames(1, "aaaa"), frames(2, "bbbb"), frames(3, "cccc")];
    for (let step = 0; step < 4; step++) {
      for (const stream of streams) {
        connection.sendBytes(stream[step]!);
        await broker.turn();
      }
    }
    for (const channel of [1, 2, 3]) await roundTrip(connection, channel);
    const from = connection.frames.length;
    connection.send(1, "basic.consume", { queue, noAck: true });
    await connection.waitUntil(() => messages(connection, from).length === 3);
    assert.deepEqual(
      messages(connection, from).map(({ body, properties }) => [
        `${body}`,
        properties.correlationId,
      ]),
      [
        ["aaaa", "1"],
        ["bbbb", "2"],
        ["cccc", "3"],
      ],
    );
  });

  test("repeated with one thing changed is not taken for the one before", async () => {
    const { connection, queue } = await withQueue();
    const other = `${queue}-other`;
    connection.send(1, "queue.declare", { queue: other });
    const publications = [
      publication(queue, "1"),
      publication(queue, "2"),
      publication(other, "3"),
      publication(queue, "4", { properties: { type: "a" } }),
      publication(queue, "5", { properties: { type: "b" } }),
      publication(queue, "6", { exchange: "amq.direct" }),
      publication(queue, "7"),
    ];
    connection.sendBytes(Buffer.concat(publications));
    await roundTrip(connection);
    assert.deepEqual(await drain(connection, queue), ["1", "2", "4", "5", "7"]);
    assert.deepEqual(await drain(connection, other), ["3"]);
    assert.deepEqual(
      messages(connection).map(({ properties }) => properties.type),
      [undefined, undefined, "a", "b", undefined, undefined],
    );
  });

  test("goes where the topology of the moment sends it", async () => {
    const { connection, queue } = await withQueue();
    const exchange = `${queue}-x`;
    const send = (body: string) => publish(connection, "k", body, { exchange, mandatory: true });
    connection.send(1, "exchange.declare", { exchange, type: "direct" });
    send("unbound");
    connection.send(1, "queue.bind", { queue, exchange, routingKey: "k" });
    send("bound");
    connection.send(1, "queue.unbind", { queue, exchange, routingKey: "k" });
    send("unbound again");
    connection.send(1, "exchange.delete", { exchange });
    connection.send(1, "exchange.declare", { exchange, type: "fanout" });
    connection.send(1, "queue.bind", { queue, exchange });
    send("fanned out");
    connection.send(1, "queue.delete", { queue });
    send("queue gone");
    connection.send(1, "exchange.delete", { exchange });
    send("exchange gone");
    const close = `404 NOT_FOUND - no exchange '${exchange}' in vhost '/' (60.40)`;
    assert.equal(await channelClose(connection), close);
    assert.deepEqual(
      messages(connection).map(({ body }) => `${body}`),
      ["unbound", "unbound again", "queue gone"],
    );
    const purged = await connection.waitForMethod("queue.delete-ok");
    assert.equal(purged.messageCount, 2);
  });

  test("is refused by the broker's rules as they are at the moment", async () => {
    const { connection, queue } = await withQueue();
    const { users } = broker.running;
    const all = { configure: ".*", write: ".*", read: ".*" };
    await users.addUser("writer", "p", []);
    await users.setPermissions("writer", "/", all);
    const writer = await broker.open({ username: "writer", password: "p" });
    publish(writer, queue, "allowed");
    await roundTrip(writer);
    await users.setPermissions("writer", "/", { ...all, write: "nothing" });
    publish(writer, queue, "forbidden");
    assert.equal(
      await channelClose(writer),
      "403 ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for " +
        "user 'writer' (60.40)",
    );
    assert.deepEqual(await drain(connection, queue), ["allowed"]);
  });
});

describe("carbon copies", () => {
  test("go to CC and BCC; BCC is not shown to anybody", async () => {
    const { connection, queue } = await withQueue();
    const names = ["cc", "bcc"].map((suffix) => `${queue}-${suffix}`);
    for (const name of names) connection.send(1, "queue.declare", { queue: name });
    const properties = headers({ CC: [names[0]], BCC: [names[1]], z: 1 });
    publish(connection, queue, "x", { properties });
    for (const name of [queue, ...names]) {
      assert.deepEqual(await drain(connection, name), ["x"], name);
    }
    const received = messages(connection);
    assert.equal(received.length, 3);
    for (const { properties: got, method } of received) {
      assert.deepEqual(got.headers?.toObject(), { CC: [names[0]], z: 1 });
      assert.equal(method.name === "basic.get-ok" && method.args.routingKey, queue);
    }
  });

  test("do not double, and count for mandatory", async () => {
    const { connection, queue } = await withQueue();
    publish(connection, queue, "once", { properties: headers({ CC: [queue, queue] }) });
    publish(connection, "nowhere", "by copy", {
      mandatory: true,
      properties: headers({ BCC: [queue] }),
    });
    await roundTrip(connection);
    assert.deepEqual(await drain(connection, queue), ["once", "by copy"]);
    assert.ok(!trace(connection).includes("basic.return"));
  });

  test("leave the header block in place when it has become empty", async () => {
    const { connection, queue } = await withQueue();
    publish(connection, "nowhere", "x", { properties: headers({ BCC: [queue] }) });
    await drain(connection, queue);
    assert.deepEqual(messages(connection)[0]?.properties.headers?.toObject(), {});
  });

  for (const [name, value, type] of [
    ["CC", "text", "longstr"],
    ["BCC", "text", "longstr"],
    ["CC", null, "void"],
  ] as const) {
    test(`in a ${name} of type ${type} are refused`, async () => {
      const { connection, queue } = await withQueue();
      publish(connection, queue, "x", { properties: headers({ [name]: value }) });
      assert.equal(
        await channelClose(connection),
        "406 PRECONDITION_FAILED - invalid message: " +
          `{unacceptable_type_in_header,"${name}",${type}} (60.40)`,
      );
      assert.equal(broker.vhost.queue(queue)?.readyCount, 0);
    });
  }
});

describe("what is refused", () => {
  const soft: [name: string, options: Parameters<typeof publish>[3], text: string][] = [
    ["an exchange that is missing", { exchange: "nope" }, "404 NOT_FOUND - no exchange 'nope'"],
    [
      "an internal exchange",
      { exchange: "amq.rabbitmq.trace" },
      "403 ACCESS_REFUSED - cannot publish to internal exchange 'amq.rabbitmq.trace'",
    ],
    [
      "an expiration that is no number",
      { properties: { expiration: "abc" } },
      "406 PRECONDITION_FAILED - invalid expiration 'abc': no_integer",
    ],
    [
      "another's user id",
      { properties: { userId: "other" } },
      "406 PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'",
    ],
    [
      "an empty user id",
      { properties: { userId: "" } },
      "406 PRECONDITION_FAILED - user_id property set to '' but authenticated user was 'guest'",
    ],
    [
      "of several things the exchange first",
      { exchange: "nope", properties: { expiration: "abc", userId: "other" } },
      "404 NOT_FOUND - no exchange 'nope'",
    ],
    [
      "then the user id",
      { properties: { expiration: "abc", userId: "other" } },
      "406 PRECONDITION_FAILED - user_id property",
    ],
    [
      "then the expiration",
      { properties: { expiration: "abc", ...headers({ CC: 1 }) } },
      "406 PRECONDITION_FAILED - invalid expiration",
    ],
  ];
  for (const [name, options, text] of soft) {
    test(name, async () => {
      const { connection } = await withQueue();
      publish(connection, "nowhere", "x", options);
      const close = await channelClose(connection);
      assert.ok(close.startsWith(text), close);
      assert.ok(close.endsWith(" (60.40)"), close);
    });
  }

  test("once is refused again when it is repeated", async () => {
    const { connection } = await withQueue([1, 2]);
    for (const channel of [1, 2]) {
      publish(connection, "nowhere", "x", { channel, properties: { expiration: "abc" } });
      assert.match(await channelClose(connection, channel), /^406/);
    }
  });

  test("immediate delivery", async () => {
    const { connection } = await withQueue();
    connection.send(1, "basic.publish", { exchange: "nope", immediate: true });
    connection.sendContent(1, {}, Buffer.from("x"));
    const close = "540 NOT_IMPLEMENTED - immediate=true (60.40)";
    assert.equal(await connectionClose(connection), close);
  });
});

test("a consumer of a fan-out gets each message once, in order, from each publisher", async () => {
  const { connection, queue } = await withQueue();
  connection.send(1, "queue.bind", { queue, exchange: "amq.fanout" });
  connection.send(1, "queue.bind", { queue, exchange: "amq.fanout", routingKey: "again" });
  connection.send(1, "basic.consume", { queue, noAck: true, consumerTag: "c" });
  await connection.waitForMethod("basic.consume-ok");
  const publishers = await Promise.all([1, 2, 3].map(() => broker.open()));
  for (let round = 0; round < 50; round++) {
    for (const [index, publisher] of publishers.entries()) {
      publish(publisher, "k", `${index} ${round}`, { exchange: "amq.fanout" });
    }
  }
  await delivered(connection, 150);
  const bodies = messages(connection).map(({ body }) => `${body}`);
  for (const index of publishers.keys()) {
    assert.deepEqual(
      bodies.filter((body) => body.startsWith(`${index} `)),
      Array.from({ length: 50 }, (_, round) => `${index} ${round}`),
    );
  }
  connection.send(1, "queue.delete", { queue });
  await connection.waitForMethod("queue.delete-ok");
});
