/**
 * The memory that a broker needs because of messages, but for the store's own: each kind is counted
 * by whoever takes it. Together with the store's it is what the memory limit is about.
 */

import { ByteCount } from "@haremq/kernel";

export class MemoryUse {
  /** What queues have to know which messages are theirs. */
  readonly positions = new ByteCount();
  /** What channels have to know of unsettled deliveries. */
  readonly unsettled = new ByteCount();
  /** Messages that have been received in part. */
  readonly received = new ByteCount();
  /** What streams have in memory; without a data directory, all of them. */
  readonly streams = new ByteCount();
  /** What exchanges remember of messages to know their duplicates. */
  readonly keys = new ByteCount();
  /** Output that peers have not taken yet. */
  readonly output = new ByteCount();

  get bytes(): number {
    const { positions, unsettled, received, streams, keys, output } = this;
    const known = positions.bytes + unsettled.bytes + keys.bytes;
    return known + received.bytes + streams.bytes + output.bytes;
  }
}
