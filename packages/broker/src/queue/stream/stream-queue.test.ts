/**
 * Goal: a stream gives every consumer every message from where it wants to begin, in order, at its
 * offset; it keeps what it may keep, and nothing it does costs a message.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { policyOf } from "../../../test/policy-of.ts";
import { StreamRig } from "../../../test/stream-rig.ts";
import { noPolicy } from "../../policy/effective-policy.ts";

const letters = [..."abcdefghij"];
const all = "0:a 1:b 2:c 3:d 4:e 5:f 6:g 7:h 8:i 9:j";

/** A stream with ten messages, of which the first five have been written. */
async function given(args: Record<string, unknown> = {}): Promise<StreamRig> {
  const rig = await StreamRig.create(args);
  await rig.publish(...letters.slice(0, 5));
  await rig.write();
  await rig.publish(...letters.slice(5));
  return rig;
}

it("is what it was declared as, and obeys a policy when it is given one", async () => {
  const rig = await StreamRig.create({ "x-max-age": "7D" });
  const { queue } = rig;
  assert.deepEqual(
    [queue.name, queue.durable, queue.autoDelete, queue.exclusiveOwner, queue.deleted],
    ["q", true, false, null, false],
  );
  assert.equal(queue.arguments.get("x-max-age")?.type, "S");
  assert.ok(queue.keepsAll && queue.deliversCopies);
  assert.equal(queue.policy, noPolicy);
  const policy = policyOf({ "max-age": "1D" });
  queue.applyPolicy(policy);
  assert.equal(queue.policy, policy);
});

describe("beginning to read", () => {
  const starts: readonly (readonly [unknown, string])[] = [
    ["first", all],
    ["last", "9:j"],
    ["next", ""],
    [0, all],
    [3, "3:d 4:e 5:f 6:g 7:h 8:i 9:j"],
    [7, "7:h 8:i 9:j"],
    [-1, all],
    [10, ""],
    [12, ""],
  ];
  for (const [offset, seen] of starts) {
    it(`from ${offset}`, async () => {
      const rig = await given();
      const reader = rig.consume({ "x-stream-offset": offset });
      await rig.settle();
      assert.equal(reader.seen, seen);
      await rig.publish("k", "l", "m");
      const rest = ["10:k", "11:l", "12:m"].slice(offset === 12 ? 2 : 0).join(" ");
      assert.equal(reader.seen, `${seen} ${rest}`.trim());
    });
  }

  it("without saying where is with what comes next", async () => {
    const rig = await given();
    const reader = rig.consume({});
    await rig.publish("k");
    assert.equal(reader.seen, "10:k");
  });

  it("by time is with the first message that is not older", async () => {
    const rig = await StreamRig.create();
    const times: number[] = [];
    for (const body of letters.slice(0, 6)) {
      await rig.advance(10_000);
      times.push(Math.ceil(rig.clock.wallMs() / 1000));
      await rig.publish(body);
    }
    const read = async (seconds: number): Promise<string> => {
      const reader = rig.consume({ "x-stream-offset": new Date(seconds * 1000) });
      await rig.settle();
      return reader.seen;
    };
    assert.equal(await read(times[0]!), "0:a 1:b 2:c 3:d 4:e 5:f");
    assert.equal(await read(times[3]!), "3:d 4:e 5:f");
    assert.equal(await read(times[3]! + 1), "4:e 5:f");
    assert.equal(await read(times[5]! + 100), "", "nothing is as young");
  });

  it("some time ago is with what came since", async () => {
    const rig = await StreamRig.create();
    for (const body of letters.slice(0, 5)) {
      await rig.publish(body);
      await rig.advance(3600_000);
    }
    const reader = rig.consume({ "x-stream-offset": "3h" });
    await rig.settle();
    assert.equal(reader.seen, "2:c 3:d 4:e");
    const late = rig.consume({ "x-stream-offset": "1s" });
    await rig.settle();
    assert.equal(late.seen, "");
    await rig.publish("new");
    assert.equal(late.seen, "5:new");
  });
});

