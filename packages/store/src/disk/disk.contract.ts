/**
 * What every disk has to do when nothing goes wrong: `diskContract` is called by the test file of
 * each. A fresh disk and an existing directory on it for every test.
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Disk, DiskFile } from "./disk.ts";
import { DiskError } from "./disk.ts";

/** A disk, a directory on it that exists and is empty, and what clears both away. */
export interface DiskRig {
  readonly disk: Disk;
  readonly directory: string;
  readonly clear: () => void;
}

export function diskContract(kind: string, prepare: () => DiskRig): void {
  const check = (goal: string, body: (disk: Disk, directory: string) => Promise<void>): void => {
    test(goal, async () => {
      const { disk, directory, clear } = prepare();
      try {
        await body(disk, directory);
      } finally {
        clear();
      }
    });
  };
  describe(`${kind}: opening`, () => openingContract(check));
  describe(`${kind}: names`, () => namesContract(check));
  describe(`${kind}: bytes`, () => bytesContract(check));
  describe(`${kind}: directories`, () => directoriesContract(check));
  describe(`${kind}: against a model`, () => modelContract(prepare));
}

type Check = (goal: string, body: (disk: Disk, directory: string) => Promise<void>) => void;

function openingContract(check: Check): void {
  check("create makes an empty file, for reading and writing", async (disk, directory) => {
    const path = join(directory, "a");
    const file = await disk.open(path, "create");
    assert.equal(file.path, path);
    assert.equal(await file.size(), 0);
    await writeText(file, "hare", 0);
    assert.equal(await readText(file), "hare");
    await file.close();
  });

  check("create refuses a name that is taken, and leaves it alone", async (disk, directory) => {
    const path = join(directory, "a");
    await create(disk, path, "first");
    await fails(() => disk.open(path, "create"), "EEXIST", path);
    assert.equal(await contentOf(disk, path), "first");
  });

  check("write keeps what is there, and reads as well", async (disk, directory) => {
    const path = join(directory, "a");
    await create(disk, path, "first");
    const file = await disk.open(path, "write");
    await writeText(file, "F", 0);
    assert.equal(await readText(file), "First");
    await file.close();
    assert.equal(await contentOf(disk, path), "First");
  });

  check("write and read refuse a file that does not exist", async (disk, directory) => {
    const path = join(directory, "none");
    await fails(() => disk.open(path, "write"), "ENOENT", path);
    await fails(() => disk.open(path, "read"), "ENOENT", path);
    assert.deepEqual(await disk.list(directory), []);
  });

  check("read cannot change the file", async (disk, directory) => {
    const path = join(directory, "a");
    await create(disk, path, "first");
    const file = await disk.open(path, "read");
    await fails(() => writeText(file, "x", 0), "EBADF", path);
    await fails(() => file.truncate(0), "EINVAL", path);
    assert.equal(await readText(file), "first");
    await file.close();
  });

  check("a closed file can do nothing but be closed", async (disk, directory) => {
    const path = join(directory, "a");
    const file = await disk.open(path, "create");
    await file.close();
    await file.close();
    await fails(() => writeText(file, "x", 0), "EBADF", path);
    await fails(() => readText(file), "EBADF", path);
    await fails(() => file.read(Buffer.alloc(1), 0, 1, 0), "EBADF", path);
    await fails(() => file.sync(), "EBADF", path);
    await fails(() => file.truncate(0), "EBADF", path);
    await fails(() => file.size(), "EBADF", path);
  });

  check("a file can be open many times, and all see the same bytes", async (disk, directory) => {
    const path = join(directory, "a");
    const writer = await disk.open(path, "create");
    const reader = await disk.open(path, "read");
    await writeText(writer, "seen", 0);
    assert.equal(await readText(reader), "seen");
    await writer.close();
    assert.equal(await readText(reader), "seen");
    await reader.close();
  });
}

