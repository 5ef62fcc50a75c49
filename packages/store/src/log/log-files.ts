/**
 * The files of the message log: writes what is appended, in order and in groups, notes settlements in
 * sidecars, removes the files of dead segments. One round at a time:
 *
 *     1. write and sync all records appended so far, segment after segment
 *     2. tell who waits that everything up to there is durable
 *     3. append the settlements gathered before the round to their sidecars
 *     4. remove the segments that had died before the round
 *
 * So a settlement or a removal never reaches the disk before a record that was appended earlier: a
 * message that moves from one queue to another is in one of them after any crash.
 *
 * When a write or sync fails nothing more is told durable. The file is given up: once the trouble is
 * over, the segment, which is still whole in memory, is written into a new one. Nothing is assumed
 * about a file whose sync has failed.
 */

import { join } from "node:path";
import type { Clock, Timer } from "@haremq/kernel";
import type { Disk, DiskFile } from "../disk/disk.ts";
import { LogCounters } from "./log-counters.ts";
import type { LogDisk, MessageLog } from "./message-log.ts";
import type { Segment } from "./segment.ts";
import { encodeSettlements, type FileKind, segmentFileName } from "./segment-file.ts";
import { indexOf, sealRecords } from "./segment-seal.ts";

/** What a confirm stands for. */
export type ConfirmLevel = "disk" | "os";

export interface LogFilesOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly confirmLevel: ConfirmLevel;
  /** `durablePosition` of the log has grown. */
  onDurable(): void;
  /** Memory has been taken for a new segment, or a round has ended. */
  onChange(): void;
  /** Writing has failed, and nothing will be durable until further notice; or works again. */
  onFault(error: Error | undefined): void;
}

/** The most that one round writes at once, so that no group waits long for its checksums. */
const roundBytesMax = 2 * 1024 * 1024;
/** Settlements alone are not urgent. */
const settlementDelayMs = 20;
const retryDelayMs = 500;

export class LogFiles implements LogDisk {
  readonly #log: MessageLog;
  readonly #options: LogFilesOptions;
  /** Segments with records to write, in the order of their numbers. */
  readonly #unwritten: Segment[] = [];
  #settled = new Set<Segment>();
  #doomed: Segment[] = [];
  /** Records that live until the settlements made so far are safe without them. */
  #held: number[] = [];
  #isScheduled = false;
  #isRunning = false;
  #isClosed = false;
  #fault: Error | undefined;
  #timer: Timer | undefined;
  #idle: (() => void)[] = [];
  #directoryChanged = false;
  readonly counters = new LogCounters();

  constructor(log: MessageLog, options: LogFilesOptions) {
    this.#log = log;
    this.#options = options;
    log.disk = this;
  }

  get fault(): Error | undefined {
    return this.#fault;
  }

  // What the log tells us

