/**
 * Goal: a data directory is opened by those who can read it, made whole or not at all, or
 * refused.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { DataDirectory, noLock } from "./data-directory.ts";
import type { DataDirectoryProblem } from "./data-directory-error.ts";
import { DataDirectoryError } from "./data-directory-error.ts";
import type { Disk } from "./disk.ts";
import { SeededScheduler, settled } from "./disk-scheduler.ts";
import { FaultyDisk } from "./faulty-disk.ts";
import { MemoryDisk } from "./memory-disk.ts";

const path = "/var/lib/haremq";
const goodId = "0123456789abcdef0123456789abcdef";

async function open(disk: Disk, seed = 1): Promise<DataDirectory> {
  return await DataDirectory.open({ disk, path, random: new SeededRandom(seed), lock: noLock });
}

async function diskWith(files: Readonly<Record<string, string>>): Promise<Disk> {
  const disk = new MemoryDisk();
  await disk.makeDirectory(path);
  for (const [name, text] of Object.entries(files)) {
    const file = await disk.open(`${path}/${name}`, "create");
    await file.write(Buffer.from(text), 0, Buffer.byteLength(text), 0);
    await file.close();
  }
  return disk;
}

async function refused(
  files: Readonly<Record<string, string>>,
  problem: DataDirectoryProblem,
  text: RegExp,
): Promise<void> {
  const disk = await diskWith(files);
  let locks = 0;
  const lock = () => {
    locks++;
    return { release: () => void locks-- };
  };
  const opening = DataDirectory.open({ disk, path, random: new SeededRandom(1), lock });
  await assert.rejects(opening, (error) => {
    assert.ok(error instanceof DataDirectoryError, String(error));
    assert.equal(error.problem, problem);
    assert.match(error.message, text);
    return true;
  });
  assert.equal(locks, 0, "it is unlocked again");
  assert.deepEqual(await disk.list(path), Object.keys(files).sort(), "nothing was touched");
}

describe("data directory", () => {
  test("is made with those above it, and keeps its node's id", async () => {
    const disk = new MemoryDisk();
    const first = await open(disk, 1);
    assert.match(first.nodeId, /^[0-9a-f]{32}$/);
    assert.equal(first.path, path);
    assert.deepEqual(await disk.list(path), ["haremq.json"]);
    assert.equal((await open(disk, 2)).nodeId, first.nodeId);
    assert.notEqual((await open(new MemoryDisk(), 2)).nodeId, first.nodeId);
  });

  test("is taken over when it is empty, or as good as empty", async () => {
    for (const name of ["lost+found", "lock", "lock.claim-1", "haremq.json.new"]) {
      const disk = await diskWith({ [name]: "x" });
      await open(disk);
      const left = name === "haremq.json.new" ? [] : [name];
      assert.deepEqual(await disk.list(path), ["haremq.json", ...left].sort());
    }
  });

  test("is read as the format says, though there may be more in the file", async () => {
    const text = JSON.stringify({ format: 1, nodeId: goodId, comment: "more" });
    const directory = await open(await diskWith({ "haremq.json": text, log: "x" }));
    assert.equal(directory.nodeId, goodId);
  });

  test("is refused when a newer HareMQ made it", async () => {
    const text = JSON.stringify({ format: 2, nodes: ["a", "b"] });
    const said = /\/var\/lib\/haremq has format 2, .*newer.* formats up to 1\.$/;
    await refused({ "haremq.json": text, log: "x" }, "newer", said);
  });

  test("is refused when nobody can know what it is", async () => {
    for (const text of [
      "",
      "\0\0\0",
      "null",
      "[]",
      "1",
      "{}",
      JSON.stringify({ format: 0, nodeId: goodId }),
      JSON.stringify({ format: 1.5, nodeId: goodId }),
      JSON.stringify({ format: "1", nodeId: goodId }),
      JSON.stringify({ format: 1 }),
      JSON.stringify({ format: 1, nodeId: "../../etc" }),
      "x".repeat(10_000),
    ]) {
      await refused({ "haremq.json": text }, "damaged", /\/haremq\.json (is damaged|names no)/);
    }
  });

  test("is refused when it is somebody else's", async () => {
    await refused({ "thesis.tex": "" }, "foreign", /no data directory of HareMQ: .*thesis\.tex/);
  });

  test("is not used when it cannot be made durable", async () => {
    for (const operation of ["write", "sync", "rename", "syncDirectory"] as const) {
      const disk = new FaultyDisk({ random: new SeededRandom(1) });
      const heal = disk.faults.inject({ operations: [operation], fault: "EIO" });
      await assert.rejects(open(disk), { code: "EIO", operation });
      heal();
      await open(disk);
    }
  });

  test("is made durable as far up as we may read", async () => {
    const disk = new FaultyDisk({ random: new SeededRandom(1) });
    disk.faults.inject({ operations: ["syncDirectory"], fault: "EACCES", path: /^\/var$/ });
    await open(disk);
  });

  test("survives a power loss at any moment, and so does the id that was told", async () => {
    let told = 0;
    for (let seed = 0; seed < 300; seed++) {
      const random = new SeededRandom(seed);
      const scheduler = new SeededScheduler(random);
      const disk = new FaultyDisk({ random, scheduler });
      let nodeId: string | undefined;
      void open(disk, 1).then((directory) => {
        nodeId = directory.nodeId;
      });
      for (let steps = random.below(30); steps > 0; steps--) {
        scheduler.step();
        await settled();
      }
      const opening = open(disk.crash({ powerLoss: true }), 2);
      await scheduler.run();
      const reopened = await opening;
      if (nodeId === undefined) continue;
      told++;
      assert.equal(reopened.nodeId, nodeId, `seed ${seed}`);
    }
    assert.ok(told > 50 && told < 250, `${told} of 300 were complete`);
  });
});
