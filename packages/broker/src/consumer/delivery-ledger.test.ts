/** Goal: the ledger finds every unsettled delivery by its tag, and costs what is unsettled. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteCount } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";
import fc from "fast-check";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { TestHost } from "../../test/test-host.ts";
import { MessageStore } from "../message/message-store.ts";
import { ClassicQueue } from "../queue/classic-queue.ts";
import type { Consumer } from "./consumer.ts";
import { DeliveryLedger, type LedgerEntry } from "./delivery-ledger.ts";

const spec = { name: "q", durable: false, exclusiveOwner: null, autoDelete: false };
const queue = new ClassicQueue(
  { ...spec, arguments: new FieldTable() },
  new MessageStore(),
  new TestHost(),
);
const consumers = ["a", "b", "c"].map((tag) => testConsumer(queue, new RecordingSink(), { tag }));
const everything = Number.POSITIVE_INFINITY;

/** What a delivery with this tag consists of in these tests: all of it follows from the tag. */
function entryOf(tag: number): LedgerEntry {
  const consumer = consumers[tag % consumers.length]!;
  return { tag, consumer, handle: tag * 2 ** 33 + 1, sequence: tag + 0.5 };
}

function add(ledger: DeliveryLedger, ...tags: number[]): void {
  for (const tag of tags) {
    const { consumer, handle, sequence } = entryOf(tag);
    ledger.add(tag, consumer, handle, sequence);
  }
}

/** The entry that was just taken out. */
function taken({ tag, consumer, handle, sequence }: DeliveryLedger): LedgerEntry {
  return { tag, consumer: consumer as Consumer, handle, sequence };
}

