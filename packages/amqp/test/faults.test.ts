// Goal: a fault of our own, wherever it strikes, costs the connection in whose course it did and no
// other. That one is told 541, the log gets the stack, and nothing that it held is lost.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Queue } from "@haremq/broker";
import { isMethod, type RawConnection } from "@haremq/testkit";
import { AmqpChannel } from "../src/amqp-channel.ts";
import { PendingWork } from "../src/pending-work.ts";
import {
  connectionClose,
  ended,
  roundTrip,
  startOk,
  type VirtualBroker,
  withBroker,
} from "./virtual-broker.ts";

const internalError = "541 INTERNAL_ERROR (0.0)";

/** Makes a method of one object fail from now on; returns what makes it whole again. */
function sabotage<Target extends object>(target: Target, method: keyof Target): () => void {
  const own = Object.getOwnPropertyDescriptor(target, method);
  Object.defineProperty(target, method, {
    configurable: true,
    value: () => {
      throw new Error(`sabotaged ${String(method)}`);
    },
  });
  return () => {
    if (own === undefined) delete target[method];
    else Object.defineProperty(target, method, own);
  };
}

function queueOf(broker: VirtualBroker): Queue {
  const queue = broker.vhost.queue("q");
  assert.ok(queue !== undefined);
  return queue;
}

function publish(connection: RawConnection, body: string, routingKey = "q"): void {
  connection.send(1, "basic.publish", { routingKey });
  connection.sendContent(1, {}, Buffer.from(body));
}

/** A broker with a queue "q" of three messages, a connection to suffer and one to go unharmed. */
async function suffering(
  work: (broker: VirtualBroker, victim: RawConnection) => Promise<void>,
): Promise<void> {
  await withBroker(async (broker) => {
    const witness = await broker.open();
    witness.send(1, "queue.declare", { queue: "q" });
    witness.send(1, "queue.declare", { queue: "other", exclusive: true });
    witness.send(1, "basic.consume", { queue: "other", noAck: true });
    for (const body of ["1", "2", "3"]) publish(witness, body);
    await roundTrip(witness);
    const victim = await broker.open();
    await work(broker, victim);
    publish(witness, "unharmed", "other");
    await witness.waitFor(({ type }) => type === 3);
    assert.equal(witness.ended, undefined);
  });
}

async function assertLogged(broker: VirtualBroker, method: string): Promise<void> {
  const line = await broker.log.waitFor(/error on AMQP connection .* -> /);
  assert.equal(line.level, "error");
  assert.match(line.error?.stack ?? "", new RegExp(`sabotaged ${method}\\n +at `));
}

