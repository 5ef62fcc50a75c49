/** Goal: a tracker knows up to where everything is settled, in whatever order that happens. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { OffsetTracker } from "./offset-tracker.ts";

test("it has reached what stands before the oldest that is not settled", () => {
  const schedule = fc.array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.nat(100)), {
    maxLength: 60,
  });
  fc.assert(
    fc.property(schedule, (steps) => {
      const tracker = new OffsetTracker();
      const open: number[] = [];
      const sent: number[] = [];
      let next = 0;
      for (const [gap, pick] of steps) {
        // Offsets have gaps where a filter has left something out.
        next += gap;
        tracker.noteSent(next);
        open.push(next);
        sent.push(next);
        if (pick % 3 === 0) continue;
        const [offset] = open.splice(pick % open.length, 1);
        const before = tracker.reached;
        const hasGrown = tracker.noteSettled(offset!);
        const oldest = open[0] ?? Number.POSITIVE_INFINITY;
        const expected = sent.findLast((each) => each < oldest) ?? -1;
        assert.equal(tracker.reached, expected);
        assert.equal(hasGrown, tracker.reached > before);
        assert.equal(tracker.isDone, open.length === 0);
      }
    }),
  );
});

test("it stops at what was given back, and keeps nothing in mind", () => {
  const tracker = new OffsetTracker();
  for (let offset = 0; offset < 5; offset++) tracker.noteSent(offset);
  tracker.noteSettled(0);
  tracker.noteSettled(2);
  tracker.stop();
  assert.ok(tracker.isDone);
  for (const offset of [1, 3, 4]) assert.equal(tracker.noteSettled(offset), false);
  tracker.noteSent(5);
  assert.ok(tracker.isDone);
  assert.equal(tracker.reached, 0);
});
