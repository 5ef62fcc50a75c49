// Goal: what is idle costs nothing: no work per tick, per message, per declaration or per alarm
// that grows with the number of queues, consumers and connections that have nothing to do with it.
// The work is counted, not timed.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Consumer } from "@haremq/broker";
import { type Timer, VirtualClock } from "@haremq/kernel";
import type { RawConnection } from "@haremq/testkit";
import { FieldTable } from "@haremq/wire";
import { Output } from "../src/output.ts";
import { arrived, publish } from "./messages.ts";
import { reopenChannel, roundTrip, VirtualBroker } from "./virtual-broker.ts";

const queueCount = 50_000;
const connectionCount = 1000;
const consumersEach = 10;
const heartbeatSeconds = 60;

class CountingClock extends VirtualClock {
  fired = 0;

  override schedule(delayMs: number, callback: () => void): Timer {
    return super.schedule(delayMs, () => {
      this.fired++;
      callback();
    });
  }
}

let broker: VirtualBroker;
let clock: CountingClock;
let active: RawConnection;

/** Fills the broker with what will be idle. */
before(async () => {
  clock = new CountingClock();
  broker = await VirtualBroker.start({}, clock);
  const { vhost } = broker;
  const spec = { durable: false, exclusiveOwner: null, autoDelete: false };
  for (let index = 0; index < queueCount; index++) {
    vhost.createQueue({ ...spec, name: `idle-${index}`, arguments: new FieldTable() });
  }
  let next = 0;
  const openSome = async (): Promise<void> => {
    while (next < connectionCount) {
      const index = next++;
      const connection = await broker.open({ heartbeat: heartbeatSeconds });
      for (let each = 0; each < consumersEach; each++) {
        const queue = `idle-${index * consumersEach + each}`;
        connection.send(1, "basic.consume", { queue, noAck: true });
      }
      await roundTrip(connection);
    }
  };
  await Promise.all([1, 2, 3, 4].map(openSome));
  active = await broker.open();
  active.send(1, "queue.declare", { queue: "hot" });
  active.send(1, "basic.consume", { queue: "hot", noAck: true });
  await roundTrip(active);
});
after(() => broker.stop());

/** How often a method or getter of a prototype is called during the work. */
async function calls(target: object, name: string, work: () => Promise<void>): Promise<number> {
  const original = Object.getOwnPropertyDescriptor(target, name);
  assert.ok(original !== undefined);
  let count = 0;
  const { get, value } = original;
  Object.defineProperty(target, name, {
    ...original,
    ...(get === undefined
      ? {
          value(this: object, ...args: unknown[]): unknown {
            count++;
            return value.apply(this, args);
          },
        }
      : {
          get(this: object): unknown {
            count++;
            return get.call(this);
          },
        }),
  });
  try {
    await work();
  } finally {
    Object.defineProperty(target, name, original);
  }
  return count;
}

async function publishHot(count: number): Promise<void> {
  const from = active.frames.length;
  for (let index = 0; index < count; index++) publish(active, "hot", "x");
  await arrived(active, "basic.deliver", count, from);
}

