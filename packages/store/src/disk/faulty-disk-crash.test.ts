/**
 * Goal: a crash of the faulty disk does everything that a real one can do, and nothing worse: what
 * was synced is there, and what was not is lost, kept or torn by the seed.
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { SteppedDisk } from "../../test/stepped-disk.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { SeededScheduler, settled } from "./disk-scheduler.ts";
import { FaultyDisk } from "./faulty-disk.ts";

const seeds = 1000;
const old = "-".repeat(2000);
const fresh = "hare".repeat(500);

/** Runs the body with many seeds and returns how often it came to each outcome. */
async function outcomes(
  body: (disk: FaultyDisk, seed: number) => Promise<string>,
): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < seeds; seed++) {
    const disk = new FaultyDisk({ random: new SeededRandom(seed) });
    const outcome = await body(disk, seed);
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  return counts;
}

function exactly(counts: ReadonlyMap<string, number>, expected: readonly string[]): void {
  assert.deepEqual([...counts.keys()].sort(), [...expected].sort());
}

async function put(disk: Disk, path: string, text: string, position = 0): Promise<DiskFile> {
  const taken = (await disk.list("/")).includes(path.slice(1));
  const file = await disk.open(path, taken ? "write" : "create");
  await file.write(Buffer.from(text), 0, text.length, position);
  return file;
}

/** A file that no crash can touch. */
async function putDurably(disk: Disk, path: string, text: string): Promise<DiskFile> {
  const file = await put(disk, path, text);
  await file.sync();
  await disk.syncDirectory("/");
  return file;
}

async function get(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0, bytes.length, 0);
  await file.close();
  return bytes.toString("latin1");
}

/** How a write of `fresh` over `old` came out. */
function shapeOf(text: string): string {
  if (text.length > fresh.length) return "too long";
  if (/[^-hare\0]/.test(text)) return "garbage";
  if (text === fresh) return "whole";
  if (/^[-]*$/.test(text) && text.length === old.length) return "lost";
  let kept = "";
  for (let at = 0; at < text.length; at++) {
    const mark = text[at] === fresh[at] ? "+" : text[at] === "\0" ? "0" : "-";
    if (!kept.endsWith(mark)) kept += mark;
  }
  return kept.length > 3 ? "patchwork" : kept;
}

describe("faulty disk: power loss and bytes", () => {
  test("keeps what was synced", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", fresh);
      return shapeOf(await get(disk.crash({ powerLoss: true }), "/a"));
    });
    exactly(counts, ["whole"]);
  });

  test("loses, keeps or tears what was written over synced bytes", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", old);
      await put(disk, "/a", fresh);
      return shapeOf(await get(disk.crash({ powerLoss: true }), "/a"));
    });
    exactly(counts, ["whole", "lost", "+-", "-+", "+-+", "-+-", "patchwork"]);
  });

  test("loses, keeps or tears what was appended, and may leave zeros for it", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", "");
      await put(disk, "/a", fresh);
      const left = await get(disk.crash({ powerLoss: true }), "/a");
      return left === "" ? "lost" : shapeOf(left);
    });
    const shapes = ["whole", "lost", "0", "+", "+0", "0+", "+0+", "0+0", "patchwork"];
    exactly(counts, shapes);
  });

  test("tears at every byte, from the front and from the back", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", "-----");
      await put(disk, "/a", "hares");
      return await get(disk.crash({ powerLoss: true }), "/a");
    });
    const heads = ["-----", "h----", "ha---", "har--", "hare-", "hares"];
    exactly(counts, [...heads, "-ares", "--res", "---es", "----s"]);
  });

  test("tears in the middle only between sectors", async () => {
    let patched = 0;
    await outcomes(async (disk) => {
      await putDurably(disk, "/a", "-".repeat(2100));
      await put(disk, "/a", fresh, 100);
      const left = await get(disk.crash({ powerLoss: true }), "/a");
      const cuts = [...left.matchAll(/(?<=-)[hare]|(?<=[hare])-/g)].map(({ index }) => index);
      const inside = cuts.filter((at) => at !== 100);
      if (inside.length < 2) return "";
      assert.deepEqual(
        inside.filter((at) => at % 512 !== 0),
        [],
      );
      patched++;
      return "";
    });
    assert.ok(patched > 10, `${patched}`);
  });

  test("treats every write on its own", async () => {
    const counts = await outcomes(async (disk) => {
      const file = await putDurably(disk, "/a", "---");
      for (const at of [0, 1, 2]) await file.write(Buffer.from("abc"), at, 1, at);
      return await get(disk.crash({ powerLoss: true }), "/a");
    });
    exactly(counts, ["---", "a--", "-b-", "--c", "ab-", "a-c", "-bc", "abc"]);
  });

  test("may let an earlier write win over a later one", async () => {
    const counts = await outcomes(async (disk) => {
      const file = await putDurably(disk, "/a", "---");
      await file.write(Buffer.from("1"), 0, 1, 1);
      await file.write(Buffer.from("222"), 0, 3, 0);
      return await get(disk.crash({ powerLoss: true }), "/a");
    });
    const torn = ["2--", "22-", "--2", "-22", "21-", "-12"];
    const possible = ["---", "-1-", "222", "212", ...torn];
    assert.deepEqual(
      [...counts.keys()].filter((text) => !possible.includes(text)),
      [],
    );
    assert.ok(counts.has("212"), "the later write never came first");
  });

  test("tears what was written, not what the buffer holds by now", async () => {
    const counts = await outcomes(async (disk) => {
      const file = await putDurably(disk, "/a", "-");
      const buffer = Buffer.from("1");
      await file.write(buffer, 0, 1, 0);
      buffer.write("2");
      return await get(disk.crash({ powerLoss: true }), "/a");
    });
    exactly(counts, ["-", "1"]);
  });

  test("may undo a truncation", async () => {
    const counts = await outcomes(async (disk) => {
      const file = await putDurably(disk, "/a", "hare");
      await file.truncate(2);
      return await get(disk.crash({ powerLoss: true }), "/a");
    });
    exactly(counts, ["hare", "ha"]);
  });

  test("leaves a disk that has nothing more to lose", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", old);
      await put(disk, "/a", fresh);
      await put(disk, "/b", fresh);
      const second = disk.crash({ powerLoss: true });
      const found = [await second.list("/"), await get(second, "/a")];
      const third = second.crash({ powerLoss: true });
      assert.deepEqual([await third.list("/"), await get(third, "/a")], found);
      return "same";
    });
    exactly(counts, ["same"]);
  });
});

