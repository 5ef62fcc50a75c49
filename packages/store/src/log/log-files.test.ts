/**
 * Goal: what the log calls durable is, in whatever order things happen and whatever fails; and
 * nothing is written, synced or removed before its time.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { LogRig, type LogRig as Rig } from "../../test/log-rig.ts";
import { WatchedDisk } from "../../test/watched-disk.ts";
import { DiskError } from "../disk/disk.ts";

/** A log on a disk that is watched. */
async function watchedLog(): Promise<{ rig: Rig; disk: WatchedDisk }> {
  let disk!: WatchedDisk;
  const rig = await LogRig.open({
    wrap: (faulty) => {
      disk = new WatchedDisk(faulty);
      return disk;
    },
  });
  await rig.turn();
  return { rig, disk };
}

// Rounds

test("nothing is durable before its file and its name are synced", async () => {
  const { rig, disk } = await watchedLog();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("one");
  await rig.turn();
  assert.equal(disk.doneLike("write 00000001").length, 1);
  assert.equal(rig.log.durablePosition, 0);
  const letName = disk.hold("syncDirectory", /log$/);
  letSync();
  await rig.turn();
  assert.equal(rig.log.durablePosition, 0);
  letName();
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
});

test("one sync is under way at a time, and what comes meanwhile goes with the next", async () => {
  const { rig, disk } = await watchedLog();
  rig.append("first");
  await rig.turn();
  const syncs = disk.doneLike("sync 00000001.0.seg").length;
  const letSync = disk.hold("sync", /seg$/);
  rig.append("second");
  await rig.turn();
  const secondEnds = rig.log.position;
  for (let i = 0; i < 100; i++) rig.append(`more ${i}`);
  await rig.turn();
  assert.equal(
    disk.begun.filter((each) => each.startsWith("sync 00000001.0.seg")).length,
    syncs + 1,
  );
  assert.ok(rig.log.durablePosition < secondEnds);
  letSync();
  await rig.turn();
  assert.equal(disk.doneLike("sync 00000001.0.seg").length, syncs + 2);
  assert.equal(rig.log.durablePosition, rig.log.position);
});

test("the last of many is durable as well, without anything that comes after it", async () => {
  const rig = await LogRig.open({ sizes: { roundBytes: 64, segmentBytes: 4096 } });
  for (let burst = 0; burst < 5; burst++) {
    for (let i = 0; i < 20; i++) rig.append(`message ${burst} ${i}`);
    await rig.turn();
    await rig.turn();
    assert.equal(rig.log.durablePosition, rig.log.position);
  }
});

test("what is durable only grows", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 1024, roundBytes: 128 } });
  rig.disk.faults.inject({ operations: ["write", "sync"], fault: "EIO", probability: 0.1 });
  for (let i = 0; i < 300; i++) {
    const handle = rig.append(`message ${i}`);
    if (i % 3 === 0) rig.log.settle(handle, 1);
    if (i % 7 === 0) await rig.turn();
    if (i % 20 === 0) rig.clock.advance(500);
  }
  rig.disk.faults.clear();
  await rig.rest();
  assert.deepEqual(
    rig.durablePositions,
    [...rig.durablePositions].sort((a, b) => a - b),
  );
  assert.equal(rig.log.durablePosition, rig.log.position);
});

test("a settlement is noted after all records that were appended before it", async () => {
  const { rig, disk } = await watchedLog();
  const handle = rig.append("will be settled");
  rig.append("stays");
  await rig.turn();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("appended before");
  rig.log.settle(handle, 1);
  rig.clock.advance(100);
  await rig.turn();
  assert.deepEqual(disk.doneLike("write 00000001.ack"), []);
  letSync();
  await rig.rest();
  assert.equal(disk.doneLike("write 00000001.ack").length, 1);
  const syncAt = disk.done.lastIndexOf("sync 00000001.0.seg");
  assert.ok(syncAt < disk.done.indexOf("write 00000001.ack"));
});

