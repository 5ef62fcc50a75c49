/**
 * The consumers of one stream, each of which reads from where it stands. Nobody waits for anybody
 * else: a consumer is served until it has no credit, has come to the end, or has to wait for the
 * disk.
 *
 * Consumers may have their offsets stored by their tags, and those of one tag may ask that only one
 * of them be active: the next one goes on, then, behind what the others have settled.
 *
 * This is a hot file.
 */

import { type StreamLog, StreamReader } from "@haremq/store";
import type { Consumer } from "../../consumer/consumer.ts";
import type { StalledQueue } from "../../message/message-store.ts";
import { unstored } from "../../message/message-view.ts";
import { OffsetTracker } from "./offset-tracker.ts";
import { isSingleActive, storesOffsets, streamStart } from "./stream-arguments.ts";
import { StreamCursor } from "./stream-cursor.ts";
import { StreamFilter } from "./stream-filter.ts";
import { viewRecord } from "./stream-record.ts";
import type { Streams } from "./streams.ts";

export class StreamConsumers implements StalledQueue {
  readonly name: string;
  readonly #log: StreamLog;
  readonly #streams: Streams;
  /** Consumers see what stands before. */
  visible: number;
  readonly #cursors = new Map<Consumer, StreamCursor>();
  readonly #ready = new Set<StreamCursor>();
  readonly #atEnd = new Set<StreamCursor>();
  /** Those whose offsets are stored, while anything of them is to be expected. */
  readonly #tracked = new Map<number, StreamCursor>();
  /** Those of which only one is active, by tag; the active one comes first. */
  readonly #groups = new Map<string, Set<StreamCursor>>();
  #nextId = 0;
  delivered = 0;

  constructor(name: string, log: StreamLog, streams: Streams) {
    this.name = name;
    this.#log = log;
    this.#streams = streams;
    this.visible = log.endOffset;
  }

  get count(): number {
    return this.#cursors.size;
  }

  all(): Iterable<Consumer> {
    return this.#cursors.keys();
  }

  /** Lets consumers have what stands before that offset. */
  show(visible: number): void {
    this.visible = visible;
    for (const cursor of this.#atEnd) this.#makeReady(cursor);
    this.#atEnd.clear();
    this.serve();
  }

  // Coming and going

  /** `end` is the offset of the next message to be published. */
  add(consumer: Consumer, end: number): void {
    const tracker = storesOffsets(consumer.arguments) ? new OffsetTracker() : undefined;
    const reader = new StreamReader(this.#log, end);
    const filter = StreamFilter.of(consumer.arguments);
    const cursor = new StreamCursor(this.#nextId++, consumer, reader, filter, tracker);
    this.#cursors.set(consumer, cursor);
    if (tracker !== undefined) this.#tracked.set(cursor.id, cursor);
    if (isSingleActive(consumer.arguments) && !this.#joinGroup(cursor)) return;
    this.#begin(cursor);
  }

  /** Returns whether the consumer is the active one of its tag. */
  #joinGroup(cursor: StreamCursor): boolean {
    const { tag } = cursor.consumer;
    const group = this.#groups.get(tag);
    if (group === undefined) {
      this.#groups.set(tag, new Set([cursor]));
      return true;
    }
    group.add(cursor);
    cursor.state = "waiting";
    return false;
  }

  /** Puts the consumer where it wants to begin; it stands behind all that was published. */
  #begin(cursor: StreamCursor): void {
    const { consumer, reader, tracker } = cursor;
    const stored = tracker && this.#streams.offsets.find(this.#log.number, consumer.tag);
    if (stored !== undefined) {
      reader.offset = stored + 1;
    } else {
      const start = streamStart(consumer.arguments, this.#streams.clock.wallMs());
      if (start.at === "first") reader.offset = 0;
      else if (start.at === "last") reader.offset = Math.max(0, this.visible - 1);
      else if (start.at === "offset") reader.offset = start.offset;
      else if (start.at === "time") {
        cursor.fromTimestampMs = start.timestampMs;
        cursor.oldEndOffset = reader.offset;
        this.#seek(cursor);
        return;
      }
    }
    this.#makeReady(cursor);
    this.serve();
  }

  /** Finds out where to begin looking for what is not older than that. */
  #seek(cursor: StreamCursor): void {
    cursor.state = "loading";
    this.#log.offsetBefore(cursor.fromTimestampMs).then(
      (offset) => {
        if (cursor.isEnded) return;
        cursor.reader.offset = Math.min(offset, cursor.oldEndOffset);
        this.#makeReady(cursor);
        this.serve();
      },
      (error: Error) => {
        const again = { name: this.name, serve: () => cursor.isEnded || this.#seek(cursor) };
        this.#streams.messages.onLoadFailed(again, error);
      },
    );
  }

  remove(consumer: Consumer): void {
    const cursor = this.#cursors.get(consumer);
    if (cursor === undefined) return;
    this.#cursors.delete(consumer);
    this.#end(cursor);
    if (cursor.tracker?.isDone === true) this.#tracked.delete(cursor.id);
    this.#leaveGroup(cursor);
  }

  #leaveGroup(cursor: StreamCursor): void {
    const { tag } = cursor.consumer;
    const group = this.#groups.get(tag);
    if (group === undefined || !group.delete(cursor)) return;
    const [successor] = group;
    if (successor === undefined) this.#groups.delete(tag);
    else if (successor.state === "waiting") this.#begin(successor);
  }

  #end(cursor: StreamCursor): void {
    cursor.isEnded = true;
    cursor.consumer.parked = false;
    this.#ready.delete(cursor);
    this.#atEnd.delete(cursor);
    cursor.reader.close();
  }

