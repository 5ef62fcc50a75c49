/**
 * Goal: features run at the exchanges that want them, by arguments or policy; what they keep is
 * found again under a number that is saved before anything is kept, and forgotten with the
 * exchange.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as saved } from "node:timers/promises";
import { MemoryMetadataStore } from "@haremq/store";
import { FieldTable } from "@haremq/wire";
import { policyOf } from "../../test/policy-of.ts";
import { streamsFor } from "../../test/streams-for.ts";
import { textMessage } from "../../test/text-message.ts";
import type { ExchangeFeature } from "../exchange/exchange-feature.ts";
import { TapStage, TapVerdict } from "../exchange/message-tap.ts";
import { FoundMessages } from "../found-messages.ts";
import { MessageStore } from "../message/message-store.ts";
import { noTerms } from "../message/message-terms.ts";
import { noPolicy } from "../policy/effective-policy.ts";
import { TopologyJournal } from "./topology-journal.ts";
import { VirtualHost } from "./virtual-host.ts";

/** Swallows every message, and writes down what happens to it. */
function swallowing(log: string[]): ExchangeFeature {
  return {
    name: "swallow",
    check: ({ name }) => {
      if (name === "refused") throw new Error("refused");
    },
    isWanted: ({ arguments: args, policy }) =>
      args.has("x-swallow") || policy.get("swallow") === true,
    start: ({ name }, { vhost, storeNumber }) => {
      log.push(`start ${vhost} ${name} ${storeNumber}`);
      return {
        tap: { stage: TapStage.Remember, pass: () => TapVerdict.Taken },
        restore: (handle) => log.push(`restore ${handle}`),
        onPolicyChange: (isWanted) => log.push(`wanted ${isWanted}`),
        drop: () => log.push(`drop ${name}`),
        stop: () => log.push(`stop ${name}`),
      };
    },
  };
}

const swallow = FieldTable.from({ "x-swallow": true });
const message = { routingKeys: ["k"], headers: undefined, view: textMessage("m") };

async function given(metadata = new MemoryMetadataStore()) {
  const log: string[] = [];
  const feature = swallowing(log);
  const journal = await TopologyJournal.open(metadata);
  const onSaveFailed = (error: unknown): never => assert.fail(String(error));
  const messages = new MessageStore();
  const streams = streamsFor(messages);
  const features = [feature];
  const vhost = new VirtualHost({ name: "v", messages, streams, journal, onSaveFailed, features });
  const declare = (name: string, args: FieldTable, durable = true) =>
    vhost.createExchange({
      name,
      type: "fanout",
      durable,
      autoDelete: false,
      internal: false,
      arguments: args,
    });
  const isTaken = (name: string): boolean =>
    vhost.topology.pass(vhost.exchange(name)!, message).isTaken;
  /** What has happened since it was last asked. */
  const happened = (): string[] => log.splice(0);
  return { metadata, journal, vhost, feature, declare, isTaken, happened };
}

test("an exchange that asks for it has the feature from its first message to its end", async () => {
  const { vhost, feature, declare, isTaken, happened, journal } = await given();
  const wanting = await declare("x", swallow);
  const other = await declare("other", new FieldTable());
  const passing = await declare("passing", swallow, false);
  assert.deepEqual(happened(), ["start v x 1", "wanted true", "start v passing 0"]);
  assert.deepEqual([isTaken("x"), isTaken("other"), isTaken("passing")], [true, false, true]);
  assert.deepEqual(journal.storeNumbers("v", "x"), { swallow: 1 });
  assert.deepEqual(journal.storeNumbers("v", "other"), {});
  assert.ok(vhost.featureOf(wanting, feature));
  assert.equal(vhost.featureOf(other, feature), undefined);
  await vhost.deleteExchange(wanting);
  await vhost.deleteExchange(passing);
  assert.deepEqual(happened(), ["drop x", "drop passing"]);
  assert.equal(vhost.featureOf(wanting, feature), undefined);
  vhost.close();
  assert.deepEqual(happened(), []);
});