  onAppend(segment: Segment): void {
    const last = this.#unwritten.length - 1;
    if (last < 0 || this.#unwritten[last] !== segment) this.#unwritten.push(segment);
    if (!this.#isScheduled) this.#schedule();
  }

  onTurn(): void {
    this.#options.onChange();
  }

  onSettlement(segment: Segment): void {
    if (this.#settled.has(segment)) return;
    this.#settled.add(segment);
    if (!this.#isScheduled && this.#timer === undefined) {
      this.#timer = this.#options.clock.schedule(settlementDelayMs, () => {
        this.#timer = undefined;
        if (!this.#isScheduled) this.#schedule();
      });
    }
  }

  /** Releases a Settlements record once the sidecars say the same. */
  holdUntilSettled(handle: number): void {
    this.#held.push(handle);
    if (!this.#isScheduled) this.#schedule();
  }

  onDead(segment: Segment): boolean {
    segment.isDoomed = true;
    this.#doomed.push(segment);
    if (!this.#isScheduled) this.#schedule();
    return false;
  }

  // Rounds

  #schedule(): void {
    if (this.#isClosed) return;
    this.#isScheduled = true;
    if (!this.#isRunning && this.#fault === undefined) setImmediate(() => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#isRunning || this.#fault !== undefined) return;
    this.#isRunning = true;
    try {
      while (this.#isScheduled) {
        this.#isScheduled = false;
        await this.#round();
        this.#options.onChange();
      }
    } catch (error) {
      this.#onFailure(error as Error);
    } finally {
      this.#isRunning = false;
    }
    if (this.#fault !== undefined) return;
    if (this.#isScheduled) void this.#run();
    else this.#tellIdle();
  }

  async #round(): Promise<void> {
    this.#log.flushNotes();
    const settled = this.#settled;
    const doomed = this.#doomed;
    const unwrittenThen = this.#log.position;
    const held = this.#held;
    this.#settled = new Set();
    this.#doomed = [];
    this.#held = [];
    try {
      await this.#writeRecords(unwrittenThen);
      await this.#writeSettlements(settled);
      if (held.length > 0) await this.#releaseHeld(held, settled);
      await this.#removeDoomed(doomed);
    } catch (error) {
      // Whatever has not been done is done by a later round.
      for (const segment of settled) if (segment.settlements.length > 0) this.#settled.add(segment);
      this.#doomed.push(...doomed.filter((segment) => !segment.isForgotten));
      this.#held.push(...held);
      throw error;
    }
  }

  /** Writes records up to the position, and perhaps some more. */
  async #writeRecords(upTo: number): Promise<void> {
    while (this.#unwritten.length > 0 && this.#log.durablePosition < upTo) {
      const segment = this.#unwritten[0]!;
      if (segment.isDoomed && segment.file === null) {
        // It has lived and died without ever touching the disk.
        this.#becomeDurable(segment.positionBase + segment.tail);
        this.#unwritten.shift();
        continue;
      }
      await this.#writeSegment(segment);
      if (segment.writtenTo === segment.tail && segment.isFull) {
        this.#unwritten.shift();
        await this.#finishSegment(segment);
      } else if (segment.writtenTo === segment.tail) {
        break;
      }
    }
  }

  async #writeSegment(segment: Segment): Promise<void> {
    const from = segment.writtenTo;
    if (from === segment.tail) return;
    if (segment.syncedTo > 0) this.#log.appendMark(segment);
    const sealed = sealRecords(segment, roundBytesMax);
    const to = sealed.end;
    const startedMs = this.#options.clock.nowMs();
    segment.isBusy = true;
    try {
      segment.file ??= await this.#createFile(segment);
      await segment.file.write(segment.bytes!, from, to - from, from);
      segment.writtenTo = to;
      segment.writtenRecords = sealed.records;
      segment.fileBytes = to;
      if (this.#options.confirmLevel === "disk") await this.#sync(segment.file);
      segment.syncedTo = to;
    } finally {
      segment.isBusy = false;
    }
    this.counters.onFlush(to - from, this.#options.clock.nowMs() - startedMs);
    this.#becomeDurable(segment.positionBase + to);
  }

  async #createFile(segment: Segment): Promise<DiskFile> {
    this.#directoryChanged = true;
    return this.#options.disk.open(this.path(segment, "seg"), "create");
  }

  async #sync(file: DiskFile): Promise<void> {
    await file.sync();
    if (!this.#directoryChanged) return;
    await this.#options.disk.syncDirectory(this.#options.directory);
    this.#directoryChanged = false;
  }

  #becomeDurable(position: number): void {
    if (position <= this.#log.durablePosition) return;
    this.#log.durablePosition = position;
    this.#options.onDurable();
  }

  /** A full segment gets its index, so that recovery need not read its records. */
  async #finishSegment(segment: Segment): Promise<void> {
    if (segment.isDoomed) return;
    if (this.#options.confirmLevel === "os") await segment.file!.sync();
    segment.isBusy = true;
    try {
      const index = indexOf(segment);
      const file = await this.#options.disk.open(this.path(segment, "idx"), "create");
      await file.write(index, 0, index.length, 0);
      await file.close();
      segment.indexBytes = index.length;
      segment.isIndexed = true;
    } finally {
      segment.isBusy = false;
    }
  }

  async #writeSettlements(settled: ReadonlySet<Segment>): Promise<void> {
    for (const segment of settled) {
      const pairs = segment.settlements;
      if (pairs.length === 0 || segment.isDoomed || segment.isBusy) {
        if (segment.isBusy) this.#settled.add(segment);
        continue;
      }
      const batch = encodeSettlements(pairs);
      if (segment.sidecar === null) {
        segment.sidecar = await this.#options.disk.open(this.path(segment, "ack"), "create");
        this.#directoryChanged = true;
      }
      await segment.sidecar.write(batch, 0, batch.length, segment.sidecarBytes);
      segment.sidecarBytes += batch.length;
      // What came while this was written is behind what was written.
      segment.settlements = segment.settlements.slice(pairs.length);
    }
  }

  /** The settlements that these records repeat are in their sidecars: make them safe there. */
  async #releaseHeld(held: number[], settled: ReadonlySet<Segment>): Promise<void> {
    for (const segment of settled) if (!segment.isDoomed) await segment.sidecar?.sync();
    for (const handle of held.splice(0)) this.#log.release(handle);
  }

  async #removeDoomed(doomed: readonly Segment[]): Promise<void> {
    for (const segment of doomed) {
      // One that is still to be written gives its position away first.
      if (segment.isBusy || this.#unwritten.includes(segment)) {
        this.#doomed.push(segment);
        continue;
      }
      await this.removeFiles(segment);
      this.#log.forget(segment);
    }
  }

  /** Removes the files of the segment's current generation. */
  async removeFiles(segment: Segment): Promise<void> {
    const { disk } = this.#options;
    await segment.file?.close();
    await segment.sidecar?.close();
    segment.file = null;
    segment.sidecar = null;
    // The records go last: an index or sidecar without them means nothing.
    if (segment.sidecarBytes > 0) await disk.remove(this.path(segment, "ack"));
    if (segment.indexBytes > 0) await disk.remove(this.path(segment, "idx"));
    if (segment.fileBytes > 0) await disk.remove(this.path(segment, "seg"));
    segment.fileBytes = 0;
    segment.indexBytes = 0;
    segment.sidecarBytes = 0;
  }

  path(segment: Segment, kind: FileKind): string {
    return this.pathOf(segmentFileName(segment.number, segment.generation, kind));
  }

  pathOf(name: string): string {
    return join(this.#options.directory, name);
  }

  syncDirectory(): Promise<void> {
    return this.#options.disk.syncDirectory(this.#options.directory);
  }

  // Trouble

  #onFailure(error: Error): void {
    this.#fault = error;
    this.counters.faults++;
    this.#options.onFault(error);
    this.#isScheduled = true;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.schedule(retryDelayMs, () => void this.#recover());
  }

  /** Begins the segment that could not be written in a new file, with all of it. */
  async #recover(): Promise<void> {
    this.#timer = undefined;
    const segment = this.#unwritten[0];
    if (segment !== undefined) {
      await segment.file?.close().catch(() => undefined);
      segment.file = null;
      segment.generation++;
      segment.writtenTo = 0;
      segment.writtenRecords = 0;
      segment.fileBytes = 0;
    }
    this.#fault = undefined;
    await this.#run();
    if (this.#fault === undefined) this.#options.onFault(undefined);
  }

  // The end

  /** Resolves when everything appended so far has been written, or cannot be. */
  async settleDown(): Promise<void> {
    if (this.#fault !== undefined) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isScheduled = true;
    const idle = new Promise<void>((resolve) => this.#idle.push(resolve));
    if (!this.#isRunning) void this.#run();
    await idle;
  }

  /** Ends the last segment with its index, and closes all files. */
  async close(): Promise<void> {
    await this.settleDown();
    this.#isClosed = true;
    this.#timer?.cancel();
    const tail = this.#log.tailSegment;
    if (tail !== null && tail.file !== null && this.#fault === undefined) {
      await this.#finishSegment(tail);
    }
    for (const segment of this.#log.segments) {
      await segment?.file?.close();
      await segment?.sidecar?.close();
    }
  }

  #tellIdle(): void {
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
  }
}
