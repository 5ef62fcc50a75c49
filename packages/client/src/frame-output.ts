/**
 * Where a connection's frames are written: a buffer that goes to the socket in one write per turn
 * of the event loop, or sooner when it holds `flushBytes`. Encoders append whole frames and then
 * call `commit`.
 *
 *     chunk  | frames written since the last flush | free                    |
 *            0                                  offset                chunkBytes
 *
 * Invariants:
 * - The socket only ever gets whole frames, in the order they were committed.
 * - A chunk is written to again only when the kernel has all of it. That is nearly always at once;
 *   otherwise the chunk waits in flight and another one takes its place, at most `spareMax` of
 *   which are kept when they come back.
 * - `saturated` is true from when more than the high-water mark waits for the socket until less
 *   than half of it does; then `onDrain` is called.
 *
 * This is a hot file.
 */

import type { Duplex } from "node:stream";
import { WireWriter } from "@haremq/wire";

const chunkBytes = 256 * 1024;
/** Large enough to make system calls rare, small enough to stay in the processor's cache. */
const flushBytes = 64 * 1024;
const spareMax = 4;

export class FrameOutput extends WireWriter {
  readonly #socket: Duplex;
  readonly #highWaterBytes: number;
  readonly #spare: Buffer[] = [];
  #scheduled = false;
  #closed = false;
  /** Whether publishers should wait: true while more than the high-water mark is unsent. */
  saturated = false;
  /** Counts flushes, so that heartbeats can tell whether anything was sent. */
  flushes = 0;
  onDrain: () => void = () => {};

  constructor(socket: Duplex, highWaterBytes: number) {
    super(chunkBytes);
    this.#socket = socket;
    this.#highWaterBytes = highWaterBytes;
  }

  /** Bytes that the kernel has not taken yet. */
  get pendingBytes(): number {
    return this.offset + this.#socket.writableLength;
  }

  /** Called at the end of every frame or run of frames: what was written may be sent now. */
  commit(): void {
    if (this.offset >= flushBytes) this.flush();
    else if (!this.#scheduled) this.#schedule();
  }

  /** Sends what was committed at once. */
  flush(): void {
    const length = this.offset;
    if (length === 0) return;
    this.offset = 0;
    if (this.#closed) return;
    this.flushes++;
    const chunk = this.buffer;
    const socket = this.#socket;
    let inFlight = false;
    socket.write(chunk.subarray(0, length), () => {
      if (inFlight) this.#onWritten(chunk);
    });
    if (socket.writableLength === 0) return;
    inFlight = true;
    this.buffer = this.#spare.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
    if (socket.writableLength > this.#highWaterBytes) this.saturated = true;
  }

  /** Nothing is sent any more; frames that are still written go nowhere. */
  close(): void {
    this.#closed = true;
    this.offset = 0;
  }

  #schedule(): void {
    this.#scheduled = true;
    setImmediate(this.#flushNow);
  }

  readonly #flushNow = (): void => {
    this.#scheduled = false;
    this.flush();
  };

  #onWritten(chunk: Buffer): void {
    if (chunk.length === chunkBytes && this.#spare.length < spareMax) this.#spare.push(chunk);
    if (this.saturated && this.#socket.writableLength <= this.#highWaterBytes >>> 1) {
      this.saturated = false;
      this.onDrain();
    }
  }
}
