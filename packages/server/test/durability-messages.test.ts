/**
 * Goal: persistent messages in durable queues are there after a restart, byte for byte, in order,
 * marked as redelivered where somebody may have seen them; what was settled, and what was
 * transient, is not.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Channel, connect, type Delivery, type PublishProperties } from "@haremq/client";
import { SeededRandom } from "@haremq/kernel";
import { DurableBroker, drain, marked, persistent } from "./durable-broker.ts";

const durable = { durable: true } as const;

const allProperties: PublishProperties = {
  contentType: "text/plain",
  contentEncoding: "gzip",
  headers: { text: "ä", nested: { list: [1, null, "x"] }, big: 2n ** 60n },
  deliveryMode: 2,
  priority: 9,
  correlationId: "c".repeat(255),
  replyTo: "somewhere",
  expiration: "315360000000",
  messageId: "m",
  timestamp: 1_700_000_000,
  type: "t",
  userId: "guest",
  appId: "a",
  clusterId: "\u{1f407}",
};

/** What a consumer sees of a message, comparable. */
function seen({
  exchange,
  routingKey,
  properties,
  body,
}: Pick<Delivery, "exchange" | "routingKey" | "properties" | "body">) {
  return { exchange, routingKey, properties, body: body.toString("latin1") };
}

/** Starts a consumer and resolves with its first `count` deliveries, which stay unsettled. */
function consume(channel: Channel, queue: string, count: number): Promise<Delivery[]> {
  return new Promise((resolve, reject) => {
    const deliveries: Delivery[] = [];
    const onDelivery = (delivery: Delivery): void => {
      deliveries.push(delivery);
      if (deliveries.length === count) resolve(deliveries);
    };
    channel.basicConsume(queue, {}, onDelivery).catch(reject);
  });
}

/** A broker with durable queues and persistent messages in each of them. */
async function brokerWith(
  t: Parameters<typeof DurableBroker.start>[0],
  queues: readonly string[],
  bodies: string = "",
): Promise<DurableBroker> {
  const broker = await DurableBroker.start(t);
  await broker.confirmed(async (channel) => {
    for (const queue of queues) {
      await channel.queueDeclare(queue, durable);
      await channel.queueBind(queue, "amq.fanout");
    }
    for (const body of bodies) channel.basicPublish("amq.fanout", "", body, persistent);
  });
  return broker;
}

async function left(broker: DurableBroker, queue: string): Promise<string> {
  return (await broker.drain(queue)).map(marked).join(" ");
}

