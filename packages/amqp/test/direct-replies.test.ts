// Goal: direct reply-to works as RabbitMQ's: a requester without a queue, an address only it has.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { RawConnection } from "@haremq/testkit";
import { delivered, messages, publish } from "./messages.ts";
import { channelClose, roundTrip, trace, VirtualBroker } from "./virtual-broker.ts";

let broker: VirtualBroker;
before(async () => {
  broker = await VirtualBroker.start();
});
after(() => broker.stop());

const replyTo = "amq.rabbitmq.reply-to";
const addressPattern = /^amq\.rabbitmq\.reply-to\.[\w-]{32}$/;

let queues = 0;

interface Requester {
  readonly client: RawConnection;
  readonly server: RawConnection;
  /** What the server is to answer to. */
  readonly address: string;
}

/** A client that takes direct replies, a server that has received one request of it. */
async function request(): Promise<Requester> {
  const queue = `replies-${++queues}`;
  const server = await broker.open();
  server.send(1, "queue.declare", { queue, exclusive: true });
  server.send(1, "basic.consume", { queue, noAck: true });
  await server.waitForMethod("basic.consume-ok");
  const client = await broker.open();
  client.send(1, "basic.consume", { queue: replyTo, consumerTag: "cli", noAck: true });
  await client.waitForMethod("basic.consume-ok");
  publish(client, queue, "request", { properties: { replyTo, correlationId: "1", type: "t" } });
  await delivered(server, 1);
  const [received] = messages(server);
  const { replyTo: address, ...rest } = received!.properties;
  assert.deepEqual(rest, { correlationId: "1", type: "t" });
  assert.match(address ?? "", addressPattern);
  return { client, server, address: address ?? "" };
}