describe("reading", () => {
  it("gives everybody everything", async () => {
    const rig = await given();
    const readers = [0, 4, 5, 9].map((offset) => rig.consume({ "x-stream-offset": offset }));
    await rig.settle();
    await rig.publish("k");
    const messages = `${all} 10:k`.split(" ");
    assert.deepEqual(
      readers.map(({ seen }) => seen),
      [0, 4, 5, 9].map((offset) => messages.slice(offset).join(" ")),
    );
    assert.equal(rig.queue.readyCount, 11);
    assert.equal(rig.queue.unsettledCount, 11 + 7 + 6 + 2);
    for (const reader of readers) reader.settle("acknowledge");
    assert.equal(rig.queue.unsettledCount, 0);
    assert.equal(rig.queue.readyCount, 11, "all of it stays");
    assert.deepEqual(rig.queue.counts, {
      ...rig.queue.counts,
      published: 11,
      delivered: 26,
      redelivered: 0,
      acknowledged: 26,
    });
  });

  it("spends credit, which comes back however a delivery is settled", async () => {
    const rig = await given();
    const reader = rig.consume(undefined, { prefetch: 3 });
    await rig.settle();
    assert.equal(reader.seen, "0:a 1:b 2:c");
    assert.equal(reader.parkedCount, 1);
    reader.settle("acknowledge", 1);
    await rig.settle();
    assert.equal(reader.seen, "0:a 1:b 2:c 3:d");
    reader.settle("reject", 0);
    reader.settle("requeue", 2);
    await rig.settle();
    assert.equal(reader.seen, "0:a 1:b 2:c 3:d 4:e 5:f");
    assert.equal(rig.queue.unsettledCount, 3);
  });

  it("stops while there is no room, and goes on where it was", async () => {
    const rig = await given();
    const reader = rig.consume({ "x-stream-offset": "next" });
    reader.writable = false;
    await rig.publish("k", "l");
    assert.equal(reader.seen, "");
    await rig.write();
    reader.writable = true;
    rig.queue.wake(reader.consumer);
    await rig.settle();
    assert.equal(reader.seen, "10:k 11:l");
  });

  it("survives that what was read leaves memory half way", async () => {
    const rig = await StreamRig.create();
    await rig.publish(...letters);
    const reader = rig.consume(undefined, { prefetch: 4 });
    await rig.write();
    assert.equal(reader.seen, "0:a 1:b 2:c 3:d");
    reader.settle("acknowledge");
    await rig.settle();
    reader.settle("acknowledge");
    await rig.settle();
    assert.equal(reader.seen, all);
  });

  it("ends with the consumer, also while something is being read for it", async () => {
    const rig = await given();
    const reader = rig.consume();
    reader.end();
    await rig.settle();
    assert.equal(reader.seen, "");
    assert.equal(rig.queue.consumerCount, 0);
    reader.end();
  });

  it("takes messages of any size", async () => {
    const rig = await StreamRig.create();
    const bodies = [0, 1, 1_000_000, 3, 300_000, 0, 262_144].map((size) => "x".repeat(size));
    await rig.publish(...bodies);
    const early = rig.consume();
    await rig.settle();
    await rig.write();
    const late = rig.consume();
    await rig.settle();
    for (const reader of [early, late]) {
      assert.deepEqual(
        reader.deliveries.map(({ body }) => body.length),
        bodies.map(({ length }) => length),
      );
    }
  });
});

describe("single active consumers", () => {
  const alone = { "x-stream-offset": "first", "x-single-active-consumer": true };

  it("of one tag take turns, and go on behind what was settled", async () => {
    const rig = await given();
    const readers = [1, 2, 3].map(() => rig.consume(alone, { tag: "g", prefetch: 4 }));
    const other = rig.consume(alone, { tag: "h" });
    await rig.settle();
    assert.deepEqual(
      readers.map(({ seen }) => seen),
      ["0:a 1:b 2:c 3:d", "", ""],
    );
    assert.equal(other.seen, all, "another tag is another group");
    readers[0]!.settle("acknowledge", 0, 1);
    await rig.settle();
    readers[1]!.end();
    readers[0]!.end();
    await rig.settle();
    assert.equal(readers[1]!.seen, "", "who waited and left is not asked");
    assert.equal(readers[2]!.seen, "2:c 3:d 4:e 5:f");
  });

  it("leave the place to the next one that comes", async () => {
    const rig = await given();
    const first = rig.consume(alone, { tag: "g" });
    await rig.settle();
    first.settle("acknowledge");
    first.end();
    await rig.publish("k");
    const second = rig.consume(alone, { tag: "g" });
    await rig.settle();
    assert.equal(second.seen, "10:k");
  });
});

