/**
 * Goal: memory stays within its budget as far as anything may leave; what comes back is what left;
 * and what is damaged on the disk is told, kept, and never taken for a message.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { directory, LogRig } from "../../test/log-rig.ts";
import { WatchedDisk } from "../../test/watched-disk.ts";
import type { FaultyDisk } from "../disk/faulty-disk.ts";

/** Some full segments of four texts each, and their handles. */
async function filled(segments: number, memorySegments: number): Promise<[LogRig, number[]]> {
  const rig = await LogRig.open({ memoryBytes: memorySegments * 4096 });
  const handles: number[] = [];
  for (let i = 0; i < segments * 4; i++) {
    handles.push(rig.append(textOf(i)));
    if (i % 4 === 0) await rig.turn();
  }
  await rig.rest();
  return [rig, handles];
}

function textOf(index: number): string {
  return `${index} `.repeat(500).slice(0, 900);
}

test("segments leave memory when there are more than the budget, the coldest first", async () => {
  const [rig, handles] = await filled(8, 3);
  assert.ok(rig.log.stats.residentBytes <= 3 * 4096);
  assert.equal(rig.log.isResident(handles[0]!), false);
  assert.equal(rig.log.isResident(handles.at(-1)!), true);
});

test("segments make room for what others need, but for the least that a log needs", async () => {
  let otherBytes = 0;
  const bytesMax = 8 * 4096;
  const sharedMemory = { bytesMax, otherBytes: () => otherBytes };
  const rig = await LogRig.open({ memoryBytes: 6 * 4096, sharedMemory });
  const fill = async (): Promise<number> => {
    for (let i = 0; i < 40; i++) {
      rig.append(textOf(i));
      if (i % 4 === 0) await rig.turn();
    }
    await rig.rest();
    return rig.log.stats.residentBytes;
  };
  assert.equal(await fill(), 6 * 4096, "its own limit counts while there is room");
  otherBytes = 3 * 4096;
  const left = bytesMax - otherBytes - rig.log.indexMemory.bytes;
  assert.ok(left > 3 * 4096 && left < 5 * 4096);
  assert.equal(await fill(), Math.floor(left / 4096) * 4096);
  otherBytes = 100 * 4096;
  assert.equal(await fill(), 2 * 4096);
  otherBytes = 0;
  assert.equal(await fill(), 6 * 4096);
});

/** A log whose disk does not get on, with more in memory than there is room for. */
async function overfull(operation: "sync" | "write"): Promise<[LogRig, () => void]> {
  const watched: WatchedDisk[] = [];
  const wrap = (disk: FaultyDisk): WatchedDisk => {
    watched.push(new WatchedDisk(disk));
    return watched.at(-1)!;
  };
  const rig = await LogRig.open({ memoryBytes: 4096, wrap });
  assert.equal(rig.durable.untilCaughtUp(), undefined);
  const goOn = watched[0]!.hold(operation, operation === "sync" ? /\.seg$/ : /spill/);
  for (let i = 0; rig.log.stats.residentBytes < 4 * 4096; i++) {
    if (operation === "sync") rig.append(textOf(i));
    else rig.log.appendTransient(900);
    await rig.turn();
  }
  return [rig, goOn];
}

for (const [operation, kind] of [
  ["sync", "durable"],
  ["write", "transient"],
] as const) {
  test(`who appends ${kind} records may wait until the disk has caught up`, async () => {
    const [rig, goOn] = await overfull(operation);
    const promise = rig.durable.untilCaughtUp();
    assert.ok(promise);
    let isKept = false;
    void promise.then(() => {
      isKept = true;
    });
    await rig.rest();
    assert.equal(isKept, false);
    goOn();
    await rig.rest();
    assert.equal(isKept, true);
    assert.equal(rig.durable.untilCaughtUp(), undefined);
  });
}

test("nobody waits for a disk that has failed, or for a log that is closed", async () => {
  const [failing, goOn] = await overfull("sync");
  const first = failing.durable.untilCaughtUp();
  failing.disk.faults.inject({ operations: ["sync"], fault: "EIO" });
  goOn();
  await first;
  assert.ok(failing.durable.files.fault);
  assert.equal(failing.durable.untilCaughtUp(), undefined);
  const [closing, goOnClosing] = await overfull("sync");
  const second = closing.durable.untilCaughtUp();
  const closed = closing.durable.close();
  await second;
  goOnClosing();
  await closed;
});

