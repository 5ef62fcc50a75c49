/**
 * Goal: the disk stays within twice of what lives, nobody notices how, and nothing that lives is
 * lost on the way, whatever fails.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { directory, LogRig } from "../../test/log-rig.ts";

/** One full segment of `count` texts, and another after it. */
async function filled(count: number, queues: readonly number[] = [1]): Promise<[LogRig, number[]]> {
  const rig = await LogRig.open();
  const handles: number[] = [];
  const length = Math.floor(3600 / count) - 32 - 4 * queues.length;
  for (let i = 0; i < count; i++) handles.push(rig.append(textOf(i, length), queues));
  rig.append("x".repeat(3000), [9]);
  await rig.rest();
  return [rig, handles];
}

function textOf(index: number, length = 180): string {
  return `${index} `.repeat(100).slice(0, length);
}

test("a segment that is mostly garbage is written anew, and its records keep handles and bytes", async () => {
  const [rig, handles] = await filled(16);
  const length = Math.floor(3600 / 16) - 36;
  for (const [i, handle] of handles.entries()) if (i % 4 !== 0) rig.log.settle(handle, 1);
  await rig.rest();
  assert.deepEqual(
    (await rig.files()).filter((name) => name.startsWith("00000001")),
    ["00000001.1.idx", "00000001.1.pak"],
  );
  for (const i of [0, 4, 8, 12]) assert.equal(await rig.text(handles[i]!), textOf(i, length));
  await rig.restart(true);
  assert.deepEqual(
    await rig.textsOf(1),
    [0, 4, 8, 12].map((i) => textOf(i, length)),
  );
});

test("a segment that has been away is compacted as one that has not", async () => {
  const rig = await LogRig.open({ memoryBytes: 0 });
  const handles: number[] = [];
  for (let i = 0; i < 16; i++) handles.push(rig.append(textOf(i)));
  rig.append("x".repeat(3000), [9]);
  await rig.rest();
  assert.equal(rig.log.isResident(handles[0]!), false);
  for (const [i, handle] of handles.entries()) if (i % 4 !== 0) rig.log.settle(handle, 1);
  await rig.rest();
  const pack = (await rig.files("pak"))[0]!;
  assert.equal((await rig.read(`log/${pack}`)).length, rig.log.segmentOf(handles[0]!).liveBytes);
  for (const i of [0, 4, 8, 12]) assert.equal(await rig.text(handles[i]!), textOf(i));
});

test("a compacted segment is compacted again, and ends as others do", async () => {
  const [rig, handles] = await filled(16);
  const random = new SeededRandom(4);
  const left = [...handles];
  while (left.length > 0) {
    const [handle] = left.splice(random.below(left.length), 1);
    rig.log.settle(handle!, 1);
    await rig.rest();
    const { liveBytes, diskBytes } = rig.log.segments[0] ?? { liveBytes: 0, diskBytes: 0 };
    assert.ok(diskBytes <= 2 * liveBytes + 96, `${diskBytes} bytes for ${liveBytes}`);
  }
  assert.deepEqual(await rig.files("pak"), []);
});

test("what would not become smaller is left alone", async () => {
  const rig = await LogRig.open();
  const handle = rig.append("");
  rig.append("x".repeat(4000), [9]);
  rig.append("x".repeat(4000), [9]);
  await rig.rest();
  const { compactions } = rig.durable.files.counters;
  await rig.rest();
  assert.equal(rig.durable.files.counters.compactions, compactions);
  assert.ok(compactions <= 1);
  assert.equal(await rig.text(handle), "");
});

test("records settled by some of their queues come back for the others, after any compaction", async () => {
  for (const powerLoss of [false, true]) {
    const [rig, handles] = await filled(8, [1, 2, 3]);
    for (const handle of handles.slice(1)) {
      for (const queue of [1, 2, 3]) rig.log.settle(handle, queue);
    }
    rig.log.settle(handles[0]!, 2);
    await rig.rest();
    assert.equal((await rig.files("pak")).length, 1);
    assert.ok(!(await rig.files()).includes("00000001.ack"), "it is in the record now");
    rig.log.settle(handles[0]!, 3);
    await rig.rest();
    await rig.restart(powerLoss);
    const queues = rig.found.filter(({ id }) => id === 1).map(({ queue }) => queue);
    assert.ok(queues.includes(1) && !queues.includes(2));
    if (!powerLoss) assert.deepEqual(queues, [1]);
    assert.deepEqual(rig.damage, []);
  }
});