describe("faulty disk: a second power loss", () => {
  test("takes what was written since the first", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", "-");
      const second = disk.crash({ powerLoss: true });
      await put(second, "/a", "1");
      await put(second, "/b", "1");
      const third = second.crash({ powerLoss: true });
      return `${await third.list("/")}: ${await get(third, "/a")}`;
    });
    exactly(counts, ["a,b: -", "a,b: 1", "a: -", "a: 1"]);
  });
});

describe("faulty disk: power loss and names", () => {
  async function left(disk: FaultyDisk): Promise<string> {
    return (await disk.crash({ powerLoss: true }).list("/")).join(" ");
  }

  test("loses a file whose directory was not synced, though the file was", async () => {
    const counts = await outcomes(async (disk) => {
      for (const path of ["/a", "/b"]) await (await put(disk, path, "x")).sync();
      return await left(disk);
    });
    exactly(counts, ["", "a", "b", "a b"]);
  });

  test("undoes a removal, with all that was in the file", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", fresh);
      await disk.remove("/a");
      const after = disk.crash({ powerLoss: true });
      const names = await after.list("/");
      return names.length === 0 ? "gone" : shapeOf(await get(after, "/a"));
    });
    exactly(counts, ["gone", "whole"]);
  });

  test("undoes a rename as a whole or not at all", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", "old");
      await putDurably(disk, "/a.new", "new");
      await disk.rename("/a.new", "/a");
      const after = disk.crash({ powerLoss: true });
      return `${await after.list("/")}: ${await get(after, "/a")}`;
    });
    exactly(counts, ["a,a.new: old", "a: new"]);
  });

  test("keeps the order of changes of one name", async () => {
    const counts = await outcomes(async (disk) => {
      await (await put(disk, "/a", "x")).sync();
      await disk.rename("/a", "/b");
      await disk.rename("/b", "/c");
      return await left(disk);
    });
    exactly(counts, ["", "a", "b", "c"]);
  });

  test("keeps what was done before the directory was synced, and not what came after", async () => {
    const counts = await outcomes(async (disk) => {
      await putDurably(disk, "/a", "x");
      await disk.rename("/a", "/b");
      await put(disk, "/c", "x");
      await disk.syncDirectory("/");
      await put(disk, "/d", "x");
      await disk.remove("/c");
      return await left(disk);
    });
    exactly(counts, ["b", "b c", "b d", "b c d"]);
  });

  test("loses a directory that was not synced with all it holds", async () => {
    const counts = await outcomes(async (disk) => {
      await disk.makeDirectory("/a/b");
      await (await put(disk, "/a/b/c", "x")).sync();
      await disk.syncDirectory("/a/b");
      const after = disk.crash({ powerLoss: true });
      return [await after.list("/"), await after.list("/a"), await after.list("/a/b")].join("/");
    });
    exactly(counts, ["//", "a//", "a/b/c"]);
  });

  test("wants both directories of a rename synced", async () => {
    const rename = async (disk: FaultyDisk, synced: readonly string[]): Promise<string> => {
      await disk.makeDirectory("/to");
      await putDurably(disk, "/a", "x");
      await disk.rename("/a", "/to/a");
      for (const directory of synced) await disk.syncDirectory(directory);
      const after = disk.crash({ powerLoss: true });
      return [await after.list("/"), await after.list("/to")].join("/");
    };
    exactly(await outcomes((disk) => rename(disk, ["/"])), ["a,to/", "to/a"]);
    exactly(await outcomes((disk) => rename(disk, ["/to"])), ["a,to/", "to/a"]);
    exactly(await outcomes((disk) => rename(disk, ["/to", "/"])), ["to/a"]);
  });
});