describe("with 50,000 queues, 10,000 consumers and 1,000 connections idle", () => {
  test("they are really there", () => {
    assert.equal(broker.vhost.topology.queueCount, queueCount + 1);
    assert.equal(broker.running.connectionCount, connectionCount + 1);
    let consumers = 0;
    for (const queue of broker.vhost.topology.queues()) consumers += queue.consumerCount;
    assert.equal(consumers, connectionCount * consumersEach + 1);
  });

  test("timers fire for heartbeats only, twice an interval for each connection", () => {
    const before = clock.fired;
    clock.advance(heartbeatSeconds * 1000);
    assert.equal(clock.fired - before, 2 * connectionCount);
    assert.equal(clock.pending, connectionCount);
  });

  test("a message concerns its connection, its queue and its consumer", async () => {
    await publishHot(10);
    const sending = () => publishHot(1000);
    // The heartbeats of before are through by now, so that only what is touched is flushed.
    await broker.settle();
    const asked = await calls(Consumer.prototype, "canTake", sending);
    assert.equal(asked, 1000);
    const flushed = await calls(Output.prototype, "flush", sending);
    assert.ok(flushed <= 1000, `${flushed}`);
  });

  test("a hot route is looked up once, and survives what happens around it", async () => {
    const { topology } = broker.vhost;
    const prototype = Object.getPrototypeOf(topology);
    active.send(1, "exchange.declare", { exchange: "x", type: "direct" });
    active.send(1, "queue.bind", { queue: "hot", exchange: "x", routingKey: "k" });
    await publishHot(1);
    const route = topology.route(topology.exchange("")!, "hot");
    const bound = topology.route(topology.exchange("x")!, "k");
    const around = async (): Promise<void> => {
      for (let index = 0; index < 500; index++) {
        const queue = `unrelated-${index}`;
        active.send(1, "queue.declare", { queue });
        active.send(1, "queue.bind", { queue, exchange: "x", routingKey: queue });
        active.send(1, "queue.bind", { queue, exchange: "amq.topic", routingKey: "#" });
        publish(active, "hot", "x");
        active.send(1, "queue.unbind", { queue, exchange: "x", routingKey: queue });
        active.send(1, "queue.delete", { queue });
        publish(active, "hot", "x");
      }
      await roundTrip(active);
    };
    assert.equal(await calls(prototype, "route", around), 0);
    assert.ok(route.valid);
    assert.ok(bound.valid);
    assert.equal(topology.route(topology.exchange("x")!, "k"), bound);
    // What does concern it, ends it.
    active.send(1, "queue.unbind", { queue: "hot", exchange: "x", routingKey: "k" });
    await roundTrip(active);
    assert.ok(!bound.valid);
    assert.ok(route.valid);
  });

  test("consumers without credit are asked once, and not again for each message", async () => {
    const waiting = await broker.open();
    const count = 1000;
    waiting.send(1, "queue.declare", { queue: "crowded" });
    waiting.send(1, "basic.qos", { prefetchCount: 1 });
    for (let index = 0; index < count; index++) {
      waiting.send(1, "basic.consume", { queue: "crowded" });
    }
    for (let index = 0; index < count; index++) publish(waiting, "crowded", "x");
    await arrived(waiting, "basic.deliver", count);
    const asked = await calls(Consumer.prototype, "canTake", async () => {
      for (let index = 0; index < 500; index++) publish(waiting, "crowded", "x");
      await roundTrip(waiting);
    });
    // Each is found without credit once and leaves the rotation.
    assert.ok(asked <= count, `${asked}`);
    const woken = await calls(Consumer.prototype, "canTake", async () => {
      for (let tag = 1; tag <= 100; tag++) waiting.send(1, "basic.ack", { deliveryTag: tag });
      await arrived(waiting, "basic.deliver", count + 100);
    });
    assert.ok(woken <= 300, `${woken}`);
    await waiting.close();
  });

  test("an alarm concerns those who publish", async () => {
    const { alarms } = broker.broker;
    const flushed = await calls(Output.prototype, "flush", async () => {
      alarms.set("disk", true);
      alarms.set("disk", false);
      await roundTrip(active);
    });
    assert.ok(flushed <= 2, `${flushed}`);
    assert.equal(await listenersCalled(active), 1);
  });

  test("a connection, a channel and a consumer come and go by themselves", async () => {
    const flushed = await calls(Output.prototype, "flush", async () => {
      const asked = await calls(Consumer.prototype, "canTake", async () => {
        const passing = await broker.open();
        passing.send(1, "queue.declare", { queue: "passing", exclusive: true });
        passing.send(1, "basic.consume", { queue: "passing" });
        passing.send(1, "channel.close", { replyCode: 200 });
        await passing.waitForMethod("channel.close-ok");
        await reopenChannel(passing);
        await passing.close();
        await broker.connectionsLeft(connectionCount + 1);
      });
      assert.equal(asked, 0);
    });
    assert.ok(flushed <= 20, `${flushed}`);
  });
});

/** How many are told of an alarm's end while one connection publishes. */
async function listenersCalled(publisher: RawConnection): Promise<number> {
  const { alarms } = broker.broker;
  let told = 0;
  const { listen } = alarms;
  alarms.listen = (listener) =>
    listen.call(alarms, (shortages, changed) => {
      told++;
      listener(shortages, changed);
    });
  alarms.set("disk", true);
  publish(publisher, "hot", "x");
  await broker.turn();
  publish(publisher, "hot", "x");
  await broker.settle();
  alarms.listen = listen;
  told = 0;
  alarms.set("disk", false);
  await roundTrip(publisher);
  return told;
}
