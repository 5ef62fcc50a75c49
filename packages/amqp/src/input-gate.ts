/**
 * Lets chunks of a socket through to the frame reader, or holds them back: while a method is
 * carried out asynchronously (suspended), while the broker is short and the client publishes
 * (blocked), or publishes faster than the disk writes (slowed), while the client does not read what
 * it is sent (throttled). One per connection.
 *
 * Invariants: chunks go through in the order in which they came, none is lost; what is held is
 * bounded by pausing the socket, which then fills the peer's window.
 */

import type { Socket } from "node:net";

/** What may be held before the socket is paused. */
const heldBytesMax = 64 * 1024;

/**
 * Reads a chunk and returns how much of it was taken; less than all only when the gate has closed.
 */
export type ChunkReader = (chunk: Buffer) => number;

export class InputGate {
  readonly #socket: Socket;
  readonly #read: ChunkReader;
  #isSuspended = false;
  #isBlocked = false;
  #isThrottled = false;
  #isSlowed = false;
  #isPaused = false;
  #isEnded = false;
  #held: Buffer | null = null;
  receivedBytes = 0;

  constructor(socket: Socket, read: ChunkReader) {
    this.#socket = socket;
    this.#read = read;
  }

  /** Whether what the client sends is looked at, so that its silence means something. */
  get isReading(): boolean {
    return !this.#isPaused;
  }

  /** Whether a method is being carried out. */
  get isSuspended(): boolean {
    return this.#isSuspended;
  }

  receive(chunk: Buffer): void {
    this.receivedBytes += chunk.length;
    if (this.#isEnded) return;
    if (this.#isOpen) this.#pass(chunk);
    else this.#hold(chunk);
  }

  /** Takes the rest of a chunk back, whose reading has closed the gate. */
  giveBack(rest: Buffer): void {
    this.#held = this.#held === null ? rest : Buffer.concat([rest, this.#held]);
  }

  suspend(): void {
    this.#isSuspended = true;
  }

  resume(): void {
    this.#isSuspended = false;
    this.#goOn();
  }

  block(): void {
    this.#isBlocked = true;
    this.#pause();
  }

  unblock(): void {
    this.#isBlocked = false;
    this.#goOn();
  }

  throttle(): void {
    this.#isThrottled = true;
    this.#pause();
  }

  unthrottle(): void {
    if (!this.#isThrottled) return;
    this.#isThrottled = false;
    this.#goOn();
  }

  /** Holds what comes until the promise is kept, if there is one. */
  slowDown(until: Promise<void> | undefined): void {
    if (until === undefined) return;
    this.#isSlowed = true;
    this.#pause();
    void until.then(() => {
      this.#isSlowed = false;
      this.#goOn();
    });
  }

  /** Lets nothing through any more; the socket is drained so that its end is seen. */
  end(): void {
    this.#isEnded = true;
    this.#held = null;
    if (this.#isPaused) this.#socket.resume();
  }

  get #isOpen(): boolean {
    return !this.#isSuspended && !this.#isBlocked && !this.#isThrottled && !this.#isSlowed;
  }

  #pass(chunk: Buffer): void {
    const taken = this.#read(chunk);
    if (taken < chunk.length && !this.#isOpen) this.giveBack(chunk.subarray(taken));
  }

  #hold(chunk: Buffer): void {
    this.#held = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    if (this.#held.length > heldBytesMax) this.#pause();
  }

  #goOn(): void {
    if (!this.#isOpen || this.#isEnded) return;
    const held = this.#held;
    this.#held = null;
    if (held !== null) this.#pass(held);
    if (!this.#isPaused || !this.#isOpen || this.#isEnded) return;
    this.#isPaused = false;
    this.#socket.resume();
  }

  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#socket.pause();
  }
}
