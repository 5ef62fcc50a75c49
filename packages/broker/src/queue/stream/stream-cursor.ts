/** One consumer of a stream: where it stands and what it waits for. Its queue owns it. */

import type { StreamReader } from "@haremq/store";
import type { Consumer } from "../../consumer/consumer.ts";

/**
 * - ready: it may be served;
 * - end: there is nothing for it yet;
 * - parked: it has no credit or no room;
 * - loading: what comes next is being read.
 */
export type CursorState = "ready" | "end" | "parked" | "loading";

export class StreamCursor {
  /** What its deliveries name as their handle. */
  readonly id: number;
  readonly consumer: Consumer;
  readonly reader: StreamReader;
  state: CursorState = "ready";
  /** Younger messages only, until one was found; from then on, everything. */
  fromTimestampMs: number;
  isEnded = false;

  constructor(id: number, consumer: Consumer, reader: StreamReader, fromTimestampMs: number) {
    this.id = id;
    this.consumer = consumer;
    this.reader = reader;
    this.fromTimestampMs = fromTimestampMs;
  }

  /** Whether the record that was found is older than what was asked for. */
  isTooOld(): boolean {
    if (this.reader.timestampMs < this.fromTimestampMs) return true;
    this.fromTimestampMs = 0;
    return false;
  }
}
