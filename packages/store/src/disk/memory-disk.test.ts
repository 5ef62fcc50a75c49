/** The memory disk fulfils the contract, and is full when it is full. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { diskContract } from "./disk.contract.ts";
import { MemoryDisk } from "./memory-disk.ts";

diskContract("memory disk", () => {
  const disk = new MemoryDisk();
  void disk.makeDirectory("/data");
  return { disk, directory: "/data", clear: () => {} };
});

describe("memory disk: capacity", () => {
  test("what is over the capacity is not written, and room comes back with a removal", async () => {
    const disk = new MemoryDisk(1000);
    const bytes = Buffer.alloc(600, 1);
    const first = await disk.open("/first", "create");
    await first.write(bytes, 0, 600, 0);
    const second = await disk.open("/second", "create");
    await assert.rejects(second.write(bytes, 0, 600, 0), { code: "ENOSPC" });
    assert.equal(await second.size(), 400);
    assert.deepEqual(await disk.space("/"), { freeBytes: 0, totalBytes: 1000 });
    await first.write(bytes, 0, 600, 0);
    await disk.remove("/first");
    assert.equal((await disk.space("/")).freeBytes, 0, "an open file keeps its space");
    await first.close();
    assert.equal((await disk.space("/")).freeBytes, 600);
    await second.write(bytes, 0, 600, 400);
    assert.deepEqual(await disk.space("/"), { freeBytes: 0, totalBytes: 1000 });
  });

  test("a file renamed to what it is called already still takes up its space", async () => {
    const disk = new MemoryDisk(1000);
    const file = await disk.open("/a", "create");
    await file.write(Buffer.alloc(600), 0, 600, 0);
    await disk.rename("/a", "/a");
    await file.close();
    assert.equal((await disk.space("/")).freeBytes, 400);
  });
});
