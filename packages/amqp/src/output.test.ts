// Goal: outgoing bytes leave in order and in few writes; what is under way is known, and bounded by
// whoever heeds `writable` and `onFull`; an idle output holds no memory.

import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import { ByteCount } from "@haremq/kernel";
import { ChunkPool, Output } from "./output.ts";

const kib = 1024;

/** Takes writes and finishes them when it is told to. */
class SlowSocket {
  readonly written: Buffer[] = [];
  readonly #unfinished: (() => void)[] = [];

  write(bytes: Buffer, done: () => void): boolean {
    this.written.push(Buffer.from(bytes));
    this.#unfinished.push(done);
    return false;
  }

  finish(count = this.#unfinished.length): void {
    for (const done of this.#unfinished.splice(0, count)) done();
  }
}

function harness() {
  const socket = new SlowSocket();
  const memory = new ByteCount();
  const pool = new ChunkPool(memory);
  const events: string[] = [];
  const output = new Output(socket as unknown as Socket, pool, {
    onOutput: () => events.push("output"),
    onFull: () => events.push("full"),
    onDrain: () => events.push("drain"),
  });
  const write = (bytes: Buffer): void => {
    output.ensure(bytes.length);
    output.bytes(bytes);
  };
  return { socket, memory, pool, events, output, write };
}

describe("Output", () => {
  test("announces itself once between flushes", () => {
    const { events, output, write } = harness();
    write(Buffer.from("a"));
    write(Buffer.from("b"));
    output.flush();
    output.flush();
    write(Buffer.from("c"));
    assert.deepEqual(events, ["output", "output"]);
  });

  test("hands over what was written in order, in one write a flush", () => {
    const { socket, output, write } = harness();
    for (const text of ["one ", "two ", "three"]) write(Buffer.from(text));
    output.flush();
    assert.deepEqual(socket.written.map(String), ["one two three"]);
    write(Buffer.from("four"));
    output.flush();
    assert.deepEqual(socket.written.map(String), ["one two three", "four"]);
  });

  test("never cuts what was ensured as one, and takes what is larger than a chunk", () => {
    const { socket, output, write } = harness();
    const pieces = [60 * kib, 10 * kib, 200 * kib, 1].map((size, index) =>
      Buffer.alloc(size, index + 1),
    );
    for (const piece of pieces) write(piece);
    output.flush();
    assert.ok(Buffer.concat(socket.written).equals(Buffer.concat(pieces)));
    for (const piece of pieces) {
      assert.equal(socket.written.filter((bytes) => bytes.includes(piece)).length, 1);
    }
  });

  test("knows what is under way, and all that was ever written", () => {
    const { socket, output, write } = harness();
    write(Buffer.alloc(100));
    assert.equal(output.pendingBytes, 100);
    output.flush();
    write(Buffer.alloc(10));
    assert.equal(output.pendingBytes, 110);
    socket.finish();
    assert.equal(output.pendingBytes, 10);
    assert.equal(output.writtenBytes, 110);
  });

  test("is not writable above its high water mark, until it is below the low one", () => {
    const { socket, events, output, write } = harness();
    const chunk = Buffer.alloc(64 * kib);
    while (output.writable) write(chunk);
    assert.ok(output.pendingBytes > 512 * kib && output.pendingBytes <= 512 * kib + 2 * 64 * kib);
    output.flush();
    const underWay = socket.written.length;
    socket.finish(underWay - 3);
    assert.equal(output.writable, false);
    socket.finish(1);
    assert.equal(output.writable, true);
    assert.deepEqual(events, ["output", "drain"]);
  });

  test("says when it is full, for those who write although it is not writable", () => {
    const { events, output, write } = harness();
    const chunk = Buffer.alloc(64 * kib);
    while (!events.includes("full")) write(chunk);
    assert.ok(output.pendingBytes <= 8 * kib * kib + 2 * 64 * kib);
  });

  test("holds no chunk when nothing is to be sent, and uses those of others again", () => {
    const { socket, pool, output, write } = harness();
    write(Buffer.from("a"));
    const chunk = output.buffer;
    output.flush();
    assert.equal(output.buffer.length, 0);
    socket.finish();
    assert.equal(pool.take(100), chunk);
  });

  test("does not use a chunk again before its bytes have left", () => {
    const { socket, output, write } = harness();
    write(Buffer.from("first"));
    const first = output.buffer;
    output.flush();
    write(Buffer.from("second"));
    assert.notEqual(output.buffer, first);
    output.flush();
    socket.finish();
    assert.deepEqual(socket.written.map(String), ["first", "second"]);
  });

  test("counts the memory that is under way, until it has left or is given up", () => {
    const { socket, memory, output, write } = harness();
    for (let i = 0; i < 5; i++) write(Buffer.alloc(40 * kib));
    output.flush();
    assert.equal(memory.bytes, 5 * 64 * kib);
    socket.finish(2);
    assert.equal(memory.bytes, 3 * 64 * kib);
    output.close();
    output.close();
    assert.equal(memory.bytes, 0);
    write(Buffer.alloc(40 * kib));
    output.flush();
    socket.finish();
    assert.equal(memory.bytes, 0);
  });

  test("sends nothing after it was closed, and drains nobody", () => {
    const { socket, events, output, write } = harness();
    const chunk = Buffer.alloc(64 * kib);
    while (output.writable) write(chunk);
    output.close();
    const before = socket.written.length;
    write(Buffer.from("more"));
    output.flush();
    socket.finish();
    assert.equal(socket.written.length, before);
    assert.equal(output.writable, false);
    assert.ok(!events.includes("drain"));
  });
});
