/**
 * The frames of a publish, encoded once: everything but the body and its length stays the same from
 * one message to the next. Channels keep one for the exchange and routing key published to last,
 * and hand them out for applications that know what they will repeat (`Channel.prepare`).
 *
 *     +----------------------+---------------------------------+------------------+--------------+
 *     | method basic.publish | header: class weight SIZE props | body head LENGTH | body, 0xCE   |
 *     +----------------------+---------------------------------+------------------+--------------+
 *     0                  methodEnd             sizeAt       headEnd         bytes.length
 *
 * SIZE and LENGTH are patched when the body's size differs from the one before. What is not a
 * repetition is written by `writePublish`, without a template.
 *
 * This is a hot file.
 */

import {
  type BasicPublish,
  encodeBasicPublish,
  encodeHeaderFrame,
  FrameType,
  frameEnd,
  frameOverheadBytes,
  type Properties,
  WireWriter,
} from "@haremq/wire";
import type { FrameOutput } from "./frame-output.ts";

const bodyHeadBytes = 7;
/** From the start of a header frame to the body size in it: frame head, class id, weight. */
const sizeOffset = 11;
const twoTo32 = 0x1_0000_0000;

export class PublishTemplate {
  readonly #bytes: Buffer;
  /** The same without the body frame's head, for a body that is empty or needs several frames. */
  readonly #contentHead: Buffer;
  readonly #channel: number;
  readonly #sizeAt: number;
  #size = 0;

  constructor(channel: number, method: BasicPublish, properties: Properties) {
    const writer = new WireWriter(256);
    encodeBasicPublish(writer, channel, method);
    const methodEnd = writer.offset;
    encodeHeaderFrame(writer, channel, 0, properties);
    const headEnd = writer.offset;
    writer.uint8(FrameType.Body);
    writer.uint16(channel);
    writer.uint32(0);
    this.#bytes = writer.take();
    this.#contentHead = this.#bytes.subarray(0, headEnd);
    this.#channel = channel;
    this.#sizeAt = methodEnd + sizeOffset;
  }

  /** The header frame's size, which may not exceed frame-max. */
  get headerFrameBytes(): number {
    return this.#contentHead.length - (this.#sizeAt - sizeOffset);
  }

  /** Appends one whole publish. `payloadMax` is how much of the body fits into one frame. */
  write(output: FrameOutput, body: Uint8Array | string, payloadMax: number): void {
    const size = typeof body === "string" ? Buffer.byteLength(body) : body.length;
    if (size !== this.#size) this.#resize(size);
    if (size === 0 || size > payloadMax) {
      output.ensure(this.#contentHead.length);
      output.buffer.set(this.#contentHead, output.offset);
      output.offset += this.#contentHead.length;
      writeBody(output, this.#channel, body, size, payloadMax);
      return;
    }
    const bytes = this.#bytes;
    output.ensure(bytes.length + size + 1);
    const buffer = output.buffer;
    let offset = output.offset;
    buffer.set(bytes, offset);
    offset += bytes.length;
    if (typeof body === "string") buffer.utf8Write(body, offset, size);
    else buffer.set(body, offset);
    offset += size;
    buffer[offset] = frameEnd;
    output.offset = offset + 1;
  }

  #resize(size: number): void {
    this.#size = size;
    const bytes = this.#bytes;
    bytes.writeUInt32BE(Math.floor(size / twoTo32), this.#sizeAt);
    bytes.writeUInt32BE(size % twoTo32, this.#sizeAt + 4);
    bytes.writeUInt32BE(size % twoTo32, bytes.length - 4);
  }
}

/** Appends one whole publish whose method or properties are not the ones of the message before. */
export function writePublish(
  output: FrameOutput,
  channel: number,
  method: BasicPublish,
  properties: Properties,
  body: Uint8Array | string,
  frameMax: number,
): void {
  const before = output.offset;
  const size = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  encodeBasicPublish(output, channel, method);
  const headerAt = output.offset;
  try {
    encodeHeaderFrame(output, channel, size, properties);
    checkHeaderFrame(output.offset - headerAt, frameMax);
  } catch (error) {
    // Nothing of a publish that cannot be encoded may reach the broker.
    output.offset = before;
    throw error;
  }
  writeBody(output, channel, body, size, frameMax - frameOverheadBytes);
}

export function checkHeaderFrame(frameBytes: number, frameMax: number): void {
  if (frameBytes <= frameMax) return;
  throw new RangeError(`message properties of ${frameBytes} bytes (frame-max is ${frameMax})`);
}

/**
 * Body frames; a long body goes to the socket frame by frame instead of gathering in the output.
 */
function writeBody(
  output: FrameOutput,
  channel: number,
  body: Uint8Array | string,
  size: number,
  payloadMax: number,
): void {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  for (let start = 0; start < size; start += payloadMax) {
    const end = Math.min(size, start + payloadMax);
    output.ensure(bodyHeadBytes + end - start + 1);
    output.uint8(FrameType.Body);
    output.uint16(channel);
    output.uint32(end - start);
    output.bytes(bytes, start, end);
    output.uint8(frameEnd);
    output.commit();
  }
}