describe("faulty disk: the end of a process", () => {
  test("leaves all that was written, and a power loss later can still take it", async () => {
    const survived = await outcomes(async (disk) => {
      await putDurably(disk, "/a", old);
      await put(disk, "/a", fresh);
      await put(disk, "/b", "x");
      const second = disk.crash({ powerLoss: false });
      assert.deepEqual(await second.list("/"), ["a", "b"]);
      assert.equal(await get(second, "/a"), fresh);
      const third = second.crash({ powerLoss: true });
      return (await third.list("/")).includes("b") ? shapeOf(await get(third, "/a")) : "no b";
    });
    for (const shape of ["whole", "lost", "patchwork", "no b"]) assert.ok(survived.has(shape));
  });

  test("leaves it to the next process to sync what the last one wrote", async () => {
    const counts = await outcomes(async (disk) => {
      await put(disk, "/a", fresh);
      const second = disk.crash({ powerLoss: false });
      await (await second.open("/a", "write")).sync();
      await second.syncDirectory("/");
      return shapeOf(await get(second.crash({ powerLoss: true }), "/a"));
    });
    exactly(counts, ["whole"]);
  });

  test("closes its files, and so frees what was removed", async () => {
    const disk = new FaultyDisk({ random: new SeededRandom(1), capacityBytes: 1000 });
    await put(disk, "/a", "x".repeat(1000));
    await disk.remove("/a");
    assert.equal((await disk.space("/")).freeBytes, 0);
    const second = disk.crash({ powerLoss: false });
    assert.equal((await second.space("/")).freeBytes, 1000);
    assert.equal(second.capacityBytes, 1000);
  });

  test("is the end of all its calls", async () => {
    const disk = new FaultyDisk({ random: new SeededRandom(1) });
    const file = await put(disk, "/a", "alive");
    const next = disk.crash({ powerLoss: false });
    let heard = 0;
    const hear = (): void => void heard++;
    const calls = [
      () => file.write(Buffer.from("dead!"), 0, 5, 0),
      () => file.truncate(0),
      () => file.size(),
      () => file.close(),
      () => disk.remove("/a"),
      () => disk.open("/b", "create"),
      () => disk.open("/none", "read"),
    ];
    for (const call of calls) call().then(hear, hear);
    await settled();
    assert.equal(heard, 0);
    assert.deepEqual(await next.list("/"), ["a"]);
    assert.equal(await get(next, "/a"), "alive");
  });
});