describe("a fault", () => {
  type Strike = [name: string, method: keyof Queue & string, send: (to: RawConnection) => void];
  const strikes: Strike[] = [
    ["in a method", "get", (to) => to.send(1, "basic.get", { queue: "q" })],
    ["in an asynchronous method", "purge", (to) => to.send(1, "queue.purge", { queue: "q" })],
    ["in a publish", "publish", (to) => publish(to, "x")],
    ["in a subscription", "subscribe", (to) => to.send(1, "basic.consume", { queue: "q" })],
  ];
  for (const [name, method, send] of strikes) {
    test(`${name} costs its connection`, () =>
      suffering(async (broker, victim) => {
        const mend = sabotage(queueOf(broker), method);
        send(victim);
        assert.equal(await connectionClose(victim), internalError);
        await assertLogged(broker, method);
        mend();
        victim.send(0, "connection.close-ok");
        await ended(victim);
      }));
  }

  test("in an acknowledgement costs its connection", () =>
    suffering(async (broker, victim) => {
      victim.send(1, "basic.get", { queue: "q" });
      await victim.waitForMethod("basic.get-ok");
      const mend = sabotage(queueOf(broker), "acknowledge");
      victim.send(1, "basic.ack", { deliveryTag: 1 });
      assert.equal(await connectionClose(victim), internalError);
      await assertLogged(broker, "acknowledge");
      mend();
    }));

  test("after the last frame of a chunk costs the connection that sent it", () =>
    suffering(async (broker, victim) => {
      victim.send(1, "basic.qos", { prefetchCount: 1 });
      victim.send(1, "basic.consume", { queue: "q" });
      await victim.waitForMethod("basic.deliver");
      const mend = sabotage(queueOf(broker), "wake");
      victim.send(1, "basic.ack", { deliveryTag: 1 });
      assert.equal(await connectionClose(victim), internalError);
      await assertLogged(broker, "wake");
      mend();
      assert.equal(queueOf(broker).readyCount, 2);
      assert.equal(queueOf(broker).consumerCount, 0);
    }));

  test("at a flush costs the connection that was to be flushed", () =>
    suffering(async (broker, victim) => {
      victim.send(1, "confirm.select");
      await victim.waitForMethod("confirm.select-ok");
      const mend = sabotage(AmqpChannel.prototype, "emitPending");
      publish(victim, "x", "nowhere");
      assert.equal(await connectionClose(victim), internalError);
      await assertLogged(broker, "emitPending");
      mend();
    }));

  test("when the output has room again costs the connection whose output it is", () =>
    suffering(async (broker, victim) => {
      publish(victim, "x".repeat(12 * 1024 * 1024));
      await roundTrip(victim);
      victim.pauseReading();
      victim.send(1, "basic.consume", { queue: "q", noAck: true });
      await broker.settle();
      const mend = sabotage(PendingWork.prototype, "onRoom");
      victim.resumeReading();
      assert.equal(await connectionClose(victim), internalError);
      await assertLogged(broker, "onRoom");
      mend();
    }));

  test("while a connection ends does not keep it, nor what its other channels hold", () =>
    suffering(async (broker, victim) => {
      await victim.openChannel(2);
      await victim.openChannel(3);
      victim.send(2, "queue.declare", { queue: "exclusive", exclusive: true });
      for (const channel of [1, 2, 3]) victim.send(channel, "basic.get", { queue: "q" });
      await victim.waitFor((frame) => frame.channel === 3 && isMethod(frame, "basic.get-ok"));
      const queue = queueOf(broker);
      let calls = 0;
      const { requeue } = queue;
      queue.requeue = function (this: Queue, ...args) {
        if (++calls === 1) throw new Error("sabotaged requeue");
        requeue.apply(queue, args);
      };
      victim.destroy();
      await broker.connectionsLeft(1);
      assert.equal(queue.readyCount, 2);
      assert.equal(broker.vhost.queue("exclusive"), undefined);
      await broker.log.waitFor(/error at the end of AMQP connection/);
    }));

  test("while a connection is being told of its error does not keep it either", () =>
    suffering(async (broker, victim) => {
      victim.send(1, "basic.get", { queue: "q" });
      await victim.waitForMethod("basic.get-ok");
      const mend = sabotage(queueOf(broker), "requeue");
      victim.send(0, "channel.open");
      assert.match(await connectionClose(victim), /^504/);
      victim.send(0, "connection.close-ok");
      await ended(victim);
      mend();
    }));

  test("while a channel is being closed costs its connection", () =>
    suffering(async (broker, victim) => {
      victim.send(1, "basic.get", { queue: "q" });
      await victim.waitForMethod("basic.get-ok");
      const mend = sabotage(queueOf(broker), "requeue");
      victim.send(1, "basic.ack", { deliveryTag: 7 });
      assert.equal(await connectionClose(victim), internalError);
      mend();
    }));

  test("of the user database costs the connection that logs in", () =>
    suffering(async (broker) => {
      const mend = sabotage(broker.running.users, "authenticate");
      const connection = await broker.connect();
      await startOk(connection);
      assert.equal(await connectionClose(connection), internalError);
      await assertLogged(broker, "authenticate");
      mend();
    }));
});
