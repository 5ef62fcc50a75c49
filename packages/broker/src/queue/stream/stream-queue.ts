/**
 * A stream: every message stays, in the order in which it came and with an offset of its own, until
 * retention removes it with its segment. Consumers read, each from where it stands; to acknowledge
 * gives credit back and nothing else.
 *
 *     | files of the stream                  | chunks in memory             |
 *     firstOffset                            written        visible      end
 *
 * A message is safe in the broker's durable log first, like any other, and that is when it becomes
 * visible: an offset that a consumer has seen is never used again. It is copied into a chunk at
 * once; when a chunk has been written to the stream's own files and synced, its messages are
 * settled in the log. A chunk says where the log has its last message, so that a restart takes none
 * twice.
 *
 * Without a durable log everything is visible at once.
 */

import { FloatRing, type Timer } from "@haremq/kernel";
import {
  DiskError,
  isAfter,
  type StreamChunk,
  type StreamLog,
  StreamReader,
  type StreamRetention,
} from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import type { Consumer } from "../../consumer/consumer.ts";
import { type DurableWaiter, type MessageStore, Viewed } from "../../message/message-store.ts";
import { MessageView, unstored } from "../../message/message-view.ts";
import { type EffectivePolicy, noPolicy } from "../../policy/effective-policy.ts";
import type { PulledMessage, Queue, QueueCounts, QueueSpec, RestoredMessage } from "../queue.ts";
import { retentionOf, segmentBytesOf, streamStart } from "./stream-arguments.ts";
import { StreamCursor } from "./stream-cursor.ts";
import { appendMessage, viewRecord } from "./stream-record.ts";
import type { Streams } from "./streams.ts";

/** How long messages stay in memory and in the log if they do not fill a chunk. */
const writeDelayMs = 5000;
const writeRetryMs = 500;
/** The most that is written before it is synced. */
const batchBytes = 4 * 1024 * 1024;

export class StreamQueue implements Queue, DurableWaiter {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusiveOwner: object | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  readonly singleActiveConsumer = false;
  readonly storeNumber: number;
  readonly keepsRejected = false;
  readonly keepsAll = true;
  readonly deliversCopies = true;
  deleted = false;
  policy = noPolicy;

  readonly #streams: Streams;
  readonly #messages: MessageStore;
  readonly #log: StreamLog;
  #retention: StreamRetention;
  /** What the log holds for the chunks in memory, in the order of offsets. */
  readonly #handles = new FloatRing();
  /** What a restart has found in the log and is still to be appended. */
  readonly #backlog = new FloatRing();
  #isTakingBacklog = false;
  /** Consumers see what stands before. */
  #visible: number;
  /** Offsets, each visible once the log is durable up to the position beside it. */
  readonly #markOffsets = new FloatRing();
  readonly #markPositions = new FloatRing();
  #isMarkDue = false;
  #awaitsDurable = false;
  #writing: Promise<void> | undefined;
  #writeTimer: Timer | undefined;
  #retentionTimer: Timer | undefined;
  #isShutDown = false;

  readonly #cursors = new Map<Consumer, StreamCursor>();
  readonly #ready = new Set<StreamCursor>();
  readonly #atEnd = new Set<StreamCursor>();
  #nextCursor = 0;
  #unsettled = 0;
  #published = 0;
  #delivered = 0;
  #acknowledged = 0;

  constructor(spec: QueueSpec, log: StreamLog, streams: Streams) {
    this.name = spec.name;
    this.durable = spec.durable;
    this.exclusiveOwner = spec.exclusiveOwner;
    this.autoDelete = spec.autoDelete;
    this.arguments = spec.arguments;
    this.storeNumber = spec.storeNumber ?? 0;
    this.#streams = streams;
    this.#messages = streams.messages;
    this.#log = log;
    this.#visible = log.endOffset;
    this.#retention = retentionOf(spec.arguments);
    const segmentBytes = segmentBytesOf(spec.arguments);
    if (segmentBytes !== undefined) log.segmentBytes = segmentBytes;
    this.#scheduleRetention();
  }

  get readyCount(): number {
    return this.#visible - this.#log.firstOffset;
  }