function namesContract(check: Check): void {
  check("a directory is listed in order", async (disk, directory) => {
    for (const name of ["b", "a", "10", "9", "B"]) await create(disk, join(directory, name), "");
    await disk.makeDirectory(join(directory, "c"));
    assert.deepEqual(await disk.list(directory), ["10", "9", "B", "a", "b", "c"]);
    assert.deepEqual(await disk.list(join(directory, "c")), []);
    assert.deepEqual(await disk.list(join(directory, "none")), []);
  });

  check("a file is removed, and it is fine if it was not there", async (disk, directory) => {
    const path = join(directory, "a");
    await create(disk, path, "x");
    await disk.remove(path);
    assert.deepEqual(await disk.list(directory), []);
    await disk.remove(path);
    await disk.remove(join(directory, "none/none"));
    await create(disk, path, "again");
    assert.equal(await contentOf(disk, path), "again");
  });

  check("a removed file lives on for those who have it open", async (disk, directory) => {
    const path = join(directory, "a");
    const file = await disk.open(path, "create");
    await writeText(file, "old", 0);
    await disk.remove(path);
    await create(disk, path, "new");
    await writeText(file, "er", 3);
    assert.equal(await readText(file), "older");
    assert.equal(await contentOf(disk, path), "new");
    await file.close();
  });

  check("a rename replaces what has the name", async (disk, directory) => {
    const [from, to] = [join(directory, "a"), join(directory, "b")];
    await create(disk, from, "new");
    await create(disk, to, "old");
    await disk.rename(from, to);
    assert.deepEqual(await disk.list(directory), ["b"]);
    assert.equal(await contentOf(disk, to), "new");
    await disk.rename(to, to);
    assert.equal(await contentOf(disk, to), "new");
  });

  check("a rename goes from one directory to another", async (disk, directory) => {
    await disk.makeDirectory(join(directory, "c"));
    const [from, to] = [join(directory, "a"), join(directory, "c/b")];
    const file = await disk.open(from, "create");
    await disk.rename(from, to);
    await writeText(file, "moved", 0);
    await file.close();
    assert.deepEqual(await disk.list(directory), ["c"]);
    assert.equal(await contentOf(disk, to), "moved");
  });

  check("a rename of nothing, or to nowhere, is refused", async (disk, directory) => {
    const path = join(directory, "a");
    await fails(() => disk.rename(path, join(directory, "b")), "ENOENT");
    await create(disk, path, "x");
    await fails(() => disk.rename(path, join(directory, "none/b")), "ENOENT");
    assert.equal(await contentOf(disk, path), "x");
  });
}

function bytesContract(check: Check): void {
  check("a part of a buffer goes to a place and comes back", async (disk, directory) => {
    const file = await disk.open(join(directory, "a"), "create");
    await file.write(Buffer.from("..hare.."), 2, 4, 3);
    const buffer = Buffer.from("--------");
    assert.equal(await file.read(buffer, 1, 4, 3), 4);
    assert.equal(buffer.toString(), "-hare---");
    assert.deepEqual(await bytesOf(file), Buffer.from("\0\0\0hare"));
    await file.close();
  });

  check("a read ends with the file", async (disk, directory) => {
    const file = await disk.open(join(directory, "a"), "create");
    await writeText(file, "hare", 0);
    const buffer = Buffer.from("--------");
    assert.equal(await file.read(buffer, 0, 8, 1), 3);
    assert.equal(buffer.toString(), "are-----");
    assert.equal(await file.read(buffer, 0, 8, 4), 0);
    assert.equal(await file.read(buffer, 0, 8, 2 ** 33), 0);
    assert.equal(await file.read(buffer, 0, 0, 0), 0);
    assert.equal(buffer.toString(), "are-----");
    await file.close();
  });

  check("a gap reads as zeros", async (disk, directory) => {
    const file = await disk.open(join(directory, "a"), "create");
    await writeText(file, "end", 100_000);
    assert.equal(await file.size(), 100_003);
    const bytes = await bytesOf(file);
    assert.ok(bytes.subarray(0, 100_000).every((byte) => byte === 0));
    assert.equal(bytes.toString("latin1", 100_000), "end");
    await file.close();
  });

  check("truncate cuts, and lengthens with zeros", async (disk, directory) => {
    const file = await disk.open(join(directory, "a"), "create");
    await writeText(file, "hare and tortoise", 0);
    await file.truncate(4);
    assert.equal(await readText(file), "hare");
    await file.truncate(6);
    assert.equal(await readText(file), "hare\0\0");
    await writeText(file, "!", 9);
    assert.equal(await readText(file), "hare\0\0\0\0\0!");
    await file.truncate(0);
    assert.equal(await file.size(), 0);
    await file.close();
  });

  check("writes under way together all arrive", async (disk, directory) => {
    const file = await disk.open(join(directory, "a"), "create");
    const part = (index: number): Buffer => Buffer.alloc(5000, index + 1);
    const parts = Array.from({ length: 20 }, (_, index) => part(index));
    await Promise.all(parts.map((bytes, index) => file.write(bytes, 0, 5000, index * 5000)));
    await file.sync();
    assert.deepEqual(await bytesOf(file), Buffer.concat(parts));
    await file.close();
  });

  check("a megabyte and more survives a sync and a reopening", async (disk, directory) => {
    const path = join(directory, "a");
    const bytes = Buffer.alloc(3_000_001, "The hare was once boasting of her speed. ");
    const file = await disk.open(path, "create");
    await file.write(bytes, 0, bytes.length, 0);
    await file.sync();
    await file.close();
    await disk.syncDirectory(directory);
    const reopened = await disk.open(path, "read");
    assert.ok((await bytesOf(reopened)).equals(bytes));
    await reopened.close();
  });

  check("a range outside the buffer is the caller's mistake", async (disk, directory) => {
    const file = await disk.open(join(directory, "a"), "create");
    const buffer = Buffer.alloc(4);
    for (const [start, length, position] of [
      [0, 5, 0],
      [3, 2, 0],
      [-1, 1, 0],
      [0, -1, 0],
      [0, 4, -1],
      [0, 4, 0.5],
      [0, 4, Number.NaN],
    ] as const) {
      await assert.rejects(file.write(buffer, start, length, position), RangeError);
      await assert.rejects(file.read(buffer, start, length, position), RangeError);
    }
    assert.equal(await file.size(), 0);
    await file.write(buffer, 4, 0, 7);
    assert.equal(await file.size(), 0);
    await file.close();
  });
}

