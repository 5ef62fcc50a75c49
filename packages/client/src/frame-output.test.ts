/**
 * Goal: the socket gets whole frames, in order, in few writes, and publishers learn when to wait.
 */

import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { FrameOutput } from "./frame-output.ts";

/** A socket whose other side reads only when told to. */
class SlowSocket extends Duplex {
  readonly writes: Buffer[] = [];
  #done: ((error?: Error | null) => void) | undefined;
  #slow: boolean;

  constructor(slow: boolean) {
    super({ highWaterMark: 0 });
    this.#slow = slow;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (!this.#slow) {
      this.writes.push(Buffer.from(chunk));
      done();
      return;
    }
    // What is written later must not change what is in flight: look at it when it is taken.
    this.#done = () => {
      this.writes.push(Buffer.from(chunk));
      done();
    };
  }

  override _read(): void {}

  /** Takes everything that waits, and all that comes from now on. */
  catchUp(): void {
    this.#slow = false;
    const done = this.#done;
    this.#done = undefined;
    done?.();
  }
}

function frame(fill: number, length: number): Buffer {
  return Buffer.alloc(length, fill);
}

function put(output: FrameOutput, bytes: Buffer): void {
  output.ensure(bytes.length);
  output.bytes(bytes);
  output.commit();
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("everything committed in one turn goes out in one write", async () => {
  const socket = new SlowSocket(false);
  const output = new FrameOutput(socket, 1 << 20);
  for (let i = 1; i <= 5; i++) put(output, frame(i, 10));
  assert.equal(socket.writes.length, 0);
  await nextTurn();
  assert.equal(socket.writes.length, 1);
  assert.deepEqual(socket.writes[0], Buffer.concat([1, 2, 3, 4, 5].map((i) => frame(i, 10))));
  assert.equal(output.flushes, 1);
});

test("a turn that writes much does not gather it all", () => {
  const socket = new SlowSocket(false);
  const output = new FrameOutput(socket, 1 << 20);
  for (let i = 0; i < 100; i++) put(output, frame(i, 10_000));
  assert.ok(socket.writes.length >= 10, `${socket.writes.length} writes`);
  assert.ok(output.pendingBytes < 100_000);
});

test("bytes in flight are not overwritten by later frames", async () => {
  const socket = new SlowSocket(true);
  const output = new FrameOutput(socket, 1 << 20);
  const expected: Buffer[] = [];
  for (let i = 0; i < 20; i++) {
    expected.push(frame(i, 70_000));
    put(output, frame(i, 70_000));
  }
  socket.catchUp();
  await nextTurn();
  await nextTurn();
  assert.ok(Buffer.concat(socket.writes).equals(Buffer.concat(expected)));
});

test("a frame larger than a chunk passes", async () => {
  const socket = new SlowSocket(false);
  const output = new FrameOutput(socket, 1 << 20);
  put(output, frame(1, 3));
  put(output, frame(2, 1_000_000));
  put(output, frame(3, 3));
  await nextTurn();
  assert.ok(
    Buffer.concat(socket.writes).equals(Buffer.concat([frame(1, 3), frame(2, 1e6), frame(3, 3)])),
  );
});

test("saturation begins above the high-water mark and ends when the socket caught up", async () => {
  const socket = new SlowSocket(true);
  const output = new FrameOutput(socket, 100_000);
  let drains = 0;
  output.onDrain = () => {
    drains++;
  };
  put(output, frame(1, 80_000));
  assert.equal(output.saturated, false);
  put(output, frame(2, 80_000));
  assert.equal(output.saturated, true);
  assert.equal(output.pendingBytes, 160_000);
  socket.catchUp();
  await nextTurn();
  await nextTurn();
  assert.equal(output.saturated, false);
  assert.equal(drains, 1);
  assert.equal(output.pendingBytes, 0);
});

test("after close nothing reaches the socket", async () => {
  const socket = new SlowSocket(false);
  const output = new FrameOutput(socket, 1 << 20);
  put(output, frame(1, 10));
  output.close();
  put(output, frame(2, 100_000));
  await nextTurn();
  assert.deepEqual(socket.writes, []);
});
