/**
 * Splits a byte stream into AMQP frames, in place: nothing is allocated for a frame that lies whole
 * in the chunk it came in. Connections of the broker and of the client feed it their socket chunks.
 *
 *     0      1         3         7                size+7    size+8
 *     +------+---------+---------+------------------+---------+
 *     | type | channel |  size   | payload          |  0xCE   |
 *     +------+---------+---------+------------------+---------+
 *
 * Invariants:
 * - Chunks may be cut at any byte. A cut method, header or heartbeat frame waits in `carry`, which
 *   never exceeds one frame of the negotiated size. Body frames never wait: what has arrived of
 *   them is handed on at once, in pieces.
 * - The handler may call `stop()`: no further frame is handed on from this chunk, and `read` tells
 *   where to go on.
 * - After a fault nothing is handed on any more.
 *
 * This is a hot file.
 */

import { FrameType, frameEnd } from "./constants.ts";

/** Why a stream of frames cannot be read on, and the frame at fault. */
export interface FrameFault {
  readonly kind: "oversize" | "bad-end" | "unknown-type";
  readonly type: number;
  readonly channel: number;
  readonly size: number;
  /** A copy of the payload as far as it is at hand; empty for an oversize frame. */
  readonly payload: Buffer;
  /** What stands where the end octet should. */
  readonly end: number;
}

/** Who receives frames. Buffers are only valid until `read` returns. */
export interface FrameHandler {
  /** A whole method frame; the payload begins with the class and method ids. */
  onMethodFrame(channel: number, buffer: Buffer, start: number, end: number): void;
  /** A whole content header frame. */
  onHeaderFrame(channel: number, buffer: Buffer, start: number, end: number): void;
  /** A whole body frame, or the next piece of one that was cut between chunks. */
  onBodyPiece(channel: number, buffer: Buffer, start: number, end: number): void;
  /** An empty heartbeat frame; one that carries something is of no known type. */
  onHeartbeatFrame(channel: number): void;
  /** The stream is broken: nothing more will be handed on. */
  onFrameFault(fault: FrameFault): void;
}

const headerBytes = 7;
const overheadBytes = 8;
const initialCarryBytes = 512;
const noCarry = Buffer.alloc(0);

export class FrameReader {
  readonly #handler: FrameHandler;
  #maxPayloadBytes = 0;
  #carry: Buffer = noCarry;
  #carryLength = 0;
  /** Payload bytes of the current, cut body frame still to come; -1 outside of one. */
  #bodyRemaining = -1;
  #bodyChannel = 0;
  #stopped = false;
  #faulty = false;

  constructor(handler: FrameHandler, frameMax: number) {
    this.#handler = handler;
    this.setFrameMax(frameMax);
  }

  /**
   * Sets the negotiated size of a frame. Like RabbitMQ the reader tolerates payloads of that size,
   * for clients that forget that the frame's own 8 bytes count.
   */
  setFrameMax(frameMax: number): void {
    this.#maxPayloadBytes = frameMax;
  }

  /** Called by the handler, from within a call of its own: hand on no further frame for now. */
  stop(): void {
    this.#stopped = true;
  }

