/** Goal: what the broker publishes itself goes out after whatever made it, in order, in bounds. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { exchangeNamed, givenBroker, queueNamed } from "../../test/given-broker.ts";
import type { Broker } from "../broker.ts";
import { MessageView } from "../message/message-view.ts";
import { InternalPublisher } from "./internal-publisher.ts";
import { silentLogger } from "./logger.ts";

async function given() {
  const { broker, connect, clock } = givenBroker();
  const session = connect();
  await session.declareQueue(queueNamed("q"));
  await session.declareExchange(exchangeNamed("x", { type: "fanout" }));
  const complaints: string[] = [];
  const complain = (message: string): void => {
    complaints.push(message);
  };
  const log = { ...silentLogger, warn: complain, error: complain };
  const publisher = new InternalPublisher(broker.messages, clock, log);
  const publish = (body: string | Buffer, exchange = "", routingKey = "q"): void =>
    publisher.publish({
      vhost: broker.vhost("/")!,
      exchange,
      routingKey,
      properties: {},
      body: Buffer.from(body as string),
    });
  return { broker, publisher, publish, complaints };
}

function bodies(broker: Broker): string[] {
  const queue = broker.vhost("/")!.queue("q")!;
  const view = new MessageView();
  const found: string[] = [];
  while (queue.get(true, view) !== undefined) {
    found.push(view.body.toString("utf8", view.bodyStart, view.bodyStart + view.bodyLength));
  }
  return found;
}

test("messages are published once what is under way is done, in their order", async () => {
  const { broker, publisher, publish } = await given();
  publish("1");
  publish("2");
  publish("3");
  assert.deepEqual(bodies(broker), []);
  assert.equal(publisher.isPublishing, false);
  await Promise.resolve();
  assert.deepEqual(bodies(broker), ["1", "2", "3"]);
  publish("4");
  await Promise.resolve();
  assert.deepEqual(bodies(broker), ["4"]);
});

test("what cannot be published keeps nothing else from it", async () => {
  const { broker, publish, complaints } = await given();
  publish("no such exchange", "missing");
  publish("a key that is no key", "x", "k".repeat(300));
  publish("nobody is bound", "x");
  publish("arrives");
  await Promise.resolve();
  assert.deepEqual(bodies(broker), ["arrives"]);
  assert.deepEqual(complaints, ["cannot publish to exchange 'x'"]);
});

test("beyond its limit it drops messages and says how many", async () => {
  const { broker, publish, complaints } = await given();
  const mebibyte = Buffer.alloc(1024 * 1024);
  for (let message = 0; message < 70; message++) publish(mebibyte);
  await Promise.resolve();
  const published = bodies(broker).length;
  assert.ok(published >= 64 && published < 70);
  assert.deepEqual(complaints, [
    `dropped ${70 - published} messages of the broker's own: too many`,
  ]);
  publish("goes on");
  await Promise.resolve();
  assert.deepEqual(bodies(broker), ["goes on"]);
});
