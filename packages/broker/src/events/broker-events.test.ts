/** Goal: listeners hear of every event, and nobody makes any without them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { exchangeNamed, givenBroker, queueNamed } from "../../test/given-broker.ts";
import { type BrokerEvent, BrokerEvents } from "./broker-events.ts";

const event: BrokerEvent = { type: "user.created", name: "u" };

test("without a listener nobody is heard", () => {
  const events = new BrokerEvents();
  assert.equal(events.isHeard, false);
  const end = events.listen(() => undefined);
  const endOther = events.listen(() => undefined);
  assert.equal(events.isHeard, true);
  end();
  end();
  assert.equal(events.isHeard, true);
  endOther();
  assert.equal(events.isHeard, false);
});

test("a listener that fails keeps nothing from the others, nor from who tells", () => {
  const events = new BrokerEvents();
  const heard: string[] = [];
  const failures: unknown[] = [];
  const error = new Error("deaf");
  events.onFailure = (failure) => failures.push(failure);
  events.listen(() => {
    throw error;
  });
  events.listen(({ type }) => heard.push(type));
  events.tell(event);
  assert.deepEqual([heard, failures], [["user.created"], [error]]);
});

test("events are not made while nobody listens", async () => {
  const { broker, connect, users } = givenBroker();
  broker.events.tell = () => assert.fail("made for nobody");
  const session = connect();
  await session.declareExchange(exchangeNamed("x"));
  await session.declareQueue(queueNamed("q"));
  await session.deleteQueue("q", false, false);
  await session.deleteExchange("x", false);
  await broker.createVhost("other");
  await users.deleteUser("u");
  broker.alarms.set("disk", true);
  await session.close();
});