describe("faulty disk: operations under way", () => {
  /** What is in a file after a crash in the middle of the body. */
  async function crashed(
    seed: number,
    powerLoss: boolean,
    body: (file: DiskFile, stepped: SteppedDisk) => Promise<void>,
  ): Promise<string> {
    const stepped = new SteppedDisk(seed);
    const file = await stepped.finish(stepped.disk.open("/a", "create"));
    await stepped.finish(stepped.disk.syncDirectory("/"));
    await body(file, stepped);
    return await stepped.finish(get(stepped.disk.crash({ powerLoss }), "/a"));
  }

  test("have happened or not, or a write in part, when the process dies", async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < seeds; seed++) {
      const text = await crashed(seed, false, async (file) => {
        void file.write(Buffer.from("abc"), 0, 3, 0);
      });
      found.add(text);
    }
    assert.deepEqual([...found].sort(), ["", "a", "ab", "abc"]);
  });

  test("such as a removal, have happened or not", async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const stepped = new SteppedDisk(seed);
      await stepped.finish(stepped.disk.open("/a", "create"));
      void stepped.disk.remove("/a");
      const next = stepped.disk.crash({ powerLoss: false });
      found.add((await stepped.finish(next.list("/"))).join());
    }
    assert.deepEqual([...found].sort(), ["", "a"]);
  });

  test("are not part of a directory's sync that was called before", async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 100; seed++) {
      const stepped = new SteppedDisk(seed);
      const syncing = stepped.disk.syncDirectory("/");
      const opening = stepped.disk.open("/a", "create");
      stepped.complete(1);
      await opening;
      await stepped.finish(syncing);
      const next = stepped.disk.crash({ powerLoss: true });
      found.add((await stepped.finish(next.list("/"))).join());
    }
    assert.deepEqual([...found].sort(), ["", "a"]);
  });

  test("take effect in any order", async () => {
    const stepped = new SteppedDisk(1);
    const file = await stepped.finish(stepped.disk.open("/a", "create"));
    const first = file.write(Buffer.from("1"), 0, 1, 0);
    const second = file.write(Buffer.from("2"), 0, 1, 0);
    stepped.complete(1);
    await second;
    stepped.complete(0);
    await first;
    assert.equal(await stepped.finish(get(stepped.disk, "/a")), "1");
  });

  test("use the buffer until the end", async () => {
    const stepped = new SteppedDisk(1);
    const file = await stepped.finish(stepped.disk.open("/a", "create"));
    const buffer = Buffer.from("early");
    const writing = file.write(buffer, 0, 5, 0);
    buffer.write("late!");
    await stepped.finish(writing);
    assert.equal(await stepped.finish(get(stepped.disk, "/a")), "late!");
  });

  test("are not part of a sync that was called before they were done", async () => {
    const found = new Set<string>();
    for (let seed = 0; seed < seeds; seed++) {
      const text = await crashed(seed, true, async (file, stepped) => {
        await stepped.finish(file.write(Buffer.from("a"), 0, 1, 0));
        const underWay = file.write(Buffer.from("b"), 0, 1, 1);
        const syncing = file.sync();
        const later = file.write(Buffer.from("c"), 0, 1, 2);
        stepped.complete(0);
        await underWay;
        stepped.complete(1);
        await later;
        await stepped.finish(syncing);
      });
      found.add(text.replaceAll("\0", "0"));
    }
    assert.deepEqual([...found].sort(), ["a", "a0", "a00", "a0c", "ab", "ab0", "abc"]);
  });
});

describe("faulty disk: seeds", () => {
  /** A random workload with crashes of both kinds; returns a digest of everything that was seen. */
  async function run(seed: number): Promise<string> {
    const random = new SeededRandom(seed);
    const scheduler = new SeededScheduler(random);
    let disk = new FaultyDisk({ random, scheduler, capacityBytes: 20_000 });
    const digest = createHash("sha256");
    const note = (what: unknown): void => void digest.update(`${JSON.stringify(what)}\n`);
    disk.faults.inject({ operations: ["write", "sync"], fault: "EIO", probability: 0.05 });
    disk.faults.inject({ operations: ["write"], fault: "short", probability: 0.2 });
    for (let life = 0; life < 6; life++) {
      for (let worker = 0; worker < 4; worker++) void work(disk, worker, random, note);
      for (let steps = random.below(120); steps > 0; steps--) {
        await settled();
        scheduler.step();
      }
      disk = disk.crash({ powerLoss: random.below(2) === 0 });
      const listing = disk.list("/");
      await scheduler.run();
      note(await listing);
    }
    return digest.digest("hex");
  }

  async function work(
    disk: FaultyDisk,
    worker: number,
    random: SeededRandom,
    note: (what: unknown) => void,
  ): Promise<void> {
    for (;;) {
      try {
        const path = `/${worker}-${random.below(3)}`;
        const file = await disk.open(path, random.pick(["create", "write"] as const));
        note([path, await file.size()]);
        await file.write(random.bytes(3000), 0, 1 + random.below(3000), random.below(3000));
        const bytes = Buffer.alloc(100);
        note([await file.read(bytes, 0, 100, random.below(3000)), bytes.toString("hex")]);
        await file.sync();
        await disk.syncDirectory("/");
        await file.close();
        if (random.below(3) === 0) await disk.rename(path, `/${worker}-x`);
      } catch (error) {
        note(String(error));
      }
    }
  }

  test("replay exactly, and differ from one another", async () => {
    const digests = new Set<string>();
    for (let seed = 0; seed < 12; seed++) {
      const digest = await run(seed);
      assert.equal(await run(seed), digest, `seed ${seed} came out differently`);
      digests.add(digest);
    }
    assert.equal(digests.size, 12);
  });
});
