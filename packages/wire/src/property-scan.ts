// Finds what the broker needs in a block of message properties, without decoding it. The publish
// path calls scanProperties for every message; the block itself is kept and sent on as it came.
//
//   ┌ flags u16 ┬ property ┬ property ┬ ... ┐   in the order of the flags, highest bit first
//
// Hot file: nothing is allocated and nothing is thrown; a malformed block returns false. Like
// RabbitMQ it ignores the flag that has no property (0x0002), and refuses a second word of flags
// (0x0001), which decoders of most clients could not read.

import { scanTable } from "./field-scan.ts";
import { PropertyFlag } from "./generated/properties.ts";

const continuationFlag = 0x0001;
/** The short strings that stand between priority and timestamp, and those after it. */
const shortStringsBeforeTimestamp =
  PropertyFlag.CorrelationId |
  PropertyFlag.ReplyTo |
  PropertyFlag.Expiration |
  PropertyFlag.MessageId;
const shortStringsAfterTimestamp =
  PropertyFlag.Type | PropertyFlag.UserId | PropertyFlag.AppId | PropertyFlag.ClusterId;

/**
 * What a scan found. Starts are offsets in the scanned buffer, of a string's first octet and of the
 * headers' own length (which headersLength includes, so that a reader set to them can call
 * table()). What is absent has length 0; an empty string has too, and `flags` tells them apart.
 */
export class PropertyScan {
  /** False after a malformed block: then nothing else here means anything. */
  valid = false;
  /** PropertyFlag bits. */
  flags = 0;
  headersStart = 0;
  headersLength = 0;
  /** 0 if absent. */
  deliveryMode = 0;
  /** -1 if absent. */
  priority = -1;
  replyToStart = 0;
  replyToLength = 0;
  expirationStart = 0;
  expirationLength = 0;
  userIdStart = 0;
  userIdLength = 0;
}

/** Scans from the property flags at `start`; the block must end at `end`. Returns `into.valid`. */
export function scanProperties(
  buffer: Buffer,
  start: number,
  end: number,
  into: PropertyScan,
): boolean {
  into.valid = false;
  into.headersLength = 0;
  into.deliveryMode = 0;
  into.priority = -1;
  into.replyToLength = 0;
  into.expirationLength = 0;
  into.userIdLength = 0;
  if (end - start < 2) return false;
  const flags = ((buffer[start] as number) << 8) | (buffer[start + 1] as number);
  into.flags = flags;
  if ((flags & continuationFlag) !== 0) return false;

  let at = start + 2;
  if ((flags & PropertyFlag.ContentType) !== 0) at = afterShortString(buffer, at, end);
  if ((flags & PropertyFlag.ContentEncoding) !== 0) at = afterShortString(buffer, at, end);
  if ((flags & PropertyFlag.Headers) !== 0) {
    const length = scanTable(buffer, at, end);
    if (length < 0) return false;
    into.headersStart = at;
    into.headersLength = length;
    at += length;
  }
  if ((flags & PropertyFlag.DeliveryMode) !== 0) {
    if (at >= end) return false;
    into.deliveryMode = buffer[at++] as number;
  }
  if ((flags & PropertyFlag.Priority) !== 0) {
    if (at >= end) return false;
    into.priority = buffer[at++] as number;
  }
  if ((flags & shortStringsBeforeTimestamp) !== 0) {
    at = scanBeforeTimestamp(buffer, at, end, flags, into);
  }
  if ((flags & PropertyFlag.Timestamp) !== 0) at += 8;
  if ((flags & shortStringsAfterTimestamp) !== 0) {
    at = scanAfterTimestamp(buffer, at, end, flags, into);
  }
  into.valid = at === end;
  return into.valid;
}

function scanBeforeTimestamp(
  buffer: Buffer,
  start: number,
  end: number,
  flags: number,
  into: PropertyScan,
): number {
  let at = start;
  if ((flags & PropertyFlag.CorrelationId) !== 0) at = afterShortString(buffer, at, end);
  if ((flags & PropertyFlag.ReplyTo) !== 0) {
    into.replyToStart = at + 1;
    at = afterShortString(buffer, at, end);
    into.replyToLength = at - into.replyToStart;
  }
  if ((flags & PropertyFlag.Expiration) !== 0) {
    into.expirationStart = at + 1;
    at = afterShortString(buffer, at, end);
    into.expirationLength = at - into.expirationStart;
  }
  if ((flags & PropertyFlag.MessageId) !== 0) at = afterShortString(buffer, at, end);
  return at;
}

function scanAfterTimestamp(
  buffer: Buffer,
  start: number,
  end: number,
  flags: number,
  into: PropertyScan,
): number {
  let at = start;
  if ((flags & PropertyFlag.Type) !== 0) at = afterShortString(buffer, at, end);
  if ((flags & PropertyFlag.UserId) !== 0) {
    into.userIdStart = at + 1;
    at = afterShortString(buffer, at, end);
    into.userIdLength = at - into.userIdStart;
  }
  if ((flags & PropertyFlag.AppId) !== 0) at = afterShortString(buffer, at, end);
  if ((flags & PropertyFlag.ClusterId) !== 0) at = afterShortString(buffer, at, end);
  return at;
}

/**
 * Where the next property begins; beyond `end` if this one does not fit, and so are all after it.
 */
function afterShortString(buffer: Buffer, at: number, end: number): number {
  return at < end ? at + 1 + (buffer[at] as number) : end + 1;
}