test("what comes back is what left, whatever the order", async () => {
  const [rig, handles] = await filled(8, 3);
  const random = new SeededRandom(2);
  for (let i = 0; i < 100; i++) {
    const index = random.below(handles.length);
    assert.equal(await rig.text(handles[index]!), textOf(index));
    assert.ok(rig.log.stats.residentBytes <= 4 * 4096);
  }
  assert.ok(rig.durable.files.counters.loads > 10);
});

test("a segment that was just loaded stays, even if the budget is smaller than one", async () => {
  const [rig, handles] = await filled(4, 0);
  for (const [index, handle] of handles.entries()) {
    assert.equal(await rig.text(handle), textOf(index));
  }
});

test("all who ask for a segment at once wait for one read", async () => {
  const [rig, handles] = await filled(4, 1);
  const before = rig.durable.files.counters.loads;
  await Promise.all(handles.slice(0, 4).map((handle) => rig.durable.load(handle)));
  assert.equal(rig.durable.files.counters.loads, before + 1);
});

test("references survive a stay on the disk, and so does what is dead", async () => {
  const rig = await LogRig.open({ memoryBytes: 4096 });
  const kept = rig.append("kept ".repeat(100), [1, 2]);
  const dead = rig.append("dead ".repeat(100));
  for (let i = 0; i < 12; i++) rig.append(textOf(i));
  rig.log.settle(dead, 1);
  await rig.rest();
  assert.equal(rig.log.isResident(kept), false);
  rig.log.settle(kept, 1);
  await rig.durable.load(kept);
  const before = rig.log.stats.liveRecords;
  rig.log.settle(kept, 2);
  assert.equal(rig.log.stats.liveRecords, before - 1);
  assert.throws(() => rig.log.settle(kept, 2), /more often/);
  assert.throws(() => rig.log.settle(dead, 1), /more often/);
});

test("a load that fails can be repeated", async () => {
  const [rig, handles] = await filled(4, 1);
  rig.disk.faults.inject({ operations: ["read"], fault: "EIO", times: 1 });
  const taken = rig.log.pool.takenBytes;
  await assert.rejects(rig.durable.load(handles[0]!), { code: "EIO" });
  assert.equal(rig.log.pool.takenBytes, taken, "its memory is given back");
  assert.equal(await rig.text(handles[0]!), textOf(0));
});

test("a segment is not taken from its memory while something needs it", async () => {
  const [rig] = await filled(2, 2);
  const pinned = rig.append("pinned ".repeat(300));
  rig.log.pin(pinned);
  for (let i = 0; i < 20; i++) rig.append(textOf(i));
  await rig.rest();
  assert.ok(rig.log.isResident(pinned));
  rig.log.unpin(pinned);
  for (let i = 0; i < 20; i++) rig.append(textOf(i));
  await rig.rest();
  assert.equal(rig.log.isResident(pinned), false);
});

// Transient records

test("transient records are spilled, and come back", async () => {
  const rig = await LogRig.open({ memoryBytes: 2048 });
  const handles: number[] = [];
  for (let i = 0; i < 40; i++) {
    handles.push(rig.log.appendTransient(200));
    rig.log.bytes.fill(i, rig.log.contentStart, rig.log.contentStart + 200);
    await rig.turn();
  }
  assert.equal(rig.log.isResident(handles[0]!), false);
  for (const [i, handle] of handles.entries()) {
    if (!rig.log.isResident(handle)) await rig.durable.load(handle);
    rig.log.open(handle);
    const { bytes, contentStart } = rig.log;
    assert.ok(bytes.subarray(contentStart, contentStart + 200).every((byte) => byte === i));
    assert.equal(rig.log.isLost(handle), false);
  }
  for (const handle of handles) rig.log.release(handle);
  await rig.rest();
  assert.deepEqual(await rig.disk.list(`${directory}/spill`), [], "their files go with them");
});

test("transient records that die while they are spilled leave nothing behind", async () => {
  const rig = await LogRig.open({ memoryBytes: 1024 });
  const handles: number[] = [];
  for (let i = 0; i < 12; i++) handles.push(rig.log.appendTransient(400));
  for (const handle of handles) rig.log.release(handle);
  await rig.rest();
  assert.deepEqual(await rig.disk.list(`${directory}/spill`), []);
  assert.equal(rig.log.stats.liveRecords, 0);
});

test("a spill that fails costs nothing but memory, and is tried again", async () => {
  const rig = await LogRig.open({ memoryBytes: 1024 });
  rig.disk.faults.inject({ operations: ["open", "write"], path: /spill/, fault: "ENOSPC" });
  const handles: number[] = [];
  for (let i = 0; i < 12; i++) handles.push(rig.log.appendTransient(400));
  await rig.rest();
  assert.ok(handles.every((handle) => rig.log.isResident(handle)));
  rig.disk.faults.clear();
  await rig.rest();
  assert.equal(rig.log.isResident(handles[0]!), false);
});

