/**
 * Encodes a delivery straight from where the message lies into the connection's output. Channels
 * call it for basic.deliver, basic.get-ok and basic.return alike, which differ only in their
 * method.
 *
 *     method frame:   | prefix: head, class, method, consumer tag | tag | redelivered | address |
 *     header frame:   | frame head | class 60, weight 0, body size | properties |
 *     body frames:    | frame head | up to frame-max - 8 bytes | ...
 *
 * This is a hot file.
 */

import { copyBytes, type MessageView } from "@haremq/broker";
import { encodeText, FrameType, frameEnd, frameOverheadBytes, textByteLength } from "@haremq/wire";
import type { Output } from "./output.ts";

const frameHeadBytes = 7;
const contentHeadBytes = 12;
const tagAndFlagBytes = 9;
const twoTo32 = 0x1_0000_0000;

/**
 * The bytes that all of a consumer's deliveries begin with; the frame's size is filled in later.
 */
export function deliveryPrefix(channel: number, consumerTag: string): Buffer {
  const tagLength = textByteLength(consumerTag);
  const prefix = Buffer.alloc(frameHeadBytes + 4 + 1 + tagLength);
  prefix[0] = FrameType.Method;
  prefix.writeUInt16BE(channel, 1);
  prefix.writeUInt16BE(60, 7);
  prefix.writeUInt16BE(60, 9);
  prefix[11] = tagLength;
  encodeText(consumerTag, tagLength, prefix, 12);
  return prefix;
}

/** Writes basic.deliver with its content. */
export function writeDelivery(
  out: Output,
  channel: number,
  prefix: Buffer,
  deliveryTag: number,
  redelivered: boolean,
  view: MessageView,
  frameMax: number,
): void {
  const prefixLength = prefix.length;
  const addressLength = view.addressLength;
  const methodBytes = prefixLength + tagAndFlagBytes + addressLength + 1;
  const bodyLength = view.bodyLength;
  const inOneFrame = bodyLength <= frameMax - frameOverheadBytes;
  const headerBytes = frameOverheadBytes + contentHeadBytes + view.propertiesLength;
  out.ensure(
    methodBytes +
      headerBytes +
      (inOneFrame && bodyLength > 0 ? frameOverheadBytes + bodyLength : 0),
  );
  const bytes = out.buffer;
  let at = out.offset;
  copyBytes(prefix, 0, prefixLength, bytes, at);
  const methodSize = methodBytes - frameOverheadBytes;
  bytes[at + 3] = methodSize >>> 24;
  bytes[at + 4] = methodSize >>> 16;
  bytes[at + 5] = methodSize >>> 8;
  bytes[at + 6] = methodSize;
  at += prefixLength;
  at = writeTag(bytes, at, deliveryTag);
  bytes[at++] = redelivered ? 1 : 0;
  copyBytes(view.address, view.addressStart, addressLength, bytes, at);
  at += addressLength;
  bytes[at++] = frameEnd;
  at = writeHeader(bytes, at, channel, view);
  if (bodyLength === 0) {
    out.offset = at;
  } else if (inOneFrame) {
    out.offset = writeBodyFrame(bytes, at, channel, view, 0, bodyLength);
  } else {
    out.offset = at;
    writeBodyFrames(out, channel, view, frameMax);
  }
}

/** Writes the content that follows a method frame written by other means. */
export function writeContent(
  out: Output,
  channel: number,
  view: MessageView,
  frameMax: number,
): void {
  out.ensure(frameOverheadBytes + contentHeadBytes + view.propertiesLength);
  out.offset = writeHeader(out.buffer, out.offset, channel, view);
  writeBodyFrames(out, channel, view, frameMax);
}

function writeTag(bytes: Buffer, start: number, tag: number): number {
  const high = tag < twoTo32 ? 0 : Math.floor(tag / twoTo32);
  bytes[start] = high >>> 24;
  bytes[start + 1] = high >>> 16;
  bytes[start + 2] = high >>> 8;
  bytes[start + 3] = high;
  bytes[start + 4] = tag >>> 24;
  bytes[start + 5] = tag >>> 16;
  bytes[start + 6] = tag >>> 8;
  bytes[start + 7] = tag;
  return start + 8;
}

function writeHeader(bytes: Buffer, start: number, channel: number, view: MessageView): number {
  const size = contentHeadBytes + view.propertiesLength;
  const bodyLength = view.bodyLength;
  bytes[start] = FrameType.Header;
  bytes[start + 1] = channel >>> 8;
  bytes[start + 2] = channel;
  bytes[start + 3] = size >>> 24;
  bytes[start + 4] = size >>> 16;
  bytes[start + 5] = size >>> 8;
  bytes[start + 6] = size;
  bytes[start + 7] = 0;
  bytes[start + 8] = 60;
  bytes[start + 9] = 0;
  bytes[start + 10] = 0;
  bytes[start + 11] = 0;
  bytes[start + 12] = 0;
  bytes[start + 13] = 0;
  bytes[start + 14] = 0;
  bytes[start + 15] = bodyLength >>> 24;
  bytes[start + 16] = bodyLength >>> 16;
  bytes[start + 17] = bodyLength >>> 8;
  bytes[start + 18] = bodyLength;
  const at = start + frameHeadBytes + contentHeadBytes;
  copyBytes(view.properties, view.propertiesStart, view.propertiesLength, bytes, at);
  bytes[at + view.propertiesLength] = frameEnd;
  return at + view.propertiesLength + 1;
}

function writeBodyFrames(out: Output, channel: number, view: MessageView, frameMax: number): void {
  const pieceMax = frameMax - frameOverheadBytes;
  for (let done = 0; done < view.bodyLength; ) {
    const piece = Math.min(pieceMax, view.bodyLength - done);
    out.ensure(frameOverheadBytes + piece);
    out.offset = writeBodyFrame(out.buffer, out.offset, channel, view, done, piece);
    done += piece;
  }
}

function writeBodyFrame(
  bytes: Buffer,
  start: number,
  channel: number,
  view: MessageView,
  from: number,
  length: number,
): number {
  bytes[start] = FrameType.Body;
  bytes[start + 1] = channel >>> 8;
  bytes[start + 2] = channel;
  bytes[start + 3] = length >>> 24;
  bytes[start + 4] = length >>> 16;
  bytes[start + 5] = length >>> 8;
  bytes[start + 6] = length;
  copyBytes(view.body, view.bodyStart + from, length, bytes, start + frameHeadBytes);
  bytes[start + frameHeadBytes + length] = frameEnd;
  return start + frameOverheadBytes + length;
}
