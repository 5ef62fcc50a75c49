/**
 * Cuts a byte stream into frames for RawConnection. It shares no code with the frame reader of
 * @haremq/wire, which is under test itself, and copies freely.
 *
 *     ┌ type u8 ┬ channel u16 ┬ size u32 ┬ payload ┬ 0xCE ┐
 *
 * Invariant: what is not a frame (a protocol header, a wrong end octet) stays in `rest` for good.
 */

import { frameEnd } from "@haremq/wire";

export interface SplitFrame {
  readonly type: number;
  readonly channel: number;
  readonly payload: Buffer;
}

const headerBytes = 7;
const protocolHeader = Buffer.from("AMQP");

export class FrameSplitter {
  /** Bytes that are not, or not yet, a whole frame. */
  rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): SplitFrame[] {
    this.rest = Buffer.concat([this.rest, chunk]);
    const frames: SplitFrame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): SplitFrame | undefined {
    const { rest } = this;
    if (rest.length <= headerBytes || rest.subarray(0, 4).equals(protocolHeader)) return undefined;
    const end = headerBytes + rest.readUInt32BE(3);
    if (rest.length <= end || rest[end] !== frameEnd) return undefined;
    this.rest = rest.subarray(end + 1);
    return {
      type: rest.readUInt8(0),
      channel: rest.readUInt16BE(1),
      payload: rest.subarray(headerBytes, end),
    };
  }
}