  get unsettledCount(): number {
    return this.#unsettled;
  }

  get consumerCount(): number {
    return this.#cursors.size;
  }

  get counts(): QueueCounts {
    return {
      published: this.#published,
      delivered: this.#delivered,
      redelivered: 0,
      acknowledged: this.#acknowledged,
    };
  }

  consumers(): Iterable<Consumer> {
    return this.#cursors.keys();
  }

  applyPolicy(policy: EffectivePolicy): void {
    this.policy = policy;
  }

  // Publishing

  touch(): void {}

  isFull(): boolean {
    return false;
  }

  publish(view: MessageView): boolean {
    this.#published++;
    if (this.storeNumber !== 0) {
      const handle = this.#messages.keep(view);
      if (this.#isTakingBacklog) {
        this.#backlog.push(handle);
        return true;
      }
      this.#handles.push(handle);
    }
    appendMessage(this.#log, view, this.#streams.clock.wallMs());
    if (!this.#isMarkDue) this.#markSoon();
    return true;
  }

  /**
   * Notes what the log has to reach for all that was appended; not before this turn is over, for a
   * transaction is safe only with its end.
   */
  #markSoon(): void {
    this.#isMarkDue = true;
    queueMicrotask(() => {
      this.#isMarkDue = false;
      if (!this.deleted) this.#mark();
    });
  }

  #mark(): void {
    const { position, durablePosition } = this.#messages;
    if (this.storeNumber === 0 || durablePosition >= position) {
      this.#show(this.#log.endOffset);
      return;
    }
    this.#markOffsets.push(this.#log.endOffset);
    this.#markPositions.push(position);
    this.#awaitDurable();
  }

  #awaitDurable(): void {
    if (this.#awaitsDurable) return;
    this.#awaitsDurable = true;
    this.#messages.awaitDurable(this);
  }

