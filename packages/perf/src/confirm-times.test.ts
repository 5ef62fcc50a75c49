/** Goal: each publish is answered once, with its own time, as a naive model has it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfirmTimes } from "./confirm-times.ts";

test("answers find the times of their publishes, in any order", () => {
  const step = fc.record({
    publishes: fc.nat({ max: 1500 }),
    pick: fc.nat({ max: 5000 }),
    multiple: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const times = new ConfirmTimes();
      const open = new Map<number, number>();
      let next = 1;
      for (const { publishes, pick, multiple } of steps) {
        for (let i = 0; i < publishes; i++, next++) {
          times.add(next * 10);
          open.set(next, next * 10);
        }
        const tag = multiple ? pick % (next + 1) : pick;
        const visited: number[] = [];
        times.answer(tag, multiple, (time) => visited.push(time));
        const expected: number[] = [];
        for (const [each, time] of [...open]) {
          if (multiple ? tag !== 0 && each > tag : each !== tag) continue;
          open.delete(each);
          expected.push(time);
        }
        assert.deepEqual(visited, expected);
        assert.equal(times.unanswered, open.size);
        assert.equal(times.oldestTime, [...open.values()][0] ?? 0);
      }
    }),
  );
});