describe("stored offsets", () => {
  const tracked = (offset: unknown = "first") => ({
    "x-stream-offset": offset,
    "x-stream-automatic-offset-tracking": true,
  });

  it("are where a consumer of the tag goes on", async () => {
    const rig = await given();
    const reader = rig.consume(tracked(), { tag: "t" });
    await rig.settle();
    reader.settle("acknowledge", 0, 1, 2, 4);
    reader.end();
    assert.deepEqual([...rig.queue.storedOffsets], [["t", 2]]);
    const again = rig.consume(tracked("last"), { tag: "t" });
    await rig.settle();
    assert.equal(again.seen, all.slice(all.indexOf("3:d")));
    const stranger = rig.consume(tracked("last"), { tag: "u" });
    await rig.settle();
    assert.equal(stranger.seen, "9:j");
  });

  it("grow with acknowledgements that come after the end, too", async () => {
    const rig = await given();
    const reader = rig.consume(tracked(), { tag: "t" });
    await rig.settle();
    reader.end();
    reader.settle("acknowledge", 3, 2, 1);
    assert.deepEqual([...rig.queue.storedOffsets], []);
    reader.settle("acknowledge", 0);
    assert.deepEqual([...rig.queue.storedOffsets], [["t", 3]]);
    reader.settle("requeue");
    assert.deepEqual([...rig.queue.storedOffsets], [["t", 3]]);
  });

  it("stay before what was given back", async () => {
    const rig = await given();
    const reader = rig.consume(tracked(), { tag: "t" });
    await rig.settle();
    reader.settle("acknowledge", 0);
    reader.settle("requeue", 1);
    reader.settle("acknowledge");
    assert.deepEqual([...rig.queue.storedOffsets], [["t", 0]]);
  });

  it("can be forgotten", async () => {
    const rig = await given();
    const reader = rig.consume(tracked(), { tag: "t" });
    await rig.settle();
    reader.settle("acknowledge", 0, 1, 2);
    reader.end();
    rig.queue.forgetOffset("t");
    const again = rig.consume(tracked("last"), { tag: "t" });
    await rig.settle();
    assert.equal(again.seen, "9:j");
  });

  it("go with the stream", async () => {
    const rig = await given();
    const reader = rig.consume(tracked(), { tag: "t" });
    await rig.settle();
    reader.settle("acknowledge");
    rig.queue.close();
    assert.deepEqual([...rig.queue.storedOffsets], []);
  });
});

