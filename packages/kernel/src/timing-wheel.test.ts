/** Goal: the wheel behaves like a sorted list of timers, at no cost for empty time. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Timer } from "./timing-wheel.ts";
import { TimingWheel } from "./timing-wheel.ts";

/** The naive model: an array that is sorted and filtered, with the wheel's rounding rules. */
class NaiveTimers {
  #tick = 0;
  #sequence = 0;
  #timers: { tick: number; sequence: number; id: number }[] = [];

  schedule(atMs: number, id: number): void {
    const tick = Math.max(Math.ceil(atMs), this.#tick + 1);
    this.#timers.push({ tick, sequence: this.#sequence++, id });
  }

  cancel(id: number): void {
    this.#timers = this.#timers.filter((timer) => timer.id !== id);
  }

  advance(nowMs: number): number[] {
    this.#tick = Math.max(this.#tick, Math.floor(nowMs));
    const due = this.#timers.filter((timer) => timer.tick <= this.#tick);
    this.#timers = this.#timers.filter((timer) => timer.tick > this.#tick);
    due.sort((a, b) => a.tick - b.tick || a.sequence - b.sequence);
    return due.map((timer) => timer.id);
  }

  get size(): number {
    return this.#timers.length;
  }

  nextDueMs(): number {
    return Math.min(Number.POSITIVE_INFINITY, ...this.#timers.map((timer) => timer.tick));
  }
}

/** Delays of every magnitude, so that every level of the wheel and its borders are met. */
const delay = fc.oneof(
  fc.integer({ min: -3, max: 70 }),
  fc.integer({ min: 0, max: 40_000 }),
  fc
    .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: -2, max: 2 }))
    .map(([power, offset]) => 2 ** power + offset),
  fc.double({ min: 0, max: 2000, noNaN: true }),
);

const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("schedule" as const), by: delay }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("advance" as const), by: delay }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), by: fc.nat(200) }) },
);

test("the wheel fires what a sorted list would fire, in the same order", () => {
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 200, size: "max" }), (operations) => {
      const wheel = new TimingWheel();
      const model = new NaiveTimers();
      const timers: Timer[] = [];
      let fired: number[] = [];
      let now = 0;
      for (const { kind, by } of operations) {
        if (kind === "schedule") {
          const id = timers.length;
          timers.push(wheel.schedule(now + by, () => fired.push(id)));
          model.schedule(now + by, id);
        } else if (kind === "cancel") {
          timers[by]?.cancel();
          model.cancel(by);
        } else {
          now += Math.max(0, by);
          fired = [];
          wheel.advance(now);
          assert.deepEqual(fired, model.advance(now));
        }
        assert.equal(wheel.size, model.size);
        assert.ok(wheel.nextWakeMs() <= model.nextDueMs(), "wakes up in time");
        assert.equal(wheel.nextWakeMs() === Number.POSITIVE_INFINITY, model.size === 0);
      }
    }),
    { numRuns: 500 },
  );
});

test("a callback may cancel a timer of the same tick that has not fired yet", () => {
  const wheel = new TimingWheel();
  const fired: string[] = [];
  wheel.schedule(40, () => {
    fired.push("first");
    second.cancel();
  });
  const second = wheel.schedule(40, () => fired.push("second"));
  wheel.schedule(40, () => fired.push("third"));
  wheel.advance(40);
  assert.deepEqual(fired, ["first", "third"]);
  assert.equal(wheel.size, 0);
});

test("what a callback schedules fires in the same advance if it is due, but a tick later", () => {
  const wheel = new TimingWheel();
  const fired: string[] = [];
  wheel.schedule(10, () => {
    wheel.schedule(0, () => fired.push("overdue"));
    wheel.schedule(11, () => fired.push("next tick"));
    wheel.schedule(50, () => fired.push("not yet"));
  });
  wheel.schedule(11, () => fired.push("waiting longer"));
  wheel.advance(12);
  assert.deepEqual(fired, ["waiting longer", "overdue", "next tick"]);
});

test("an error of one callback passes through and does not lose the timers behind it", () => {
  const wheel = new TimingWheel();
  const fired: number[] = [];
  wheel.schedule(5, () => {
    throw new Error("from the callback");
  });
  wheel.schedule(5, () => fired.push(5));
  wheel.schedule(6, () => fired.push(6));
  assert.throws(() => wheel.advance(10), /from the callback/);
  assert.deepEqual(fired, []);
  wheel.advance(10);
  assert.deepEqual(fired, [5, 6]);
});

test("an empty stretch of time is skipped, whatever its length", () => {
  // Walking it tick by tick would take hours; the test runner's own limit would end it.
  const wheel = new TimingWheel();
  const tenYearsMs = 315_360_000_000;
  let fired = 0;
  wheel.schedule(tenYearsMs, () => fired++);
  wheel.advance(tenYearsMs - 1);
  assert.equal(fired, 0);
  wheel.advance(tenYearsMs);
  assert.equal(fired, 1);
});

test("delays beyond the wheel, infinite or not a number still give a cancellable timer", () => {
  for (const atMs of [Number.POSITIVE_INFINITY, 2 ** 60]) {
    const wheel = new TimingWheel();
    const timer = wheel.schedule(atMs, () => assert.fail("far too early"));
    wheel.advance(2 ** 48);
    timer.cancel();
    assert.equal(wheel.size, 0);
  }
  const wheel = new TimingWheel();
  let fired = 0;
  wheel.schedule(Number.NaN, () => fired++);
  wheel.advance(1);
  assert.equal(fired, 1);
});

test("cancelling twice, or after firing, does nothing", () => {
  const wheel = new TimingWheel();
  const timer = wheel.schedule(3, () => {});
  const other = wheel.schedule(4, () => {});
  timer.cancel();
  timer.cancel();
  assert.equal(wheel.size, 1);
  wheel.advance(4);
  other.cancel();
  assert.equal(wheel.size, 0);
});

test("advance from inside a callback is refused", () => {
  const wheel = new TimingWheel();
  wheel.schedule(1, () => wheel.advance(2));
  assert.throws(() => wheel.advance(1), /from a timer's callback/);
});