test("spilled records are gone after a restart", async () => {
  const rig = await LogRig.open({ memoryBytes: 1024 });
  for (let i = 0; i < 12; i++) rig.log.appendTransient(400);
  await rig.rest();
  assert.notDeepEqual(await rig.disk.list(`${directory}/spill`), []);
  await rig.restart(false);
  assert.deepEqual(await rig.disk.list(`${directory}/spill`), []);
  assert.equal(rig.found.length, 0);
});

// Damage

test("a damaged record is told, kept in quarantine and marked; its neighbours are whole", async () => {
  const [rig, handles] = await filled(4, 0);
  const unit = rig.log.unitOf(handles[1]!);
  const file = await rig.read("log/00000001.0.seg");
  await rig.overwrite("log/00000001.0.seg", Buffer.from("!"), unit * 8 + 200);
  await rig.durable.load(handles[0]!);
  assert.equal(rig.log.isLost(handles[0]!), false);
  assert.equal(rig.log.isLost(handles[1]!), true);
  assert.equal(rig.log.isLost(handles[2]!), false);
  assert.equal(rig.damage.length, 1);
  assert.equal(rig.durable.files.counters.damagedRecords, 1);
  const [name] = await rig.disk.list(`${directory}/quarantine`);
  const kept = await rig.read(`quarantine/${name}`);
  const expected = Buffer.from(file.subarray(unit * 8, unit * 8 + kept.length));
  expected[200] = "!".charCodeAt(0);
  // The first word counts references, and means nothing on disk.
  assert.deepEqual(kept.subarray(4), expected.subarray(4));
  rig.log.settle(handles[1]!, 1);
  assert.equal(rig.log.stats.liveRecords, handles.length - 1);
});

test("damage is told once, however often the segment comes and goes", async () => {
  const [rig, handles] = await filled(4, 0);
  await rig.overwrite("log/00000001.0.seg", Buffer.from("!"), 200);
  for (let i = 0; i < 3; i++) {
    for (const handle of [handles[0]!, handles[4]!, handles[8]!]) await rig.durable.load(handle);
  }
  assert.equal(rig.damage.length, 1);
  await rig.durable.load(handles[0]!);
  assert.ok(rig.log.isLost(handles[0]!));
});

test("what the file lacks is not taken from whoever had the memory before", async () => {
  const [rig, handles] = await filled(4, 0);
  // The segments are alike, so what is left of one would look right in another.
  await rig.truncate("log/00000002.0.seg", 1000);
  await rig.durable.load(handles[0]!);
  await rig.durable.load(handles[4]!);
  assert.equal(rig.log.isLost(handles[4]!), false);
  for (const index of [5, 6, 7]) assert.ok(rig.log.isLost(handles[index]!), `record ${index}`);
});

test("a record that is whole, but another, is damaged", async () => {
  const [rig, handles] = await filled(4, 0);
  const file = await rig.read("log/00000001.0.seg");
  const from = rig.log.unitOf(handles[2]!) * 8;
  const to = rig.log.unitOf(handles[1]!) * 8;
  // Two records where one was: both are sealed, and neither has the length that is known.
  const short = Buffer.from(file.subarray(from, from + 936));
  await rig.overwrite("log/00000001.0.seg", short.subarray(0, 500), to);
  await rig.durable.load(handles[0]!);
  assert.ok(rig.log.isLost(handles[1]!));
});

test("damage to a record that nobody wants any more is not told", async () => {
  const [rig, handles] = await filled(4, 0);
  rig.log.settle(handles[1]!, 1);
  await rig.rest();
  await rig.overwrite("log/00000001.0.seg", Buffer.from("!"), rig.log.unitOf(handles[1]!) * 8 + 50);
  await rig.durable.load(handles[0]!);
  assert.deepEqual(rig.damage, []);
});

test("where the quarantine has no room, damage is told all the same", async () => {
  const [rig, handles] = await filled(4, 0);
  await rig.overwrite("log/00000001.0.seg", Buffer.from("!"), 200);
  rig.disk.faults.inject({ operations: ["open"], path: /quarantine/, fault: "ENOSPC" });
  await rig.durable.load(handles[0]!);
  assert.match(rig.damage[0]!, /could not be kept/);
  assert.ok(rig.log.isLost(handles[0]!));
});
