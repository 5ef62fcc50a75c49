/** Goal: taps see each message that comes to their exchange once, and decide where it goes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { textMessage } from "../../test/text-message.ts";
import { declareExchange, declareQueue, type TestQueue } from "./exchange.contract.ts";
import type { Exchange } from "./exchange.ts";
import { type MessageKeeper, type MessageTap, TapStage, TapVerdict } from "./message-tap.ts";
import { Topology } from "./topology.ts";

const view = textMessage("m");
const toK = { routingKeys: ["k"], headers: undefined, view };

interface WatchedTap extends MessageTap {
  readonly seen: string[];
}

function tapWith(verdict: TapVerdict, stage: TapStage = TapStage.Delay): WatchedTap {
  const seen: string[] = [];
  const pass = (_message: unknown, exchange: Exchange): TapVerdict => {
    seen.push(exchange.name);
    return verdict;
  };
  return { stage, seen, pass };
}

/** An exchange "x" that leads to a queue, directly and over the exchange "next". */
function given() {
  const topology = new Topology<TestQueue>();
  const x = declareExchange(topology, "x", "direct", { alternate: "alternate" });
  const next = declareExchange(topology, "next", "fanout");
  const alternate = declareExchange(topology, "alternate", "fanout");
  const queue = declareQueue(topology, "q");
  topology.bind(x, next, "k");
  topology.bind(x, queue, "k");
  topology.bind(next, queue, "");
  topology.bind(alternate, declareQueue(topology, "lost"), "");
  const pass = (exchange: Exchange, after?: MessageTap) => {
    const passage = topology.pass(exchange, toK, after);
    return [passage.queues.map(({ name }) => name).join(), passage.isRouted];
  };
  return { topology, x, next, alternate, queue, pass };
}

test("a message passes, is taken or is dropped, and goes to no alternate then", () => {
  const { topology, x, pass } = given();
  const expected = [
    [TapVerdict.Pass, ["q", true]],
    [TapVerdict.Taken, ["", true]],
    [TapVerdict.Dropped, ["", false]],
  ] as const;
  for (const [verdict, outcome] of expected) {
    const tap = tapWith(verdict);
    topology.attachTap(x, tap);
    topology.attachTap(x, tap);
    assert.deepEqual(pass(x), outcome);
    assert.deepEqual(tap.seen, ["x"]);
    topology.detachTap(x, tap);
    topology.detachTap(x, tap);
    assert.deepEqual(pass(x), ["q", true]);
    assert.deepEqual(tap.seen, ["x"], "detached");
  }
});

test("a tap sees what comes over bindings and as an alternate, each message once", () => {
  const { topology, x, next, alternate, pass } = given();
  const [nextTap, alternateTap] = [tapWith(TapVerdict.Taken), tapWith(TapVerdict.Dropped)];
  topology.attachTap(next, nextTap);
  topology.attachTap(alternate, alternateTap);
  topology.bind(x, next, "other");
  topology.bind(next, next, "");
  assert.deepEqual(pass(x), ["q", true]);
  assert.deepEqual(nextTap.seen, ["next"]);
  topology.removeQueue(topology.queue("q")!);
  topology.unbind(x, next, "k");
  assert.deepEqual(pass(x), ["", false]);
  assert.deepEqual(alternateTap.seen, ["alternate"]);
});

test("taps are asked in the order of their stages, and those behind one that sends on", () => {
  const { topology, x, pass } = given();
  const taps = [TapStage.Remember, TapStage.Deduplicate, TapStage.Delay].map((stage) => {
    const tap = tapWith(TapVerdict.Pass, stage);
    topology.attachTap(x, tap);
    return tap;
  });
  const [remember, deduplicate, delay] = taps as [WatchedTap, WatchedTap, WatchedTap];
  assert.throws(() => topology.attachTap(x, tapWith(TapVerdict.Pass)), /stage/);
  assert.deepEqual(pass(x, delay), ["q", true]);
  assert.deepEqual([remember.seen, deduplicate.seen, delay.seen], [["x"], [], []]);
  topology.detachTap(x, deduplicate);
  topology.attachTap(x, tapWith(TapVerdict.Dropped, TapStage.Deduplicate));
  assert.deepEqual(pass(x), ["", false]);
  assert.deepEqual(delay.seen, []);
});

test("routes are remembered without taps only, and asking for one shows no message", () => {
  const { topology, x, next } = given();
  const before = topology.route(x, "k");
  assert.equal(before.needsMessage, false);
  const tap = tapWith(TapVerdict.Taken);
  topology.attachTap(next, tap);
  assert.equal(before.valid, false);
  const tapped = topology.route(x, "k");
  assert.equal(tapped.needsMessage, true);
  assert.deepEqual(
    topology.routeMessage(x, ["k"], undefined, undefined).map(({ name }) => name),
    ["q"],
  );
  assert.deepEqual(tap.seen, []);
  topology.detachTap(next, tap);
  assert.equal(tapped.valid, false);
  assert.equal(topology.route(x, "k").needsMessage, false);
});

test("keepers and waits are collected along the way", () => {
  const { topology, x, next } = given();
  const keeper: MessageKeeper = {
    storeNumber: 1,
    ownRecordBytes: 0,
    deleted: false,
    keep: () => undefined,
  };
  for (const exchange of [x, next]) {
    topology.attachTap(exchange, {
      stage: TapStage.Remember,
      pass: (message, _exchange, actions) => {
        assert.equal(message.view, view);
        actions.keepIn(keeper);
        if (exchange === next) actions.awaitStore();
        return TapVerdict.Pass;
      },
    });
  }
  const passage = topology.pass(x, toK);
  assert.deepEqual(passage.keepers, [keeper]);
  assert.equal(passage.awaitsStore, true);
  assert.equal(topology.pass(topology.defaultExchange, toK).awaitsStore, false);
});