test("settlements are secured by a round that has them, not by one that is under way", async () => {
  const { rig, disk } = await watchedLog();
  const handle = rig.append("settled");
  rig.append("stays");
  await rig.turn();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("begins a round");
  await rig.turn();
  rig.log.settle(handle, 1);
  const secured = rig.durable.files.secureSettlements();
  letSync();
  assert.equal(await secured, true);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["stays", "begins a round"]);
});

test("settlements alone are gathered for a while", async () => {
  const { rig, disk } = await watchedLog();
  const handles = Array.from({ length: 10 }, (_, i) => rig.append(`message ${i}`));
  await rig.turn();
  for (const handle of handles.slice(1)) {
    rig.log.settle(handle, 1);
    rig.clock.advance(1);
    await rig.turn();
  }
  assert.deepEqual(disk.doneLike("write 00000001.ack"), []);
  rig.clock.advance(20);
  await rig.turn();
  assert.equal(disk.doneLike("write 00000001.ack").length, 1);
});

test("a segment is removed after all records that were appended before its death", async () => {
  const { rig, disk } = await watchedLog();
  const dead = rig.append("x".repeat(3000));
  rig.append("y".repeat(3000));
  await rig.rest();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("appended before");
  rig.log.settle(dead, 1);
  await rig.turn();
  assert.deepEqual(disk.doneLike("remove 00000001"), []);
  letSync();
  await rig.rest();
  assert.ok(disk.done.includes("remove 00000001.0.seg"));
});

test("what lives and dies before it is written never touches the disk", async () => {
  const { rig, disk } = await watchedLog();
  for (let i = 0; i < 50; i++) rig.log.settle(rig.append("x".repeat(1000)), 1);
  const kept = rig.append("kept");
  await rig.rest();
  assert.equal(rig.log.durablePosition, rig.log.position);
  assert.deepEqual(
    disk.doneLike("open 0").filter((name) => name.endsWith(".seg")),
    [`open ${String(rig.log.segmentOf(kept).number).padStart(8, "0")}.0.seg`],
  );
});

test("what died before it was written does not come back, and needed no settlement", async () => {
  const { rig, disk } = await watchedLog();
  rig.append("first");
  rig.log.settle(rig.append("dead before it was written"), 1);
  rig.append("last");
  await rig.rest();
  assert.deepEqual(disk.doneLike("write 00000001.ack"), []);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["first", "last"]);
});

test("a full segment gets its index, and its files are closed", async () => {
  const { rig, disk } = await watchedLog();
  for (let i = 0; i < 3; i++) rig.append("x".repeat(3000));
  await rig.rest();
  assert.deepEqual(await rig.files("idx"), ["00000001.0.idx", "00000002.0.idx"]);
  assert.ok(disk.done.includes("close 00000001.0.seg"));
  assert.ok(disk.done.includes("sync 00000001.0.idx"));
});

test("no confirm waits for an index", async () => {
  const { rig, disk } = await watchedLog();
  const letIndex = disk.hold("write", /idx$/);
  for (let i = 0; i < 5; i++) {
    rig.append("x".repeat(3000));
    await rig.turn();
    assert.equal(rig.log.durablePosition, rig.log.position);
  }
  letIndex();
  await rig.rest();
  assert.equal((await rig.files("idx")).length, 4);
});

// Removal, in an order that a power loss cannot turn around

test("index and settlements go after the records are gone for good", async () => {
  const { rig, disk } = await watchedLog();
  const handles = [rig.append("x".repeat(1500)), rig.append("x".repeat(2000))];
  rig.append("y".repeat(3000));
  await rig.rest();
  rig.log.settle(handles[0]!, 1);
  await rig.rest();
  assert.ok((await rig.files()).includes("00000001.ack"));
  rig.log.settle(handles[1]!, 1);
  await rig.rest();
  assert.ok((await rig.files()).includes("00000001.ack"), "so far it has to wait");
  rig.append("z".repeat(3000));
  await rig.rest();
  const recordsAt = disk.done.indexOf("remove 00000001.0.seg");
  const restAt = disk.done.indexOf("remove 00000001.ack");
  assert.ok(recordsAt >= 0 && restAt > recordsAt);
  assert.ok(disk.done.slice(recordsAt, restAt).includes("syncDirectory log"));
});