describe("a restart, of messages", () => {
  it("brings back bodies and properties as they were", async (t) => {
    const broker = await brokerWith(t, ["q"]);
    const random = new SeededRandom(1);
    const sizes = [0, 1, 7, 8, 4096, 131_063, 131_064, 131_065, 1_000_000, 16 * 2 ** 20 - 100];
    const sent = await broker.confirmed(async (channel) => {
      const bodies = sizes.map((size) => random.bytes(size));
      for (const [index, body] of bodies.entries()) {
        const properties = index % 2 === 0 ? allProperties : persistent;
        channel.basicPublish(index % 3 === 0 ? "amq.fanout" : "", "q", body, properties);
      }
      const consumed = await consume(channel, "q", sizes.length);
      assert.deepEqual(
        consumed.map(({ body }) => body.equals(bodies.shift()!)),
        sizes.map(() => true),
      );
      return consumed;
    });
    await broker.restart();
    const found = await broker.drain("q");
    assert.deepEqual(found.map(seen), sent.map(seen));
  });

  it("leaves out transient messages and queues, and keeps the order of the others", async (t) => {
    const broker = await brokerWith(t, ["q"]);
    await broker.confirmed(async (channel) => {
      await channel.queueDeclare("short-lived");
      await channel.queueBind("short-lived", "amq.fanout");
      for (let n = 0; n < 3000; n++) {
        const properties = n % 3 === 0 ? {} : n % 3 === 1 ? persistent : { deliveryMode: 1 };
        channel.basicPublish("amq.fanout", "", String(n), properties);
      }
    });
    assert.equal(broker.vhost.queue("q")?.readyCount, 3000);
    await broker.restart();
    assert.equal(broker.vhost.queue("short-lived"), undefined);
    const bodies = (await broker.drain("q")).map(({ body }) => Number(body));
    assert.deepEqual(
      bodies,
      Array.from({ length: 1000 }, (_, index) => index * 3 + 1),
    );
  });

  it("marks what was delivered, and only that, and puts it where it stood", async (t) => {
    const broker = await brokerWith(t, ["q"], "abcdefgh");
    const connection = await connect(broker.running.url);
    const channel = await connection.openChannel();
    await channel.basicQos(4);
    const [, b] = await consume(channel, "q", 4);
    channel.ack(b!);
    await channel.flow(true); // Whatever came before is done when this is answered.
    await broker.restart();
    assert.equal(await left(broker, "q"), "a* c* d* e* f g h");
  });

  it("marks what was fetched, requeued, or held by a transaction", async (t) => {
    const broker = await brokerWith(t, ["got", "requeued", "tx"], "abc");
    const connection = await connect(broker.running.url);
    const channel = await connection.openChannel();
    await channel.basicGet("got");
    await channel.basicGet("requeued");
    channel.nack((await channel.basicGet("requeued"))!);
    const transactional = await connection.openChannel();
    await transactional.txSelect();
    transactional.ack((await transactional.basicGet("tx"))!);
    await transactional.flow(true);
    await channel.flow(true);
    await broker.restart();
    assert.equal(await left(broker, "got"), "a* b c");
    assert.equal(await left(broker, "requeued"), "a* b* c");
    assert.equal(await left(broker, "tx"), "a* b c");
  });

  it("keeps the mark over further restarts, and marks what is delivered then", async (t) => {
    const broker = await brokerWith(t, ["q"], "abcd");
    for (const expected of ["a", "a* b", "a* b* c"]) {
      const connection = await connect(broker.running.url);
      const channel = await connection.openChannel();
      const got: string[] = [];
      for (const _ of expected.split(" ")) got.push(marked((await channel.basicGet("q"))!));
      assert.equal(got.join(" "), expected);
      await broker.restart();
    }
    assert.equal(await left(broker, "q"), "a* b* c* d");
  });

  it("settles each queue's copy of a message by itself", async (t) => {
    const queues = ["none", "all", "some", "rejected"];
    const broker = await brokerWith(t, queues, "abc");
    assert.equal(broker.running.broker.messages.liveMessages, 3, "stored once for all queues");
    await broker.onChannel(async (channel) => {
      await drain(channel, "all");
      channel.ack((await channel.basicGet("some"))!);
      await channel.basicGet("rejected");
      channel.nack((await channel.basicGet("rejected"))!, true, false);
      await channel.flow(true);
    });
    await broker.restart();
    assert.equal(broker.running.broker.messages.liveMessages, 3);
    assert.equal(await left(broker, "none"), "a b c");
    assert.equal(await left(broker, "all"), "");
    assert.equal(await left(broker, "some"), "b c");
    assert.equal(await left(broker, "rejected"), "c");
    await broker.restart();
    for (const queue of queues) assert.equal(await left(broker, queue), "", queue);
    assert.equal(broker.running.broker.messages.liveMessages, 0);
  });

  it("does not bring back what was purged or consumed without acknowledgement", async (t) => {
    const broker = await brokerWith(t, ["purged", "consumed", "deleted"], "abc");
    await broker.confirmed(async (channel) => {
      assert.equal((await channel.queuePurge("purged")).messageCount, 3);
      await drain(channel, "consumed");
      // A message that a waiting consumer gets at once.
      const taken = new Promise<void>((resolve) => {
        void channel.basicConsume("consumed", { noAck: true }, () => resolve());
      });
      channel.basicPublish("", "consumed", "d", persistent);
      await taken;
      assert.equal((await channel.queueDelete("deleted")).messageCount, 3);
      channel.basicPublish("", "purged", "after", persistent);
    });
    await broker.restart();
    assert.equal(await left(broker, "purged"), "after");
    assert.equal(await left(broker, "consumed"), "");
    assert.equal(broker.running.broker.messages.liveMessages, 0);
  });

  it("keeps what a transaction has committed, and nothing of others", async (t) => {
    const broker = await brokerWith(t, ["in", "out", "other"], "abcd");
    const connection = await connect(broker.running.url);
    const open = async (): Promise<Channel> => {
      const channel = await connection.openChannel();
      await channel.txSelect();
      return channel;
    };
    const committed = await open();
    committed.ack((await committed.basicGet("in"))!);
    committed.basicPublish("", "out", "committed", persistent);
    committed.basicPublish("", "other", "committed", persistent);
    committed.basicPublish("", "out", "transient");
    await committed.txCommit();
    const rolledBack = await open();
    rolledBack.basicPublish("", "out", "rolled back", persistent);
    rolledBack.ack((await rolledBack.basicGet("in"))!);
    await rolledBack.txRollback();
    const open3 = await open();
    open3.basicPublish("", "out", "never committed", persistent);
    open3.ack((await open3.basicGet("in"))!);
    await open3.flow(true);
    await broker.restart();
    assert.equal(await left(broker, "in"), "b* c* d");
    assert.equal(await left(broker, "out"), "a b c d committed");
    assert.equal(await left(broker, "other"), "a b c d committed");
    await broker.restart();
    assert.equal(broker.running.broker.messages.liveMessages, 0);
  });

  it("keeps a transaction of settlements alone, and one of many", async (t) => {
    const broker = await brokerWith(t, ["acked", "many"], "abc");
    await broker.onChannel(async (channel) => {
      await channel.txSelect();
      await channel.basicGet("acked");
      channel.ack((await channel.basicGet("acked"))!, true);
      await channel.txCommit();
      for (let n = 0; n < 2000; n++) channel.basicPublish("", "many", `${n}`, persistent);
      await channel.txCommit();
    });
    await broker.restart();
    assert.equal(await left(broker, "acked"), "c");
    const bodies = (await broker.drain("many")).map(({ body }) => String(body));
    assert.deepEqual(bodies, ["a", "b", "c", ...Array.from({ length: 2000 }, (_, n) => `${n}`)]);
  });

  it("loses nothing over many restarts with little between them", async (t) => {
    const broker = await brokerWith(t, ["q"]);
    const expected: string[] = [];
    for (let round = 0; round < 12; round++) {
      await broker.confirmed(async (channel) => {
        for (let n = 0; n < 5; n++) {
          channel.basicPublish("", "q", `${round}.${n}`, persistent);
          expected.push(`${round}.${n}`);
        }
        for (let n = 0; n < 3; n++) {
          const message = (await channel.basicGet("q"))!;
          assert.equal(String(message.body), expected.shift());
          channel.ack(message);
        }
        await channel.flow(true);
      });
      await broker.restart();
    }
    assert.deepEqual(
      (await broker.drain("q")).map(({ body }) => String(body)),
      expected,
    );
    assert.deepEqual(broker.complaints, []);
  });

  it("brings messages back that are larger than a segment", async (t) => {
    const broker = await DurableBroker.start(t, { max_message_size: 64 * 2 ** 20 });
    const random = new SeededRandom(2);
    const chunk = random.bytes(2 ** 20);
    const large = [17, 16, 40].map((megabytes, index) => {
      const body = Buffer.alloc(megabytes * 2 ** 20 + 3, chunk);
      body.writeUInt32BE(index, 0);
      return body;
    });
    await broker.confirmed(async (channel) => {
      await channel.queueDeclare("q", durable);
      channel.basicPublish("", "q", "before", persistent);
      for (const body of large) channel.basicPublish("", "q", body, persistent);
      channel.basicPublish("", "q", "after", persistent);
    });
    await broker.restart();
    const found = await broker.drain("q");
    assert.equal(found.length, 5);
    assert.equal(String(found[0]?.body), "before");
    for (const [index, body] of large.entries()) {
      assert.ok(found[index + 1]?.body.equals(body), `message ${index}`);
    }
    assert.equal(String(found[4]?.body), "after");
    await broker.restart();
    assert.deepEqual(await broker.drain("q"), []);
  });

  it("keeps messages in order that were confirmed by the operating system only", async (t) => {
    const broker = await DurableBroker.start(t, { "haremq.confirm": "os" });
    await broker.confirmed(async (channel) => {
      await channel.queueDeclare("q", durable);
      for (let n = 0; n < 1000; n++) channel.basicPublish("", "q", `${n}`, persistent);
    });
    await broker.restart({ "haremq.confirm": "disk" });
    const bodies = (await broker.drain("q")).map(({ body }) => Number(body));
    assert.deepEqual(
      bodies,
      Array.from({ length: 1000 }, (_, n) => n),
    );
  });
});
