/**
 * What every kind of queue has to do, whatever it keeps its messages in: `queueContract` is called
 * by the test file of each. Tests work through a QueueRig, which checks all counts after every verb
 * and, at the end, that no message is lost or leaked.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { policyOf } from "../../test/policy-of.ts";
import { type QueueFactory, QueueRig, queueSpec } from "../../test/queue-rig.ts";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { TestHost } from "../../test/test-host.ts";
import { textMessage } from "../../test/text-message.ts";
import { MessageStore } from "../message/message-store.ts";
import { MessageView, unstored } from "../message/message-view.ts";
import { noPolicy } from "../policy/effective-policy.ts";
import { singleActiveConsumerContract } from "./single-active-consumer.contract.ts";

/** Runs a test with a queue of its own, which must be in order at the end. */
export type QueueTest = (goal: string, body: (rig: QueueRig) => void) => void;

export function queueContract(kind: string, createQueue: QueueFactory): void {
  const testWith =
    (args: Record<string, unknown>): QueueTest =>
    (goal, body) => {
      test(goal, () => {
        const rig = new QueueRig(createQueue, args);
        body(rig);
        rig.finish();
      });
    };
  const check = testWith({});
  const checkSingle = testWith({ "x-single-active-consumer": true });
  describe(`${kind}: declaration`, () => declarationContract(createQueue));
  describe(`${kind}: order and hand-off`, () => orderContract(createQueue, check));
  describe(`${kind}: consumers`, () => consumerContract(check));
  describe(`${kind}: credit and room`, () => creditContract(check));
  describe(`${kind}: settling`, () => settlingContract(check));
  describe(`${kind}: pulling and purging`, () => pullingContract(check));
  describe(`${kind}: ending`, () => endingContract(check));
  describe(`${kind}: single active consumer`, () => singleActiveConsumerContract(checkSingle));
}

function declarationContract(createQueue: QueueFactory): void {
  test("a queue is what it was declared as", () => {
    const exclusiveOwner = {};
    const args = FieldTable.from({ "x-max-length": 5 });
    const flags = { durable: true, autoDelete: true, exclusiveOwner, arguments: args };
    const queue = createQueue(
      queueSpec({ name: "n", ...flags }),
      new MessageStore(),
      new TestHost(),
    );
    assert.equal(queue.name, "n");
    assert.equal(queue.durable, true);
    assert.equal(queue.autoDelete, true);
    assert.equal(queue.exclusiveOwner, exclusiveOwner);
    assert.equal(queue.arguments, args);
    assert.equal(queue.deleted, false);
    const plain = createQueue(queueSpec(), new MessageStore(), new TestHost());
    assert.equal(plain.durable, false);
    assert.equal(plain.autoDelete, false);
    assert.equal(plain.exclusiveOwner, null);
  });

  test("a queue obeys no policy until it is given one", () => {
    const queue = createQueue(queueSpec(), new MessageStore(), new TestHost());
    assert.equal(queue.policy, noPolicy);
    const policy = policyOf({ "max-length": 5 });
    queue.applyPolicy(policy);
    assert.equal(queue.policy, policy);
    queue.applyPolicy(noPolicy);
    assert.equal(queue.policy, noPolicy);
  });

  test("a queue has a single active consumer only if it was declared so", () => {
    const isSingle = (args: Record<string, unknown>): boolean =>
      createQueue(
        queueSpec({ arguments: FieldTable.from(args) }),
        new MessageStore(),
        new TestHost(),
      ).singleActiveConsumer;
    assert.equal(isSingle({}), false);
    assert.equal(isSingle({ "x-single-active-consumer": false }), false);
    assert.equal(isSingle({ "x-single-active-consumer": true }), true);
  });
}

