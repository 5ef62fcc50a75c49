/** Goal: both clocks fire on time and in order, and only what was not cancelled. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SystemClock, VirtualClock } from "./clock.ts";

test("a virtual clock stands still until it advances", () => {
  const clock = new VirtualClock(1_000_000);
  assert.equal(clock.nowMs(), 0);
  assert.equal(clock.wallMs(), 1_000_000);
  clock.advance(1500);
  assert.equal(clock.nowMs(), 1500);
  assert.equal(clock.wallMs(), 1_001_500);
});

test("a virtual clock fires in order, and shows each callback the time it was due", () => {
  const clock = new VirtualClock();
  const fired: [string, number][] = [];
  clock.schedule(30, () => fired.push(["c", clock.nowMs()]));
  clock.schedule(10, () => {
    fired.push(["a", clock.nowMs()]);
    clock.schedule(5, () => fired.push(["b", clock.nowMs()]));
  });
  clock.advance(20);
  assert.deepEqual(fired, [
    ["a", 10],
    ["b", 15],
  ]);
  assert.equal(clock.pending, 1);
  clock.advance(10);
  assert.deepEqual(fired.at(-1), ["c", 30]);
});

test("a timer that renews itself fires as often as an interval would", () => {
  const clock = new VirtualClock();
  let beats = 0;
  const beat = (): void => {
    beats++;
    clock.schedule(1000, beat);
  };
  clock.schedule(1000, beat);
  clock.advance(60_000);
  assert.equal(beats, 60);
});

test("a virtual timer that was cancelled does not fire", () => {
  const clock = new VirtualClock();
  const timer = clock.schedule(10, () => assert.fail("was cancelled"));
  timer.cancel();
  clock.advance(100);
  assert.equal(clock.pending, 0);
});

test("the system clock fires, never early, by due time", async () => {
  const clock = new SystemClock();
  const begunMs = clock.nowMs();
  const fired: { name: string; afterMs: number }[] = [];
  await new Promise<void>((resolve) => {
    const note = (name: string): number => fired.push({ name, afterMs: clock.nowMs() - begunMs });
    clock.schedule(20, () => {
      note("late");
      resolve();
    });
    // Scheduled later but due earlier, so the one Node timer has to be brought forward.
    clock.schedule(3, () => note("early"));
    clock.schedule(5, () => assert.fail("was cancelled")).cancel();
  });
  clock.stop();
  assert.deepEqual(
    fired.map((entry) => entry.name),
    ["early", "late"],
  );
  assert.ok((fired[0]?.afterMs ?? 0) >= 3);
  assert.ok((fired[1]?.afterMs ?? 0) >= 20);
});

test("the system clock serves what a callback schedules", async () => {
  const clock = new SystemClock();
  await new Promise<void>((resolve) => {
    clock.schedule(1, () => clock.schedule(1, () => clock.schedule(0, resolve)));
  });
  clock.stop();
});

test("a stopped system clock fires nothing and holds no Node timer", async () => {
  const clock = new SystemClock();
  clock.schedule(1, () => assert.fail("the clock was stopped"));
  clock.stop();
  clock.schedule(1, () => assert.fail("the clock was stopped"));
  const other = new SystemClock();
  await new Promise<void>((resolve) => other.schedule(10, resolve));
  other.stop();
});

test("wall time is unix time", () => {
  const clock = new SystemClock();
  const before = Date.now();
  const wallMs = clock.wallMs();
  assert.ok(wallMs >= before && wallMs <= Date.now());
});
