/**
 * Goal: on a real disk that is full, real publishers are told to wait and nothing is confirmed that
 * is not safe; consumers can empty the queues, which makes room; the broker can be killed and
 * started there, and goes on when there is room again. disk-faults.test.ts has more of it, on a
 * simulated disk.
 */

import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { type Connection, connect, type Delivery } from "@haremq/client";
import { drain } from "./durable-broker.ts";
import { blocked, PublishedMessages, unblocked } from "./faulty-broker.ts";
import { SmallDisk, smallDiskKinds } from "./small-disk.ts";

const messageBytes = 10_000;

interface Filled {
  readonly disk: SmallDisk;
  readonly url: string;
  readonly connection: Connection;
  readonly published: PublishedMessages;
}

/** A broker that has been sent more than fits, and has told the publisher to wait. */
async function fill(t: TestContext, disk: SmallDisk): Promise<Filled> {
  const url = await disk.start();
  const connection = await connect(url, { heartbeatSeconds: 0 });
  t.after(() => connection.destroy());
  connection.on("error", () => {});
  const [channel, other] = [await connection.openChannel(), await connection.openChannel()];
  for (const each of [channel, other]) {
    each.on("error", () => {});
    await each.confirmSelect();
  }
  await channel.queueDeclare("q", { durable: true });
  const told = blocked(connection);
  const count = Math.ceil((1.5 * disk.roomBytes) / messageBytes);
  const published = new PublishedMessages(channel, "q", count, messageBytes);
  // Only who publishes while the disk is full is told, so somebody goes on until then.
  const publishOn = async (): Promise<void> => {
    for (;;) await other.publish("", "no such queue", "");
  };
  publishOn().catch(() => {});
  assert.equal(await told, "low on disk");
  return { disk, url, connection, published };
}

async function left(url: string): Promise<string[]> {
  const connection = await connect(url);
  const found = await drain(await connection.openChannel(), "q");
  await connection.close();
  return found.map(({ body }) => String(body));
}

/** Consumes and acknowledges; resolves when so many have come. */
async function consume(url: string, count: number): Promise<string[]> {
  const connection = await connect(url);
  const channel = await connection.openChannel();
  await channel.basicQos(100);
  const bodies: string[] = [];
  await new Promise<void>((resolve, reject) => {
    channel.on("close", reject);
    const onDelivery = (delivery: Delivery): void => {
      bodies.push(String(delivery.body));
      channel.ack(delivery);
      if (bodies.length === count) resolve();
    };
    channel.basicConsume("q", {}, onDelivery).catch(reject);
  });
  await connection.close();
  return bodies;
}

const kinds = smallDiskKinds();

for (const kind of kinds) {
  describe(`a disk that refuses writes: ${kind}`, () => {
    it("confirms what is safe, which a broker that is killed and started there finds", async (t) => {
      const disk = SmallDisk.create(t, kind);
      const { published } = await fill(t, disk);
      await disk.server.kill();
      const confirmed = [...published.confirmed];
      assert.ok(confirmed.length > 0, "some of it fits");
      assert.ok(confirmed.length * messageBytes < disk.roomBytes, "and no more than that");
      const url = await disk.start();
      const found = await left(url);
      assert.deepEqual(found.slice(0, confirmed.length), confirmed);
      assert.deepEqual(found, published.bodies.slice(0, found.length));
    });

    it("is emptied by consumers, and has publishers go on", async (t) => {
      const disk = SmallDisk.create(t, kind);
      const { url, connection, published } = await fill(t, disk);
      const released = unblocked(connection);
      assert.deepEqual(await consume(url, published.bodies.length), published.bodies);
      await Promise.all([released, published.allConfirmed]);
      await disk.server.stop();
      assert.deepEqual(await left(await disk.start()), []);
    });

    it("has publishers go on when there is room again, and keeps all of it", async (t) => {
      const disk = SmallDisk.create(t, kind);
      const { connection, published } = await fill(t, disk);
      const released = unblocked(connection);
      disk.makeRoom();
      await Promise.all([released, published.allConfirmed]);
      await disk.server.kill();
      assert.deepEqual(await left(await disk.start()), published.bodies);
    });
  });
}
