/**
 * Goal: handles are unique and stay right, whatever the size of what is appended; nothing leaks.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { type LogDisk, MessageLog } from "./message-log.ts";
import { headBytes, RecordKind, recordBytes, userWord } from "./record.ts";
import type { Segment } from "./segment.ts";

const sizes = { segmentBytes: 4096, transientSegmentBytes: 1024, roundBytes: 4096 };

/** A disk that never writes, and forgets dead segments at once. */
class IdleDisk implements LogDisk {
  readonly appended: Segment[] = [];
  readonly settled: Segment[] = [];
  readonly dead: Segment[] = [];

  onAppend(segment: Segment): void {
    this.appended.push(segment);
  }
  onTurn(): void {}
  onSettlement(segment: Segment): void {
    this.settled.push(segment);
  }
  onDead(segment: Segment): boolean {
    this.dead.push(segment);
    return true;
  }
  letGo(segment: Segment): void {
    segment.letGo();
  }
}

function durableLog(): { log: MessageLog; disk: IdleDisk } {
  const log = new MessageLog(64 * 1024, sizes);
  const disk = new IdleDisk();
  log.disk = disk;
  return { log, disk };
}

test("handles are unique among the living, and records keep their bytes, over any sizes", () => {
  const random = new SeededRandom(7);
  const { log } = durableLog();
  const living = new Map<number, { mark: number; length: number; isDurable: boolean }>();
  for (let step = 0; step < 20_000; step++) {
    if (random.below(2) === 0 || living.size === 0) {
      const length = random.below(random.pick([10, 200, 200, 2000, 6000]));
      const isDurable = random.below(2) === 0;
      const handle = isDurable
        ? log.appendDurable(length, [1], RecordKind.Message)
        : log.appendTransient(length);
      assert.ok(!living.has(handle), `step ${step}: handle ${handle} is taken`);
      const mark = step & 0xff;
      assert.ok(log.contentStart + length <= log.bytes.length);
      log.bytes.fill(mark, log.contentStart, log.contentStart + length);
      log.words[log.word + userWord] = step;
      living.set(handle, { mark, length, isDurable });
    } else {
      const handle = random.pick([...living.keys()]);
      const { mark, length, isDurable } = living.get(handle)!;
      log.open(handle);
      const content = log.bytes.subarray(log.contentStart, log.contentStart + length);
      assert.ok(content.every((byte) => byte === mark));
      if (isDurable) log.settle(handle, 1);
      else log.release(handle);
      living.delete(handle);
    }
    if (step % 1000 === 0) assert.equal(log.stats.liveRecords, living.size);
  }
  for (const [handle, { isDurable }] of living) {
    if (isDurable) log.settle(handle, 1);
    else log.release(handle);
  }
  const { liveRecords, liveBytes, segments } = log.stats;
  assert.deepEqual({ liveRecords, liveBytes }, { liveRecords: 0, liveBytes: 0 });
  assert.ok(segments <= 2, "only those that are being filled are left");
});

test("a record has as many holders as took it", () => {
  const { log } = durableLog();
  const handle = log.appendDurable(10, [1, 2, 3], RecordKind.Message);
  log.retain(handle);
  log.retain(handle);
  for (const queue of [1, 2]) log.settle(handle, queue);
  assert.equal(log.stats.liveRecords, 1);
  log.settle(handle, 3);
  assert.equal(log.stats.liveRecords, 0);
});

test("a group that needs more than a segment lies in one all the same, and its handles are right", () => {
  const log = new MessageLog();
  log.disk = new IdleDisk();
  const length = 1024 * 1024;
  const count = 40;
  const before = log.appendDurable(8, [1], RecordKind.Message);
  log.beginGroup(count * recordBytes(1, length));
  const handles: number[] = [];
  for (let i = 0; i < count; i++) {
    const kind = i === count - 1 ? RecordKind.GroupEnd : RecordKind.Grouped;
    handles.push(log.appendDurable(length, [1], kind));
    log.words[log.word + userWord] = i;
    log.bytes[log.contentStart + length - 1] = i;
  }
  const other = log.appendTransient(8);
  assert.equal(new Set([before, other, ...handles]).size, count + 2);
  const segment = log.segmentOf(handles[0]!);
  for (const [i, handle] of handles.entries()) {
    assert.equal(log.segmentOf(handle), segment);
    assert.equal(log.handleOf(segment, log.unitOf(handle)), handle);
    log.open(handle);
    assert.equal(log.words[log.word + userWord], i);
    assert.equal(log.bytes[log.contentStart + length - 1], i);
  }
  assert.equal(log.stats.segments, 3);
  for (const handle of handles) log.settle(handle, 1);
  assert.equal(log.stats.liveRecords, 2);
  // Its slots serve again.
  log.appendDurable(17 * length, [1], RecordKind.Message);
  assert.ok(log.segments.length <= 6);
});