function orderContract(createQueue: QueueFactory, check: QueueTest): void {
  check("messages leave in the order they came in", (rig) => {
    rig.publish("1", "2", "3");
    assert.equal(rig.queue.readyCount, 3);
    assert.deepEqual(rig.drain(), ["1", "2", "3"]);
  });

  check("a late consumer gets what was waiting, then what comes", (rig) => {
    rig.publish("1", "2");
    rig.consume({ tag: "a" });
    rig.publish("3");
    assert.deepEqual(rig.log, ["a:1", "a:2", "a:3"]);
  });

  check("an idle consumer has the message when publish returns", (rig) => {
    rig.consume({ tag: "a" });
    rig.publish("1");
    assert.deepEqual(rig.log, ["a:1"]);
    assert.equal(rig.queue.readyCount, 0);
    assert.equal(rig.messages.liveMessages, 1, "kept until it is settled");
    rig.settle("acknowledge", "1");
    assert.equal(rig.messages.liveMessages, 0);
  });

  test("what nobody has to settle is handed over without being stored", () => {
    const messages = new MessageStore();
    const queue = createQueue(queueSpec(), messages, new TestHost());
    const sink = new RecordingSink();
    queue.subscribe(testConsumer(queue, sink, { noAck: true }));
    const message = textMessage("1");
    queue.publish(message);
    assert.equal(sink.deliveries.length, 1);
    assert.equal(message.handle, unstored);
  });

  check("bodies of every size come out whole", (rig) => {
    const bodies = [0, 1, 31, 32, 33, 1000, 70_000, 3_000_000].map((size) => "x".repeat(size));
    rig.publish(...bodies);
    assert.deepEqual(rig.drain(), bodies);
    rig.consume();
    rig.publish(...bodies);
    assert.deepEqual(
      rig.sink.deliveries.map(({ body }) => body),
      bodies,
    );
  });

  check("a queue that grows long and empties again keeps its order", (rig) => {
    const numbers = Array.from({ length: 300 }, (_, index) => `${index}`);
    for (let round = 0; round < 3; round++) {
      rig.publish(...numbers);
      assert.deepEqual(rig.drain(), numbers);
    }
  });

  test("a message in several queues is kept once, until the last has done with it", () => {
    const messages = new MessageStore();
    const queues = ["a", "b", "c"].map((name) =>
      createQueue(queueSpec({ name }), messages, new TestHost()),
    );
    const sink = new RecordingSink();
    queues[1]!.subscribe(testConsumer(queues[1]!, sink, { noAck: true }));
    queues[2]!.subscribe(testConsumer(queues[2]!, sink));
    const message = textMessage("1");
    for (const queue of queues) queue.publish(message);
    assert.equal(messages.liveMessages, 1);
    assert.equal(queues[0]!.get(true, new MessageView())?.remaining, 0);
    assert.equal(messages.liveMessages, 1);
    sink.settle("acknowledge", sink.unsettled[0]!);
    assert.equal(messages.liveMessages, 0);
  });
}

