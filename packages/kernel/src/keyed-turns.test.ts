/** Tests that work on one key takes turns, and that keys do not wait for each other. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { KeyedTurns } from "./keyed-turns.ts";

describe("KeyedTurns", () => {
  it("does work on one key in the order of coming, also after a failure", async () => {
    const turns = new KeyedTurns();
    const done: string[] = [];
    let release!: () => void;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = turns.take("a", async () => {
      await gate;
      done.push("first");
      throw new Error("first failed");
    });
    const second = turns.take("a", async () => done.push("second"));
    const other = turns.take("b", async () => done.push("other"));
    await other;
    assert.deepEqual(done, ["other"]);
    release();
    await assert.rejects(first, /first failed/);
    await second;
    assert.deepEqual(done, ["other", "first", "second"]);
  });
});
