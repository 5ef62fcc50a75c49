/** Goal: the faulty disk fails where it is told to, as a real one does, and says so. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { SteppedDisk } from "../../test/stepped-disk.ts";
import type { Disk, DiskFile, DiskOperation } from "./disk.ts";
import { DiskError } from "./disk.ts";
import { FaultyDisk } from "./faulty-disk.ts";

function createDisk(seed = 1, capacityBytes?: number): FaultyDisk {
  const random = new SeededRandom(seed);
  return new FaultyDisk(capacityBytes === undefined ? { random } : { random, capacityBytes });
}

async function write(file: DiskFile, text: string, position = 0): Promise<void> {
  await file.write(Buffer.from(text), 0, text.length, position);
}

async function textOf(file: DiskFile): Promise<string> {
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0, bytes.length, 0);
  return bytes.toString("latin1");
}

async function reread(disk: Disk, path: string): Promise<string> {
  return await textOf(await disk.open(path, "read"));
}

describe("faulty disk: rules", () => {
  test("make every operation fail with the code they name", async () => {
    const disk = createDisk();
    await disk.makeDirectory("/d");
    const file = await disk.open("/d/a", "create");
    await write(file, "kept");
    const calls: Readonly<Record<Exclude<DiskOperation, "close">, () => Promise<unknown>>> = {
      open: () => disk.open("/d/b", "create"),
      list: () => disk.list("/d"),
      makeDirectory: () => disk.makeDirectory("/d/c"),
      remove: () => disk.remove("/d/a"),
      rename: () => disk.rename("/d/a", "/d/b"),
      syncDirectory: () => disk.syncDirectory("/d"),
      space: () => disk.space("/d"),
      write: () => write(file, "gone"),
      read: () => file.read(Buffer.alloc(4), 0, 4, 0),
      sync: () => file.sync(),
      truncate: () => file.truncate(1),
      size: () => file.size(),
    };
    for (const [name, call] of Object.entries(calls)) {
      const operation = name as DiskOperation;
      const heal = disk.faults.inject({ operations: [operation], fault: "EIO" });
      await assert.rejects(call, (error) => {
        assert.ok(error instanceof DiskError);
        assert.deepEqual([error.code, error.operation], ["EIO", operation]);
        return true;
      });
      heal();
      assert.deepEqual(await disk.list("/d"), ["a"], `${operation} had an effect`);
      assert.equal(await file.size(), 4);
    }
    disk.faults.inject({ operations: ["close"], fault: "EIO" });
    await assert.rejects(file.close(), { code: "EIO" });
    await assert.rejects(file.size(), { code: "EBADF" });
  });

  test("count and choose", async () => {
    const disk = createDisk();
    const [a, b] = [await disk.open("/a", "create"), await disk.open("/b", "create")];
    disk.faults.inject({ operations: ["write"], fault: "EIO", path: /b$/, skip: 1, times: 2 });
    const codes: string[] = [];
    for (const file of [a, b, a, b, a, b, a, b]) {
      codes.push(
        await write(file, "x").then(
          () => "ok",
          ({ code }: DiskError) => code,
        ),
      );
    }
    assert.deepEqual(codes, ["ok", "ok", "ok", "EIO", "ok", "EIO", "ok", "ok"]);
  });

  test("fire by chance", async () => {
    const disk = createDisk(7);
    const file = await disk.open("/a", "create");
    disk.faults.inject({ operations: ["write"], fault: "EIO", probability: 0.1 });
    let failures = 0;
    for (let index = 0; index < 1000; index++) {
      await write(file, "x").catch(() => failures++);
    }
    // Deterministic by the seed; three standard deviations are 28.
    assert.ok(failures > 72 && failures < 128, `${failures}`);
  });

  test("stay over crashes until they are cleared", async () => {
    const disk = createDisk();
    disk.faults.inject({ operations: ["open"], fault: "EIO" });
    const second = disk.crash({ powerLoss: false }).crash({ powerLoss: true });
    await assert.rejects(second.open("/a", "create"), { code: "EIO" });
    second.faults.clear();
    await second.open("/a", "create");
  });

  test("can make writes short, and nothing else", () => {
    const { faults } = createDisk();
    assert.throws(() => faults.inject({ operations: ["read"], fault: "short" }), RangeError);
  });
});

describe("faulty disk: writes that fail", () => {
  test("leave any part of what they should have written, but for the last byte", async () => {
    const left = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const disk = createDisk(seed);
      const file = await disk.open("/a", "create");
      disk.faults.inject({ operations: ["write"], fault: "EIO" });
      await assert.rejects(write(file, "hare"), { code: "EIO" });
      left.add(await textOf(file));
    }
    assert.deepEqual([...left].sort(), ["", "h", "ha", "har"]);
  });

  test("can be short and complete themselves", async () => {
    const disk = createDisk();
    const file = await disk.open("/a", "create");
    disk.faults.inject({ operations: ["write"], fault: "short" });
    await write(file, "The hare ran down the road for a time");
    assert.equal(await textOf(file), "The hare ran down the road for a time");
  });

  test("can be short and meet the death of the process before they are complete", async () => {
    const left = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const stepped = new SteppedDisk(seed);
      const file = await stepped.finish(stepped.disk.open("/a", "create"));
      stepped.disk.faults.inject({ operations: ["write"], fault: "short", times: 1 });
      void write(file, "hare");
      stepped.complete(0);
      const next = stepped.disk.crash({ powerLoss: false });
      left.add(await stepped.finish(reread(next, "/a")));
    }
    assert.deepEqual([...left].sort(), ["h", "ha", "har"]);
  });

  test("can fail in the middle", async () => {
    const disk = createDisk();
    const file = await disk.open("/a", "create");
    disk.faults.inject({ operations: ["write"], fault: "short", times: 1 });
    disk.faults.inject({ operations: ["write"], fault: "ENOSPC", times: 1 });
    await assert.rejects(write(file, "hare"), { code: "ENOSPC" });
    assert.match(await textOf(file), /^h(ar?)?$/);
  });
});

describe("faulty disk: a full disk", () => {
  test("takes what there is room for and refuses the rest", async () => {
    const disk = createDisk(1, 10);
    const file = await disk.open("/a", "create");
    await assert.rejects(write(file, "The tortoise"), { code: "ENOSPC" });
    assert.equal(await textOf(file), "The tortoi");
    await assert.rejects(write(file, "s", 10), { code: "ENOSPC" });
    await assert.rejects(write(file, "s", 20), { code: "ENOSPC" });
    await assert.rejects(file.truncate(11), { code: "ENOSPC" });
    await write(file, "A", 0);
    assert.equal(await textOf(file), "Ahe tortoi");
    assert.deepEqual(await disk.space("/"), { freeBytes: 0, totalBytes: 10 });
  });

  test("has room again after a removal, a truncation, or with a bigger drive", async () => {
    const disk = createDisk(1, 10);
    const [a, b] = [await disk.open("/a", "create"), await disk.open("/b", "create")];
    await write(a, "12345");
    await write(b, "12345");
    await a.truncate(3);
    assert.equal((await disk.space("/")).freeBytes, 2);
    await write(b, "67", 5);
    await a.close();
    await disk.remove("/a");
    assert.equal((await disk.space("/")).freeBytes, 3);
    await write(b, "890", 7);
    disk.capacityBytes = 5;
    assert.equal((await disk.space("/")).freeBytes, 0);
    await write(b, "X", 9);
    disk.capacityBytes = 11;
    await write(b, "!", 10);
    assert.equal(await textOf(b), "123456789X!");
  });

  test("has room again for a file that another has replaced", async () => {
    const disk = createDisk(1, 10);
    const [a, b] = [await disk.open("/a", "create"), await disk.open("/b", "create")];
    await write(a, "1234");
    await write(b, "12345");
    await b.close();
    await disk.rename("/a", "/b");
    assert.equal((await disk.space("/")).freeBytes, 6);
  });

  test("is as full after a crash as before", async () => {
    const disk = createDisk(1, 10);
    const file = await disk.open("/a", "create");
    await write(file, "12345678");
    await file.sync();
    await disk.syncDirectory("/");
    const next = disk.crash({ powerLoss: false }).crash({ powerLoss: true });
    assert.deepEqual(await next.space("/"), { freeBytes: 2, totalBytes: 10 });
  });
});

describe("faulty disk: a sync that fails", () => {
  /** Writes "old" durably, then "new" with a sync that fails, and then a sync that succeeds. */
  async function failOnce(seed: number): Promise<{ disk: FaultyDisk; file: DiskFile }> {
    const disk = createDisk(seed);
    const file = await disk.open("/a", "create");
    await write(file, "old");
    await file.sync();
    await disk.syncDirectory("/");
    await write(file, "new");
    disk.faults.inject({ operations: ["sync"], fault: "EIO", times: 1 });
    await assert.rejects(file.sync(), { code: "EIO" });
    await file.sync();
    return { disk, file };
  }

  async function collect(body: (seed: number) => Promise<string>): Promise<string[]> {
    const found = new Set<string>();
    for (let seed = 0; seed < 100; seed++) found.add(await body(seed));
    return [...found].sort();
  }

  test("may have lost what it should have written, though a later one succeeds", async () => {
    const found = await collect(async (seed) => {
      const { disk, file } = await failOnce(seed);
      const seen = await textOf(file);
      return `${seen}, ${await reread(disk.crash({ powerLoss: true }), "/a")}`;
    });
    assert.deepEqual(found, ["new, new", "new, old", "old, old"], "mostly nobody can tell before");
  });

  test("may show it to the next process, or not", async () => {
    const found = await collect(async (seed) => {
      const { disk } = await failOnce(seed);
      const second = disk.crash({ powerLoss: false });
      const seen = await reread(second, "/a");
      return `${seen}, ${await reread(second.crash({ powerLoss: true }), "/a")}`;
    });
    assert.deepEqual(found, ["new, new", "new, old", "old, old"]);
  });

  test("may leave zeros where the file grew, or nothing", async () => {
    const found = await collect(async (seed) => {
      const disk = createDisk(seed);
      const file = await disk.open("/a", "create");
      await disk.syncDirectory("/");
      await write(file, "new");
      disk.faults.inject({ operations: ["sync"], fault: "ENOSPC", times: 1 });
      await assert.rejects(file.sync(), { code: "ENOSPC" });
      await file.sync();
      return await reread(disk.crash({ powerLoss: true }), "/a");
    });
    assert.deepEqual(found, ["", "\0\0\0", "new"]);
  });

  test("never changes the length that a next process sees", async () => {
    const found = await collect(async (seed) => {
      const disk = createDisk(seed);
      const file = await disk.open("/a", "create");
      await write(file, "new");
      disk.faults.inject({ operations: ["sync"], fault: "EIO" });
      await assert.rejects(file.sync(), { code: "EIO" });
      return await reread(disk.crash({ powerLoss: false }), "/a");
    });
    assert.deepEqual(found, ["\0\0\0", "new"]);
  });

  test("hides nothing from the next process that was written later", async () => {
    const found = await collect(async (seed) => {
      const { disk, file } = await failOnce(seed);
      await write(file, "!", 3);
      return await reread(disk.crash({ powerLoss: false }), "/a");
    });
    assert.deepEqual(found, ["new!", "old!"]);
  });

  test("does no harm to what is written again, or later, and synced", async () => {
    const found = await collect(async (seed) => {
      const { disk, file } = await failOnce(seed);
      await write(file, "new, and more");
      await file.sync();
      return await reread(disk.crash({ powerLoss: true }), "/a");
    });
    assert.deepEqual(found, ["new, and more"]);
  });

  test("does no harm to other files", async () => {
    const found = await collect(async (seed) => {
      const disk = createDisk(seed);
      const [a, b] = [await disk.open("/a", "create"), await disk.open("/b", "create")];
      await disk.syncDirectory("/");
      await write(a, "a");
      await write(b, "b");
      disk.faults.inject({ operations: ["sync"], fault: "EIO", path: /a$/ });
      await assert.rejects(a.sync(), { code: "EIO" });
      await b.sync();
      return await reread(disk.crash({ powerLoss: true }), "/b");
    });
    assert.deepEqual(found, ["b"]);
  });
});