/** Takes out everything up to a tag, oldest first; the tags. */
function takeUpTo(ledger: DeliveryLedger, upTo: number): number[] {
  const tags: number[] = [];
  while (ledger.takeOldest(upTo)) {
    assert.deepEqual(taken(ledger), entryOf(ledger.tag));
    tags.push(ledger.tag);
  }
  return tags;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

test("a ledger that was never used is empty and costs no entries", () => {
  const ledger = new DeliveryLedger();
  assert.equal(ledger.size, 0);
  assert.equal(ledger.capacity, 0);
  assert.equal(ledger.has(0), false);
  assert.equal(ledger.take(0), false);
  assert.equal(ledger.takeOldest(everything), false);
});

test("memory of a large ledger is counted until it is empty", () => {
  const memory = new ByteCount();
  const ledger = new DeliveryLedger(memory);
  add(ledger, ...range(1, 4096));
  assert.equal(memory.bytes, 0);
  add(ledger, ...range(4097, 10_000));
  assert.equal(memory.bytes, ledger.capacity * 32);
  assert.ok(ledger.capacity >= 10_000);
  assert.equal(takeUpTo(ledger, everything).length, 10_000);
  assert.equal(memory.bytes, 0);
});

test("a delivery is taken out by its tag, once, with all that was noted of it", () => {
  const ledger = new DeliveryLedger();
  add(ledger, 1, 2, 3);
  assert.equal(ledger.size, 3);
  assert.equal(ledger.take(2), true);
  assert.deepEqual(taken(ledger), entryOf(2));
  assert.equal(ledger.size, 2);
  assert.equal(ledger.take(2), false);
  assert.equal(ledger.has(2), false);
  assert.equal(ledger.has(1), true);
  assert.equal(ledger.has(3), true);
});

test("tags that were never given are not found", () => {
  const ledger = new DeliveryLedger();
  add(ledger, 5, 7, 9);
  for (const tag of [-1, 0, 4, 6, 8, 10, 2 ** 53, Number.NaN]) {
    assert.equal(ledger.has(tag), false);
    assert.equal(ledger.take(tag), false);
  }
  assert.equal(ledger.size, 3);
});

test("takeOldest goes by age and stops at its limit", () => {
  const ledger = new DeliveryLedger();
  add(ledger, 2, 3, 5, 8);
  assert.deepEqual(takeUpTo(ledger, 1), []);
  assert.deepEqual(takeUpTo(ledger, 4), [2, 3]);
  assert.deepEqual(takeUpTo(ledger, 5), [5]);
  assert.deepEqual(takeUpTo(ledger, everything), [8]);
  assert.equal(ledger.size, 0);
});

test("takeOldest passes over what was taken before", () => {
  const ledger = new DeliveryLedger();
  add(ledger, 1, 2, 3, 4, 5);
  for (const tag of [2, 1, 4]) assert.equal(ledger.take(tag), true);
  assert.deepEqual(takeUpTo(ledger, everything), [3, 5]);
});

test("the newest can be taken first", () => {
  const ledger = new DeliveryLedger();
  add(ledger, ...range(1, 100));
  for (let tag = 100; tag > 0; tag--) assert.equal(ledger.take(tag), true, `${tag}`);
  assert.equal(ledger.size, 0);
  add(ledger, 101);
  assert.deepEqual(takeUpTo(ledger, everything), [101]);
});

test("deliveries are found while the ring goes round", () => {
  const ledger = new DeliveryLedger();
  add(ledger, ...range(1, 10));
  for (let tag = 11; tag < 500; tag++) {
    add(ledger, tag);
    assert.equal(ledger.take(tag - 5), true);
    assert.deepEqual(taken(ledger), entryOf(tag - 5));
  }
  assert.deepEqual(takeUpTo(ledger, everything), [1, 2, 3, 4, 5, ...range(495, 499)]);
});

test("a ring in step with its consumer does not grow", () => {
  const ledger = new DeliveryLedger();
  add(ledger, ...range(1, 10));
  const { capacity } = ledger;
  for (let tag = 11; tag < 1000; tag++) {
    add(ledger, tag);
    assert.equal(ledger.takeOldest(everything), true);
  }
  assert.equal(ledger.capacity, capacity);
});

test("one delivery that is never settled does not hold the memory of a million later ones", () => {
  const ledger = new DeliveryLedger();
  add(ledger, 1);
  let highest = 0;
  for (let tag = 2; tag <= 1_000_000; tag++) {
    add(ledger, tag);
    if (!ledger.take(tag)) assert.fail(`${tag} is lost`);
    highest = Math.max(highest, ledger.capacity);
  }
  assert.equal(ledger.size, 1);
  assert.ok(highest <= 16, `room for ${highest}`);
  assert.equal(ledger.has(1), true);
});

test("nor do ten that are never settled, among many that are settled in another order", () => {
  const ledger = new DeliveryLedger();
  const isKept = (tag: number): boolean => tag % 10_000 === 0;
  for (let first = 1; first < 100_000; first += 1000) {
    const tags = range(first, first + 999);
    add(ledger, ...tags);
    for (const tag of tags.reverse()) if (!isKept(tag)) ledger.take(tag);
    assert.ok(ledger.capacity <= 2048, `room for ${ledger.capacity} with ${ledger.size}`);
  }
  assert.equal(ledger.size, 10);
  assert.ok(range(1, 100_000).every((tag) => ledger.has(tag) === isKept(tag)));
});

test("a burst that is settled gives its memory back, also when one of it stays", () => {
  const settled = new DeliveryLedger();
  add(settled, ...range(1, 10_000));
  assert.ok(settled.capacity >= 10_000);
  takeUpTo(settled, everything);
  assert.ok(settled.capacity <= 16);

  const ledger = new DeliveryLedger();
  add(ledger, ...range(1, 10_000));
  for (const tag of range(2, 10_000)) ledger.take(tag);
  for (const tag of range(10_001, 30_000)) {
    add(ledger, tag);
    ledger.take(tag);
  }
  assert.equal(ledger.size, 1);
  assert.ok(ledger.capacity <= 64, `room for ${ledger.capacity} with one delivery`);
});

test("restore puts deliveries back among the others, by their tags", () => {
  const ledger = new DeliveryLedger();
  add(ledger, 1, 2, 3, 4, 5, 6);
  ledger.take(3);
  for (const tag of [5, 2, 1]) ledger.take(tag);
  ledger.restore([5, 2, 1].map(entryOf));
  assert.equal(ledger.size, 5);
  assert.equal(ledger.has(3), false);
  assert.deepEqual(takeUpTo(ledger, everything), [1, 2, 4, 5, 6]);
});

test("restore puts into an empty ledger, and nothing changes nothing", () => {
  const ledger = new DeliveryLedger();
  ledger.restore([]);
  assert.equal(ledger.size, 0);
  ledger.restore([entryOf(9), entryOf(4)]);
  ledger.restore([]);
  assert.deepEqual(takeUpTo(ledger, everything), [4, 9]);
});

const operation = fc.record({
  verb: fc.constantFrom("add", "add", "add", "take", "take", "upTo", "oldest", "miss", "back"),
  of: fc.nat(999),
});

test("the ledger agrees with a sorted list", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 300, size: "max" }), (operations) => {
      const ledger = new DeliveryLedger();
      let unsettled: number[] = [];
      let settled: number[] = [];
      let lastTag = 0;
      const settle = (tags: readonly number[]): void => {
        unsettled = unsettled.filter((tag) => !tags.includes(tag));
        settled.push(...tags);
      };
      for (const { verb, of } of operations) {
        const known = unsettled[of % Math.max(1, unsettled.length)];
        if (verb === "add") {
          for (let count = 0; count <= of % 4; count++) {
            // Tags are not consecutive: a channel also numbers what is not to be settled.
            lastTag += 1 + (of % 3);
            add(ledger, lastTag);
            unsettled.push(lastTag);
          }
        } else if (verb === "take" && known !== undefined) {
          assert.equal(ledger.take(known), true);
          assert.deepEqual(taken(ledger), entryOf(known));
          settle([known]);
        } else if (verb === "upTo" && known !== undefined && of % 5 === 0) {
          const due = unsettled.filter((tag) => tag <= known);
          assert.deepEqual(takeUpTo(ledger, known), due);
          settle(due);
        } else if (verb === "oldest") {
          assert.equal(ledger.takeOldest(everything), unsettled.length > 0);
          if (unsettled.length > 0) {
            assert.deepEqual(taken(ledger), entryOf(unsettled[0]!));
            settle([unsettled[0]!]);
          }
        } else if (verb === "miss") {
          const tag = of % (lastTag + 2);
          assert.equal(ledger.has(tag), unsettled.includes(tag));
          if (!unsettled.includes(tag)) assert.equal(ledger.take(tag), false);
        } else if (verb === "back") {
          const back = settled.slice(0, of % 6);
          ledger.restore(back.map(entryOf));
          settled = settled.filter((tag) => !back.includes(tag));
          unsettled = [...unsettled, ...back].sort((a, b) => a - b);
        }
        assert.equal(ledger.size, unsettled.length);
        assert.ok(unsettled.every((tag) => ledger.has(tag)));
      }
      assert.deepEqual(takeUpTo(ledger, everything), unsettled);
    }),
    { numRuns: 300 },
  );
});

test("what is unsettled can be looked at, oldest first, gaps left out", () => {
  const ledger = new DeliveryLedger();
  assert.deepEqual([...ledger.unsettled()], []);
  add(ledger, ...range(1, 20));
  for (const tag of [1, 2, 7, 20]) assert.ok(ledger.take(tag));
  add(ledger, ...range(21, 24));
  const expected = [...range(3, 6), ...range(8, 19), ...range(21, 24)];
  assert.deepEqual(
    [...ledger.unsettled()],
    expected.map((tag) => ({ tag, consumer: entryOf(tag).consumer })),
  );
  assert.equal(ledger.size, expected.length);
});
