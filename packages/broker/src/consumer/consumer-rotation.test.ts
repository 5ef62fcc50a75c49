/** Goal: consumers of a priority take fair turns, and who cannot take a message costs nothing. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import fc from "fast-check";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { TestHost } from "../../test/test-host.ts";
import { MessageStore } from "../message/message-store.ts";
import { ClassicQueue } from "../queue/classic-queue.ts";
import type { Consumer } from "./consumer.ts";
import { ConsumerRotation } from "./consumer-rotation.ts";

const spec = { name: "q", durable: false, exclusiveOwner: null, autoDelete: false };
const queue = new ClassicQueue(
  { ...spec, arguments: new FieldTable() },
  new MessageStore(),
  new TestHost(),
);

/** Counts how often it is asked, which is what a message costs in a rotation. */
class AskedSink extends RecordingSink {
  asked = 0;
  #hasRoom = true;

  constructor() {
    super();
    Object.defineProperty(this, "writable", {
      get: () => {
        this.asked++;
        return this.#hasRoom;
      },
      set: (hasRoom: boolean) => {
        this.#hasRoom = hasRoom;
      },
    });
  }
}

function consumersIn(rotation: ConsumerRotation, ...priorities: number[]): Consumer[] {
  return priorities.map((priority, index) => {
    const tag = String.fromCharCode(97 + index);
    const consumer = testConsumer(queue, new RecordingSink(), { tag, priority });
    rotation.add(consumer);
    return consumer;
  });
}

function turns(rotation: ConsumerRotation, count: number): string {
  return Array.from({ length: count }, () => rotation.next()?.tag ?? "-").join("");
}

function setRoom(consumer: Consumer, hasRoom: boolean): void {
  (consumer.sink as RecordingSink).writable = hasRoom;
}

test("nobody is next in an empty rotation", () => {
  assert.equal(new ConsumerRotation().next(), null);
});

test("consumers take turns in the order they came", () => {
  const rotation = new ConsumerRotation();
  consumersIn(rotation, 0, 0, 0);
  assert.equal(turns(rotation, 7), "abcabca");
});

test("a newcomer stands behind all others, wherever the turn is", () => {
  const rotation = new ConsumerRotation();
  const [, , c] = consumersIn(rotation, 0, 0, 0);
  rotation.remove(c!);
  assert.equal(turns(rotation, 1), "a");
  rotation.add(c!);
  assert.equal(turns(rotation, 5), "bacba");
});

test("the highest priority is served alone, whatever order they came in", () => {
  const rotation = new ConsumerRotation();
  const [, b, , d] = consumersIn(rotation, 0, 5, -3, 5, 2 ** 40);
  assert.equal(turns(rotation, 2), "ee");
  rotation.remove(rotation.next()!);
  assert.equal(turns(rotation, 3), "bdb");
  rotation.remove(b!);
  assert.equal(turns(rotation, 2), "dd");
  rotation.remove(d!);
  assert.equal(turns(rotation, 2), "aa");
});

test("who cannot take a message leaves the rotation, and is told", () => {
  const rotation = new ConsumerRotation();
  const [a, b, c] = consumersIn(rotation, 0, 0, 0);
  setRoom(a!, false);
  setRoom(b!, false);
  assert.equal(turns(rotation, 3), "ccc");
  for (const parked of [a!, b!]) {
    assert.equal(parked.parked, true);
    assert.deepEqual((parked.sink as RecordingSink).parked, [parked]);
    assert.equal(parked.next, null);
    assert.equal(parked.previous, null);
  }
  assert.equal(c!.parked, false);
  setRoom(a!, true);
  rotation.add(a!);
  assert.equal(turns(rotation, 4), "caca");
});

test("the lower priorities are served when the higher have left or cannot take", () => {
  const rotation = new ConsumerRotation();
  const [a, b] = consumersIn(rotation, 2, 1, 0);
  setRoom(a!, false);
  assert.equal(turns(rotation, 1), "b");
  setRoom(b!, false);
  assert.equal(turns(rotation, 1), "c");
  setRoom(a!, true);
  rotation.add(a!);
  assert.equal(turns(rotation, 1), "a");
});

test("removing who is not in changes nothing", () => {
  const rotation = new ConsumerRotation();
  const [a, b] = consumersIn(rotation, 0, 0);
  rotation.remove(a!);
  rotation.remove(a!);
  rotation.remove(testConsumer(queue, new RecordingSink()));
  assert.equal(turns(rotation, 2), "bb");
  rotation.remove(b!);
  assert.equal(turns(rotation, 1), "-");
});

test("a thousand consumers cost a message nothing, whether they can take it or not", () => {
  const rotation = new ConsumerRotation();
  const sinks = Array.from({ length: 1000 }, () => new AskedSink());
  for (const sink of sinks) rotation.add(testConsumer(queue, sink));
  const asked = (): number => sinks.reduce((total, sink) => total + sink.asked, 0);
  for (let count = 0; count < 2000; count++) rotation.next();
  assert.equal(asked(), 2000, "one is asked for each message");
  for (const sink of sinks.slice(1)) sink.writable = false;
  for (let count = 0; count < 2000; count++) assert.notEqual(rotation.next(), null);
  assert.equal(asked(), 4000 + 999, "and those without room once more, together");
});