function consumerContract(check: QueueTest): void {
  check("consumers are served in turn, a new one behind the others", (rig) => {
    rig.consume({ tag: "a" });
    rig.consume({ tag: "b" });
    rig.publish("1", "2", "3");
    rig.consume({ tag: "c" });
    rig.publish("4", "5", "6", "7");
    assert.deepEqual(rig.log, ["a:1", "b:2", "a:3", "b:4", "a:5", "c:6", "b:7"]);
  });

  check("a backlog is dealt out in turn as well", (rig) => {
    rig.consume({ tag: "a" });
    rig.consume({ tag: "b" });
    rig.publish("1", "2", "3", "4", "5");
    rig.settle("requeue", "1", "2", "3", "4", "5");
    rig.serve();
    assert.deepEqual(rig.log.slice(5), ["b:1*", "a:2*", "b:3*", "a:4*", "b:5*"]);
  });

  check("the highest priority is served until its credit is spent", (rig) => {
    rig.consume({ tag: "low" });
    rig.consume({ tag: "high", priority: 10, prefetch: 2 });
    rig.consume({ tag: "lowest", priority: -1 });
    rig.consume({ tag: "peer", priority: 10, prefetch: 1 });
    rig.publish("1", "2", "3", "4", "5");
    assert.deepEqual(rig.log, ["high:1", "peer:2", "high:3", "low:4", "low:5"]);
    rig.settle("acknowledge", "2");
    rig.publish("6", "7");
    assert.deepEqual(rig.log.slice(5), ["peer:6", "low:7"]);
  });

  check("consumers of one priority take turns, whatever lies between", (rig) => {
    rig.consume({ tag: "a", priority: 1 });
    rig.consume({ tag: "zero" });
    rig.consume({ tag: "b", priority: 1 });
    rig.consume({ tag: "two", priority: 2, prefetch: 1 });
    rig.publish("1", "2", "3", "4");
    assert.deepEqual(rig.log, ["two:1", "a:2", "b:3", "a:4"]);
  });

  check("who has left gets nothing, and the others keep their turns", (rig) => {
    const [a, b, c, d] = ["a", "b", "c", "d"].map((tag) => rig.consume({ tag }));
    rig.publish("1");
    rig.cancel(b!);
    rig.publish("2", "3", "4", "5", "6");
    rig.cancel(a!);
    rig.publish("7", "8", "9");
    rig.cancel(c!);
    rig.cancel(d!);
    rig.publish("10");
    assert.deepEqual(rig.log.slice(0, 6), ["a:1", "c:2", "d:3", "a:4", "c:5", "d:6"]);
    assert.deepEqual(rig.log.slice(6), ["c:7", "d:8", "c:9"]);
    assert.deepEqual(rig.drain(), ["10"]);
    assert.deepEqual(rig.sink.cancellations, [], "who leaves need not be told");
  });

  check("what a consumer leaves unsettled stays so, and can be settled later", (rig) => {
    const leaver = rig.consume({ tag: "a" });
    rig.publish("1", "2", "3");
    rig.cancel(leaver);
    rig.consume({ tag: "b" });
    assert.deepEqual(rig.log, ["a:1", "a:2", "a:3"]);
    assert.equal(rig.queue.unsettledCount, 3);
    rig.settle("acknowledge", "2");
    rig.settle("reject", "1");
    rig.settle("requeue", "3");
    rig.serve();
    assert.deepEqual(rig.log.slice(3), ["b:3*"]);
  });

  check("leaving twice, or without having come, changes nothing", (rig) => {
    const leaver = rig.consume({ tag: "a" });
    rig.consume({ tag: "b" });
    rig.cancel(leaver);
    rig.cancel(leaver);
    rig.cancel(testConsumer(rig.queue, rig.sink));
    rig.publish("1", "2");
    assert.deepEqual(rig.log, ["b:1", "b:2"]);
  });
}

