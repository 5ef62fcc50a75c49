/** Goal: a cache knows its newest keys for their time, within its bounds, and forgets in order. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteCount } from "@haremq/kernel";
import fc from "fast-check";
import { unstored } from "../message/message-view.ts";
import { DuplicateCache } from "./duplicate-cache.ts";

function digestOf(key: number): Int32Array {
  return Int32Array.of(key * 0x9e3779b1, key, 0, 0);
}

function given(sizeMax: number, bytesMax = Number.POSITIVE_INFINITY) {
  const forgotten: number[] = [];
  const memory = new ByteCount();
  const forget = (note: number): number => forgotten.push(note);
  const cache = new DuplicateCache(sizeMax, memory, bytesMax, forget);
  return { cache, memory, forgotten };
}

const step = fc.record({
  key: fc.nat(40),
  ttlMs: fc.oneof(fc.constant(Number.POSITIVE_INFINITY), fc.nat(50)),
  passMs: fc.nat(10),
});

test("it knows what a list of the newest keys knows", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 30 }), fc.array(step), (sizeMax, steps) => {
      const { cache, memory, forgotten } = given(sizeMax);
      let model: { key: number; expiresAtMs: number; note: number }[] = [];
      const gone: number[] = [];
      const drop = (doomed: (typeof model)[number]): void => {
        model = model.filter((each) => each !== doomed);
        gone.push(doomed.note);
      };
      let nowMs = 0;
      for (const [note, { key, ttlMs, passMs }] of steps.entries()) {
        nowMs += passMs;
        const known = model.find((each) => each.key === key);
        const lives = known !== undefined && known.expiresAtMs > nowMs;
        assert.equal(cache.find(digestOf(key), nowMs), lives ? known.note : undefined);
        if (lives) continue;
        if (known !== undefined) drop(known);
        for (let i = 0; i < 2; i++) {
          if (model.length > 0 && model[0]!.expiresAtMs <= nowMs) drop(model[0]!);
        }
        while (model.length >= sizeMax) drop(model[0]!);
        cache.add(digestOf(key), nowMs + ttlMs, note, nowMs);
        model.push({ key, expiresAtMs: nowMs + ttlMs, note });
        assert.equal(cache.size, model.length);
        assert.equal(memory.bytes, cache.bytes);
        assert.deepEqual(forgotten, gone);
      }
      cache.clear();
      assert.deepEqual(forgotten, [...gone, ...model.map((each) => each.note)]);
      assert.equal(memory.bytes, 0);
    }),
  );
});

test("a key that comes again while it is there begins anew, as the newest", () => {
  const { cache, forgotten } = given(2);
  cache.add(digestOf(1), 10, 101, 0);
  cache.add(digestOf(2), 10, 102, 0);
  cache.add(digestOf(1), 20, 103, 0);
  cache.add(digestOf(3), 10, 104, 0);
  assert.deepEqual(forgotten, [101, 102]);
  assert.equal(cache.find(digestOf(1), 15), 103);
});

test("a smaller limit counts at once", () => {
  const { cache, forgotten } = given(10);
  for (let key = 0; key < 10; key++) cache.add(digestOf(key), 10, key, 0);
  cache.sizeMax = 3;
  assert.deepEqual([cache.size, forgotten], [3, [0, 1, 2, 3, 4, 5, 6]]);
});

test("where memory is short the oldest goes, and the rest stays known", () => {
  const { cache, memory } = given(1_000_000, 60_000);
  for (let key = 0; key < 10_000; key++) cache.add(digestOf(key), 10, unstored, 0);
  assert.ok(memory.bytes <= 60_000 && memory.bytes > 30_000, `${memory.bytes}`);
  assert.ok(cache.size > 400);
  assert.equal(cache.find(digestOf(9999 - cache.size), 0), undefined);
  assert.equal(cache.find(digestOf(10_000 - cache.size), 0), unstored);
});

test("a cache without anything gets its first key though others have all the memory", () => {
  const { cache, memory } = given(10, 100);
  memory.bytes = 100;
  for (let key = 0; key < 40; key++) cache.add(digestOf(key), 10, unstored, 0);
  assert.equal(cache.find(digestOf(39), 0), unstored);
  cache.clear();
  assert.equal(memory.bytes, 100);
});
