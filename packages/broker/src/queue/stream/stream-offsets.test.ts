/** Goal: offsets are stored for good, never fall, go with their streams, and are bounded. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as settled } from "node:timers/promises";
import { VirtualClock } from "@haremq/kernel";
import { MemoryMetadataStore, type MetadataChange, MetadataError } from "@haremq/store";
import { StreamOffsets } from "./stream-offsets.ts";

function given(metadata = new MemoryMetadataStore()) {
  const clock = new VirtualClock();
  const commits: number[] = [];
  const commit = metadata.commit.bind(metadata);
  let isFull = false;
  metadata.commit = async (changes: readonly MetadataChange[]) => {
    if (isFull) throw new MetadataError("disk-full", "no space");
    commits.push(changes.length);
    return await commit(changes);
  };
  const offsets = new StreamOffsets(clock, metadata);
  const setFull = (full: boolean): void => {
    isFull = full;
  };
  const reopened = (): StreamOffsets => new StreamOffsets(clock, metadata);
  return { clock, commits, offsets, setFull, reopened };
}

async function pass(clock: VirtualClock): Promise<void> {
  clock.advance(1000);
  await settled();
}

test("what changes within a second is saved with one commit", async () => {
  const { clock, commits, offsets, reopened } = given();
  for (let offset = 0; offset < 100; offset++) {
    offsets.store(1, "a", offset);
    offsets.store(2, "a", offset * 2);
  }
  await pass(clock);
  assert.deepEqual(commits, [2]);
  await pass(clock);
  assert.deepEqual(commits, [2], "and not again");
  assert.equal(reopened().find(1, "a"), 99);
  assert.equal(reopened().find(2, "a"), 198);
  assert.equal(reopened().find(2, "b"), undefined);
});

test("a stored offset never falls", () => {
  const { offsets } = given();
  offsets.store(1, "a", 7);
  offsets.store(1, "a", 5);
  assert.equal(offsets.find(1, "a"), 7);
});

test("what could not be saved is saved later", async () => {
  const { clock, offsets, setFull, reopened } = given();
  setFull(true);
  offsets.store(1, "a", 7);
  await pass(clock);
  assert.equal(reopened().find(1, "a"), undefined);
  setFull(false);
  await pass(clock);
  assert.equal(reopened().find(1, "a"), 7);
});

test("offsets go with their stream, and with streams that are gone at a start", async () => {
  const { clock, offsets, reopened } = given();
  for (const stream of [1, 2, 3]) offsets.store(stream, "a", 7);
  await offsets.close();
  offsets.forgetAll(1);
  await pass(clock);
  const later = reopened();
  later.keepOnly(new Set([3]));
  await later.close();
  const last = reopened();
  assert.deepEqual(
    [1, 2, 3].map((stream) => last.find(stream, "a")),
    [undefined, undefined, 7],
  );
});

test("a stream keeps a thousand tags, those stored last", async () => {
  const { offsets, reopened } = given();
  for (let i = 0; i < 1500; i++) offsets.store(1, `t${i}`, i);
  assert.equal(offsets.all(1).size, 1000);
  assert.equal(offsets.find(1, "t499"), undefined);
  assert.equal(offsets.find(1, "t500"), 500);
  await offsets.close();
  assert.equal(reopened().all(1).size, 1000);
});
