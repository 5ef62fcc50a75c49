/**
 * Goal: whatever is written, cut, synced and crashed in whatever order, a power loss leaves no byte
 * that was not there at some time since the last sync, and changes none that was synced. Thus a
 * store that fails on the faulty disk has failed by itself.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import type { DiskFile } from "./disk.ts";
import { FaultyDisk } from "./faulty-disk.ts";

const bytesMax = 3000;

/** All that a file may be after a power loss: which values each byte can have, and what sizes. */
class Possibilities {
  current = Buffer.alloc(0);
  readonly #values = Array.from({ length: bytesMax }, () => new Set([0]));
  #sizes = [0];

  write(bytes: Buffer, position: number): void {
    const size = Math.max(this.current.length, position + bytes.length);
    this.#resize(size);
    bytes.copy(this.current, position);
    for (const [index, byte] of bytes.entries()) this.#values[position + index]?.add(byte);
    this.#sizes.push(position, size);
  }

  truncate(size: number): void {
    this.#resize(size);
    // Where the file grows again it is zeros, and where it was cut the size may still be the old.
    for (const values of this.#values.slice(size)) values.add(0);
    this.#sizes.push(size);
  }

  /** The file is what it is now, and nothing else any more. */
  settle(): void {
    for (const [index, values] of this.#values.entries()) {
      values.clear();
      values.add(this.current[index] ?? 0);
    }
    this.#sizes = [this.current.length];
  }

  /** Holds what a power loss left against what it may have left. */
  accept(left: Buffer): void {
    assert.ok(left.length >= Math.min(...this.#sizes), `only ${left.length} bytes are left`);
    assert.ok(left.length <= Math.max(...this.#sizes), `${left.length} bytes are left`);
    for (const [index, byte] of left.entries()) {
      const values = this.#values[index] ?? new Set();
      assert.ok(values.has(byte), `byte ${index} is ${byte}, not of ${[...values]}`);
    }
    this.current = Buffer.from(left);
    this.settle();
  }

  #resize(size: number): void {
    const resized = Buffer.alloc(size);
    this.current.copy(resized);
    this.current = resized;
  }
}

async function bytesOf(file: DiskFile): Promise<Buffer> {
  const bytes = Buffer.alloc(await file.size());
  await file.read(bytes, 0, bytes.length, 0);
  return bytes;
}

async function run(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  let disk = new FaultyDisk({ random });
  disk.faults.inject({ operations: ["write"], fault: "short", probability: 0.2 });
  let file = await disk.open("/a", "create");
  await disk.syncDirectory("/");
  const possible = new Possibilities();
  for (let step = 1; step <= 60; step++) {
    const verb = random.pick(["write", "write", "write", "truncate", "sync", "die", "lose power"]);
    if (verb === "write") {
      const position = random.below(bytesMax);
      const bytes = Buffer.alloc(random.below(bytesMax - position + 1), step);
      if (bytes.length === 0) continue;
      await file.write(bytes, 0, bytes.length, position);
      possible.write(bytes, position);
    } else if (verb === "truncate") {
      const size = random.below(bytesMax);
      await file.truncate(size);
      possible.truncate(size);
    } else if (verb === "sync") {
      await file.sync();
      possible.settle();
    } else {
      const powerLoss = verb === "lose power" && random.below(2) === 0;
      disk = disk.crash({ powerLoss });
      file = await disk.open("/a", "write");
      if (powerLoss) possible.accept(await bytesOf(file));
    }
    assert.ok((await bytesOf(file)).equals(possible.current), `step ${step}: ${verb}`);
  }
}

test("a power loss leaves nothing that it could not leave", async () => {
  for (let seed = 0; seed < 150; seed++) {
    await run(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});