describe("what a stream may keep", () => {
  /** A stream with so many segments of one message each. */
  async function segmented(args: Record<string, unknown>, count: number): Promise<StreamRig> {
    const rig = await StreamRig.create({ "x-stream-max-segment-size-bytes": 1, ...args });
    for (let i = 0; i < count; i++) {
      await rig.publish(`message ${i}`);
      await rig.write();
    }
    return rig;
  }

  it("is limited by size", async () => {
    const rig = await segmented({ "x-max-length-bytes": 500 }, 10);
    const { readyCount, firstOffset, endOffset, fileBytes, segmentCount } = rig.queue;
    assert.equal(endOffset, 10);
    assert.equal(readyCount, segmentCount);
    assert.equal(firstOffset, 10 - segmentCount);
    assert.ok(fileBytes <= 500 && segmentCount > 1, `${fileBytes} bytes in ${segmentCount}`);
    const reader = rig.consume();
    await rig.settle();
    assert.equal(reader.deliveries[0]!.offset, firstOffset);
    assert.equal(reader.deliveries.length, segmentCount);
  });

  it("is limited by age, also while nothing is published", async () => {
    const rig = await segmented({ "x-max-age": "1m" }, 4);
    assert.equal(rig.queue.segmentCount, 4);
    await rig.advance(50_000);
    assert.ok(rig.queue.segmentCount < 4);
    await rig.advance(3600_000);
    assert.equal(rig.queue.segmentCount, 1, "the last one stays");
    assert.equal(rig.queue.firstOffset, 3);
  });

  it("has a reader go on with what is left", async () => {
    const rig = await segmented({}, 10);
    const reader = rig.consume(undefined, { prefetch: 2 });
    await rig.settle();
    rig.queue.applyPolicy(policyOf({ "max-length-bytes": 500 }));
    await rig.settle();
    const { firstOffset } = rig.queue;
    assert.ok(firstOffset > 3);
    for (let i = 0; i < 5; i++) {
      reader.settle("acknowledge");
      await rig.settle();
    }
    const offsets = reader.deliveries.map(({ offset }) => offset);
    assert.deepEqual(offsets.slice(0, 2), [0, 1]);
    const rest = Array.from({ length: 10 - firstOffset }, (_, i) => firstOffset + i);
    assert.deepEqual(offsets.slice(-rest.length), rest);
  });

  it("is limited by policies as long as they apply, the stricter of two counting", async () => {
    const rig = await segmented({ "x-max-length-bytes": 100_000 }, 5);
    rig.queue.applyPolicy(policyOf({ "max-length-bytes": 1e9 }));
    await rig.settle();
    assert.equal(rig.queue.segmentCount, 5);
    rig.queue.applyPolicy(policyOf({ "max-age": "1s" }));
    await rig.settle();
    assert.equal(rig.queue.segmentCount, 1);
    rig.queue.applyPolicy(noPolicy);
    await rig.publish("a");
    await rig.write();
    await rig.advance(60_000);
    assert.equal(rig.queue.segmentCount, 2);
  });
});

describe("memory", () => {
  it("of what was written is given back, and files in memory count", async () => {
    const rig = await StreamRig.create();
    await rig.publish("x".repeat(100_000));
    const { streams } = rig.messages.memory;
    assert.ok(streams.bytes >= 100_000);
    await rig.write();
    assert.ok(streams.bytes >= 100_000, "there is no other place for it");
    assert.ok(streams.bytes < 110_000);
    rig.queue.close();
    await rig.settle();
    assert.equal(streams.bytes, 0);
  });

  it("for reading is bounded, whatever the number of readers", async () => {
    const rig = await StreamRig.create();
    for (let i = 0; i < 20; i++) {
      await rig.publish(...Array.from({ length: 20 }, () => "x".repeat(10_000)));
      await rig.write();
    }
    const readers = Array.from({ length: 300 }, () => rig.consume(undefined, { prefetch: 1 }));
    await rig.settle();
    for (let i = 0; i < 30; i++) await rig.settle();
    for (const { deliveries } of readers) assert.equal(deliveries.length, 1);
    const { readMemoryBytes } = rig.queue;
    assert.ok(readMemoryBytes <= 80 * 1024 * 1024, `${readMemoryBytes} bytes`);
    for (const reader of readers) reader.end();
    await rig.settle();
    assert.equal(rig.queue.readMemoryBytes, 0);
  });
});

describe("the end of a stream", () => {
  it("cancels its consumers, whatever they are at", async () => {
    const rig = await given();
    const readers = [
      rig.consume(undefined, { prefetch: 1 }),
      rig.consume({ "x-stream-offset": "next" }),
      rig.consume({ "x-stream-offset": "1h" }),
    ];
    rig.queue.close();
    await rig.settle();
    assert.ok(readers.every(({ isCancelled }) => isCancelled));
    assert.equal(rig.queue.consumerCount, 0);
    readers[0]!.settle("acknowledge");
    assert.equal(rig.queue.unsettledCount, 0);
  });
});
