/**
 * The real disk fulfils the contract, completes short writes and reads, and tells why it failed.
 */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { diskContract } from "./disk.contract.ts";
import { DiskError } from "./disk.ts";
import type { RawHandle } from "./real-disk.ts";
import { RealDisk, RealFile } from "./real-disk.ts";

diskContract("real disk", () => {
  const directory = mkdtempSync(join(tmpdir(), "haremq-disk-"));
  return { disk: new RealDisk(), directory, clear: () => rmSync(directory, { recursive: true }) };
});

/** A handle that does at most `limit` bytes at a time, and runs out of space at `capacity`. */
function haltingHandle(handle: RawHandle, limit: number, capacity: number): RawHandle {
  return {
    write: (async (buffer: Uint8Array, start: number, length: number, position: number) => {
      const room = Math.min(limit, length, capacity - position);
      if (room <= 0) throw Object.assign(new Error("full"), { code: "ENOSPC" });
      return await handle.write(buffer, start, room, position);
    }) as RawHandle["write"],
    read: (async (buffer: Uint8Array, start: number, length: number, position: number) =>
      await handle.read(buffer, start, Math.min(limit, length), position)) as RawHandle["read"],
    datasync: () => Promise.reject(Object.assign(new Error("bad block"), { code: "EIO" })),
    truncate: (length) => handle.truncate(length),
    stat: (() => handle.stat()) as RawHandle["stat"],
    close: () => handle.close(),
  };
}

describe("real disk: short operations", () => {
  const directory = mkdtempSync(join(tmpdir(), "haremq-disk-"));

  async function openHalting(name: string, capacity: number): Promise<RealFile> {
    const path = join(directory, name);
    return new RealFile(path, haltingHandle(await open(path, "wx+"), 7, capacity));
  }

  test("are completed", async () => {
    const file = await openHalting("completed", 1000);
    const bytes = Buffer.from("..The hare laughed at the tortoise's feet..");
    await file.write(bytes, 2, bytes.length - 4, 3);
    const read = Buffer.alloc(60, "-");
    assert.equal(await file.read(read, 1, 59, 3), bytes.length - 4);
    assert.equal(read.toString("latin1", 1, bytes.length - 3), bytes.toString("latin1", 2, 41));
    assert.equal(await file.read(read, 0, 5, 3), 5);
    await file.close();
  });

  test("fail when the rest fails", async () => {
    const file = await openHalting("failing", 10);
    await assert.rejects(file.write(Buffer.alloc(11), 0, 11, 0), { code: "ENOSPC" });
    assert.equal(await file.size(), 10);
    await assert.rejects(file.sync(), (error) => {
      assert.ok(error instanceof DiskError);
      assert.deepEqual([error.code, error.operation, error.path], ["EIO", "sync", file.path]);
      assert.equal((error.cause as Error).message, "bad block");
      return true;
    });
    await file.close();
    rmSync(directory, { recursive: true });
  });
});

describe("real disk: the operating system's own failures", () => {
  const linux = { skip: process.platform === "linux" ? false : "needs /dev/full" };

  test("a full device says ENOSPC", linux, async () => {
    const file = await new RealDisk().open("/dev/full", "write");
    await assert.rejects(file.write(Buffer.alloc(10), 0, 10, 0), { code: "ENOSPC" });
    await file.close();
  });

  test("space is what statfs says", async () => {
    const { totalBytes } = await new RealDisk().space(tmpdir());
    const { blocks, bsize } = statfsSync(tmpdir());
    assert.equal(totalBytes, blocks * bsize);
  });

  test("our own mistakes are not taken for the disk's", async () => {
    const path = "/null\0byte";
    await assert.rejects(new RealDisk().open(path, "read"), (error) => {
      assert.ok(error instanceof TypeError && !(error instanceof DiskError), String(error));
      return true;
    });
  });
});