// The levels

test("at level os, records are told to be written once they are, and no sync is waited for", async () => {
  const { rig, disk } = await watchedLog();
  disk.hold("sync", /seg$/);
  rig.appendAtOs("one");
  await rig.turn();
  assert.equal(rig.log.writtenPosition, rig.log.position);
  assert.equal(rig.log.durablePosition, 0);
  assert.deepEqual(
    disk.begun.filter((each) => each === "sync 00000001.0.seg"),
    [],
  );
  await rig.restart(false);
  assert.deepEqual(await rig.textsOf(1), ["one"]);
});

test("at level os, records are synced a second later", async () => {
  const { rig } = await watchedLog();
  rig.appendAtOs("one");
  await rig.turn();
  rig.clock.advance(999);
  await rig.turn();
  assert.equal(rig.log.durablePosition, 0);
  rig.clock.advance(1);
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["one"]);
});

test("at level os, a segment is synced before it gets an index", async () => {
  const { rig, disk } = await watchedLog();
  rig.appendAtOs("x".repeat(3000));
  rig.appendAtOs("x".repeat(3000));
  await rig.turn();
  const syncAt = disk.done.indexOf("sync 00000001.0.seg");
  assert.ok(syncAt >= 0 && syncAt < disk.done.indexOf("open 00000001.0.idx"));
});

test("at level disk, records of level os that came before are synced as well, in order", async () => {
  const { rig, disk } = await watchedLog();
  const letSync = disk.hold("sync", /0000000[12]\.0\.seg$/);
  for (let i = 0; i < 4; i++) rig.appendAtOs("x".repeat(2000));
  await rig.turn();
  rig.append("of level disk");
  await rig.turn();
  assert.equal(rig.log.writtenPosition, rig.log.position);
  assert.equal(rig.log.durablePosition, 0);
  letSync();
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
  const synced = disk.doneLike("sync").filter((each) => each.endsWith(".seg"));
  assert.deepEqual(synced, synced.toSorted());
  await rig.restart(true);
  assert.equal((await rig.textsOf(1)).at(-1), "of level disk");
});

test("records of level os are written while others are being synced, in whatever segment", async () => {
  const { rig, disk } = await watchedLog();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("of level disk");
  await rig.turn();
  for (let i = 0; i < 4; i++) {
    rig.appendAtOs("x".repeat(2000));
    await rig.turn();
    assert.equal(rig.log.writtenPosition, rig.log.position);
  }
  assert.equal(rig.log.durablePosition, 0);
  letSync();
  await rig.turn();
  assert.ok(rig.log.durablePosition > 0);
  assert.equal(disk.doneLike("write 00000003").length > 0, true);
});

test("what was written during a sync is not called durable by it", async () => {
  const { rig, disk } = await watchedLog();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("of level disk");
  await rig.turn();
  const { writtenPosition } = rig.log;
  rig.appendAtOs("of level os");
  await rig.turn();
  letSync();
  await rig.turn();
  assert.equal(rig.log.durablePosition, writtenPosition);
});

test("at level disk alone, nothing is written while a sync is under way", async () => {
  const { rig, disk } = await watchedLog();
  const letSync = disk.hold("sync", /seg$/);
  rig.append("one");
  await rig.turn();
  rig.append("two");
  await rig.turn();
  assert.equal(disk.doneLike("write 00000001").length, 1);
  letSync();
  await rig.turn();
  assert.equal(disk.doneLike("write 00000001").length, 2);
});

