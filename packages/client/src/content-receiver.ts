/**
 * Puts a message together from its content header and body frames. Each channel has one; the
 * channel begins a message when its method has come, and passes frames on until the message is
 * complete.
 *
 *     idle --begin--> wantsHeader --header--> wantsBody --last piece--> idle, `onMessage`
 *                          \________header of an empty body____________/
 *
 * Invariants:
 * - A body that arrived in one piece is copied once; pieces are copied straight to their place.
 * - What a broker announces is not allocated before it was checked against `maxBodyBytes`.
 *
 * This is a hot file.
 */

import { ClassId, decodeProperties, MalformedError, WireReader } from "@haremq/wire";
import type { Message } from "./message.ts";

const idle = 0;
const wantsHeader = 1;
const wantsBody = 2;

/** Class id, weight, body size, one word of property flags. */
const headerBytesMin = 14;
const twoTo32 = 0x1_0000_0000;

export class ContentReceiver<M extends Message> {
  readonly #maxBodyBytes: number;
  readonly #onMessage: (message: M) => void;
  readonly #reader = new WireReader(Buffer.alloc(0));
  #state: typeof idle | typeof wantsHeader | typeof wantsBody = idle;
  #message: M | undefined;
  #borrow = false;
  #bodySize = 0;
  #received = 0;

  constructor(maxBodyBytes: number, onMessage: (message: M) => void) {
    this.#maxBodyBytes = maxBodyBytes;
    this.#onMessage = onMessage;
  }

  get busy(): boolean {
    return this.#state !== idle;
  }

  /** `borrow`: the body may be a view of the receive buffer, valid during `onMessage` only. */
  begin(message: M, borrow: boolean): void {
    this.#message = message;
    this.#borrow = borrow;
    this.#state = wantsHeader;
  }

  /** Returns false if no header was to come; throws MalformedError for one that makes no sense. */
  header(buffer: Buffer, start: number, end: number): boolean {
    const message = this.#message;
    if (this.#state !== wantsHeader || message === undefined) return false;
    if (end - start < headerBytesMin) throw new MalformedError(502, "content header too short");
    if (buffer.readUInt16BE(start) !== ClassId.Basic) {
      throw new MalformedError(502, "content header of another class");
    }
    const size = buffer.readUInt32BE(start + 4) * twoTo32 + buffer.readUInt32BE(start + 8);
    if (size > this.#maxBodyBytes) {
      throw new MalformedError(501, `body of ${size} bytes (maximum ${this.#maxBodyBytes})`);
    }
    if (buffer[start + 12] !== 0 || buffer[start + 13] !== 0) {
      this.#reader.reset(buffer, start + 12, end);
      message.properties = decodeProperties(this.#reader);
    }
    this.#bodySize = size;
    this.#received = 0;
    this.#state = wantsBody;
    if (size === 0) this.#complete(message);
    return true;
  }

  /** Returns false if no body was to come, or less of it. */
  body(buffer: Buffer, start: number, end: number): boolean {
    const message = this.#message;
    const length = end - start;
    if (this.#state !== wantsBody || message === undefined) return false;
    if (length === this.#bodySize && this.#received === 0) {
      message.body = this.#borrow ? buffer.subarray(start, end) : copyOf(buffer, start, end);
      this.#complete(message);
      return true;
    }
    if (length === 0) return true;
    const received = this.#received + length;
    if (received > this.#bodySize) return false;
    if (this.#received === 0) message.body = Buffer.allocUnsafe(this.#bodySize);
    buffer.copy(message.body, this.#received, start, end);
    this.#received = received;
    if (received === this.#bodySize) this.#complete(message);
    return true;
  }

  /** Forgets a message that will not be completed. */
  reset(): void {
    this.#state = idle;
    this.#message = undefined;
  }

  #complete(message: M): void {
    this.#state = idle;
    this.#message = undefined;
    this.#onMessage(message);
  }
}

/** Below this a loop is faster than the native copy and its view of the source. */
const loopBytesMax = 48;

function copyOf(buffer: Buffer, start: number, end: number): Buffer {
  const length = end - start;
  const copy = Buffer.allocUnsafe(length);
  if (length > loopBytesMax) buffer.copy(copy, 0, start, end);
  else for (let i = 0; i < length; i++) copy[i] = buffer[start + i]!;
  return copy;
}
