/**
 * Goal: what was declared durable is there after a restart, exactly as it was, and works; what was
 * not, and what was taken away, is not.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type AmqpError, connect, FieldTable, type FieldValue } from "@haremq/client";
import { DurableBroker, drain, persistent, topologyOf } from "./durable-broker.ts";

const durable = { durable: true } as const;
const bytes = (text: string): FieldValue => ({ type: "S", value: Buffer.from(text) });

/** One value of every type that the protocol has. */
const everyType = new FieldTable([
  { name: "t", value: { type: "t", value: true } },
  { name: "b", value: { type: "b", value: -1 } },
  { name: "B", value: { type: "B", value: 255 } },
  { name: "s", value: { type: "s", value: -300 } },
  { name: "u", value: { type: "u", value: 65_535 } },
  { name: "I", value: { type: "I", value: -70_000 } },
  { name: "i", value: { type: "i", value: 4_000_000_000 } },
  { name: "l", value: { type: "l", value: 2n ** 62n } },
  { name: "f", value: { type: "f", value: 0.5 } },
  { name: "d", value: { type: "d", value: 1 / 3 } },
  { name: "D", value: { type: "D", value: { scale: 2, unscaled: 314 } } },
  { name: "S", value: { type: "S", value: Buffer.from([0xff, 0x00, 0xfe]) } },
  { name: "x", value: { type: "x", value: Buffer.from([0, 1, 2]) } },
  { name: "T", value: { type: "T", value: 1_700_000_000 } },
  { name: "V", value: { type: "V", value: null } },
  { name: "A", value: { type: "A", value: [bytes("a"), { type: "V", value: null }] } },
  { name: "F", value: { type: "F", value: new FieldTable([{ name: "", value: bytes("") }]) } },
  { name: "t", value: { type: "t", value: false } },
]);