test("many settlements of a record with many queues do not have it compacted again and again", async () => {
  const rig = await LogRig.open({ sizes: { segmentBytes: 16_384 } });
  const queues = Array.from({ length: 500 }, (_, i) => i + 1);
  const handle = rig.append("for everybody", queues);
  rig.append("x".repeat(16_000), [999]);
  await rig.rest();
  for (const queue of queues.slice(1)) {
    rig.log.settle(handle, queue);
    if (queue % 50 === 0) await rig.rest();
  }
  await rig.rest();
  assert.ok(rig.durable.files.counters.compactions <= 10);
  const { diskBytes, liveBytes } = rig.log.segmentOf(handle);
  assert.ok(diskBytes <= 2 * liveBytes + 96);
  await rig.restart(false);
  assert.deepEqual(
    rig.found.filter(({ id }) => id === 1).map(({ queue }) => queue),
    [1],
  );
});

test("members of a group are messages like others once they are compacted", async () => {
  const rig = await LogRig.open();
  const group = rig.appendGroup(["one", "two", "three"]);
  const others = Array.from({ length: 12 }, (_, i) => rig.append(textOf(i)));
  rig.append("x".repeat(3000), [9]);
  await rig.rest();
  // Also without the one that ended it.
  for (const handle of [group[2]!, ...others]) rig.log.settle(handle, 1);
  await rig.rest();
  assert.equal((await rig.files("pak")).length, 1);
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), ["one", "two"]);
});

test("a segment is not compacted on the strength of a group that is not durable", async () => {
  const [rig, handles] = await filled(8);
  const before = await rig.files();
  rig.disk.faults.inject({
    operations: ["write", "sync"],
    path: /0000000[3-9].*seg/,
    fault: "EIO",
  });
  // The group moves all of them somewhere else, and never gets there.
  const settles = handles.map((handle) => ({ handle, queue: 1 }));
  rig.append("y".repeat(3000), [9]);
  rig.appendGroup(["moved"], settles.slice(1));
  await rig.rest();
  assert.deepEqual(
    before.filter((name) => name.endsWith("seg")),
    (await rig.files("seg")).filter((name) => before.includes(name)),
  );
  rig.disk.faults.clear();
  rig.crash(true);
  await rig.open();
  assert.equal(rig.found.filter(({ queue }) => queue === 1).length, 8);
});

test("a crash at any step of a compaction loses nothing and brings nothing back", async () => {
  for (const powerLoss of [false, true]) {
    for (let step = 0; step < 14; step++) {
      const [rig, handles] = await filled(8);
      for (const handle of handles.slice(2)) rig.log.settle(handle, 1);
      // Settlements are noted first, so that they survive the end of the process.
      rig.clock.advance(30);
      await rig.turn();
      // Let so many operations of the compaction through, and no more.
      rig.disk.faults.inject({
        operations: ["open", "write", "sync", "syncDirectory", "remove", "rename"],
        path: /log$|00000001/,
        fault: "EIO",
        skip: step,
      });
      rig.clock.advance(1100);
      await rig.turn();
      rig.disk.faults.clear();
      await rig.restart(powerLoss);
      const ids = rig.found.filter(({ queue }) => queue === 1).map(({ id }) => id);
      assert.deepEqual(ids.slice(0, 2), [1, 2], `step ${step}`);
      if (!powerLoss) assert.deepEqual(ids, [1, 2], `step ${step}`);
      assert.deepEqual(rig.damage, []);
      for (const { handle, id } of rig.found) {
        if (id <= 8) assert.ok((await rig.text(handle)).startsWith(`${id - 1} `));
      }
    }
  }
});

test("a compaction that has failed is done later, and leaves nothing lying about", async () => {
  const [rig, handles] = await filled(8);
  rig.disk.faults.inject({ operations: ["write"], path: /idx$/, fault: "ENOSPC", times: 2 });
  for (const handle of handles.slice(2)) rig.log.settle(handle, 1);
  await rig.rest();
  await rig.rest();
  const names = (await rig.files()).filter((name) => name.startsWith("00000001"));
  assert.equal(names.filter((name) => name.endsWith("pak")).length, 1);
  assert.equal(names.length, 2, `${names}`);
  assert.equal(rig.durable.files.fault, undefined, "no confirm depends on it");
});

test("a damaged record is not made a good one by compaction", async () => {
  const rig = await LogRig.open({ memoryBytes: 0 });
  const handles: number[] = [];
  for (let i = 0; i < 16; i++) handles.push(rig.append(textOf(i)));
  rig.append("x".repeat(3000), [9]);
  await rig.rest();
  await rig.overwrite("log/00000001.0.seg", Buffer.from("!"), 200);
  for (const handle of handles.slice(2)) rig.log.settle(handle, 1);
  await rig.rest();
  assert.equal((await rig.files("pak")).length, 1);
  assert.equal(rig.damage.length, 1);
  await rig.durable.load(handles[0]!);
  assert.ok(rig.log.isLost(handles[0]!));
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), [textOf(1)]);
  assert.deepEqual(rig.damage, [], "it has been told before");
});