  onDurable(durablePosition: number): void {
    this.#awaitsDurable = false;
    if (this.deleted) return;
    let visible = this.#visible;
    while (this.#markPositions.peek() <= durablePosition) {
      this.#markPositions.shift();
      visible = this.#markOffsets.shift();
    }
    if (this.#markPositions.length > 0) this.#awaitDurable();
    if (visible > this.#visible) this.#show(visible);
  }

  /** Lets consumers have what stands before that offset. */
  #show(visible: number): void {
    this.#visible = visible;
    for (const cursor of this.#atEnd) this.#makeReady(cursor);
    this.#atEnd.clear();
    this.serve();
    if (this.#hasFullChunk()) this.#write();
    else this.#writeTimer ??= this.#streams.clock.schedule(writeDelayMs, () => this.#writeAll());
  }

  // What a restart finds

  restore({ handle }: RestoredMessage): void {
    const messages = this.#messages;
    if (!isAfter(messages.placeOf(handle), this.#log.lastPlace)) {
      messages.settle(handle, this.storeNumber);
      return;
    }
    this.#backlog.push(handle);
    if (this.#isTakingBacklog) return;
    this.#isTakingBacklog = true;
    queueMicrotask(() => this.#takeBacklog());
  }

  /** Appends what was found in the log, before anything that is published. */
  #takeBacklog(): void {
    if (this.deleted || this.#isShutDown) return;
    const view = new MessageView();
    while (this.#backlog.length > 0) {
      const handle = this.#backlog.peek();
      const viewed = this.#messages.view(handle, view);
      if (viewed === Viewed.Away) {
        this.#loadBacklog(handle);
        return;
      }
      this.#backlog.shift();
      if (viewed === Viewed.Damaged) {
        this.#messages.settle(handle, this.storeNumber);
        continue;
      }
      this.#handles.push(handle);
      appendMessage(this.#log, view, this.#streams.clock.wallMs());
    }
    this.#isTakingBacklog = false;
    this.#markSoon();
  }

  #loadBacklog(handle: number): void {
    this.#messages.load(handle).then(
      () => this.#takeBacklog(),
      (error: Error) =>
        this.#messages.onLoadFailed({ name: this.name, serve: () => this.#takeBacklog() }, error),
    );
  }

  // Writing

  #hasFullChunk(): boolean {
    return this.#log.closedChunks(this.#visible, 1).length > 0;
  }

  #writeAll(): void {
    this.#writeTimer = undefined;
    this.#log.closeChunk();
    this.#write();
  }

  #write(): void {
    if (this.#writing !== undefined || this.deleted) return;
    this.#writeTimer?.cancel();
    this.#writeTimer = undefined;
    this.#writing = this.#streams
      .inTurn(() => this.#writeChunks())
      .then(() => {
        this.#writing = undefined;
        if (this.deleted || this.#isShutDown || this.#writeTimer !== undefined) return;
        if (!this.#log.hasUnwritten) return;
        this.#writeTimer = this.#streams.clock.schedule(writeDelayMs, () => this.#writeAll());
      });
  }

  async #writeChunks(): Promise<void> {
    while (!this.deleted) {
      const chunks = this.#log.closedChunks(this.#visible, batchBytes);
      if (chunks.length === 0) break;
      this.#notePlaces(chunks);
      try {
        this.#settleWritten(await this.#log.write(chunks));
        this.#streams.noteFault(this, undefined);
      } catch (error) {
        this.#onWriteFailed(error);
        return;
      }
    }
    await this.#retain();
  }

  #notePlaces(chunks: readonly StreamChunk[]): void {
    if (this.storeNumber === 0) return;
    let count = 0;
    for (const chunk of chunks) {
      count += chunk.count;
      chunk.place = this.#messages.placeOf(this.#handles.at(count - 1));
    }
  }

  #settleWritten(chunks: readonly StreamChunk[]): void {
    if (this.storeNumber === 0 || this.deleted) return;
    for (const { count } of chunks) {
      for (let i = 0; i < count; i++) {
        this.#messages.settle(this.#handles.shift(), this.storeNumber);
      }
    }
  }

  #onWriteFailed(error: unknown): void {
    if (!(error instanceof DiskError)) throw error;
    if (this.deleted) return;
    this.#streams.noteFault(this, error);
    if (this.#isShutDown) return;
    this.#writeTimer = this.#streams.clock.schedule(writeRetryMs, () => this.#writeAll());
  }

  // Retention

  async #retain(): Promise<void> {
    if (this.deleted) return;
    try {
      await this.#log.retain(this.#retention, this.#streams.clock.wallMs());
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
    }
    this.#scheduleRetention();
  }

  #scheduleRetention(): void {
    this.#retentionTimer?.cancel();
    this.#retentionTimer = undefined;
    const dueMs = this.#log.retentionDueMs(this.#retention);
    if (this.deleted || this.#isShutDown || dueMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(0, dueMs - this.#streams.clock.wallMs()) + 1;
    this.#retentionTimer = this.#streams.clock.schedule(delayMs, () => void this.#retain());
  }

  // Consumers

  subscribe(consumer: Consumer): void {
    const { offset, fromTimestampMs } = this.#startOf(consumer);
    const reader = new StreamReader(this.#log, offset);
    const cursor = new StreamCursor(this.#nextCursor++, consumer, reader, fromTimestampMs);
    this.#cursors.set(consumer, cursor);
    if (fromTimestampMs > 0) {
      this.#seek(cursor);
      return;
    }
    this.#ready.add(cursor);
    this.serve();
  }

  #startOf(consumer: Consumer): { readonly offset: number; readonly fromTimestampMs: number } {
    const start = streamStart(consumer.arguments, this.#streams.clock.wallMs());
    const end = this.#log.endOffset + this.#backlog.length;
    switch (start.at) {
      case "first":
        return { offset: 0, fromTimestampMs: 0 };
      case "last":
        return { offset: Math.max(0, this.#visible - 1), fromTimestampMs: 0 };
      case "next":
        return { offset: end, fromTimestampMs: 0 };
      case "offset":
        return { offset: start.offset, fromTimestampMs: 0 };
      case "time":
        return { offset: end, fromTimestampMs: Math.max(1, start.timestampMs) };
    }
  }

  /** Finds out where to begin for what is not older than that. */
  #seek(cursor: StreamCursor): void {
    cursor.state = "loading";
    this.#log.offsetBefore(cursor.fromTimestampMs).then(
      (offset) => {
        if (cursor.isEnded) return;
        cursor.reader.offset = Math.min(offset, cursor.reader.offset);
        this.#makeReady(cursor);
        this.serve();
      },
      (error: Error) => {
        this.#messages.onLoadFailed({ name: this.name, serve: () => this.#seek(cursor) }, error);
      },
    );
  }

  unsubscribe(consumer: Consumer): void {
    const cursor = this.#cursors.get(consumer);
    if (cursor === undefined) return;
    this.#cursors.delete(consumer);
    this.#end(cursor);
  }

  #end(cursor: StreamCursor): void {
    cursor.isEnded = true;
    cursor.consumer.parked = false;
    this.#ready.delete(cursor);
    this.#atEnd.delete(cursor);
    cursor.reader.close();
  }

  rejoin(consumer: Consumer): void {
    if (!consumer.parked) return;
    consumer.parked = false;
    const cursor = this.#cursors.get(consumer);
    if (cursor !== undefined) this.#makeReady(cursor);
  }

  wake(consumer: Consumer): void {
    if (!consumer.parked) return;
    this.rejoin(consumer);
    this.serve();
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
    const { reader, consumer, id } = cursor;
    const { sink } = consumer;
    const view = this.#messages.scratch;
    while (reader.offset < this.#visible) {
      if (!consumer.canTake) {
        this.#park(cursor);
        return;
      }
      if (!reader.find()) {
        if (reader.offset < this.#visible) this.#load(cursor);
        else break;
        return;
      }
      const { offset } = reader;
      if (offset >= this.#visible) break;
      if (cursor.fromTimestampMs > 0 && cursor.isTooOld()) {
        reader.step();
        continue;
      }
      viewRecord(reader, view);
      view.handle = unstored;
      reader.step();
      this.#delivered++;
      this.#unsettled++;
      consumer.spendCredit();
      sink.deliver(consumer, view, id, offset, false);
    }
    cursor.state = "end";
    this.#atEnd.add(cursor);
  }

  #park(cursor: StreamCursor): void {
    cursor.state = "parked";
    cursor.consumer.parked = true;
    cursor.consumer.sink.park(cursor.consumer);
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
        this.#messages.onLoadFailed(this, error);
      },
    );
  }

  // Getting and settling

  prepareGet(): undefined {
    return undefined;
  }

  /** Streams are not pulled from; whoever lets clients get messages refuses it before. */
  get(): PulledMessage | undefined {
    return undefined;
  }

  acknowledge(_handle: number, _sequence: number): void {
    this.#unsettled--;
    this.#acknowledged++;
  }

  requeue(_handle: number, _sequence: number): void {
    this.#unsettled--;
  }

  reject(_handle: number, _sequence: number): void {
    this.#unsettled--;
  }

  // The end

  /** Streams cannot be emptied; whoever lets clients purge queues refuses it before. */
  purge(): number {
    return 0;
  }

  close(): number {
    this.deleted = true;
    this.#cancelTimers();
    const cursors = [...this.#cursors.values()];
    this.#cursors.clear();
    for (const cursor of cursors) {
      this.#end(cursor);
      cursor.consumer.sink.cancelled(cursor.consumer);
    }
    while (this.#handles.length > 0) this.#messages.release(this.#handles.shift());
    while (this.#backlog.length > 0) this.#messages.release(this.#backlog.shift());
    this.#streams.remove(this, this.#destroy());
    return 0;
  }

  async #destroy(): Promise<void> {
    await this.#writing;
    await this.#log.destroy();
  }

  /** Writes what may be written; what is left a restart finds in the broker's log. */
  async shutDown(): Promise<void> {
    this.#isShutDown = true;
    this.#cancelTimers();
    await this.#writing;
    if (this.storeNumber !== 0) this.#writeAll();
    await this.#writing;
    await this.#log.close();
  }

  #cancelTimers(): void {
    this.#writeTimer?.cancel();
    this.#retentionTimer?.cancel();
  }
}
