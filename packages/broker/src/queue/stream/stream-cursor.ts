/** One consumer of a stream: where it stands and what it waits for. */

import type { StreamReader } from "@haremq/store";
import type { Consumer } from "../../consumer/consumer.ts";
import type { OffsetTracker } from "./offset-tracker.ts";
import type { StreamFilter } from "./stream-filter.ts";

/**
 * - ready: it may be served;
 * - end: there is nothing for it yet;
 * - parked: it has no credit or no room;
 * - loading: what comes next is being read;
 * - waiting: another consumer of its name is the active one.
 */
export type CursorState = "ready" | "end" | "parked" | "loading" | "waiting";

export class StreamCursor {
  /** What its deliveries name as their handle. */
  readonly id: number;
  readonly consumer: Consumer;
  readonly reader: StreamReader;
  readonly filter: StreamFilter | undefined;
  /** If its offsets are stored. */
  readonly tracker: OffsetTracker | undefined;
  state: CursorState = "ready";
  /** Nothing older is wanted... */
  fromTimestampMs = 0;
  /** ...of what there was when it began. */
  oldEndOffset = 0;
  isEnded = false;

  constructor(
    id: number,
    consumer: Consumer,
    reader: StreamReader,
    filter: StreamFilter | undefined,
    tracker: OffsetTracker | undefined,
  ) {
    this.id = id;
    this.consumer = consumer;
    this.reader = reader;
    this.filter = filter;
    this.tracker = tracker;
  }

  /** Whether the message that the reader has found is for this consumer. */
  wants(): boolean {
    if (this.fromTimestampMs > 0 && this.#isTooOld()) return false;
    return this.filter === undefined || this.filter.matches(this.reader);
  }

  #isTooOld(): boolean {
    const { reader } = this;
    const isOld = reader.offset < this.oldEndOffset;
    if (isOld && reader.timestampMs < this.fromTimestampMs) return true;
    // Times never fall.
    this.fromTimestampMs = 0;
    return false;
  }
}
