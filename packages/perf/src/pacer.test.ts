/** Goal: the average rate is right however late the timers are, and a pause is not made up for. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Pacer } from "./pacer.ts";

/** Does all that is due; returns how much that was. */
function run(pacer: Pacer, nowMs: number): number {
  const due = pacer.due(nowMs);
  for (let i = 0; i < due; i++) pacer.count();
  return Math.max(0, due);
}

test("the first one is due at once, and the others one by one", () => {
  const pacer = new Pacer(100, 1000);
  assert.equal(run(pacer, 500), 1);
  assert.equal(pacer.delayMs(500), 10);
  assert.equal(pacer.delayMs(503), 7);
  assert.equal(run(pacer, 509.9), 0);
  assert.equal(run(pacer, 510), 1);
  assert.equal(run(pacer, 545), 3);
  assert.ok(Math.abs(pacer.delayMs(545) - 5) < 1e-6);
});

test("whenever it is looked at, as much is done as the rate says", () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.1, max: 1e6, noNaN: true }),
      fc.array(fc.double({ min: 0.01, max: 900, noNaN: true }), { maxLength: 50 }),
      (perSecond, steps) => {
        const pacer = new Pacer(perSecond, 1000);
        let nowMs = 0;
        let done = run(pacer, nowMs);
        for (const step of steps) {
          nowMs += step;
          done += run(pacer, nowMs);
          const expected = (nowMs * perSecond) / 1000 + 1;
          assert.ok(Math.abs(done - expected) <= 1.001, `${done} done, ${expected} due`);
        }
      },
    ),
  );
});

test("of a long pause no more is made up for than allowed", () => {
  const pacer = new Pacer(100, 50);
  run(pacer, 0);
  assert.equal(run(pacer, 60_000), 6);
  assert.equal(run(pacer, 60_010), 1);
});
