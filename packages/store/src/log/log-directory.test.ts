/** Goal: names come and go in the order that was asked for, also after a power loss. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { WatchedDisk } from "../../test/watched-disk.ts";
import { FaultyDisk } from "../disk/faulty-disk.ts";
import { createAnew, LogDirectory, readWhole, writeSafely } from "./log-directory.ts";

const path = "/log";

async function withFiles(seed: number, names: readonly string[]): Promise<FaultyDisk> {
  const disk = new FaultyDisk({ random: new SeededRandom(seed) });
  await disk.makeDirectory(path);
  await disk.syncDirectory("/");
  for (const name of names) await (await disk.open(`${path}/${name}`, "create")).close();
  await disk.syncDirectory(path);
  return disk;
}

test("what was removed after something else is never missing while that is there", async () => {
  const outcomes = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    const disk = await withFiles(seed, ["a", "b", "c"]);
    const directory = new LogDirectory(disk, path);
    const first = directory.removeRecords([`${path}/a`], 1);
    const second = directory.remove([`${path}/b`], 1, first);
    directory.remove([`${path}/c`], 1, second);
    for (let step = seed % 7; step > 0; step--) {
      if (step % 2 === 1) await directory.sweep();
      else await directory.sync();
    }
    outcomes.add((await disk.crash({ powerLoss: true }).list(path)).join(""));
  }
  assert.deepEqual([...outcomes].sort(), ["", "abc", "bc", "c"]);
});

/** A directory whose first sync is under way until the function is called. */
async function whileSyncing(
  names: readonly string[],
): Promise<{ disk: WatchedDisk; directory: LogDirectory; finish(): Promise<void> }> {
  const disk = new WatchedDisk(await withFiles(1, names));
  const directory = new LogDirectory(disk, path);
  const letSync = disk.hold("syncDirectory", /log$/);
  const syncing = directory.sync();
  const finish = (): Promise<void> => {
    letSync();
    return syncing;
  };
  return { disk, directory, finish };
}

test("a removal waits for a sync that has begun after the other removal, not before", async () => {
  const { disk, directory, finish } = await whileSyncing(["a", "b"]);
  const first = directory.removeRecords([`${path}/a`], 1);
  directory.remove([`${path}/b`], 1, first);
  await directory.sweep();
  await finish();
  await directory.sweep();
  assert.deepEqual(await disk.list(path), ["b"]);
  await directory.sync();
  await directory.sweep();
  assert.deepEqual(await disk.list(path), []);
  assert.equal(directory.hasRemovals, false);
});

test("a new name waits for a sync that has begun after it, not before", async () => {
  const { disk, directory, finish } = await whileSyncing([]);
  await (await directory.create(`${path}/a`)).close();
  await finish();
  await directory.syncCreations();
  assert.equal(disk.doneLike("syncDirectory").length, 2);
  await directory.syncCreations();
  assert.equal(disk.doneLike("syncDirectory").length, 2);
});

test("what cannot be removed is tried again, and told", async () => {
  const disk = await withFiles(1, ["a"]);
  const directory = new LogDirectory(disk, path);
  directory.removeRecords([`${path}/a`], 7);
  disk.faults.inject({ operations: ["remove"], fault: "EIO", times: 1 });
  assert.equal(await directory.sweep(), false);
  assert.equal(directory.hasRecordsToRemove, true);
  assert.equal(directory.bytesToRemove, 7);
  assert.equal(await directory.sweep(), true);
  assert.equal(directory.hasRecordsToRemove, false);
  assert.equal(directory.bytesToRemove, 0);
});

test("a removal can be finished at once, with all that it follows, and for good", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const disk = await withFiles(seed, ["a", "b", "c"]);
    const directory = new LogDirectory(disk, path);
    const first = directory.removeRecords([`${path}/a`], 1);
    await directory.finish(directory.remove([`${path}/b`], 1, first));
    assert.deepEqual(await disk.crash({ powerLoss: true }).list(path), ["c"]);
    assert.equal(directory.hasRemovals, false);
  }
});

test("the first sync also makes safe what an earlier process has created", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const disk = await withFiles(seed, []);
    await (await disk.open(`${path}/a`, "create")).close();
    const next = disk.crash({ powerLoss: false });
    await new LogDirectory(next, path).syncCreations();
    assert.deepEqual(await next.crash({ powerLoss: true }).list(path), ["a"]);
  }
});

test("creations are synced once", async () => {
  const disk = await withFiles(1, []);
  let syncs = 0;
  const watched = new Proxy(disk, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (name === "syncDirectory") syncs++;
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const directory = new LogDirectory(watched, path);
  await (await directory.create(`${path}/a`)).close();
  await directory.syncCreations();
  await directory.syncCreations();
  assert.equal(syncs, 1);
  directory.noteRename();
  await directory.syncCreations();
  assert.equal(syncs, 2);
});

test("a removal is made safe if there was one", async () => {
  for (let seed = 0; seed < 20; seed++) {
    const disk = await withFiles(seed, ["a"]);
    const directory = new LogDirectory(disk, path);
    directory.removeRecords([`${path}/a`], 1);
    await directory.sweep();
    await directory.syncRemovals();
    assert.deepEqual(await disk.crash({ powerLoss: true }).list(path), []);
  }
});

test("a file takes the place of one that an attempt has left", async () => {
  const disk = await withFiles(1, ["a"]);
  await writeSafely(await createAnew(disk, `${path}/a`), Buffer.from("new"));
  assert.equal((await readWhole(disk, `${path}/a`)).toString(), "new");
});