describe("direct reply-to", () => {
  test("brings the answer to who asked, as a delivery", async () => {
    const { client, server, address } = await request();
    publish(server, address, "answer", { properties: { correlationId: "1" } });
    publish(server, address, "another");
    assert.deepEqual(await delivered(client, 2), ["cli1:answer", "cli1:another"]);
    const [{ method, properties }] = messages(client) as [ReturnType<typeof messages>[0]];
    assert.deepEqual(properties, { correlationId: "1" });
    assert.ok(method.name === "basic.deliver");
    assert.deepEqual([method.args.exchange, method.args.routingKey], ["", address]);
  });

  test("returns a mandatory answer although it arrives, as RabbitMQ does", async () => {
    const { client, server, address } = await request();
    server.send(1, "confirm.select");
    publish(server, address, "answer", { mandatory: true });
    await server.waitForMethod("basic.ack");
    assert.ok(trace(server).includes("basic.return"));
    assert.deepEqual(await delivered(client, 1), ["cli1:answer"]);
  });

  test("takes the answer only through the default exchange, and only at the whole address", async () => {
    const { client, server, address } = await request();
    publish(server, address, "x", { exchange: "amq.direct", mandatory: true });
    publish(server, `${address.slice(0, -3)}xyz`, "x", { mandatory: true });
    publish(server, replyTo, "x", { mandatory: true });
    await roundTrip(server);
    await roundTrip(client);
    assert.equal(trace(server).filter((name) => name === "basic.return").length, 3);
    assert.deepEqual(messages(client), []);
  });

  test("lets the server ask whether the requester is still there", async () => {
    const { client, server, address } = await request();
    for (const args of [{ passive: true }, {}, { exclusive: true, durable: true }]) {
      const from = server.frames.length;
      server.send(1, "queue.declare", { queue: address, ...args });
      const answer = await server.waitFor(({ method }) => method !== undefined, from);
      assert.ok(answer.method?.name === "queue.declare-ok");
      assert.deepEqual(answer.method.args, { queue: address, messageCount: 0, consumerCount: 1 });
    }
    client.send(1, "basic.cancel", { consumerTag: "cli" });
    await client.waitForMethod("basic.cancel-ok");
    publish(server, address, "too late", { mandatory: true });
    server.send(1, "queue.declare", { queue: address, passive: true });
    assert.equal(
      await channelClose(server),
      `404 NOT_FOUND - no queue '${address}' in vhost '/' (50.10)`,
    );
    assert.ok(trace(server).includes("basic.return"));
    assert.deepEqual(messages(client), []);
  });

  for (const [name, end] of [
    ["its channel", (client: RawConnection) => client.send(1, "channel.close", { replyCode: 200 })],
    ["its connection", (client: RawConnection) => client.send(0, "connection.close")],
    ["its channel's error", (client: RawConnection) => client.send(1, "basic.ack")],
  ] as const) {
    test(`ends with ${name}`, async () => {
      const { client, server, address } = await request();
      end(client);
      await client.waitFor(({ method }) => /close/.test(method?.name ?? ""));
      publish(server, address, "too late", { mandatory: true });
      await server.waitForMethod("basic.return");
      assert.deepEqual(messages(client), []);
      assert.equal(broker.broker.directReplies.find(address), undefined);
    });
  }

  test("has a new address for each requester", async () => {
    const addresses = new Set<string>();
    for (let count = 0; count < 5; count++) addresses.add((await request()).address);
    assert.equal(addresses.size, 5);
  });

  test("drops answers for who does not read them, and not the broker's memory", async () => {
    const { client, server, address } = await request();
    client.pauseReading();
    const body = Buffer.alloc(1024 * 1024, "a");
    server.send(1, "confirm.select");
    for (let count = 0; count < 64; count++) publish(server, address, body);
    await server.waitUntil(() =>
      server.frames.some(
        ({ method }) => method?.name === "basic.ack" && method.args.deliveryTag === 64,
      ),
    );
    client.resumeReading();
    await roundTrip(client);
    const received = messages(client).length;
    assert.ok(received > 0 && received < 64, `${received}`);
    publish(server, address, "fits again");
    await client.waitUntil(() => messages(client).at(-1)?.body.toString() === "fits again");
  });

  const refused: [name: string, steps: (client: RawConnection) => void, close: string][] = [
    [
      "to acknowledge",
      (client) => client.send(1, "basic.consume", { queue: replyTo }),
      "406 PRECONDITION_FAILED - reply consumer cannot acknowledge (60.20)",
    ],
    [
      "two consumers",
      (client) => {
        client.send(1, "basic.consume", { queue: replyTo, noAck: true });
        client.send(1, "basic.consume", { queue: replyTo, noAck: true });
      },
      "406 PRECONDITION_FAILED - reply consumer already set (60.20)",
    ],
    [
      "a request without a consumer",
      (client) => publish(client, "k", "x", { properties: { replyTo } }),
      "406 PRECONDITION_FAILED - fast reply consumer does not exist (60.40)",
    ],
    [
      "a request whose consumer was cancelled",
      (client) => {
        client.send(1, "basic.consume", { queue: replyTo, noAck: true, consumerTag: "t" });
        client.send(1, "basic.cancel", { consumerTag: "t" });
        publish(client, "k", "x", { properties: { replyTo } });
      },
      "406 PRECONDITION_FAILED - fast reply consumer does not exist (60.40)",
    ],
  ];
  for (const [name, steps, close] of refused) {
    test(`refuses ${name}`, async () => {
      const client = await broker.open();
      steps(client);
      assert.equal(await channelClose(client), close);
    });
  }

  test("does not keep its tag from a consumer, as in RabbitMQ", async () => {
    const client = await broker.open();
    client.send(1, "basic.consume", { queue: replyTo, noAck: true, consumerTag: "t" });
    client.send(1, "queue.declare", { queue: "shared-tag", exclusive: true });
    client.send(1, "basic.consume", { queue: "shared-tag", consumerTag: "t" });
    await roundTrip(client);
    const tags = client.frames.flatMap(({ method }) =>
      method?.name === "basic.consume-ok" ? [method.args.consumerTag] : [],
    );
    assert.deepEqual(tags, ["t", "t"]);
  });

  test("may be taken, given up and taken again", async () => {
    const client = await broker.open();
    for (const consumerTag of ["t", "u"]) {
      client.send(1, "basic.consume", { queue: replyTo, noAck: true, consumerTag });
      client.send(1, "basic.cancel", { consumerTag });
    }
    client.send(1, "basic.consume", { queue: replyTo, noAck: true });
    await roundTrip(client);
    const tags = client.frames.flatMap(({ method }) =>
      method?.name === "basic.consume-ok" ? [method.args.consumerTag] : [],
    );
    assert.deepEqual(tags.slice(0, 2), ["t", "u"]);
    assert.match(tags[2] ?? "", /^amq\.ctag-/);
  });
});