function directoriesContract(check: Check): void {
  check("directories are made with those above them", async (disk, directory) => {
    const path = join(directory, "a/b/c");
    await disk.makeDirectory(path);
    await disk.makeDirectory(path);
    await create(disk, join(path, "d"), "deep");
    assert.deepEqual(await disk.list(join(directory, "a/b")), ["c"]);
    assert.equal(await contentOf(disk, join(path, "d")), "deep");
    for (const each of [path, join(directory, "a/b"), join(directory, "a"), directory]) {
      await disk.syncDirectory(each);
    }
  });

  check("no directory, no file", async (disk, directory) => {
    await fails(() => disk.open(join(directory, "none/a"), "create"), "ENOENT");
    await fails(() => disk.syncDirectory(join(directory, "none")), "ENOENT");
    await fails(() => disk.space(join(directory, "none")), "ENOENT");
    assert.deepEqual(await disk.list(directory), []);
  });

  check("a file is no directory, and the other way round", async (disk, directory) => {
    const path = join(directory, "a");
    await create(disk, path, "x");
    await fails(() => disk.makeDirectory(path), "EEXIST");
    await fails(() => disk.list(path), "ENOTDIR");
    await fails(() => disk.open(join(path, "b"), "create"), "ENOTDIR");
    await disk.makeDirectory(join(directory, "c"));
    await fails(() => disk.open(join(directory, "c"), "write"), "EISDIR");
    await fails(() => disk.open(join(directory, "c"), "create"), "EEXIST");
  });

  check("space is told in bytes", async (disk, directory) => {
    const { freeBytes, totalBytes } = await disk.space(directory);
    assert.ok(Number.isSafeInteger(freeBytes) && freeBytes > 2 ** 20, `${freeBytes} free`);
    assert.ok(Number.isSafeInteger(totalBytes) && totalBytes >= freeBytes, `${totalBytes} in all`);
  });
}

const place = fc.oneof(fc.nat(300), fc.nat(70_000));
const verb = fc.oneof(
  { weight: 4, arbitrary: fc.record({ verb: fc.constant("write"), at: place, length: place }) },
  { weight: 4, arbitrary: fc.record({ verb: fc.constant("read"), at: place, length: place }) },
  { weight: 1, arbitrary: fc.record({ verb: fc.constant("truncate"), at: place, length: place }) },
);

function modelContract(prepare: () => DiskRig): void {
  test("a file agrees with an array of bytes", async () => {
    const { disk, directory, clear } = prepare();
    let files = 0;
    const property = fc.asyncProperty(fc.array(verb, { maxLength: 30 }), async (steps) => {
      const file = await disk.open(join(directory, `file-${files++}`), "create");
      let model = Buffer.alloc(0);
      for (const [index, { verb, at, length }] of steps.entries()) {
        if (verb === "write") {
          const bytes = Buffer.alloc(length, index + 1);
          await file.write(bytes, 0, length, at);
          if (length > 0) model = resized(model, Math.max(model.length, at + length));
          bytes.copy(model, at);
        } else if (verb === "truncate") {
          await file.truncate(at);
          model = resized(model, at);
        } else {
          const bytes = Buffer.alloc(length, 0xff);
          const count = await file.read(bytes, 0, length, at);
          assert.ok(bytes.subarray(0, count).equals(model.subarray(at, at + length)));
        }
        assert.equal(await file.size(), model.length);
      }
      assert.ok((await bytesOf(file)).equals(model));
      await file.close();
    });
    try {
      await fc.assert(property, { numRuns: 40 });
    } finally {
      clear();
    }
  });
}

function resized(bytes: Buffer, length: number): Buffer<ArrayBuffer> {
  const copy = Buffer.alloc(length);
  bytes.copy(copy);
  return copy;
}

async function create(disk: Disk, path: string, text: string): Promise<void> {
  const file = await disk.open(path, "create");
  await writeText(file, text, 0);
  await file.close();
}

async function contentOf(disk: Disk, path: string): Promise<string> {
  const file = await disk.open(path, "read");
  const text = await readText(file);
  await file.close();
  return text;
}

async function writeText(file: DiskFile, text: string, position: number): Promise<void> {
  const bytes = Buffer.from(text);
  await file.write(bytes, 0, bytes.length, position);
}

async function readText(file: DiskFile): Promise<string> {
  return (await bytesOf(file)).toString();
}

async function bytesOf(file: DiskFile): Promise<Buffer> {
  const bytes = Buffer.alloc(await file.size());
  assert.equal(await file.read(bytes, 0, bytes.length, 0), bytes.length);
  return bytes;
}

async function fails(act: () => Promise<unknown>, code: string, path?: string): Promise<void> {
  await assert.rejects(act, (error) => {
    assert.ok(error instanceof DiskError, String(error));
    assert.equal(error.code, code);
    if (path !== undefined) assert.equal(error.path, path);
    assert.match(error.message, new RegExp(`^\\w+ /.*: ${code}$`));
    return true;
  });
}