test("priorities that were used once are forgotten", () => {
  const rotation = new ConsumerRotation();
  const keeper = testConsumer(queue, new RecordingSink(), { tag: "k", priority: -1 });
  rotation.add(keeper);
  const passed: Consumer[] = [];
  for (let priority = 0; priority < 1000; priority++) {
    const sink = new RecordingSink();
    const consumer = testConsumer(queue, sink, { priority });
    rotation.add(consumer);
    if (priority % 2 === 0) rotation.remove(consumer);
    else sink.writable = false;
    passed.push(consumer);
    assert.equal(rotation.next(), keeper);
    rotation.remove(consumer);
    assert.equal(rotation.levelCount, 1);
  }
});

test("thousands of priorities cost a message a logarithm, in whatever order they are woken", () => {
  const rotation = new ConsumerRotation();
  const count = 4096;
  let compared = 0;
  const consumers = Array.from({ length: count }, (_, index) => {
    // Every comparison of priorities asks for the number, so it can be counted.
    const counted = (): number => {
      compared++;
      return index;
    };
    const priority = { valueOf: counted } as unknown as number;
    return testConsumer(queue, new RecordingSink(), { tag: `${index}`, priority });
  });
  const spread = (index: number): number => (index * 2731) % count;
  for (const order of [(index: number) => index, (index: number) => count - 1 - index, spread]) {
    compared = 0;
    for (let index = 0; index < count; index++) {
      const consumer = consumers[order(index)]!;
      consumer.parked = false;
      setRoom(consumer, true);
      rotation.add(consumer);
    }
    assert.equal(rotation.levelCount, count);
    for (let index = count - 1; index >= 0; index--) {
      assert.equal(rotation.next()?.tag, `${index}`);
      setRoom(consumers[index]!, false);
    }
    assert.equal(rotation.next(), null);
    // Two numbers a comparison, two comparisons a step down, one a step up.
    assert.ok(compared <= count * 6 * Math.log2(count) + count * 4, `${compared}`);
  }
});

const operation = fc.record({
  verb: fc.constantFrom("add", "add", "remove", "next", "next", "next", "room", "wake", "wake"),
  at: fc.nat(9),
});

test("the rotation agrees with a list that is sorted for every message", () => {
  const someAlike = fc.constant([0, 0, 0, 0, 7, 7, -2, -2, 3, 0]);
  const anyAtAll = fc.array(fc.integer(), { minLength: 10, maxLength: 10 });
  const priorityLists = fc.oneof(someAlike, anyAtAll);
  const operationLists = fc.array(operation, { maxLength: 150, size: "max" });
  fc.assert(
    fc.property(priorityLists, operationLists, (priorities, operations) => {
      const rotation = new ConsumerRotation();
      const all = priorities.map((priority, index) =>
        testConsumer(queue, new RecordingSink(), { tag: `${index}`, priority }),
      );
      /** Who is in, the one that has waited longest first. */
      let waiting: Consumer[] = [];
      const expectedNext = (): Consumer | undefined => {
        const byPriority = [...waiting].sort((a, b) => b.priority - a.priority);
        const turn = byPriority.findIndex(({ canTake }) => canTake);
        const passed = turn < 0 ? byPriority : byPriority.slice(0, turn + 1);
        waiting = waiting.filter((each) => !passed.includes(each));
        if (turn >= 0) waiting.push(byPriority[turn]!);
        return byPriority[turn];
      };
      for (const { verb, at } of operations) {
        const consumer = all[at]!;
        if (verb === "room") {
          setRoom(consumer, !consumer.sink.writable);
        } else if (verb === "next") {
          assert.equal(rotation.next(), expectedNext() ?? null);
          for (const each of all) {
            assert.equal(each.next !== null, waiting.includes(each), "parked ones are out");
          }
        } else if (verb === "remove") {
          rotation.remove(consumer);
          consumer.parked = false;
          waiting = waiting.filter((each) => each !== consumer);
        } else if (!waiting.includes(consumer) && (verb === "wake") === consumer.parked) {
          consumer.parked = false;
          rotation.add(consumer);
          waiting.push(consumer);
        }
      }
    }),
    { numRuns: 400 },
  );
});

test("within a priority nobody gets two turns more than another who was there as long", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 12 }), fc.nat(200), (count, served) => {
      const rotation = new ConsumerRotation();
      const consumers = consumersIn(rotation, ...Array.from({ length: count }, () => 1));
      const got = new Map(consumers.map((consumer) => [consumer, 0]));
      for (let index = 0; index < served; index++) {
        const consumer = rotation.next()!;
        got.set(consumer, got.get(consumer)! + 1);
      }
      const counts = [...got.values()];
      assert.ok(Math.max(...counts) - Math.min(...counts) <= 1);
    }),
  );
});
