/**
 * Goal: whatever is reserved, retained and released in whatever order, the arena agrees with a
 * plain list of records: bytes are never overwritten while a record lives, handles are unique among
 * the living, and memory follows what lives.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import fc from "fast-check";
import { MessageArena, recordHeadBytes } from "./message-arena.ts";

const slabBytes = 2 ** 20;

interface LiveRecord {
  readonly handle: number;
  readonly length: number;
  readonly mark: number;
  references: number;
}

/** An arena beside the list of what should be in it. */
class WatchedArena {
  readonly arena = new MessageArena();
  readonly live: LiveRecord[] = [];
  #reserved = 0;

  reserve(length: number): void {
    const { arena } = this;
    const mark = ++this.#reserved;
    const handle = arena.reserve(length);
    assert.ok(!this.live.some((record) => record.handle === handle), `handle ${handle} is taken`);
    const start = arena.offset + recordHeadBytes;
    assert.ok(start + length <= arena.bytes.length, "the record ends within its slab");
    fill(arena.bytes, start, length, mark);
    arena.words.fill(mark, (arena.offset >>> 2) + 1, (arena.offset >>> 2) + 4);
    this.live.push({ handle, length, mark, references: 1 });
  }

  retain(index: number): void {
    const record = this.live[index % this.live.length]!;
    this.arena.retain(record.handle);
    record.references++;
  }

  release(index: number): void {
    const at = index % this.live.length;
    const record = this.live[at]!;
    this.#checkRecord(record);
    this.arena.release(record.handle);
    if (--record.references === 0) this.live.splice(at, 1);
  }

  check(): void {
    for (const record of this.live) this.#checkRecord(record);
    const expectedBytes = this.#expectedBytes();
    const { usedBytes, liveRecords } = this.arena.stats;
    assert.equal(liveRecords, this.live.length);
    assert.equal(usedBytes, expectedBytes);
    assert.equal(this.arena.usedBytes, expectedBytes);
  }

  #checkRecord({ handle, length, mark, references }: LiveRecord): void {
    const { arena } = this;
    arena.open(handle);
    const word = arena.offset >>> 2;
    assert.deepEqual([...arena.words.subarray(word, word + 4)], [references, mark, mark, mark]);
    const start = arena.offset + recordHeadBytes;
    assert.ok(isFilled(arena.bytes, start, length, mark), `record ${mark} is corrupted`);
  }

  /** Every slab that holds a living record counts once, and the one being filled counts too. */
  #expectedBytes(): number {
    const slabs = new Set<Buffer>();
    for (const { handle } of this.live) {
      this.arena.open(handle);
      slabs.add(this.arena.bytes);
    }
    this.arena.release(this.arena.reserve(0));
    slabs.add(this.arena.bytes);
    return [...slabs].reduce((total, slab) => total + slab.length, 0);
  }
}

/** Long records are marked at both ends and here and there between, to keep the test quick. */
function fill(bytes: Buffer, start: number, length: number, mark: number): void {
  for (let at = 0; at < length; at += stepOf(length)) bytes[start + at] = mark;
  if (length > 0) bytes[start + length - 1] = mark;
}

function isFilled(bytes: Buffer, start: number, length: number, mark: number): boolean {
  for (let at = 0; at < length; at += stepOf(length)) {
    if (bytes[start + at] !== (mark & 0xff)) return false;
  }
  return length === 0 || bytes[start + length - 1] === (mark & 0xff);
}

function stepOf(length: number): number {
  return length < 256 ? 1 : 509;
}

const recordLength = fc.oneof(
  { weight: 6, arbitrary: fc.nat(64) },
  { weight: 4, arbitrary: fc.nat(60_000) },
  { weight: 3, arbitrary: fc.integer({ min: 200_000, max: 600_000 }) },
  { weight: 1, arbitrary: fc.integer({ min: slabBytes - 40, max: slabBytes + 40 }) },
  { weight: 1, arbitrary: fc.constant(3 * slabBytes) },
);
const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ verb: fc.constant("reserve" as const), of: recordLength }),
  },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant("retain" as const), of: fc.nat(999) }) },
  { weight: 5, arbitrary: fc.record({ verb: fc.constant("release" as const), of: fc.nat(999) }) },
);

test("the arena agrees with a list of records", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120, size: "max" }), (steps) => {
      const watched = new WatchedArena();
      for (const { verb, of } of steps) {
        if (verb === "reserve") watched.reserve(of);
        else if (watched.live.length > 0) watched[verb](of);
        watched.check();
      }
      while (watched.live.length > 0) watched.release(0);
      watched.check();
      assert.equal(watched.arena.usedBytes, slabBytes);
    }),
    { numRuns: 60 },
  );
});

test("memory stays bounded under churn, though the living come and go in any order", () => {
  const seed = 20_240_601;
  const random = new SeededRandom(seed);
  const arena = new MessageArena();
  const live: number[] = [];
  const livingMax = 2000;
  let highestBytes = 0;
  let highestHandle = 0;
  for (let count = 0; count < 300_000; count++) {
    if (live.length === livingMax) {
      const at = random.below(livingMax);
      arena.release(live[at]!);
      live[at] = live[livingMax - 1]!;
      live.pop();
    }
    const handle = arena.reserve(random.below(2000));
    live.push(handle);
    highestBytes = Math.max(highestBytes, arena.usedBytes);
    highestHandle = Math.max(highestHandle, handle);
  }
  // A slab holds about a thousand records, of which half die with every 1,400 that are written. The
  // last of them dies some fifteen slabs later; a leak would end at three hundred.
  assert.ok(highestBytes <= 24 * slabBytes, `${highestBytes} bytes with seed ${seed}`);
  assert.ok(highestHandle <= (24 * slabBytes) / 8, `handle ${highestHandle} with seed ${seed}`);
  for (const handle of live) arena.release(handle);
  assert.equal(arena.usedBytes, slabBytes);
  assert.equal(arena.stats.liveRecords, 0);
});