describe("a restart, of topology", () => {
  it("brings back what is durable, and nothing else", async (t) => {
    const broker = await DurableBroker.start(t);
    const bare = topologyOf(broker.vhost);
    await broker.onChannel(async (channel) => {
      for (const type of ["direct", "fanout", "topic", "headers"]) {
        await channel.exchangeDeclare(`d.${type}`, type, durable);
        await channel.exchangeDeclare(`t.${type}`, type);
      }
      await channel.exchangeDeclare("d.internal", "fanout", { ...durable, internal: true });
      await channel.exchangeDeclare("d.args", "direct", { ...durable, arguments: everyType });
      await channel.queueDeclare("d.q", durable);
      await channel.queueDeclare("d.q.args", { ...durable, arguments: { "x-max-length": 7 } });
      await channel.queueDeclare("t.q");
      for (const source of ["d.direct", "t.direct"]) {
        for (const queue of ["d.q", "t.q"]) await channel.queueBind(queue, source, "key");
      }
      await channel.queueBind("d.q", "amq.topic", "a.#");
      await channel.queueBind("d.q", "d.headers", "", { "x-match": "any", n: 1 });
      await channel.queueBind("d.q", "d.headers", "", { "x-match": "any", n: 2 });
      await channel.queueBind("d.q", "d.args", "", everyType);
      await channel.exchangeBind("d.fanout", "d.topic", "*.x");
      await channel.exchangeBind("t.fanout", "d.topic", "*.y");
    });
    const isLasting = (line: string): boolean => !/ t\./.test(line) || bare.includes(line);
    const lasting = topologyOf(broker.vhost).filter(isLasting);
    assert.equal(lasting.length, bare.length + 6 + 2 + 6, lasting.join("\n"));
    await broker.restart();
    assert.deepEqual(topologyOf(broker.vhost), lasting);
    await broker.restart();
    assert.deepEqual(topologyOf(broker.vhost), lasting, "and once more, with nobody there");
    assert.deepEqual(broker.complaints, []);
  });

  it("holds later declarations to what was declared before", async (t) => {
    const broker = await DurableBroker.start(t);
    const declared = { ...durable, arguments: { "x-max-length": 7 } };
    await broker.onChannel((channel) => channel.queueDeclare("q", declared));
    await broker.restart();
    await broker.onChannel((channel) => channel.queueDeclare("q", declared));
    const other = broker.onChannel((channel) => channel.queueDeclare("q", durable));
    await assert.rejects(other, (error: AmqpError) => error.replyCode === 406);
  });

  it("routes as before: by every type, through exchanges, to the alternate", async (t) => {
    const broker = await DurableBroker.start(t);
    await broker.onChannel(async (channel) => {
      await channel.exchangeDeclare("dead end", "fanout", durable);
      await channel.exchangeDeclare("front", "topic", {
        ...durable,
        arguments: { "alternate-exchange": "dead end" },
      });
      await channel.exchangeDeclare("middle", "headers", durable);
      for (const queue of ["topic", "headers", "unrouted"]) {
        await channel.queueDeclare(queue, durable);
      }
      await channel.queueBind("topic", "front", "order.*");
      await channel.exchangeBind("middle", "front", "order.#");
      await channel.queueBind("headers", "middle", "", { "x-match": "all", kind: "big" });
      await channel.queueBind("unrouted", "dead end");
    });
    await broker.restart();
    await broker.confirmed(async (channel) => {
      const headers = { kind: "big" };
      channel.basicPublish("front", "order.new", "1", { headers });
      channel.basicPublish("front", "order.new.eu", "2", { headers });
      channel.basicPublish("front", "order.new", "3");
      channel.basicPublish("front", "invoice", "4");
    });
    const bodies = async (queue: string) =>
      (await broker.drain(queue)).map(({ body }) => String(body));
    assert.deepEqual(await bodies("topic"), ["1", "3"]);
    assert.deepEqual(await bodies("headers"), ["1", "2"]);
    assert.deepEqual(await bodies("unrouted"), ["4"]);
  });

  it("does not bring back what was deleted, unbound, or went with it", async (t) => {
    const broker = await DurableBroker.start(t);
    const bare = topologyOf(broker.vhost);
    await broker.onChannel(async (channel) => {
      await channel.exchangeDeclare("source", "direct", durable);
      await channel.exchangeDeclare("fleeting", "direct", { ...durable, autoDelete: true });
      await channel.exchangeDeclare("target", "fanout", durable);
      for (const queue of ["kept", "gone"]) await channel.queueDeclare(queue, durable);
      await channel.queueBind("kept", "source", "unbound");
      await channel.queueBind("kept", "source", "bound");
      await channel.queueBind("kept", "source", "bound", { a: 1 });
      await channel.queueBind("gone", "source", "with its queue");
      await channel.queueBind("gone", "fleeting", "last");
      await channel.exchangeBind("target", "source", "with its exchange");
      await channel.queueUnbind("kept", "source", "unbound");
      await channel.queueUnbind("kept", "source", "bound", { a: 1 });
      await channel.queueDelete("gone");
      await channel.exchangeDelete("target");
    });
    await broker.restart();
    const left = topologyOf(broker.vhost).filter((line) => !bare.includes(line));
    assert.deepEqual(
      left.map((line) => line.replace(/ \{.*/, "")),
      ["binding source -> queue kept by bound 00000000", "exchange source direct", "queue kept"],
    );
  });

  it("gives a queue that is declared anew nothing of the old one's", async (t) => {
    const broker = await DurableBroker.start(t);
    const declare = { ...durable, arguments: { "x-max-length": 1000 } };
    await broker.confirmed(async (channel) => {
      await channel.exchangeDeclare("e", "direct", durable);
      await channel.queueDeclare("q", declare);
      await channel.queueBind("q", "e", "old");
      for (const body of "abc") channel.basicPublish("", "q", body, persistent);
      await channel.waitForConfirms();
      await channel.queueDelete("q");
      await channel.queueDeclare("q", durable);
      channel.basicPublish("", "q", "new", persistent);
    });
    await broker.restart();
    assert.deepEqual(
      topologyOf(broker.vhost).filter((line) => / e -> /.test(line)),
      [],
    );
    assert.equal(broker.vhost.queue("q")?.arguments.size, 0);
    assert.deepEqual(
      (await broker.drain("q")).map(({ body }) => String(body)),
      ["new"],
    );
    await broker.onChannel((channel) => channel.queueDelete("q"));
    await broker.restart();
    await broker.onChannel((channel) => channel.queueDeclare("q", durable));
    assert.deepEqual(await broker.drain("q"), []);
  });

  it("ends queues with their last consumer, before and after it", async (t) => {
    const broker = await DurableBroker.start(t);
    const autoDelete = { ...durable, autoDelete: true };
    await broker.onChannel(async (channel) => {
      await channel.queueDeclare("unused", autoDelete);
      await channel.queueDeclare("used", autoDelete);
      const consumer = await channel.basicConsume("used", {}, () => {});
      await consumer.cancel();
    });
    await broker.restart();
    assert.equal(broker.vhost.queue("used"), undefined);
    assert.equal(broker.vhost.queue("unused")?.autoDelete, true);
    await broker.onChannel(async (channel) => {
      const consumer = await channel.basicConsume("unused", {}, () => {});
      await consumer.cancel();
    });
    await broker.restart();
    assert.equal(broker.vhost.queue("unused"), undefined);
  });

  it("does not end a queue whose consumer the restart itself has ended", async (t) => {
    const broker = await DurableBroker.start(t);
    const connection = await connect(broker.running.url);
    const channel = await connection.openChannel();
    await channel.queueDeclare("q", durable);
    await channel.basicConsume("q", {}, () => {});
    await broker.restart();
    assert.equal(broker.vhost.queue("q")?.consumerCount, 0);
  });

  it("ends exclusive queues with their connection, also durable ones", async (t) => {
    const broker = await DurableBroker.start(t);
    const connection = await connect(broker.running.url);
    const channel = await connection.openChannel();
    await channel.confirmSelect();
    await channel.queueDeclare("mine", { durable: true, exclusive: true });
    await channel.queueBind("mine", "amq.direct", "key");
    await channel.publish("", "mine", "a", persistent);
    await broker.restart();
    assert.equal(broker.vhost.queue("mine"), undefined);
    const bindings = topologyOf(broker.vhost).filter((line) => line.startsWith("binding"));
    assert.deepEqual(bindings, []);
    await broker.onChannel((other) => other.queueDeclare("mine", durable));
    assert.deepEqual(await broker.drain("mine"), []);
  });

  it("keeps names as they are, however long and odd", async (t) => {
    const broker = await DurableBroker.start(t);
    const names = ["\0".repeat(255), "ä/\u{1f407} \t%", "a\0b", "\u007f".repeat(255)];
    await broker.onChannel(async (channel) => {
      for (const name of names) {
        await channel.exchangeDeclare(name, "direct", durable);
        await channel.queueDeclare(name, durable);
      }
      for (const from of names) {
        for (const to of names) {
          await channel.queueBind(to, from, names[0], { a: 1 });
          await channel.exchangeBind(to, from, names[0]);
        }
      }
    });
    const before = topologyOf(broker.vhost);
    await broker.restart();
    assert.deepEqual(topologyOf(broker.vhost), before);
    await broker.onChannel(async (channel) => {
      for (const name of names) {
        await channel.exchangeDelete(name);
        await channel.queueDelete(name);
      }
    });
    await broker.restart();
    assert.equal(topologyOf(broker.vhost).length, 7, "the predeclared exchanges and the default");
  });

  it("has virtual hosts that are traced, until they are not", async (t) => {
    const broker = await DurableBroker.start(t);
    assert.equal(broker.vhost.isTraced, false);
    await broker.vhost.setTracing(true);
    await broker.restart();
    assert.equal(broker.vhost.isTraced, true);
    const trace = await broker.onChannel(async (channel) => {
      await channel.queueDeclare("log");
      await channel.queueBind("log", "amq.rabbitmq.trace", "publish.#");
      await channel.confirmSelect();
      await channel.publish("", "nowhere", "traced");
      return channel.basicGet("log", { noAck: true });
    });
    assert.equal(String(trace?.body), "traced");
    await broker.vhost.setTracing(false);
    await broker.restart();
    assert.equal(broker.vhost.isTraced, false);
  });

  it("works with 5,000 queues, each bound and with a message", async (t) => {
    const broker = await DurableBroker.start(t);
    const queues = Array.from({ length: 5000 }, (_, index) => `q${index}`);
    // On one connection each declaration waits for the one before; what comes on several is saved
    // together.
    const connections = Array.from({ length: 50 }, (_, connection) =>
      broker.confirmed(async (channel) => {
        for (const queue of queues.filter((_, index) => index % 50 === connection)) {
          await channel.queueDeclare(queue, durable);
          await channel.queueBind(queue, "amq.direct", queue);
          channel.basicPublish("amq.direct", queue, queue, persistent);
        }
      }),
    );
    await Promise.all(connections);
    const before = topologyOf(broker.vhost);
    await broker.restart();
    assert.deepEqual(topologyOf(broker.vhost), before);
    await broker.onChannel(async (channel) => {
      for (const queue of queues.filter((_, index) => index % 50 === 0)) {
        const bodies = (await drain(channel, queue)).map(({ body }) => String(body));
        assert.deepEqual(bodies, [queue]);
      }
    });
    assert.equal(
      queues.reduce((sum, queue) => sum + (broker.vhost.queue(queue)?.readyCount ?? 0), 0),
      4900,
    );
  });
});