test("whoever asks has everything synced that has been written at level os", async () => {
  const { rig } = await watchedLog();
  rig.appendAtOs("one");
  await rig.turn();
  rig.durable.files.demandSync();
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
});

test("a power loss leaves gaps at level os, and is not taken for damage", async () => {
  const { rig, disk } = await watchedLog();
  rig.append("of level disk");
  await rig.turn();
  disk.hold("sync", /seg$/);
  for (let i = 0; i < 6; i++) rig.appendAtOs(`${i}`.repeat(2000));
  await rig.turn();
  assert.ok((await rig.files("seg")).length > 2);
  // The last segment has reached the disk, and those before it have not.
  const name = (await rig.files("seg")).at(-1)!;
  const last = await rig.disk.open(`/data/log/${name}`, "write");
  await last.sync();
  await rig.disk.syncDirectory("/data/log");
  await rig.restart(true);
  assert.deepEqual(rig.damage, []);
  const texts = await rig.textsOf(1);
  assert.equal(texts[0], "of level disk");
  assert.equal(texts.at(-1), "5".repeat(2000));
});

test("what a transaction of level os has settled is settled once the transaction is safe", async () => {
  const { rig, disk } = await watchedLog();
  const handle = rig.append("settled");
  rig.append("stays");
  await rig.rest();
  rig.appendGroup(["grouped"], [{ handle, queue: 1 }], "os");
  const letSync = disk.hold("sync", /seg$/);
  await rig.turn();
  rig.clock.advance(100);
  await rig.turn();
  assert.equal(rig.log.writtenPosition, rig.log.position);
  assert.deepEqual(disk.doneLike("write 00000001.ack"), []);
  letSync();
  await rig.turn();
  assert.equal(disk.doneLike("write 00000001.ack").length, 1);
});

test("at level os, what has died since it was written is removed without having been synced", async () => {
  const { rig, disk } = await watchedLog();
  const letSync = disk.hold("sync", /seg$/);
  const handles = Array.from({ length: 4 }, () => rig.appendAtOs("x".repeat(3000)));
  await rig.turn();
  for (const handle of handles.slice(1, 3)) rig.log.settle(handle, 1);
  letSync();
  await rig.turn();
  const synced = disk.begun.filter((each) => /^sync .*seg$/.test(each));
  assert.deepEqual(synced, ["sync 00000001.0.seg"]);
  assert.deepEqual(await rig.files("seg"), ["00000001.0.seg", "00000004.0.seg"]);
});

// Faults

for (const fault of ["EIO", "ENOSPC"]) {
  test(`nothing becomes durable while writes fail with ${fault}, and all of it afterwards`, async () => {
    const rig = await LogRig.open();
    rig.append("before");
    await rig.turn();
    const safe = rig.log.durablePosition;
    rig.disk.faults.inject({ operations: ["write"], fault });
    rig.append("during");
    await rig.rest();
    assert.equal(rig.log.durablePosition, safe);
    assert.equal((rig.durable.files.fault as DiskError).code, fault);
    assert.equal(rig.faults.length, 1, "a fault is told once");
    rig.disk.faults.clear();
    rig.append("after");
    await rig.rest();
    assert.equal(rig.log.durablePosition, rig.log.position);
    assert.equal(rig.durable.files.fault, undefined);
    assert.deepEqual(
      rig.faults.map((each) => each instanceof DiskError),
      [true, false],
    );
    await rig.restart(true);
    assert.deepEqual(await rig.textsOf(1), ["before", "during", "after"]);
  });
}

test("a file whose sync has failed is never synced again: all goes to another", async () => {
  const { rig, disk } = await watchedLog();
  rig.append("before");
  await rig.turn();
  rig.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO", times: 1 });
  rig.append("during");
  await rig.turn();
  assert.ok(rig.log.durablePosition < rig.log.position);
  const asked = disk.begun.filter((each) => each === "sync 00000001.0.seg").length;
  await rig.rest();
  assert.equal(disk.begun.filter((each) => each === "sync 00000001.0.seg").length, asked);
  assert.equal(rig.log.durablePosition, rig.log.position);
  assert.deepEqual(await rig.files("seg"), ["00000001.1.seg"]);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["before", "during"]);
});

