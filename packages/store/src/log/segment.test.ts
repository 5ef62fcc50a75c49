/**
 * Goal: whatever happens to a segment's records, in memory or away, it knows at all times which of
 * them live, and how many bytes they take.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteCount } from "@haremq/kernel";
import fc from "fast-check";
import { bytesWord, referencesWord } from "./record.ts";
import { Segment } from "./segment.ts";

const capacity = 4096;

/** A segment beside a plain account of its records. */
class WatchedSegment {
  readonly memory = new ByteCount();
  readonly segment = new Segment("durable", 1, 0, 1, this.memory);
  readonly references = new Map<number, number>();
  readonly lengths = new Map<number, number>();

  constructor() {
    this.segment.beginMemory(Buffer.alloc(capacity));
  }

  add(units: number): void {
    const { segment } = this;
    const bytes = units * 8;
    if (!segment.isResident || segment.isFull || segment.tail + bytes > capacity) return;
    const unit = segment.tail >>> 3;
    segment.add(bytes);
    segment.words![(unit << 1) + referencesWord] = 1;
    segment.words![(unit << 1) + bytesWord] = bytes;
    this.references.set(unit, 1);
    this.lengths.set(unit, bytes);
  }

  retain(draw: number): void {
    const unit = this.#living(draw);
    if (unit === undefined) return;
    this.segment.retain(unit);
    this.references.set(unit, this.references.get(unit)! + 1);
  }

  release(draw: number): void {
    const unit = this.#living(draw);
    if (unit === undefined) return;
    const left = this.references.get(unit)! - 1;
    assert.equal(this.segment.release(unit), left === 0);
    this.references.set(unit, left);
  }

  leave(): void {
    if (!this.segment.isResident) return;
    this.segment.isFull = true;
    // What comes back from disk has no idea of references.
    const bytes = this.segment.leaveMemory();
    for (const unit of this.lengths.keys()) bytes.writeInt32LE(0x7777, unit * 8);
    this.#away = bytes;
  }

  enter(): void {
    if (this.segment.isResident) return;
    this.segment.enterMemory(this.#away!);
  }

  /** As compaction does. */
  keepLiving(): void {
    if (!this.segment.isResident || !this.segment.isFull) return;
    const living = [...this.references].filter(([, count]) => count > 0).map(([unit]) => unit);
    const lengths = living.map((unit) => this.lengths.get(unit)!);
    this.segment.keepOnly(Uint32Array.from(living), Uint32Array.from(lengths));
    for (const unit of [...this.references.keys()]) {
      if (!living.includes(unit)) this.references.delete(unit);
    }
  }

  #away: Buffer | undefined;

  check(): void {
    const { segment } = this;
    const living = [...this.references].filter(([, count]) => count > 0);
    assert.equal(segment.liveRecords, living.length);
    assert.equal(
      segment.liveBytes,
      living.reduce((sum, [unit]) => sum + this.lengths.get(unit)!, 0),
    );
    assert.equal(segment.recordCount, this.references.size);
    for (const [unit, count] of this.references) {
      const index = segment.indexOf(unit);
      assert.equal(segment.unitAt(index), unit);
      assert.equal(segment.lengthAt(index), this.lengths.get(unit));
      assert.equal(segment.livesAt(index), count > 0);
      if (segment.isResident) assert.equal(segment.words![unit * 2 + referencesWord], count);
    }
  }

  #living(draw: number): number | undefined {
    const living = [...this.references].filter(([, count]) => count > 0);
    return living[draw % living.length]?.[0];
  }
}

test("the account is right after any sequence of events", () => {
  const step = fc.oneof(
    {
      weight: 5,
      arbitrary: fc.tuple(fc.constant("add" as const), fc.integer({ min: 4, max: 20 })),
    },
    { weight: 3, arbitrary: fc.tuple(fc.constant("retain" as const), fc.nat()) },
    { weight: 6, arbitrary: fc.tuple(fc.constant("release" as const), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("leave" as const), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("enter" as const), fc.nat()) },
    { weight: 1, arbitrary: fc.tuple(fc.constant("keepLiving" as const), fc.nat()) },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const watched = new WatchedSegment();
      for (const [event, draw] of steps) {
        watched[event](draw);
        watched.check();
      }
      watched.segment.forget();
      assert.equal(watched.memory.bytes, 0);
    }),
  );
});

test("memory that it takes to know of the records is counted, and little while away", () => {
  const { segment, memory } = new WatchedSegment();
  assert.equal(memory.bytes, 0);
  for (let i = 0; i < 128; i++) segment.add(32);
  assert.equal(memory.bytes, 512, "four bytes each");
  segment.leaveMemory();
  assert.equal(memory.bytes, 24 + 16, "a straight line, and a bit each");
  for (let i = 0; i < 2; i++) segment.retain(0);
  assert.equal(memory.bytes, 24 + 128, "a byte each for the references");
});

test("records found by recovery live once they are revived, away and in memory", () => {
  const lengths = fc.array(fc.integer({ min: 4, max: 9 }), { minLength: 1, maxLength: 40 });
  const references = fc.array(fc.nat(3), { minLength: 40, maxLength: 40 });
  fc.assert(
    fc.property(lengths, references, fc.boolean(), (units, counts, isResident) => {
      const segment = new Segment("durable", 1, 0, 1);
      const starts: number[] = [];
      let tail = 0;
      for (const length of units) {
        starts.push(tail);
        tail += length;
      }
      const bytes = Buffer.alloc(tail * 8);
      for (const [i, start] of starts.entries()) bytes.writeInt32LE(units[i]! * 8, start * 8 + 8);
      segment.restore(Uint32Array.from(starts), undefined, tail * 8);
      if (isResident) segment.enterMemory(bytes);
      for (const [i] of starts.entries()) if (counts[i]! > 0) segment.revive(i, counts[i]!);
      if (!isResident) segment.enterMemory(bytes);
      for (const [i, start] of starts.entries()) {
        assert.equal(segment.words![start * 2 + referencesWord], counts[i]);
        for (let left = counts[i]!; left > 0; left--) {
          assert.equal(segment.release(start), left === 1);
        }
      }
      assert.equal(segment.liveRecords, 0);
      assert.equal(segment.liveBytes, 0);
    }),
  );
});

test("who releases more than was held is told, in memory and away", () => {
  const watched = new WatchedSegment();
  watched.add(4);
  watched.add(4);
  watched.release(0);
  assert.throws(() => watched.segment.release(0), /more often/);
  watched.leave();
  assert.throws(() => watched.segment.release(0), /more often/);
});

test("a restart writes everything again, and old marks say nothing of the new file", () => {
  const watched = new WatchedSegment();
  const { segment } = watched;
  watched.add(5);
  segment.words!.set([0, 0, 32, 6, 40], segment.tail >>> 2); // a mark: 40 bytes were synced
  segment.addOwn(32);
  segment.writtenTo = segment.tail;
  segment.writtenRecords = 2;
  segment.syncedTo = 40;
  segment.suspicion = new Error("no longer trusted");
  const generation = segment.nextGeneration();
  segment.restart(generation);
  assert.equal(segment.generation, generation);
  assert.equal(segment.writtenTo, 0);
  assert.equal(segment.writtenRecords, 0);
  assert.equal(segment.syncedTo, 0);
  assert.equal(segment.suspicion, undefined);
  assert.equal(segment.words![10 + 4], 0);
  assert.ok(segment.nextGeneration() > generation);
  assert.equal(segment.nextGeneration(17), 18);
});