function creditContract(check: QueueTest): void {
  check("a consumer gets no more than its prefetch before it settles", (rig) => {
    const consumer = rig.consume({ tag: "a", prefetch: 2 });
    rig.publish("1", "2", "3", "4");
    assert.deepEqual(rig.log, ["a:1", "a:2"]);
    assert.equal(consumer.unsettled, 2);
    rig.settle("acknowledge", "2");
    rig.settle("reject", "1");
    assert.deepEqual(rig.log.slice(2), ["a:3", "a:4"]);
    assert.equal(consumer.unsettled, 2);
  });

  check("a requeue gives the credit back, and the same message may come again", (rig) => {
    rig.consume({ tag: "a", prefetch: 1 });
    rig.publish("1", "2");
    rig.settle("requeue", "1");
    assert.deepEqual(rig.log, ["a:1", "a:1*"]);
  });

  check("a prefetch of 0 is no limit", (rig) => {
    rig.consume({ prefetch: 0 });
    rig.publish(...Array.from({ length: 200 }, (_, index) => `${index}`));
    assert.equal(rig.sink.unsettled.length, 200);
  });

  check("who settles nothing is stopped by no limit of its own", (rig) => {
    rig.consume({ tag: "a", noAck: true, prefetch: 1 });
    rig.publish("1", "2", "3");
    assert.deepEqual(rig.log, ["a:1", "a:2", "a:3"]);
  });

  check("who shares a limit that is reached is passed over", (rig) => {
    const spent = new RecordingSink();
    spent.withinPrefetch = false;
    const passed = rig.consume({ tag: "a" }, spent);
    rig.consume({ tag: "b" });
    rig.publish("1", "2");
    assert.deepEqual(rig.log, ["b:1", "b:2"]);
    assert.deepEqual(spent.parked, [passed]);
  });

  check("who has no room is passed over, whether it settles or not", (rig) => {
    const full = new RecordingSink();
    full.writable = false;
    const passed = [rig.consume({ noAck: true }, full), rig.consume({}, full)];
    rig.publish("1");
    assert.equal(rig.queue.readyCount, 1);
    rig.consume({ tag: "c" });
    rig.publish("2");
    assert.deepEqual(rig.log, ["c:1", "c:2"]);
    assert.deepEqual(full.parked, passed);
  });

  check("a consumer is parked when a message passes it, not before, and once", (rig) => {
    const consumer = rig.consume({ prefetch: 1 });
    rig.publish("1");
    assert.deepEqual(rig.sink.parked, []);
    assert.equal(consumer.parked, false);
    rig.publish("2", "3", "4");
    rig.serve();
    assert.deepEqual(rig.sink.parked, [consumer]);
    assert.equal(consumer.parked, true);
  });

  check("a parked consumer gets nothing until it is woken, and then all it can take", (rig) => {
    rig.sink.wakes = false;
    const parked = rig.consume({ tag: "a", prefetch: 2 });
    rig.publish("1", "2", "3", "4", "5");
    rig.settle("acknowledge", "1", "2");
    rig.serve();
    rig.publish("6");
    assert.deepEqual(rig.log, ["a:1", "a:2"]);
    rig.wake(parked);
    assert.deepEqual(rig.log.slice(2), ["a:3", "a:4"]);
    assert.equal(parked.parked, true, "parked again, for there is more");
    assert.equal(rig.queue.readyCount, 2);
  });

  check("waking one that cannot take yet parks it again", (rig) => {
    const parked = rig.consume({ prefetch: 1 });
    rig.publish("1", "2");
    rig.wake(parked);
    assert.deepEqual(rig.sink.parked, [parked, parked]);
    assert.equal(rig.sink.deliveries.length, 1);
  });

  check("a woken consumer stands behind the others", (rig) => {
    rig.sink.wakes = false;
    const woken = rig.consume({ tag: "a", prefetch: 1 });
    rig.publish("1", "2");
    rig.consume({ tag: "b" });
    rig.consume({ tag: "c" });
    rig.settle("acknowledge", "1");
    rig.wake(woken);
    assert.equal(woken.parked, false);
    rig.wake(woken);
    rig.publish("3", "4", "5", "6", "7", "8");
    assert.deepEqual(rig.log.slice(2), ["b:3", "c:4", "a:5", "b:6", "c:7", "b:8"]);
  });

  check("those who rejoin before the queue serves take turns", (rig) => {
    rig.sink.wakes = false;
    const first = rig.consume({ tag: "a", prefetch: 1 });
    const second = rig.consume({ tag: "b", prefetch: 1 });
    rig.publish("1", "2", "3", "4", "5");
    rig.settle("acknowledge", "1", "2");
    first.credit = second.credit = 3;
    rig.queue.rejoin(first);
    rig.queue.rejoin(second);
    rig.queue.rejoin(second);
    assert.deepEqual(rig.log.slice(2), []);
    rig.serve();
    assert.deepEqual(rig.log.slice(2), ["a:3", "b:4", "a:5"]);
  });

  check("waking one that is not parked gives it no second turn", (rig) => {
    const eager = rig.consume({ tag: "a" });
    rig.consume({ tag: "b" });
    rig.wake(eager);
    rig.wake(eager);
    rig.publish("1", "2", "3", "4");
    assert.deepEqual(rig.log, ["a:1", "b:2", "a:3", "b:4"]);
  });

  check("waking one that has left does not bring it back", (rig) => {
    const leaver = rig.consume({ tag: "a", prefetch: 1 });
    rig.publish("1", "2");
    rig.cancel(leaver);
    assert.equal(leaver.parked, false);
    rig.settle("acknowledge", "1");
    rig.wake(leaver);
    // Even one whose sink still takes it for parked.
    leaver.parked = true;
    rig.wake(leaver);
    assert.deepEqual(rig.log, ["a:1"]);
    assert.equal(rig.queue.readyCount, 1);
  });
}

