/**
 * Goal: what an opening finds is what was promised, after any end and any damage, and an opening
 * that is itself interrupted costs nothing.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { directory, LogRig } from "../../test/log-rig.ts";
import { RecordKind, userWord } from "./record.ts";

test("an empty directory opens, and so does one that was just opened", async () => {
  const rig = await LogRig.open();
  assert.deepEqual(rig.found, []);
  for (const powerLoss of [false, true]) {
    await rig.restart(powerLoss);
    assert.deepEqual(rig.found, []);
    assert.deepEqual(rig.damage, []);
  }
});

test("records come back in order, each for its queues, and handles lead to their bytes", async () => {
  const rig = await LogRig.open();
  for (let i = 0; i < 40; i++) rig.append(`message ${i} `.repeat(20), i % 2 === 0 ? [1] : [1, 2]);
  await rig.rest();
  for (const powerLoss of [false, true, false]) {
    await rig.restart(powerLoss);
    const expected = Array.from({ length: 40 }, (_, i) => `message ${i} `.repeat(20));
    assert.deepEqual(await rig.textsOf(1), expected);
    assert.deepEqual(
      await rig.textsOf(2),
      expected.filter((_, i) => i % 2 === 1),
    );
    assert.equal(rig.log.stats.liveRecords, 40);
    assert.equal(rig.durable.recoveredRecords, 40);
  }
});

test("what nobody has a queue for is not kept", async () => {
  const rig = await LogRig.open();
  for (let i = 0; i < 10; i++) rig.append("x".repeat(900), [i % 2]);
  await rig.rest();
  rig.knows = (queue) => queue === 1;
  await rig.restart(false);
  assert.equal(rig.log.stats.liveRecords, 5);
  for (const { handle } of rig.found) rig.log.settle(handle, 1);
  await rig.rest();
  assert.deepEqual(await rig.files("seg"), []);
});

test("the tail is cut at its last whole record, at whatever byte it ends", async () => {
  const rig = await LogRig.open();
  rig.append("one");
  rig.append("two");
  await rig.rest();
  rig.append("three");
  await rig.turn();
  const file = await rig.read("log/00000001.0.seg");
  for (let length = 0; length <= file.length; length += 4) {
    const other = await LogRig.open();
    const made = await other.disk.open(`${directory}/log/00000001.0.seg`, "create");
    await made.write(file, 0, length, 0);
    await made.close();
    await other.open();
    const texts = await other.textsOf(1);
    assert.deepEqual(texts, ["one", "two", "three"].slice(0, texts.length));
    assert.deepEqual(other.damage, [], `${length} bytes`);
    if (length === file.length) assert.equal(texts.length, 3);
    await other.rest();
    await other.restart(true);
    assert.deepEqual(await other.textsOf(1), texts);
  }
});

test("damage where all was safe is told and kept, and what follows is believed", async () => {
  const rig = await LogRig.open();
  const handles: number[] = [];
  for (let i = 0; i < 5; i++) {
    handles.push(rig.append(`message ${i}`));
    await rig.turn();
  }
  const at = rig.log.unitOf(handles[1]!) * 8 + 40;
  rig.crash(false);
  await rig.overwrite("log/00000001.0.seg", Buffer.from("!"), at);
  await rig.open();
  assert.deepEqual(await rig.textsOf(1), ["message 0", "message 2", "message 3", "message 4"]);
  assert.equal(rig.damage.length, 1);
  assert.equal((await rig.disk.list(`${directory}/quarantine`)).length, 1);
  await rig.rest();
  await rig.restart(true);
  assert.equal((await rig.textsOf(1)).length, 4);
  assert.deepEqual(rig.damage, [], "it is told once");
});

test("a segment whose index is damaged is read record by record", async () => {
  const rig = await LogRig.open();
  for (let i = 0; i < 6; i++) rig.append(`${i}`.repeat(1200));
  await rig.rest();
  const expected = await textsNow(rig);
  for (const at of [3, 18, 40]) {
    const index = await rig.read("log/00000001.0.idx");
    await rig.overwrite("log/00000001.0.idx", Buffer.from([index[at]! ^ 1]), at);
    await rig.restart(false);
    assert.deepEqual(await rig.textsOf(1), expected, `byte ${at}`);
    assert.deepEqual(rig.damage, []);
    await rig.rest();
  }
});

async function textsNow(rig: LogRig): Promise<string[]> {
  await rig.restart(false);
  return await rig.textsOf(1);
}

test("a segment that was full and has lost its last records is told to be damaged", async () => {
  const rig = await LogRig.open();
  for (let i = 0; i < 6; i++) rig.append(`${i}`.repeat(1200));
  await rig.rest();
  rig.crash(false);
  await rig.disk.remove(`${directory}/log/00000001.0.idx`);
  await rig.truncate("log/00000001.0.seg", 1240 * 2);
  await rig.open();
  assert.deepEqual(
    (await rig.textsOf(1)).map((text) => text[0]),
    ["0", "1", "3", "4", "5"],
  );
  assert.equal(rig.damage.length, 1);
});

test("settlements survive the end of the process, and a torn batch costs only itself", async () => {
  const rig = await LogRig.open();
  const handles = Array.from({ length: 6 }, (_, i) => rig.append(`message ${i}`));
  await rig.turn();
  for (const i of [0, 1]) {
    rig.log.settle(handles[i]!, 1);
    rig.clock.advance(50);
    await rig.turn();
  }
  rig.crash(false);
  const sidecar = await rig.read("log/00000001.ack");
  await rig.truncate("log/00000001.ack", sidecar.length - 1);
  await rig.open();
  assert.deepEqual(
    await rig.textsOf(1),
    [1, 2, 3, 4, 5].map((i) => `message ${i}`),
  );
  rig.log.settle(rig.found[1]!.handle, 1);
  await rig.rest();
  await rig.restart(false);
  assert.deepEqual(
    await rig.textsOf(1),
    [1, 3, 4, 5].map((i) => `message ${i}`),
  );
});

test("whole batches behind a torn one do not count again once another takes its place", async () => {
  const rig = await LogRig.open();
  const handles = Array.from({ length: 4 }, (_, i) => rig.append(`message ${i}`));
  await rig.turn();
  for (const handle of handles.slice(0, 2)) {
    rig.log.settle(handle, 1);
    rig.clock.advance(50);
    await rig.turn();
  }
  rig.crash(false);
  await rig.overwrite("log/00000001.ack", Buffer.from("!"), 5);
  await rig.open();
  assert.equal(rig.found.length, 4);
  rig.log.settle(rig.found[3]!.handle, 1);
  await rig.rest();
  await rig.restart(false);
  assert.deepEqual(
    await rig.textsOf(1),
    [0, 1, 2].map((i) => `message ${i}`),
  );
});

test("segments are numbered on, beyond every number that any file has", async () => {
  const rig = await LogRig.open();
  const stray = await rig.disk.open(`${directory}/log/00000077.ack`, "create");
  await stray.close();
  await rig.open();
  const handle = rig.append("one");
  assert.ok(rig.log.segmentOf(handle).number > 77);
  await rig.rest();
  assert.ok(!(await rig.files()).includes("00000077.ack"), "a sidecar without records goes");
});

test("names that are not the log's are left alone", async () => {
  const rig = await LogRig.open();
  const stray = await rig.disk.open(`${directory}/log/README`, "create");
  await stray.close();
  await rig.open();
  await rig.rest();
  assert.ok((await rig.files()).includes("README"));
});

// What may never have reached the disk

test("what only the operating system had is made safe before it counts", async () => {
  const rig = await LogRig.open();
  const path = /00000001\.0\.seg$/;
  rig.append("before");
  await rig.turn();
  rig.disk.faults.inject({ operations: ["sync"], path, fault: "EIO" });
  rig.append("seen, and never synced");
  await rig.turn();
  rig.disk.faults.clear();
  await rig.restart(false);
  const texts = await rig.textsOf(1);
  assert.equal(texts[0], "before");
  assert.ok(rig.log.durablePosition < rig.log.position);
  await rig.rest();
  assert.equal(rig.log.durablePosition, rig.log.position);
  for (let i = 0; i < 4; i++) {
    await rig.restart(true);
    assert.deepEqual(await rig.textsOf(1), texts);
  }
});

test("an opening on a full disk finds everything, and lets it be consumed", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 1024 } });
  for (let i = 0; i < 10; i++) rig.append("x".repeat(300));
  await rig.turn();
  rig.crash(false);
  rig.disk.capacityBytes = 0;
  await rig.open();
  assert.equal((await rig.textsOf(1)).length, 10);
  await rig.rest();
  assert.notEqual(rig.durable.files.fault, undefined);
  for (const { handle } of rig.found) rig.log.settle(handle, 1);
  await rig.rest();
  await rig.rest();
  assert.equal(rig.durable.files.fault, undefined);
  await rig.restart(false);
  assert.deepEqual(rig.found, []);
});

test("an end while opening, at every operation, and the next opening finds the same", async () => {
  for (const powerLoss of [false, true]) {
    for (let step = 0; step < 60; step++) {
      const rig = await LogRig.open({ sizes: { segmentBytes: 1024 } });
      for (let i = 0; i < 10; i++) rig.append(`message ${i} `.repeat(20));
      await rig.rest();
      for (let i = 10; i < 14; i++) rig.append(`message ${i} `.repeat(20));
      await rig.turn();
      rig.crash(powerLoss);
      // Whatever the opening makes of the fault, the process ends soon after.
      const fault = { operations: allOperations, fault: "EIO", skip: step, times: 1 };
      const clear = rig.disk.faults.inject(fault);
      await rig.open().catch(() => undefined);
      await rig.turn();
      clear();
      await rig.restart(powerLoss);
      assert.equal((await rig.textsOf(1)).length, 14, `step ${step}`);
      assert.deepEqual(rig.damage, []);
    }
  }
});

const allOperations = [
  ...["open", "list", "makeDirectory", "remove", "rename", "syncDirectory"],
  ...["write", "read", "sync", "size", "close"],
] as const satisfies readonly string[];

test("an opening that a fault has stopped says so, and loses nothing", async () => {
  const rig = await LogRig.open();
  rig.append("one");
  await rig.rest();
  rig.crash(false);
  rig.disk.faults.inject({ operations: ["read"], path: /seg$/, fault: "EIO", times: 1 });
  await assert.rejects(rig.open(), { code: "EIO" });
  await rig.open();
  assert.deepEqual(await rig.textsOf(1), ["one"]);
});

// Groups

test("a group survives as a whole or not at all, wherever the file ends", async () => {
  const rig = await LogRig.open();
  const moved = rig.append("moved");
  rig.append("stays");
  await rig.rest();
  rig.appendGroup(["one", "two"], [{ handle: moved, queue: 1 }]);
  await rig.turn();
  const file = await rig.read("log/00000001.0.seg");
  const outcomes = new Set<string>();
  for (let length = 0; length <= file.length; length += 8) {
    const other = await LogRig.open();
    const made = await other.disk.open(`${directory}/log/00000001.0.seg`, "create");
    await made.write(file, 0, length, 0);
    await made.close();
    await other.open();
    outcomes.add((await other.textsOf(1)).join(", "));
  }
  assert.deepEqual([...outcomes], ["", "moved", "moved, stays", "stays, one, two"]);
});

test("what a group has settled stays settled, also when its own segment is long gone", async () => {
  const rig = await LogRig.open();
  const moved = rig.append("moved");
  rig.append("stays");
  rig.append("x".repeat(3900), [9]);
  await rig.rest();
  const [copy] = rig.appendGroup(["copy ".repeat(300)], [{ handle: moved, queue: 1 }]);
  await rig.rest();
  const group = rig.log.segmentOf(copy!).number;
  rig.append("y".repeat(3000), [9]);
  await rig.rest();
  rig.log.settle(copy!, 1);
  await rig.rest();
  await rig.rest();
  assert.ok(!(await rig.files("seg")).some((name) => name.startsWith(`0000000${group}`)));
  for (let i = 0; i < 5; i++) {
    await rig.restart(true);
    assert.deepEqual(await rig.textsOf(1), ["stays"], `power loss ${i}`);
  }
});

test("the group's record of what it settled goes after the note of it is safe", async () => {
  const rig = await LogRig.open();
  const moved = rig.append("moved");
  rig.append("stays");
  rig.append("x".repeat(3900), [9]);
  await rig.rest();
  const [copy] = rig.appendGroup(["copy ".repeat(300)], [{ handle: moved, queue: 1 }]);
  rig.append("y".repeat(3000), [9]);
  await rig.rest();
  rig.disk.faults.inject({ operations: ["sync"], path: /ack/, fault: "EIO" });
  rig.log.settle(copy!, 1);
  await rig.rest();
  for (let i = 0; i < 4; i++) {
    rig.disk.faults.clear();
    await rig.restart(true);
    assert.ok(!(await rig.textsOf(1)).includes("moved"), `power loss ${i}`);
    assert.ok((await rig.textsOf(1)).includes("stays"));
    rig.disk.faults.inject({ operations: ["sync"], path: /ack/, fault: "EIO" });
    await rig.rest();
  }
});

test("a group that was never durable takes nothing with it", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 1024 } });
  const moved = rig.append("moved ".repeat(100));
  const other = rig.append("other ".repeat(100));
  await rig.rest();
  rig.disk.faults.inject({ operations: ["write"], path: /seg$/, fault: "EIO" });
  rig.append("x".repeat(700), [9]);
  const [copy] = rig.appendGroup(
    ["copy"],
    [
      { handle: moved, queue: 1 },
      { handle: other, queue: 1 },
    ],
  );
  // Even if nobody wants the copy any more by then.
  rig.log.settle(copy!, 1);
  rig.append("x".repeat(700), [9]);
  await rig.rest();
  rig.disk.faults.clear();
  await rig.restart(true);
  assert.deepEqual(
    (await rig.textsOf(1)).map((text) => text.slice(0, 5)),
    ["moved", "other"],
  );
});

test("a group of settlements alone is one, too", async () => {
  const rig = await LogRig.open();
  const handles = ["one", "two", "three"].map((text) => rig.append(text));
  await rig.turn();
  rig.appendGroup(
    [],
    handles.slice(0, 2).map((handle) => ({ handle, queue: 1 })),
  );
  await rig.turn();
  assert.equal(rig.log.durablePosition, rig.log.position);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["three"]);
});

test("a group larger than any segment is whole after a restart, its handles, too", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 1024 } });
  const texts = Array.from({ length: 20 }, (_, i) => `message ${i} `.repeat(20));
  rig.appendGroup(texts);
  await rig.rest();
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), texts);
  await rig.rest();
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), texts);
});

test("a record of settlements that names what does not exist does no harm", async () => {
  const rig = await LogRig.open();
  rig.append("one");
  const { log } = rig;
  const record = log.appendDurable(24, [], RecordKind.Settlements);
  log.words[log.word + userWord] = 2;
  log.words.set([999, 0, 1, 1, 12_345, 1], log.contentStart >>> 2);
  log.release(record);
  log.release(log.appendDurable(0, [], RecordKind.GroupEnd));
  rig.append("two");
  await rig.rest();
  for (let i = 0; i < 3; i++) {
    await rig.restart(true);
    assert.deepEqual(await rig.textsOf(1), ["one", "two"]);
    await rig.rest();
  }
});