test("until the new file is whole, the one that was given up stays", async () => {
  for (const powerLoss of [false, true]) {
    const { rig, disk } = await watchedLog();
    rig.append("before");
    await rig.turn();
    rig.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO", times: 1 });
    rig.append("during");
    await rig.turn();
    disk.hold("sync", /1\.seg$/);
    await rig.rest();
    assert.deepEqual(await rig.files("seg"), ["00000001.0.seg", "00000001.1.seg"]);
    rig.crash(powerLoss);
    await rig.open();
    assert.equal((await rig.textsOf(1))[0], "before");
    await rig.rest();
    const left = await rig.files();
    assert.equal(left.filter((name) => /(seg|pak)$/.test(name)).length, 1);
  }
});

test("also if writing fails again when only a part of it is in the new one", async () => {
  const rig = await LogRig.open({ sizes: { roundBytes: 512 } });
  const texts = Array.from({ length: 10 }, (_, i) => `${i}`.repeat(200));
  for (const text of texts) rig.append(text);
  await rig.rest();
  const { faults } = rig.disk;
  faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO", times: 1 });
  faults.inject({ operations: ["write"], path: /1\.seg$/, fault: "EIO", skip: 2 });
  rig.append("last");
  await rig.rest();
  assert.equal(rig.log.segments[0]!.syncedTo > 0, true, "the new file has something");
  assert.deepEqual(await rig.files("seg"), ["00000001.0.seg", "00000001.1.seg"]);
  faults.clear();
  await rig.restart(true);
  assert.deepEqual((await rig.textsOf(1)).slice(0, 10), texts);
});

test("a write that has failed is done again in the same file", async () => {
  const rig = await LogRig.open();
  rig.append("before");
  await rig.turn();
  rig.disk.faults.inject({ operations: ["write"], fault: "ENOSPC", times: 1 });
  rig.append("during");
  await rig.rest();
  assert.deepEqual(await rig.files("seg"), ["00000001.0.seg"]);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["before", "during"]);
});

test("a disk that is full is drained, and works again", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 1024 } });
  const handles: number[] = [];
  for (let i = 0; i < 40; i++) handles.push(rig.append("x".repeat(300)));
  await rig.rest();
  const used = await rig.diskBytes();
  rig.disk.capacityBytes = used + 100;
  for (let i = 0; i < 3; i++) rig.append("y".repeat(300));
  await rig.rest();
  assert.notEqual(rig.durable.files.fault, undefined);
  for (const handle of handles) rig.log.settle(handle, 1);
  await rig.rest();
  await rig.rest();
  assert.equal(rig.durable.files.fault, undefined, "dead segments have made room");
  assert.equal(rig.log.durablePosition, rig.log.position);
  await rig.restart(true);
  assert.deepEqual(
    await rig.textsOf(1),
    ["y", "y", "y"].map((each) => each.repeat(300)),
  );
});

test("a full disk recovers even if all that could not be written is dead by then", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 4096 } });
  rig.disk.capacityBytes = 64;
  const handles = [rig.append("x".repeat(300)), rig.append("x".repeat(300))];
  await rig.rest();
  assert.notEqual(rig.durable.files.fault, undefined);
  for (const handle of handles) rig.log.settle(handle, 1);
  await rig.rest();
  assert.equal(rig.durable.files.fault, undefined);
  assert.equal(rig.log.durablePosition, rig.log.position);
});

