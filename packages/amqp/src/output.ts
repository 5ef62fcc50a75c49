/**
 * The outgoing bytes of one connection: frames are encoded into chunks that all connections share
 * through a pool, and leave the socket a chunk at a time. An idle connection holds no chunk.
 *
 *     frames -> | current chunk | -> socket.write -> | chunks under way | -> back to the pool
 *
 * Invariants: a frame never spans two chunks. While more than `highWaterBytes` are under way the
 * output is not `writable`: consumers are not served, so that a peer that does not read costs a
 * bounded amount. Replies to its methods are still taken, until more than `fullBytes` are under
 * way: then the owner is told to carry out no further method before there is room again.
 *
 * This is a hot file.
 */

import type { Socket } from "node:net";
import type { ByteCount } from "@haremq/kernel";
import { WireWriter } from "@haremq/wire";

const chunkBytes = 64 * 1024;
const highWaterBytes = 512 * 1024;
const lowWaterBytes = 128 * 1024;
const fullBytes = 8 * 1024 * 1024;
const poolChunks = 64;
const noChunk = Buffer.alloc(0);

/** Spare chunks, shared by the connections of a listener. */
export class ChunkPool {
  readonly #spare: Buffer[] = [];
  /** Where chunks are counted that are under way. */
  readonly memory: ByteCount;

  constructor(memory: ByteCount) {
    this.memory = memory;
  }

  take(bytes: number): Buffer {
    if (bytes > chunkBytes) return Buffer.allocUnsafeSlow(bytes);
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
  }

  give(chunk: Buffer): void {
    if (chunk.length === chunkBytes && this.#spare.length < poolChunks) this.#spare.push(chunk);
  }
}

/** What an output tells its connection. */
export interface OutputOwner {
  /** The first byte since the last flush has been written. */
  onOutput(): void;
  /** More is under way than may be added to. */
  onFull(): void;
  /** The output has become writable again. */
  onDrain(): void;
}

export class Output extends WireWriter {
  readonly #socket: Socket;
  readonly #pool: ChunkPool;
  readonly #owner: OutputOwner;
  #announced = false;
  #closed = false;
  #pendingBytes = 0;
  /** Chunks handed to the socket, oldest first, with the bytes used of each. */
  readonly #underWay: { chunk: Buffer; bytes: number }[] = [];
  readonly #onWritten = (): void => this.#written();

  /** Whether deliveries may be written. */
  writable = true;
  #sentBytes = 0;

  constructor(socket: Socket, pool: ChunkPool, owner: OutputOwner) {
    super(0);
    this.buffer = noChunk;
    this.#socket = socket;
    this.#pool = pool;
    this.#owner = owner;
  }

  override ensure(bytes: number): void {
    if (this.offset + bytes > this.buffer.length) this.#turnChunk(bytes);
    if (!this.#announced) {
      this.#announced = true;
      this.#owner.onOutput();
    }
  }

  /** All bytes ever written. */
  get writtenBytes(): number {
    return this.#sentBytes + this.offset;
  }

  /** Bytes written and not yet taken by the operating system. */
  get pendingBytes(): number {
    return this.#pendingBytes + this.offset;
  }

  /** Hands everything written to the socket. */
  flush(): void {
    this.#announced = false;
    if (this.offset > 0) this.#send();
  }

  /** Drops everything; further writes go nowhere. */
  close(): void {
    if (!this.#closed)
      for (const { chunk } of this.#underWay) this.#pool.memory.bytes -= chunk.length;
    this.#closed = true;
    this.writable = false;
    this.offset = 0;
  }

  #turnChunk(bytes: number): void {
    if (this.offset > 0) this.#send();
    this.buffer = this.#pool.take(bytes);
  }

  #send(): void {
    const chunk = this.buffer;
    const bytes = this.offset;
    this.buffer = noChunk;
    this.offset = 0;
    if (this.#closed) {
      this.#pool.give(chunk);
      return;
    }
    this.#pendingBytes += bytes;
    this.#sentBytes += bytes;
    this.#underWay.push({ chunk, bytes });
    this.#pool.memory.bytes += chunk.length;
    if (this.#pendingBytes > highWaterBytes) {
      this.writable = false;
      if (this.#pendingBytes > fullBytes) this.#owner.onFull();
    }
    this.#socket.write(bytes === chunk.length ? chunk : chunk.subarray(0, bytes), this.#onWritten);
  }

  #written(): void {
    const first = this.#underWay.shift();
    if (first === undefined) return;
    this.#pendingBytes -= first.bytes;
    this.#pool.give(first.chunk);
    if (!this.#closed) this.#pool.memory.bytes -= first.chunk.length;
    if (!this.writable && !this.#closed && this.#pendingBytes <= lowWaterBytes) {
      this.writable = true;
      this.#owner.onDrain();
    }
  }
}
