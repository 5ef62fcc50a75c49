/** Goal: records keep their place and their bytes while they live, and memory comes back after. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageArena, recordHeadBytes } from "./message-arena.ts";

const slabBytes = 2 ** 20;
/** The longest record that shares a slab with others. */
const longestInSlab = slabBytes - recordHeadBytes;

/** Reserves a record and fills it, and its words, with what `isIntact` looks for. */
function write(arena: MessageArena, length: number, mark: number): number {
  const handle = arena.reserve(length);
  const start = arena.offset + recordHeadBytes;
  arena.bytes.fill(mark, start, start + length);
  for (let word = 1; word <= 3; word++) arena.words[(arena.offset >>> 2) + word] = mark * word;
  return handle;
}

function isIntact(arena: MessageArena, handle: number, length: number, mark: number): boolean {
  arena.open(handle);
  const start = arena.offset + recordHeadBytes;
  const word = arena.offset >>> 2;
  return (
    [1, 2, 3].every((each) => arena.words[word + each] === mark * each) &&
    arena.bytes.subarray(start, start + length).every((byte) => byte === mark)
  );
}

/** Fills the rest of a fresh slab, so that the next record opens another. */
function fillSlab(arena: MessageArena): number {
  return arena.reserve(longestInSlab);
}

test("a record is found again where it was written", () => {
  const arena = new MessageArena();
  const lengths = [0, 1, 7, 8, 9, 4096, 65_536, 300_000, 700_000];
  const handles = lengths.map((length, index) => write(arena, length, index + 1));
  assert.equal(new Set(handles).size, handles.length);
  for (const [index, handle] of handles.entries()) {
    assert.ok(Number.isSafeInteger(handle));
    assert.ok(isIntact(arena, handle, lengths[index]!, index + 1), `record ${index}`);
  }
  assert.equal(arena.stats.liveRecords, lengths.length);
});

test("open leaves the arena standing where reserve did", () => {
  const arena = new MessageArena();
  const first = arena.reserve(100);
  const place = { bytes: arena.bytes, words: arena.words, offset: arena.offset };
  arena.reserve(200);
  assert.notEqual(arena.offset, place.offset);
  arena.open(first);
  assert.equal(arena.bytes, place.bytes);
  assert.equal(arena.words, place.words);
  assert.equal(arena.offset, place.offset);
});

test("words and bytes are the same memory", () => {
  const arena = new MessageArena();
  arena.reserve(8);
  arena.reserve(8);
  arena.words[(arena.offset >>> 2) + 2] = 0x01020304;
  assert.equal(arena.bytes.readInt32LE(arena.offset + 8), 0x01020304);
});

test("a record dies with its last reference", () => {
  const arena = new MessageArena();
  const handle = write(arena, 10, 1);
  arena.retain(handle);
  arena.retain(handle);
  arena.release(handle);
  arena.release(handle);
  assert.equal(arena.stats.liveRecords, 1);
  assert.ok(isIntact(arena, handle, 10, 1));
  arena.release(handle);
  assert.equal(arena.stats.liveRecords, 0);
});

test("when everything has died, writing starts over in the same memory", () => {
  const arena = new MessageArena();
  const first = arena.reserve(100);
  const second = arena.reserve(100);
  const bytes = arena.bytes;
  arena.release(first);
  const third = arena.reserve(100);
  assert.ok(third > second, "the second record still lives in the slab");
  arena.release(third);
  arena.release(second);
  assert.equal(arena.reserve(100), first);
  assert.equal(arena.bytes, bytes);
});

test("a record that just fits shares a slab, one byte more gets its own", () => {
  const arena = new MessageArena();
  const fitting = arena.reserve(longestInSlab);
  assert.equal(arena.bytes.length, slabBytes);
  assert.equal(arena.usedBytes, slabBytes);
  const oversize = write(arena, longestInSlab + 1, 9);
  assert.equal(arena.offset, 0);
  assert.equal(arena.bytes.length, slabBytes + 8, "rounded up to eight bytes and no further");
  assert.equal(arena.usedBytes, 2 * slabBytes + 8);
  assert.ok(isIntact(arena, oversize, longestInSlab + 1, 9));
  arena.release(oversize);
  assert.equal(arena.usedBytes, slabBytes);
  assert.equal(arena.stats.spareBytes, 0, "memory of an odd size is not kept");
  assert.throws(() => arena.open(oversize), "nor held on to under the dead handle");
  arena.release(fitting);
});

test("an oversize record does not interrupt the slab being filled", () => {
  const arena = new MessageArena();
  const before = arena.reserve(10);
  const bytes = arena.bytes;
  const oversize = arena.reserve(3 * slabBytes);
  arena.reserve(10);
  assert.equal(arena.bytes, bytes);
  arena.open(oversize);
  assert.equal(arena.bytes.length, 3 * slabBytes + recordHeadBytes);
  arena.retain(oversize);
  arena.release(oversize);
  assert.equal(arena.stats.liveRecords, 3);
  arena.open(before);
  assert.equal(arena.bytes, bytes);
});

test("a dead slab is used again, the last to die first", () => {
  const arena = new MessageArena();
  const slabs: Buffer[] = [];
  const handles = [0, 1, 2, 3].map(() => {
    const handle = fillSlab(arena);
    slabs.push(arena.bytes);
    return handle;
  });
  assert.equal(new Set(slabs).size, 4);
  assert.equal(arena.usedBytes, 4 * slabBytes);
  arena.release(handles[0]!);
  arena.release(handles[2]!);
  assert.equal(arena.usedBytes, 2 * slabBytes);
  assert.equal(arena.stats.spareBytes, 2 * slabBytes);
  fillSlab(arena);
  assert.equal(arena.bytes, slabs[2]);
  fillSlab(arena);
  assert.equal(arena.bytes, slabs[0]);
  assert.deepEqual(arena.stats, {
    usedBytes: 4 * slabBytes,
    spareBytes: 0,
    liveRecords: 4,
  });
});

test("one live record keeps its slab and no other", () => {
  const arena = new MessageArena();
  const old = write(arena, 10, 5);
  for (let count = 0; count < 100; count++) arena.release(fillSlab(arena));
  assert.ok(isIntact(arena, old, 10, 5));
  assert.equal(arena.usedBytes, 2 * slabBytes);
  arena.release(old);
  assert.equal(arena.usedBytes, slabBytes);
});

test("a burst leaves a limited number of spare slabs behind", () => {
  const arena = new MessageArena();
  const handles = Array.from({ length: 100 }, () => fillSlab(arena));
  assert.equal(arena.usedBytes, 100 * slabBytes);
  for (const handle of handles) arena.release(handle);
  assert.deepEqual(arena.stats, {
    usedBytes: slabBytes,
    spareBytes: 32 * slabBytes,
    liveRecords: 0,
  });
});

test("numbers of dead slabs are given out again, so that handles stay small", () => {
  const arena = new MessageArena();
  const first = fillSlab(arena);
  let highest = first;
  for (let count = 0; count < 1000; count++) {
    const handle = arena.reserve(slabBytes);
    highest = Math.max(highest, handle);
    arena.release(handle);
  }
  assert.equal(highest, slabBytes / 8, "the second slab, a thousand times");
});