test("an exchange that goes by itself takes its feature along", async () => {
  const { vhost, happened } = await given();
  const spec = { name: "x", type: "fanout", durable: false, internal: false };
  const exchange = await vhost.createExchange({ ...spec, autoDelete: true, arguments: swallow });
  const queue = await vhost.createQueue({
    name: "q",
    durable: false,
    exclusiveOwner: null,
    autoDelete: false,
    arguments: new FieldTable(),
  });
  await vhost.bind(exchange, queue, "", new FieldTable());
  await vhost.deleteQueue(queue);
  assert.deepEqual(happened(), ["start v x 0", "drop x"]);
});

test("a declaration can be refused", async () => {
  const { vhost } = await given();
  const spec = { name: "refused", type: "fanout", durable: false, internal: false };
  const declaration = { ...spec, autoDelete: false, arguments: new FieldTable() };
  assert.throws(() => vhost.checkExchange(declaration), /refused/);
});

test("a policy starts it, once it is saved where its messages are found, and stops it", async () => {
  const { vhost, declare, isTaken, happened } = await given();
  const exchange = await declare("x", new FieldTable());
  const predeclared = vhost.exchange("amq.topic")!;
  const policy = policyOf({ swallow: true });
  for (const each of [exchange, predeclared]) vhost.topology.applyPolicy(each, policy);
  assert.deepEqual([isTaken("x"), isTaken("amq.topic")], [false, false], "not saved yet");
  await saved();
  assert.deepEqual(happened(), ["start v x 1", "start v amq.topic 2"]);
  assert.deepEqual([isTaken("x"), isTaken("amq.topic")], [true, true]);
  vhost.topology.applyPolicy(exchange, noPolicy);
  assert.deepEqual(happened(), ["wanted false"]);
  assert.equal(isTaken("x"), false);
  vhost.topology.applyPolicy(exchange, policy);
  vhost.topology.applyPolicy(exchange, policyOf({ swallow: true, other: 1 }));
  assert.deepEqual(happened(), ["wanted true", "wanted true"]);
  assert.equal(isTaken("x"), true);
  vhost.close();
  assert.deepEqual(happened(), ["stop x", "stop amq.topic"]);
});

test("a restart finds what was kept, also for who does not want it any more", async () => {
  const first = await given();
  await first.declare("x", swallow);
  await first.declare("y", new FieldTable());
  const policy = policyOf({ swallow: true });
  for (const name of ["y", "amq.topic"]) {
    first.vhost.topology.applyPolicy(first.vhost.exchange(name)!, policy);
  }
  await saved();
  const { vhost, journal, isTaken, happened, declare } = await given(first.metadata);
  assert.deepEqual([...journal.storeNumbersInUse()].sort(), [1, 2, 3]);
  for (const exchange of journal.exchanges()) vhost.restoreExchange(exchange);
  const found = new FoundMessages(false);
  for (const handle of [7, 8]) found.add(handle, false, 0, 0, noTerms, 0);
  vhost.restoreKept("x", 1, found);
  vhost.restoreKept("y", 2, new FoundMessages(false));
  assert.deepEqual(happened(), [
    "start v amq.topic 3",
    "wanted false",
    "start v x 1",
    "wanted true",
    "start v y 2",
    "wanted false",
    "restore 7",
    "restore 8",
  ]);
  assert.deepEqual([isTaken("x"), isTaken("y"), isTaken("amq.topic")], [true, false, false]);
  await declare("z", swallow);
  assert.deepEqual(happened(), ["start v z 4", "wanted true"]);
});

test("an exchange that is deleted while its number is being saved does not come back", async () => {
  const { vhost, journal, declare, happened } = await given();
  const exchange = await declare("x", new FieldTable());
  vhost.topology.applyPolicy(exchange, policyOf({ swallow: true }));
  await vhost.deleteExchange(exchange);
  await saved();
  assert.deepEqual(happened(), []);
  assert.deepEqual([...journal.exchanges()], []);
});
