/**
 * Reads delivery tags as clients send them back. Tags count from 1, so a number holds every one
 * that was ever given; one beyond that is refused at once, while all of its digits are at hand.
 */

import { unknownDeliveryTag } from "@haremq/broker";

const highMax = 0x1fffff;

export function readDeliveryTag(buffer: Buffer, start: number): number {
  const high = buffer.readUInt32BE(start);
  if (high > highMax) throw unknownDeliveryTag(buffer.readBigUInt64BE(start));
  return high * 0x1_0000_0000 + buffer.readUInt32BE(start + 4);
}
