// Appends AMQP's primitive values to a growing buffer. The generated encoders, the client and the
// server's connections write through it.
//
// Invariants: offset <= buffer.length; after ensure(n) at least n octets are free at `offset`. The
// generated encoders call ensure() once for a whole frame before the first octet of it, so a
// subclass may hand the buffer to a socket and begin a new one inside ensure(): a frame is never
// split. The primitives call ensure() only if it was not called for them, which costs them one
// comparison.

import { FrameType, frameEnd, frameOverheadBytes } from "./constants.ts";
import type { FieldTable } from "./field-table.ts";
import { encodeTable, tableByteLength } from "./field-writer.ts";
import { encodeText, shortStringByteLength, textByteLength } from "./text.ts";

const twoTo32 = 0x1_0000_0000;
const twoTo64 = twoTo32 * twoTo32;

/** Checks that the value can be written as 64 bits, and says how many octets that takes. */
export function uint64ByteLength(value: number | bigint): 8 {
  if (!(value >= 0 && value < twoTo64) || (typeof value === "number" && value % 1 !== 0)) {
    throw new RangeError(`not an unsigned 64-bit integer: ${value}`);
  }
  return 8;
}

export class WireWriter {
  buffer: Buffer;
  offset = 0;

  constructor(initialBytes = 4096) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes);
  }

  /**
   * Makes room for `bytes` more octets. Subclasses may flush and rotate the buffer here instead.
   */
  ensure(bytes: number): void {
    const needed = this.offset + bytes;
    if (needed <= this.buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.buffer.length * 2));
    this.buffer.copy(grown, 0, 0, this.offset);
    this.buffer = grown;
  }

  /** Makes room for one method frame and writes everything before its arguments. */
  beginMethod(channel: number, classId: number, methodId: number, argumentBytes: number): void {
    this.ensure(frameOverheadBytes + 4 + argumentBytes);
    this.uint8(FrameType.Method);
    this.uint16(channel);
    this.uint32(4 + argumentBytes);
    this.uint16(classId);
    this.uint16(methodId);
  }

  endFrame(): void {
    this.uint8(frameEnd);
  }

  uint8(value: number): void {
    if (this.offset + 1 > this.buffer.length) this.ensure(1);
    this.buffer[this.offset++] = value;
  }

  uint16(value: number): void {
    if (this.offset + 2 > this.buffer.length) this.ensure(2);
    const { buffer, offset } = this;
    buffer[offset] = value >>> 8;
    buffer[offset + 1] = value;
    this.offset = offset + 2;
  }

  uint32(value: number): void {
    if (this.offset + 4 > this.buffer.length) this.ensure(4);
    const { buffer, offset } = this;
    buffer[offset] = value >>> 24;
    buffer[offset + 1] = value >>> 16;
    buffer[offset + 2] = value >>> 8;
    buffer[offset + 3] = value;
    this.offset = offset + 4;
  }

  /**
   * Accepts any integer below 2^64; a number above 2^53 stands for itself, not for its neighbours.
   */
  uint64(value: number | bigint): void {
    uint64ByteLength(value);
    if (typeof value === "bigint") {
      this.uint32(Number((value >> 32n) & 0xffff_ffffn));
      this.uint32(Number(value & 0xffff_ffffn));
      return;
    }
    this.uint32(Math.floor(value / twoTo32));
    this.uint32(value % twoTo32);
  }

  /** `byteLength` spares a second pass over the text where the caller has measured it already. */
  shortString(text: string, byteLength: number = shortStringByteLength(text)): void {
    if (this.offset + 1 + byteLength > this.buffer.length) this.ensure(1 + byteLength);
    this.buffer[this.offset] = byteLength;
    encodeText(text, byteLength, this.buffer, this.offset + 1);
    this.offset += 1 + byteLength;
  }

  longString(value: Buffer | string): void {
    if (typeof value === "string") {
      const byteLength = textByteLength(value);
      this.ensure(4 + byteLength);
      this.uint32(byteLength);
      encodeText(value, byteLength, this.buffer, this.offset);
      this.offset += byteLength;
    } else {
      this.ensure(4 + value.length);
      this.uint32(value.length);
      this.bytes(value);
    }
  }

  /** `byteLength` is tableByteLength(table), where the caller has measured it already. */
  table(table: FieldTable, byteLength: number = tableByteLength(table)): void {
    this.ensure(byteLength);
    encodeTable(this, table);
  }

  bytes(source: Uint8Array, start = 0, end: number = source.length): void {
    const length = end - start;
    if (this.offset + length > this.buffer.length) this.ensure(length);
    this.buffer.set(
      start === 0 && end === source.length ? source : source.subarray(start, end),
      this.offset,
    );
    this.offset += length;
  }

  /** A copy of what was written; the writer starts over. */
  take(): Buffer {
    const written = Buffer.from(this.buffer.subarray(0, this.offset));
    this.offset = 0;
    return written;
  }
}
