// Encodes content: the header frame and the body frames after a publish, deliver, return or get-ok.
// For the client and for control paths; the broker's deliver path writes its frames by hand.
//
//   header payload ┌ class 60 u16 ┬ weight 0 u16 ┬ body size u64 ┬ property flags, properties ┐

import { FrameType, frameEnd, frameOverheadBytes } from "./constants.ts";
import { ClassId } from "./generated/method-id.ts";
import { encodeProperties, type Properties, propertiesByteLength } from "./generated/properties.ts";
import type { WireWriter } from "./wire-writer.ts";
import { uint64ByteLength } from "./wire-writer.ts";

const contentHeaderBytes = 12;

export function encodeHeaderFrame(
  writer: WireWriter,
  channel: number,
  bodySize: number,
  properties: Properties,
): void {
  uint64ByteLength(bodySize);
  const payloadBytes = contentHeaderBytes + propertiesByteLength(properties);
  writer.ensure(frameOverheadBytes + payloadBytes);
  writer.uint8(FrameType.Header);
  writer.uint16(channel);
  writer.uint32(payloadBytes);
  writer.uint16(ClassId.Basic);
  writer.uint16(0);
  writer.uint64(bodySize);
  encodeProperties(writer, properties);
  writer.uint8(frameEnd);
}

/** Cuts the body into frames of at most `frameMax` octets (0: no limit); an empty body has none. */
export function encodeBodyFrames(
  writer: WireWriter,
  channel: number,
  body: Uint8Array,
  frameMax: number,
): void {
  const payloadBytesMax = frameMax === 0 ? 0xffff_ffff : frameMax - frameOverheadBytes;
  for (let start = 0; start < body.length; start += payloadBytesMax) {
    const end = Math.min(body.length, start + payloadBytesMax);
    writer.ensure(frameOverheadBytes + end - start);
    writer.uint8(FrameType.Body);
    writer.uint16(channel);
    writer.uint32(end - start);
    writer.bytes(body, start, end);
    writer.uint8(frameEnd);
  }
}