  /**
   * Hands on every frame in chunk[start, end). Returns the offset up to which the chunk was read,
   * which is `end` unless the handler stopped the reader or the stream is faulty.
   */
  read(chunk: Buffer, start: number, end: number): number {
    if (this.#faulty) return start;
    this.#stopped = false;
    let offset = start;
    if (this.#bodyRemaining >= 0) offset = this.#continueBody(chunk, offset, end);
    else if (this.#carryLength > 0) offset = this.#completeCarry(chunk, offset, end);
    const handler = this.#handler;
    while (end - offset >= headerBytes && !this.#stopped) {
      const type = chunk[offset]!;
      const channel = (chunk[offset + 1]! << 8) | chunk[offset + 2]!;
      const size =
        ((chunk[offset + 3]! << 24) |
          (chunk[offset + 4]! << 16) |
          (chunk[offset + 5]! << 8) |
          chunk[offset + 6]!) >>>
        0;
      const payload = offset + headerBytes;
      if (size > this.#maxPayloadBytes) return this.#oversize(type, channel, size, offset);
      if (end - payload <= size) {
        // The frame is cut by the end of the chunk.
        if (type !== FrameType.Body) break;
        offset = this.#beginBody(channel, size, chunk, payload, end);
        continue;
      }
      const payloadEnd = payload + size;
      if (chunk[payloadEnd] !== frameEnd) return this.#badEnd(chunk, offset, payloadEnd);
      offset = payloadEnd + 1;
      if (type === FrameType.Method) handler.onMethodFrame(channel, chunk, payload, payloadEnd);
      else if (type === FrameType.Body) handler.onBodyPiece(channel, chunk, payload, payloadEnd);
      else if (type === FrameType.Header)
        handler.onHeaderFrame(channel, chunk, payload, payloadEnd);
      else if (type === FrameType.Heartbeat && size === 0) handler.onHeartbeatFrame(channel);
      else return this.#unknownType(chunk, payload - headerBytes, payloadEnd);
    }
    if (offset < end && !this.#stopped && !this.#faulty) {
      this.#stash(chunk, offset, end);
      offset = end;
    }
    return offset;
  }

  #beginBody(channel: number, size: number, chunk: Buffer, start: number, end: number): number {
    this.#bodyChannel = channel;
    this.#bodyRemaining = size;
    if (size === 0) this.#handler.onBodyPiece(channel, chunk, start, start);
    return this.#continueBody(chunk, start, end);
  }

  /** Hands on what has come of a cut body frame; afterwards its end octet is checked. */
  #continueBody(chunk: Buffer, start: number, end: number): number {
    let offset = start;
    const piece = Math.min(this.#bodyRemaining, end - offset);
    if (piece > 0) {
      this.#bodyRemaining -= piece;
      this.#handler.onBodyPiece(this.#bodyChannel, chunk, offset, offset + piece);
      offset += piece;
    }
    if (this.#bodyRemaining === 0 && offset < end) {
      this.#bodyRemaining = -1;
      if (chunk[offset] !== frameEnd) {
        return this.#badBodyEnd(chunk[offset]!, offset);
      }
      offset++;
    }
    return offset;
  }

  /** Takes from the chunk what the cut frame in `carry` lacks, and hands it on once it is whole. */
  #completeCarry(chunk: Buffer, start: number, end: number): number {
    let offset = start;
    if (this.#carryLength < headerBytes) {
      offset = this.#fillCarry(chunk, offset, end, headerBytes);
      if (this.#carryLength < headerBytes) return offset;
    }
    const carry = this.#carry;
    const type = carry[0]!;
    const channel = carry.readUInt16BE(1);
    const size = carry.readUInt32BE(3);
    if (size > this.#maxPayloadBytes) return this.#oversize(type, channel, size, offset);
    if (type === FrameType.Body) {
      this.#carryLength = 0;
      return this.#beginBody(channel, size, chunk, offset, end);
    }
    offset = this.#fillCarry(chunk, offset, end, size + overheadBytes);
    if (this.#carryLength < size + overheadBytes) return offset;
    const whole = this.#carry;
    this.#carry = noCarry;
    this.#carryLength = 0;
    const payloadEnd = headerBytes + size;
    if (whole[payloadEnd] !== frameEnd) return this.#badEnd(whole, 0, payloadEnd, offset);
    if (type === FrameType.Method) {
      this.#handler.onMethodFrame(channel, whole, headerBytes, payloadEnd);
    } else if (type === FrameType.Header) {
      this.#handler.onHeaderFrame(channel, whole, headerBytes, payloadEnd);
    } else if (type === FrameType.Heartbeat && size === 0) {
      this.#handler.onHeartbeatFrame(channel);
    } else {
      return this.#unknownType(whole, 0, payloadEnd, offset);
    }
    return offset;
  }

  #fillCarry(chunk: Buffer, start: number, end: number, wanted: number): number {
    const taken = Math.min(wanted - this.#carryLength, end - start);
    this.#stash(chunk, start, start + taken);
    return start + taken;
  }

  #stash(chunk: Buffer, start: number, end: number): void {
    const length = this.#carryLength + (end - start);
    if (length > this.#carry.length) {
      const grown = Buffer.allocUnsafeSlow(
        Math.max(initialCarryBytes, 2 ** Math.ceil(Math.log2(length))),
      );
      this.#carry.copy(grown, 0, 0, this.#carryLength);
      this.#carry = grown;
    }
    chunk.copy(this.#carry, this.#carryLength, start, end);
    this.#carryLength = length;
  }

  #oversize(type: number, channel: number, size: number, offset: number): number {
    this.#fail({ kind: "oversize", type, channel, size, payload: noCarry, end: 0 });
    return offset;
  }

  #badEnd(bytes: Buffer, start: number, payloadEnd: number, offset: number = start): number {
    this.#fail(describeFrame("bad-end", bytes, start, payloadEnd));
    return offset;
  }

  /** The pieces of a cut body frame have been handed on already, so its payload cannot be shown. */
  #badBodyEnd(end: number, offset: number): number {
    const channel = this.#bodyChannel;
    this.#fail({ kind: "bad-end", type: FrameType.Body, channel, size: 0, payload: noCarry, end });
    return offset;
  }

  #unknownType(bytes: Buffer, start: number, payloadEnd: number, offset: number = start): number {
    this.#fail(describeFrame("unknown-type", bytes, start, payloadEnd));
    return offset;
  }

  #fail(fault: FrameFault): void {
    this.#faulty = true;
    this.#stopped = true;
    this.#carry = noCarry;
    this.#carryLength = 0;
    this.#handler.onFrameFault(fault);
  }
}

function describeFrame(
  kind: FrameFault["kind"],
  bytes: Buffer,
  start: number,
  payloadEnd: number,
): FrameFault {
  return {
    kind,
    type: bytes[start]!,
    channel: bytes.readUInt16BE(start + 1),
    size: bytes.readUInt32BE(start + 3),
    payload: Buffer.from(bytes.subarray(start + headerBytes, payloadEnd)),
    end: bytes[payloadEnd]!,
  };
}
