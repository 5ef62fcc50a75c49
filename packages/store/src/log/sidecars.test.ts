/** Goal: settlements get into the sidecars, safely where that is asked for, with few files open. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { WatchedDisk } from "../../test/watched-disk.ts";
import { FaultyDisk } from "../disk/faulty-disk.ts";
import { LogDirectory, readWhole } from "./log-directory.ts";
import { Segment } from "./segment.ts";
import { decodeSettlements } from "./segment-file.ts";
import { Sidecars } from "./sidecars.ts";

const path = "/log";

async function given(seed = 1): Promise<{
  faulty: FaultyDisk;
  disk: WatchedDisk;
  sidecars: Sidecars;
}> {
  const faulty = new FaultyDisk({ random: new SeededRandom(seed) });
  await faulty.makeDirectory(path);
  await faulty.syncDirectory("/");
  const disk = new WatchedDisk(faulty);
  return { faulty, disk, sidecars: new Sidecars(disk, new LogDirectory(disk, path)) };
}

function settle(segment: Segment, ...pairs: number[]): Segment {
  segment.settlements.push(...pairs);
  return segment;
}

async function noted(disk: FaultyDisk, number: number): Promise<number[]> {
  const name = `${String(number).padStart(8, "0")}.ack`;
  if (!(await disk.list(path)).includes(name)) return [];
  const pairs: number[] = [];
  const bytes = await readWhole(disk, `${path}/${name}`);
  decodeSettlements(bytes, (unit, queue) => pairs.push(unit, queue));
  return pairs;
}

test("batches follow one another, and what comes during a write waits for the next", async () => {
  const { faulty, sidecars } = await given();
  const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
  const appending = sidecars.append(segment);
  settle(segment, 2, 20);
  assert.ok(segment.isBusy);
  await appending;
  assert.ok(!segment.isBusy);
  assert.deepEqual(segment.settlements, [2, 20]);
  await sidecars.append(segment);
  assert.deepEqual(await noted(faulty, 7), [1, 10, 2, 20]);
  assert.equal(segment.sidecarBytes, 32);
});

test("a batch that could not be written is written again in its place", async () => {
  const { faulty, sidecars } = await given();
  const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
  for (const operations of [["open"], ["write"], ["write"]] as const) {
    faulty.faults.inject({ operations, fault: "EIO", times: 1 });
    await assert.rejects(sidecars.append(segment), { code: "EIO" });
    assert.deepEqual(segment.settlements, [1, 10]);
    assert.ok(!segment.isBusy);
  }
  await sidecars.append(settle(segment, 2, 20));
  assert.deepEqual(await noted(faulty, 7), [1, 10, 2, 20]);
});

test("of many sidecars few are open, and all can be appended to", async () => {
  const { faulty, disk, sidecars } = await given();
  const segments = Array.from({ length: 100 }, (_, i) => new Segment("durable", i + 1, i, 1));
  for (let round = 1; round <= 2; round++) {
    for (const segment of segments) await sidecars.append(settle(segment, round, segment.number));
  }
  assert.ok(disk.doneLike("open").length - disk.doneLike("close").length <= 64);
  await sidecars.closeAll();
  assert.equal(disk.doneLike("open").length, disk.doneLike("close").length);
  for (const { number } of segments) {
    assert.deepEqual(await noted(faulty, number), [1, number, 2, number]);
  }
});

test("what is secured survives a power loss, by name and content", async () => {
  for (let seed = 0; seed < 30; seed++) {
    const { faulty, sidecars } = await given(seed);
    const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
    await sidecars.append(segment);
    assert.equal(await sidecars.secure(), true);
    await sidecars.append(settle(segment, 2, 20));
    const after = faulty.crash({ powerLoss: true });
    assert.deepEqual((await noted(after, 7)).slice(0, 2), [1, 10]);
  }
});

test("a sidecar whose sync has failed is copied, and the copy is safe", async () => {
  for (let seed = 0; seed < 30; seed++) {
    const { faulty, disk, sidecars } = await given(seed);
    const segment = settle(new Segment("durable", 7, 0, 1), 1, 10, 2, 20);
    await sidecars.append(segment);
    faulty.faults.inject({ operations: ["sync"], fault: "EIO", times: 1 });
    await assert.rejects(sidecars.secure(), { code: "EIO" });
    assert.ok(!segment.isBusy);
    // Where memory is short, it may be gone already.
    const isGone = (await noted(faulty, 7)).length === 0;
    assert.equal(await sidecars.secure(), !isGone);
    assert.ok(disk.done.includes("rename 00000007.ack.new"));
    const after = faulty.crash({ powerLoss: true });
    if (!isGone) assert.deepEqual(await noted(after, 7), [1, 10, 2, 20]);
  }
});

test("what the system has let go of after a sync that failed is not called secure", async () => {
  const { faulty, sidecars } = await given();
  const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
  await sidecars.append(segment);
  assert.equal(await sidecars.secure(), true);
  await sidecars.append(settle(segment, 2, 20));
  faulty.faults.inject({ operations: ["sync"], fault: "EIO", times: 1 });
  await assert.rejects(sidecars.secure(), { code: "EIO" });
  const file = await faulty.open(`${path}/00000007.ack`, "write");
  await file.write(Buffer.alloc(16), 0, 16, 16);
  assert.equal(await sidecars.secure(), false);
  await sidecars.append(settle(segment, 3, 30));
  assert.deepEqual(await noted(faulty, 7), [1, 10, 3, 30]);
  assert.equal(await sidecars.secure(), false);
  segment.isDoomed = true;
  assert.equal(await sidecars.secure(), true);
});

test("nothing is called secure while a sidecar is being replaced", async () => {
  const { sidecars } = await given();
  const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
  await sidecars.append(segment);
  segment.isCompacting = true;
  assert.equal(await sidecars.secure(), false);
  segment.isCompacting = false;
  assert.equal(await sidecars.secure(), true);
});

test("sidecars of the dead need not be secured", async () => {
  const { disk, sidecars } = await given();
  const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
  await sidecars.append(segment);
  segment.isDoomed = true;
  assert.equal(await sidecars.secure(), true);
  assert.deepEqual(disk.doneLike("sync 0"), []);
});

test("of a sidecar that is torn, only what is whole goes into its copy", async () => {
  const { faulty, sidecars } = await given();
  const segment = settle(new Segment("durable", 7, 0, 1), 1, 10);
  await sidecars.append(segment);
  await sidecars.append(settle(segment, 2, 20));
  await sidecars.forget(segment);
  segment.sidecarBytes = 16;
  sidecars.distrust(segment);
  await sidecars.append(settle(segment, 3, 30));
  assert.deepEqual(await noted(faulty, 7), [1, 10, 3, 30]);
});