test("so does one where a file cannot grow, or a place cannot be written", async () => {
  for (const fault of ["EFBIG", "EIO"]) {
    const rig = await LogRig.open();
    const handles = [rig.append("written")];
    await rig.rest();
    rig.disk.faults.inject({ operations: ["write"], path: /00000001\.0\.seg$/, fault });
    handles.push(rig.append("not written"));
    await rig.rest();
    assert.equal((rig.durable.files.fault as DiskError).code, fault);
    for (const handle of handles) rig.log.settle(handle, 1);
    await rig.rest();
    assert.equal(rig.durable.files.fault, undefined);
    rig.append("in another file");
    await rig.rest();
    assert.equal(rig.log.durablePosition, rig.log.position);
    await rig.restart(true);
    assert.deepEqual(await rig.textsOf(1), ["in another file"]);
  }
});

test("settlements that cannot be noted now are noted later, and hold up no record", async () => {
  const rig = await LogRig.open();
  const handle = rig.append("settled");
  rig.append("stays");
  await rig.turn();
  rig.disk.faults.inject({ operations: ["open", "write"], path: /ack$/, fault: "EIO", times: 3 });
  rig.log.settle(handle, 1);
  rig.append("another");
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
  assert.deepEqual(rig.faults, []);
  await rig.rest();
  await rig.restart(false);
  assert.deepEqual(await rig.textsOf(1), ["stays", "another"]);
});

test("an index that cannot be written now is written later", async () => {
  const rig = await LogRig.open();
  rig.disk.faults.inject({ operations: ["open"], path: /idx$/, fault: "ENOSPC", times: 2 });
  rig.append("x".repeat(3000));
  rig.append("x".repeat(3000));
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
  await rig.rest();
  assert.deepEqual(await rig.files("idx"), ["00000001.0.idx"]);
});

test("a file that cannot be removed now is removed later", async () => {
  const rig = await LogRig.open();
  const dead = rig.append("x".repeat(3000));
  rig.append("x".repeat(3000));
  await rig.rest();
  rig.disk.faults.inject({ operations: ["remove"], fault: "EIO", times: 2 });
  rig.log.settle(dead, 1);
  await rig.rest();
  assert.ok(!(await rig.files()).includes("00000001.0.seg"));
});

test("at level os, a segment whose last sync fails goes to another file", async () => {
  const rig = await LogRig.open();
  rig.disk.faults.inject({ operations: ["sync"], path: /seg$/, fault: "EIO", times: 1 });
  rig.appendAtOs("x".repeat(3000));
  rig.appendAtOs("y".repeat(3000));
  await rig.rest();
  assert.deepEqual(await rig.files("idx"), ["00000001.1.idx"]);
  assert.ok(!(await rig.files()).includes("00000001.0.seg"));
  await rig.restart(false);
  assert.deepEqual(await rig.textsOf(1), ["x".repeat(3000), "y".repeat(3000)]);
});

// The end

test("a log that was closed has everything indexed, and nothing is written when it opens", async () => {
  const rig = await LogRig.open();
  for (let i = 0; i < 3; i++) rig.append("x".repeat(1500));
  await rig.durable.close();
  assert.equal(rig.log.durablePosition, rig.log.position);
  assert.equal((await rig.files("seg")).length, (await rig.files("idx")).length);
  await rig.restart(true);
  await rig.rest();
  assert.deepEqual(await rig.files("seg"), ["00000001.0.seg", "00000002.0.seg"]);
  assert.equal((await rig.textsOf(1)).length, 3);
});

test("closing ends also while nothing can be written", async () => {
  const rig = await LogRig.open();
  rig.append("before");
  await rig.turn();
  rig.disk.faults.inject({ operations: ["write"], fault: "EIO" });
  rig.append("never written");
  const closed = rig.durable.close();
  await rig.rest();
  await closed;
  rig.disk.faults.clear();
  await rig.restart(false);
  assert.equal((await rig.textsOf(1))[0], "before");
});

test("who waits for what was appended so far is not forgotten when writing fails", async () => {
  const rig = await LogRig.open();
  rig.disk.faults.inject({ operations: ["write"], fault: "EIO" });
  rig.append("never written");
  await rig.durable.files.settleDown();
  assert.notEqual(rig.durable.files.fault, undefined);
});