test("a packed file whose index is damaged is read all the same", async () => {
  const [rig, handles] = await filled(16);
  const length = Math.floor(3600 / 16) - 36;
  for (const [i, handle] of handles.entries()) if (i % 4 !== 0) rig.log.settle(handle, 1);
  await rig.rest();
  await rig.overwrite("log/00000001.1.idx", Buffer.from("!"), 9);
  rig.log.settle(handles[4]!, 1);
  await rig.rest();
  await rig.restart(false);
  const expected = [0, 8, 12].map((i) => textOf(i, length));
  assert.deepEqual(await rig.textsOf(1), expected);
  await rig.rest();
  await rig.restart(true);
  assert.deepEqual(await rig.textsOf(1), expected);
  assert.deepEqual(rig.damage, []);
});

test("a packed file without an index counts, whatever else was begun after it", async () => {
  for (const kind of ["pak", "seg"] as const) {
    const [rig, handles] = await filled(16);
    for (const [i, handle] of handles.entries()) if (i % 4 !== 0) rig.log.settle(handle, 1);
    await rig.rest();
    rig.crash(true);
    await rig.disk.remove(`${directory}/log/00000001.1.idx`);
    // Another compaction, or the writing anew of what was packed, has got this far.
    const pack = await rig.read("log/00000001.1.pak");
    const begun = await rig.disk.open(`${directory}/log/00000001.2.${kind}`, "create");
    if (kind === "pak") await begun.write(pack, 0, 100, 0);
    await begun.close();
    await rig.open();
    assert.equal(rig.found.filter(({ queue }) => queue === 1).length, 4, kind);
    assert.deepEqual(rig.damage, []);
  }
});

// Over long workloads

/** The most that may lie on the disk, and what does. */
async function checkSpace(rig: LogRig): Promise<void> {
  const { liveBytes } = rig.log.stats;
  const diskBytes = await rig.diskBytes();
  const segments = rig.log.stats.segments;
  const bound = 2 * liveBytes + 2 * rig.segmentBytes + 96 * segments;
  assert.ok(diskBytes <= bound, `${diskBytes} bytes on disk for ${liveBytes} that live`);
}

for (const [name, draw] of [
  ["small messages", (random: SeededRandom) => random.below(30)],
  ["messages of all sizes", (random: SeededRandom) => random.below(random.pick([50, 500, 5000]))],
  ["large messages", (random: SeededRandom) => 1000 + random.below(8000)],
] as const) {
  test(`disk use stays within twice what lives, one in a thousand never settled: ${name}`, async () => {
    const random = new SeededRandom(11);
    const rig = await LogRig.open({ sizes: { segmentBytes: 32_768 }, memoryBytes: 8 * 32_768 });
    const waiting: number[] = [];
    let count = 0;
    for (let burst = 0; burst < 60; burst++) {
      for (let i = 0; i < 200; i++) {
        const handle = rig.append("m".repeat(draw(random)));
        if (++count % 1000 !== 0) waiting.push(handle);
      }
      // Queues grow and shrink; mostly the oldest goes first.
      const keep = random.pick([0, 100, 1000]);
      while (waiting.length > keep) {
        const isFirst = random.below(10) > 0;
        const [handle] = waiting.splice(isFirst ? 0 : random.below(waiting.length), 1);
        rig.log.settle(handle!, 1);
      }
      await rig.rest();
      await checkSpace(rig);
    }
    await rig.restart(false);
    assert.equal(rig.found.length, waiting.length + Math.floor(count / 1000));
    await rig.rest();
    await checkSpace(rig);
  });
}

test("a segment of whose settlements some have gone is left as it is", async () => {
  const [rig, handles] = await filled(16);
  rig.log.settle(handles[0]!, 1);
  await rig.rest();
  const sidecar = "log/00000001.ack";
  await rig.overwrite(sidecar, Buffer.alloc((await rig.read(sidecar)).length));
  for (const handle of handles.slice(1, 12)) rig.log.settle(handle, 1);
  await rig.rest();
  assert.deepEqual(await rig.files("pak"), []);
  for (const handle of handles.slice(12)) rig.log.settle(handle, 1);
  await rig.rest();
  assert.ok(!(await rig.files()).includes("00000001.0.seg"), "the dead need no settlements");
});