function settlingContract(check: QueueTest): void {
  check("acknowledged and rejected messages are gone", (rig) => {
    rig.consume();
    rig.publish("1", "2", "3");
    rig.settle("acknowledge", "2");
    rig.settle("reject", "1");
    assert.equal(rig.queue.unsettledCount, 1);
    assert.equal(rig.messages.liveMessages, 1);
    assert.equal(rig.queue.readyCount, 0);
  });

  check("requeued messages return to where they stood, in whatever order they do", (rig) => {
    const orders = [
      ["1", "2", "3", "4"],
      ["4", "3", "2", "1"],
      ["3", "1", "4", "2"],
    ];
    for (const order of orders) {
      const leaver = rig.consume({ prefetch: 4 });
      rig.publish("1", "2", "3", "4", "5", "6");
      rig.cancel(leaver);
      rig.settle("requeue", ...order);
      assert.deepEqual(rig.drain(), ["1*", "2*", "3*", "4*", "5", "6"]);
    }
  });

  check("where a message stood does not depend on how it left", (rig) => {
    const full = rig.consume({ tag: "a" });
    rig.sink.writable = false;
    rig.publish("1", "2", "3");
    rig.sink.writable = true;
    rig.wake(full);
    rig.publish("4");
    rig.sink.writable = false;
    rig.publish("5", "6");
    rig.sink.writable = true;
    rig.wake(full);
    rig.cancel(full);
    rig.publish("7");
    const pulled = rig.get()!;
    rig.publish("8");
    rig.settlePull("requeue", pulled);
    rig.settle("requeue", "5", "2", "6", "4", "1", "3");
    assert.deepEqual(rig.drain(), ["1*", "2*", "3*", "4*", "5*", "6*", "7*", "8"]);
  });

  check("some requeued, some settled: the rest keeps its order", (rig) => {
    const leaver = rig.consume({ prefetch: 5 });
    rig.publish("1", "2", "3", "4", "5", "6");
    rig.cancel(leaver);
    rig.settle("acknowledge", "3");
    rig.settle("requeue", "5");
    rig.settle("reject", "1");
    rig.settle("requeue", "2");
    assert.deepEqual(rig.drain(), ["2*", "5*", "6"]);
    rig.settle("requeue", "4");
    assert.deepEqual(rig.drain(), ["4*"]);
  });

  check("a requeue waits for serve, so that many can return before one leaves", (rig) => {
    rig.consume({ tag: "a" });
    rig.publish("1", "2");
    rig.settle("requeue", "2");
    rig.settle("requeue", "1");
    assert.deepEqual(rig.log, ["a:1", "a:2"]);
    assert.equal(rig.queue.readyCount, 2);
    rig.serve();
    assert.deepEqual(rig.log.slice(2), ["a:1*", "a:2*"]);
  });

  check("what is published between a requeue and its serve comes after it", (rig) => {
    rig.consume({ tag: "a" });
    rig.publish("1");
    rig.settle("requeue", "1");
    rig.publish("2");
    rig.serve();
    assert.deepEqual(rig.log, ["a:1", "a:1*", "a:2"]);
  });

  check("a message is redelivered from its first requeue on, however often", (rig) => {
    rig.consume({ tag: "a" });
    rig.publish("1");
    for (let round = 0; round < 3; round++) {
      rig.settle("requeue", "1");
      rig.serve();
    }
    assert.deepEqual(rig.log, ["a:1", "a:1*", "a:1*", "a:1*"]);
    rig.publish("2");
    assert.deepEqual(rig.log.slice(4), ["a:2"]);
  });

  check("a message requeued by one consumer is redelivered to another", (rig) => {
    const leaver = rig.consume({ tag: "a" });
    rig.publish("1");
    rig.cancel(leaver);
    rig.consume({ tag: "b", noAck: true });
    rig.settle("requeue", "1");
    rig.serve();
    assert.deepEqual(rig.log, ["a:1", "b:1*"]);
    assert.equal(rig.messages.liveMessages, 0);
  });
}