  /** Cancels all of them: the stream is gone. */
  cancelAll(): void {
    const cursors = [...this.#cursors.values()];
    this.#cursors.clear();
    this.#tracked.clear();
    this.#groups.clear();
    for (const cursor of cursors) {
      this.#end(cursor);
      cursor.consumer.sink.cancelled(cursor.consumer);
    }
  }

  // Serving

  rejoin(consumer: Consumer): void {
    if (!consumer.parked) return;
    consumer.parked = false;
    const cursor = this.#cursors.get(consumer);
    if (cursor === undefined) return;
    cursor.reader.goOn();
    this.#makeReady(cursor);
  }

  #makeReady(cursor: StreamCursor): void {
    cursor.state = "ready";
    this.#ready.add(cursor);
  }

  serve(): void {
    for (const cursor of this.#ready) {
      this.#ready.delete(cursor);
      this.#serve(cursor);
    }
  }

  /** Delivers to one consumer until it has to wait for something. */
  #serve(cursor: StreamCursor): void {
    const { reader, consumer, id, tracker } = cursor;
    const view = this.#streams.messages.scratch;
    const isPlain = cursor.filter === undefined && cursor.fromTimestampMs === 0;
    while (reader.offset < this.visible) {
      if (!consumer.canTake) {
        this.#park(cursor);
        return;
      }
      if (!reader.find()) {
        this.#load(cursor);
        return;
      }
      const { offset } = reader;
      // It may have passed over something that is damaged.
      if (offset >= this.visible) break;
      if (!isPlain && !cursor.wants()) {
        reader.step();
        continue;
      }
      viewRecord(reader, view);
      view.handle = unstored;
      reader.step();
      this.delivered++;
      if (tracker !== undefined) tracker.noteSent(offset);
      consumer.spendCredit();
      consumer.sink.deliver(consumer, view, id, offset, false);
    }
    cursor.state = "end";
    reader.giveUpMemory();
    this.#atEnd.add(cursor);
  }

  #park(cursor: StreamCursor): void {
    const { consumer, reader } = cursor;
    cursor.state = "parked";
    reader.rest();
    consumer.parked = true;
    consumer.sink.park(consumer);
  }

  #load(cursor: StreamCursor): void {
    cursor.state = "loading";
    cursor.reader.load().then(
      () => {
        if (cursor.isEnded) return;
        this.#makeReady(cursor);
        this.serve();
      },
      (error: Error) => {
        if (cursor.isEnded) return;
        this.#makeReady(cursor);
        this.#streams.messages.onLoadFailed(this, error);
      },
    );
  }

  // Settling

  /** A delivery with this handle was acknowledged, or rejected for good. */
  noteSettled(handle: number, offset: number): void {
    if (this.#tracked.size === 0) return;
    const cursor = this.#tracked.get(handle);
    if (cursor === undefined) return;
    const tracker = cursor.tracker!;
    if (tracker.noteSettled(offset)) {
      const { tag } = cursor.consumer;
      this.#streams.offsets.store(this.#log.number, tag, tracker.reached);
    }
    if (cursor.isEnded && tracker.isDone) this.#tracked.delete(handle);
  }

  /** A delivery with this handle was given back. */
  noteGivenBack(handle: number): void {
    const cursor = this.#tracked.get(handle);
    if (cursor === undefined) return;
    cursor.tracker!.stop();
    if (cursor.isEnded) this.#tracked.delete(handle);
  }
}