test("a group beyond all measure is refused before anything is appended", () => {
  const { log } = durableLog();
  assert.throws(() => log.beginGroup(2 ** 31), RangeError);
  assert.equal(log.position, 0);
});

test("a record larger than a segment gets one of its own, and positions still go up in order", () => {
  const { log } = durableLog();
  const bases: number[] = [];
  for (const length of [10, 5000, 10, 9000, 20]) {
    const before = log.position;
    const handle = log.appendDurable(length, [1], RecordKind.Message);
    assert.ok(log.position >= before + recordBytes(1, length));
    bases.push(log.segmentOf(handle).positionBase);
  }
  assert.deepEqual(
    bases,
    [...bases].sort((a, b) => a - b),
  );
  for (const segment of new Set(log.segments)) {
    if (segment === undefined) continue;
    const next = log.segments.find((each) => (each?.number ?? 0) > segment.number);
    if (next === undefined) continue;
    assert.equal(segment.positionBase + segment.tail, next.positionBase);
  }
});

test("there is always room for the end of a segment", () => {
  const random = new SeededRandom(3);
  for (let round = 0; round < 200; round++) {
    const { log, disk } = durableLog();
    for (let i = 0; i < 100; i++) {
      log.appendDurable(random.below(random.pick([8, 300])), [1], RecordKind.Message);
      if (random.below(3) === 0) log.appendMark(log.tailSegment!);
    }
    for (const segment of new Set(disk.appended)) {
      assert.ok(segment.tail <= segment.bytes!.length);
      if (segment.isFull) assert.equal(segment.tail - headBytes, lastUnitOf(segment) * 8);
    }
  }
});

function lastUnitOf(segment: Segment): number {
  return segment.unitAt(segment.recordCount - 1);
}

test("a full segment that dies is told, one that is being filled is not", () => {
  const { log, disk } = durableLog();
  const first = log.appendDurable(3000, [1], RecordKind.Message);
  log.settle(first, 1);
  assert.deepEqual(disk.dead, []);
  const segment = log.segmentOf(first);
  log.appendDurable(3000, [1], RecordKind.Message);
  assert.deepEqual(disk.dead, [segment]);
});

test("transient records use the same memory again once all are gone", () => {
  const log = new MessageLog(64 * 1024, sizes);
  const first = log.appendTransient(100);
  const { bytes } = log;
  log.release(first);
  assert.equal(log.appendTransient(100), first);
  assert.equal(log.bytes, bytes);
});

test("without a disk, durable records are transient ones", () => {
  const log = new MessageLog(64 * 1024, sizes);
  const handle = log.appendDurable(10, [1, 2], RecordKind.Message);
  assert.equal(log.isDurable(handle), false);
  assert.equal(log.position, 0);
  log.settle(handle, 1);
  assert.equal(log.stats.liveRecords, 0);
});

test("a note of the log's own leaves alone what is just being filled", () => {
  const { log } = durableLog();
  const handle = log.appendDurable(10, [1], RecordKind.Message);
  const { word, contentStart, bytes } = log;
  log.appendMark(log.tailSegment!);
  log.appendEnd(log.tailSegment!);
  assert.deepEqual([log.word, log.contentStart], [word, contentStart]);
  assert.equal(log.bytes, bytes);
  assert.equal(log.stats.liveRecords, 1);
  log.settle(handle, 1);
  assert.equal(log.stats.liveBytes, 0);
});

test("what a group that is not durable yet has settled is not written as dead", () => {
  const { log } = durableLog();
  const before = log.appendDurable(10, [1], RecordKind.Message);
  log.beginGroup(200);
  log.appendDurable(10, [1], RecordKind.Grouped);
  log.release(log.appendDurable(0, [], RecordKind.GroupEnd));
  const after = log.appendDurable(10, [1], RecordKind.Message);
  const segment = log.segmentOf(before);
  log.settle(before, 1);
  log.settle(after, 1);
  assert.deepEqual([...segment.keptUnits!], [log.unitOf(before)]);
  assert.deepEqual(segment.settlements, [log.unitOf(before), 1]);
  assert.equal(segment.waitsFor, log.groupPosition);
});

test("the counts of garbage and memory are those of the segments", () => {
  const { log } = durableLog();
  const handles = [1, 2, 3].map(() => log.appendDurable(100, [1], RecordKind.Message));
  log.settle(handles[1]!, 1);
  const { liveBytes, garbageBytes, residentBytes } = log.stats;
  const each = recordBytes(1, 100);
  assert.deepEqual({ liveBytes, garbageBytes }, { liveBytes: 2 * each, garbageBytes: each });
  assert.equal(residentBytes, sizes.segmentBytes);
});