function pullingContract(check: QueueTest): void {
  check("get takes the first message and says how many remain", (rig) => {
    rig.publish("1", "2", "3");
    const pulls = [rig.get()!, rig.get(true)!, rig.get()!];
    assert.deepEqual(
      pulls.map(({ body, remaining, redelivered }) => [body, remaining, redelivered]),
      [
        ["1", 2, false],
        ["2", 1, false],
        ["3", 0, false],
      ],
    );
    assert.equal(rig.get(), undefined);
    assert.equal(rig.queue.unsettledCount, 2);
  });

  check("with noAck a pulled message is settled, and not counted as acknowledged", (rig) => {
    rig.publish("1");
    assert.equal(rig.get(true)?.body, "1");
    assert.equal(rig.messages.liveMessages, 0);
    assert.equal(rig.queue.unsettledCount, 0);
    assert.equal(rig.queue.counts.acknowledged, 0);
  });

  check("pulled messages can be acknowledged, rejected and requeued", (rig) => {
    rig.publish("1", "2", "3", "4");
    const [first, second, third] = [rig.get()!, rig.get()!, rig.get()!];
    rig.settlePull("requeue", third);
    rig.settlePull("acknowledge", second);
    rig.settlePull("requeue", first);
    const again = rig.get()!;
    assert.deepEqual([again.body, again.redelivered, again.remaining], ["1", true, 2]);
    rig.settlePull("reject", again);
    assert.deepEqual(rig.drain(), ["3*", "4"]);
  });

  check("get takes what a consumer has no credit for", (rig) => {
    rig.consume({ prefetch: 1 });
    rig.publish("1", "2");
    assert.equal(rig.get()?.body, "2");
  });

  check("purge drops what is ready, requeued or not, and leaves what is unsettled", (rig) => {
    rig.consume({ tag: "a", prefetch: 3 });
    rig.sink.wakes = false;
    rig.publish("1", "2", "3", "4", "5");
    rig.settle("requeue", "2");
    assert.equal(rig.purge(), 3);
    assert.equal(rig.purge(), 0);
    assert.equal(rig.queue.unsettledCount, 2);
    rig.publish("6");
    rig.settle("requeue", "1");
    assert.deepEqual(rig.drain(), ["1*", "6"]);
  });
}

function endingContract(check: QueueTest): void {
  check("close drops what is ready and says how many", (rig) => {
    rig.consume({ prefetch: 1 });
    rig.publish("1", "2", "3");
    assert.equal(rig.queue.deleted, false);
    assert.equal(rig.close(), 2);
    assert.equal(rig.queue.deleted, true);
    assert.equal(rig.queue.readyCount, 0);
    assert.equal(rig.get(), undefined);
  });

  check("close tells every consumer once, and they are gone by then", (rig) => {
    const seen: number[] = [];
    class CountingSink extends RecordingSink {
      override cancelled(consumer: Parameters<RecordingSink["cancelled"]>[0]): void {
        super.cancelled(consumer);
        seen.push(consumer.queue.consumerCount);
      }
    }
    const sink = new CountingSink();
    const consumers = [rig.consume({}, sink), rig.consume({ prefetch: 1, priority: 1 }, sink)];
    rig.publish("1");
    rig.consume({ noAck: true, priority: 2 }, sink);
    rig.close();
    assert.deepEqual(sink.cancellations.slice(0, 2), consumers);
    assert.equal(sink.cancellations.length, 3);
    assert.deepEqual(seen, [0, 0, 0]);
  });

  check("a consumer may leave, wake or be served after the end without effect", (rig) => {
    const parked = rig.consume({ tag: "a", prefetch: 1 });
    rig.publish("1", "2");
    rig.close();
    assert.equal(parked.parked, false);
    rig.settle("acknowledge", "1");
    rig.wake(parked);
    rig.cancel(parked);
    rig.serve();
    assert.deepEqual(rig.log, ["a:1"]);
  });

  check("deliveries of a closed queue are settled in every way, and nothing returns", (rig) => {
    rig.consume();
    rig.publish("1", "2", "3");
    rig.close();
    assert.equal(rig.queue.unsettledCount, 3);
    rig.settle("requeue", "2");
    rig.settle("acknowledge", "1");
    rig.settle("reject", "3");
    assert.equal(rig.queue.readyCount, 0);
    assert.equal(rig.queue.unsettledCount, 0);
    assert.equal(rig.messages.liveMessages, 0);
  });
}
