/**
 * Has the messages that a stream has in memory written to its files, settles them in the broker's
 * log then, and removes what the stream may not keep. A chunk is written when it is full or has
 * waited for a while; not before its messages are safe in the log, or a transaction that is lost
 * with the log would leave its half in the stream.
 */

import { FloatRing, type Timer } from "@haremq/kernel";
import { DiskError, type StreamChunk, type StreamLog, type StreamRetention } from "@haremq/store";
import type { Streams } from "./streams.ts";

/** How long messages stay in memory and in the log if they do not fill a chunk. */
const writeDelayMs = 5000;
const writeRetryMs = 500;
/** The most that is written before it is synced. */
const batchBytes = 4 * 1024 * 1024;

export class StreamWriter {
  readonly #log: StreamLog;
  readonly #streams: Streams;
  /** 0 for a stream that the broker's log does not hold. */
  readonly #storeNumber: number;
  #retention: StreamRetention;
  /** What the log holds for the chunks in memory, in the order of offsets. */
  readonly #handles = new FloatRing();
  /** What stands before may be written. */
  #safeOffset: number;
  #writing: Promise<void> | undefined;
  /** The last write has failed. */
  #hasFailed = false;
  #retaining: Promise<boolean> | undefined;
  #writeTimer: Timer | undefined;
  #retentionTimer: Timer | undefined;
  #isEnded = false;
  #isShutDown = false;

  constructor(log: StreamLog, streams: Streams, storeNumber: number, retention: StreamRetention) {
    this.#log = log;
    this.#streams = streams;
    this.#storeNumber = storeNumber;
    this.#retention = retention;
    this.#safeOffset = log.endOffset;
    this.#scheduleRetention();
  }

  /** A message has been appended that the log holds for the stream. */
  noteHandle(handle: number): void {
    this.#handles.push(handle);
  }

  /** What stands before that offset is safe in the log. */
  onSafe(offset: number): void {
    this.#safeOffset = offset;
    // After a failure the disk is left alone for a while.
    if (!this.#hasFailed && this.#log.hasClosedChunk(offset)) this.#write();
    else this.#writeLater();
  }

  setRetention(retention: StreamRetention): void {
    this.#retention = retention;
    void this.#retain();
  }

  #writeLater(): void {
    this.#writeTimer ??= this.#streams.clock.schedule(writeDelayMs, () => this.#writeAll());
  }

  #writeAll(): void {
    this.#log.closeChunk();
    this.#write();
  }

  #write(): void {
    if (this.#writing !== undefined || this.#isEnded) return;
    this.#writeTimer?.cancel();
    this.#writeTimer = undefined;
    this.#writing = this.#streams
      .inTurn(() => this.#writeChunks())
      .then(() => {
        this.#writing = undefined;
        if (this.#log.hasUnwritten && !this.#isEnded && !this.#isShutDown) this.#writeLater();
      });
  }

  async #writeChunks(): Promise<void> {
    while (!this.#isEnded) {
      const chunks = this.#log.closedChunks(this.#safeOffset, batchBytes);
      if (chunks.length === 0) break;
      this.#notePlaces(chunks);
      try {
        this.#settle(await this.#log.write(chunks));
        if (this.#hasFailed) this.#streams.noteFault(this, undefined);
        this.#hasFailed = false;
      } catch (error) {
        this.#onFailed(error);
        return;
      }
    }
    // Streams may be many, and files that may be open are not.
    if (!this.#log.hasUnwritten) await this.#log.close();
    await this.#retain();
  }

  #notePlaces(chunks: readonly StreamChunk[]): void {
    if (this.#storeNumber === 0) return;
    let count = 0;
    for (const chunk of chunks) {
      count += chunk.count;
      chunk.place = this.#streams.messages.placeOf(this.#handles.at(count - 1));
    }
  }

  #settle(chunks: readonly StreamChunk[]): void {
    if (this.#storeNumber === 0 || this.#isEnded) return;
    const { messages } = this.#streams;
    for (const { count } of chunks) {
      for (let i = 0; i < count; i++) messages.settle(this.#handles.shift(), this.#storeNumber);
    }
  }

  #onFailed(error: unknown): void {
    if (!(error instanceof DiskError)) throw error;
    if (this.#isEnded) return;
    this.#hasFailed = true;
    this.#streams.noteFault(this, error);
    if (this.#isShutDown) return;
    this.#writeTimer = this.#streams.clock.schedule(writeRetryMs, () => this.#writeAll());
  }

  // Retention

  async #retain(): Promise<void> {
    if (this.#retaining !== undefined || this.#isEnded || this.#isShutDown) return;
    this.#retaining = this.#removeSegments();
    const isDone = await this.#retaining;
    this.#retaining = undefined;
    // With the next chunk it is tried again.
    if (isDone) this.#scheduleRetention();
  }

  async #removeSegments(): Promise<boolean> {
    try {
      let retention: StreamRetention;
      do {
        retention = this.#retention;
        await this.#log.retain(retention, this.#streams.clock.wallMs());
      } while (retention !== this.#retention);
      return true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      return false;
    }
  }

  #scheduleRetention(): void {
    this.#retentionTimer?.cancel();
    this.#retentionTimer = undefined;
    const dueMs = this.#log.retentionDueMs(this.#retention);
    if (this.#isEnded || this.#isShutDown || dueMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(0, dueMs - this.#streams.clock.wallMs()) + 1;
    this.#retentionTimer = this.#streams.clock.schedule(delayMs, () => void this.#retain());
  }

  // The end

  /** The stream is gone: resolves when its files are. */
  async remove(): Promise<void> {
    this.#isEnded = true;
    this.#cancelTimers();
    this.#streams.noteFault(this, undefined);
    const { messages } = this.#streams;
    while (this.#handles.length > 0) messages.release(this.#handles.shift());
    await this.#writing;
    await this.#retaining;
    await this.#log.destroy();
  }

  /** Writes what may be written; what is left a restart finds in the broker's log. */
  async shutDown(): Promise<void> {
    this.#isShutDown = true;
    this.#cancelTimers();
    await this.#writing;
    if (this.#storeNumber !== 0) this.#writeAll();
    await this.#writing;
    await this.#retaining;
    await this.#log.close();
  }

  #cancelTimers(): void {
    this.#writeTimer?.cancel();
    this.#writeTimer = undefined;
    this.#retentionTimer?.cancel();
    this.#retentionTimer = undefined;
  }
}
