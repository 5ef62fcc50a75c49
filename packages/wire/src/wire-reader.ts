// Reads AMQP's primitive values from a region of a buffer. The generated decoders read through it.
//
// Invariants: offset <= end <= buffer.length. Every length is checked against `end` before anything
// is read or allocated; what does not fit throws MalformedError and nothing else is ever thrown.
// Whatever is returned is a copy, so that the region may be a socket chunk that is reused. After a
// throw the position is undefined until reset().

import { decodeTable } from "./field-reader.ts";
import type { FieldTable } from "./field-table.ts";
import { MalformedError, OverrunError } from "./malformed-error.ts";
import { decodeText, isAcceptedUtf8 } from "./text.ts";

const twoTo32 = 0x1_0000_0000;

export class WireReader {
  buffer: Buffer;
  offset: number;
  end: number;

  constructor(buffer: Buffer, start = 0, end: number = buffer.length) {
    this.buffer = buffer;
    this.offset = start;
    this.end = end;
  }

  reset(buffer: Buffer, start = 0, end: number = buffer.length): void {
    this.buffer = buffer;
    this.offset = start;
    this.end = end;
  }

  get remaining(): number {
    return this.end - this.offset;
  }

  uint8(): number {
    const at = this.advance(1);
    return this.buffer[at] as number;
  }

  uint16(): number {
    const at = this.advance(2);
    const buffer = this.buffer;
    return ((buffer[at] as number) << 8) | (buffer[at + 1] as number);
  }

  uint32(): number {
    const at = this.advance(4);
    const buffer = this.buffer;
    return (
      (((buffer[at] as number) << 24) |
        ((buffer[at + 1] as number) << 16) |
        ((buffer[at + 2] as number) << 8) |
        (buffer[at + 3] as number)) >>>
      0
    );
  }

  /** Values above Number.MAX_SAFE_INTEGER throw; where they may occur use one of the next two. */
  uint64(): number {
    const value = this.uint32() * twoTo32 + this.uint32();
    if (value > Number.MAX_SAFE_INTEGER) throw new MalformedError(501, "64-bit value out of range");
    return value;
  }

  /** All 64 bits: a number where it is exact, else a bigint. */
  exactUint64(): number | bigint {
    const high = this.uint32();
    const low = this.uint32();
    if (high <= 0x1f_ffff) return high * twoTo32 + low;
    return (BigInt(high) << 32n) | BigInt(low);
  }

  /**
   * A delivery tag. No broker hands out tags above 2^53, but a client may send one: that is an
   * unknown tag, a matter between broker and channel, not a malformed frame. It becomes the nearest
   * double, which is not a safe integer and so never equals a tag that was handed out.
   */
  deliveryTag(): number {
    return this.uint32() * twoTo32 + this.uint32();
  }

  shortString(): string {
    const length = this.uint8();
    const at = this.advance(length);
    return decodeText(this.buffer, at, at + length);
  }

  /**
   * A short string of a method without content. There RabbitMQ insists on UTF-8; exchanges and
   * routing keys of messages it takes as they come.
   */
  utf8ShortString(): string {
    const length = this.uint8();
    const at = this.advance(length);
    if (!isAcceptedUtf8(this.buffer, at, at + length)) {
      throw new MalformedError(501, "Malformed UTF-8 in shortstr");
    }
    return decodeText(this.buffer, at, at + length);
  }

  longString(): Buffer {
    const length = this.uint32();
    const at = this.advance(length);
    return Buffer.from(this.buffer.subarray(at, at + length));
  }

  table(): FieldTable {
    return decodeTable(this);
  }

  skip(bytes: number): void {
    this.advance(bytes);
  }

  /** Moves past `bytes` octets and returns where they start. */
  advance(bytes: number): number {
    const at = this.offset;
    if (bytes > this.end - at) throw new OverrunError();
    this.offset = at + bytes;
    return at;
  }
}
