/**
 * The files of the message log: writes what is appended, in order and in groups, notes settlements
 * in sidecars, removes the files of dead segments. One round at a time:
 *
 *     1. write and sync all records appended so far, segment after segment, telling those who wait
 *     2. append the settlements gathered before the round to their sidecars
 *     3. remove the segments that had died before the round
 *
 * So a settlement or a removal never reaches the disk before a record that was appended earlier.
 * When records cannot be written nothing more is told durable until they can, and whole rounds are
 * tried again and again. Steps 2 and 3 then still happen, or a full disk would stay full while its
 * queues are drained; only what was settled with a group that waits has to wait with it.
 *
 * Invariants:
 * - One sync at a time; everything appended during one goes with the next, in writes of bounded
 *   size.
 * - A settlement that came with a group is noted after the group is safe. The group's own record of
 *   it goes after the note is safe.
 */

import type { Clock, Timer } from "@haremq/kernel";
import { type Disk, DiskError } from "../disk/disk.ts";
import { LogCounters } from "./log-counters.ts";
import { LogDirectory } from "./log-directory.ts";
import type { LogSizes } from "./log-sizes.ts";
import type { LogDisk, MessageLog } from "./message-log.ts";
import type { Segment } from "./segment.ts";
import { type ConfirmLevel, SegmentWriter } from "./segment-writer.ts";
import { Sidecars } from "./sidecars.ts";

export type { ConfirmLevel } from "./segment-writer.ts";

export interface LogFilesOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly confirmLevel: ConfirmLevel;
  readonly sizes: LogSizes;
  /** `durablePosition` of the log has grown. */
  onDurable(): void;
  /** Memory has been taken for a new segment, or a round has ended. */
  onChange(): void;
  /** Writing has failed, and nothing will be durable until further notice; or works again. */
  onFault(error: Error | undefined): void;
}

/** Who waits for settlements to be safe, and is told whether they are. */
type SecureRequest = (isSecure: boolean) => void;

/** Settlements alone are not urgent. */
const settlementDelayMs = 20;
const retryDelayMs = 500;

export class LogFiles implements LogDisk {
  readonly #log: MessageLog;
  readonly #options: LogFilesOptions;
  readonly #writer: SegmentWriter;
  readonly #sidecars: Sidecars;
  readonly directory: LogDirectory;
  readonly counters = new LogCounters();
  /** Segments with records to write, in the order of their numbers. */
  readonly #unwritten: Segment[] = [];
  /** Segments that are written and have no index yet. */
  readonly #unindexed: Segment[] = [];
  /** Segments whose last sync has failed, at level os: all of them goes to other files. */
  #suspects: Segment[] = [];
  #indexing: Promise<void> | undefined;
  #settled = new Set<Segment>();
  #doomed: Segment[] = [];
  #secureRequests: SecureRequest[] = [];
  /** Nothing is written before recovery has seen everything. */
  #isStarted = false;
  #isScheduled = false;
  #isRunning = false;
  #isClosed = false;
  #fault: Error | undefined;
  #timer: Timer | undefined;
  #idle: (() => void)[] = [];

  constructor(log: MessageLog, options: LogFilesOptions) {
    const { disk, clock, confirmLevel, sizes } = options;
    this.#log = log;
    this.#options = options;
    const directory = new LogDirectory(disk, options.directory);
    this.directory = directory;
    this.#sidecars = new Sidecars(disk, directory);
    const { counters } = this;
    const { roundBytes } = sizes;
    this.#writer = new SegmentWriter({ log, directory, clock, confirmLevel, counters, roundBytes });
    log.disk = this;
  }

  /** Why nothing becomes durable at the moment. */
  get fault(): Error | undefined {
    return this.#fault;
  }

  /** Whether records are on their way to the disk, which can leave memory once they are there. */
  get isWriting(): boolean {
    if (this.#fault !== undefined) return false;
    return this.#indexing !== undefined || this.#log.durablePosition < this.#log.position;
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
    if (!this.#isScheduled) this.#wakeUpIn(settlementDelayMs);
  }

  onDead(segment: Segment): boolean {
    if (segment.durability === "transient" && !segment.isBusy) {
      if (segment.spillPath !== undefined) this.discardSpilled(segment);
      return true;
    }
    segment.isDoomed = true;
    // They go with it, and a purge makes many of them in one turn.
    segment.settlements = [];
    this.#doomed.push(segment);
    if (!this.#isScheduled) this.#schedule();
    return false;
  }

  /** Who held a segment does so no longer. */
  letGo(segment: Segment): void {
    segment.letGo();
    const isAwaited = segment.isDoomed || this.#settled.has(segment);
    if (isAwaited || this.directory.hasRemovals) this.#schedule();
  }

  // Rounds

  /** From now on, files are written. */
  async start(): Promise<void> {
    // Files without a single record must not be found beside those of later segments.
    await this.#sweep();
    this.#isStarted = true;
    if (this.#isScheduled) this.#schedule();
  }

  #schedule(): void {
    if (this.#isClosed) return;
    this.#isScheduled = true;
    if (!this.#isStarted || this.#isRunning || this.#fault !== undefined) return;
    setImmediate(() => void this.#run());
  }

  #wakeUpIn(delayMs: number): void {
    if (this.#isClosed) return;
    this.#timer ??= this.#options.clock.schedule(delayMs, () => {
      this.#timer = undefined;
      this.#isScheduled = true;
      void this.#run();
    });
  }

  async #run(): Promise<void> {
    if (this.#isRunning || !this.#isStarted) return;
    this.#isRunning = true;
    try {
      while (this.#isScheduled) {
        this.#isScheduled = false;
        await this.#round();
        this.#options.onChange();
        if (this.#fault !== undefined) break;
      }
    } finally {
      this.#isRunning = false;
    }
    if (this.#fault !== undefined) this.#tryAgain();
    this.#tellIdle();
  }

  async #round(): Promise<void> {
    this.#log.flushNotes();
    const settled = this.#settled;
    const doomed = this.#doomed;
    // Those of them that come while the round is under way ask for settlements that are not in it.
    const secureRequests = this.#secureRequests;
    const upTo = this.#log.position;
    this.#settled = new Set();
    this.#doomed = [];
    this.#secureRequests = [];
    this.#goOnIndexing();
    await this.#giveUpSuspects();
    const failure = await caught(this.#writeRecords(upTo));
    this.#noteFault(failure);
    // Also because of the marks, which have moved what was appended before the round.
    if (this.#log.durablePosition < this.#log.position) this.#isScheduled = true;
    const areNoted = await this.#noteSettlements(settled);
    await this.#removeDoomed(doomed, areNoted);
    await this.#answer(secureRequests, areNoted);
    await this.#sweep();
  }

  // Step 1: records

  /** Writes records up to the position, and perhaps some more. */
  async #writeRecords(upTo: number): Promise<void> {
    for (;;) {
      const segment = this.#unwritten[0];
      if (segment === undefined) return;
      if (this.#needNotBeWritten(segment)) {
        const hasFile = segment.fileBytes > 0 || segment.abandoned.length > 0;
        if (hasFile) await this.#dropUnfinished(segment);
        this.#unwritten.shift();
        this.#becomeDurable(segment.positionBase + segment.tail);
      } else if (segment.isSuspect) {
        // Since this round began, by its last sync, at level os.
        await this.#writer.abandon(segment);
      } else if (segment.writtenTo < segment.tail) {
        const isSafe = this.#log.durablePosition >= upTo && segment.abandoned.length === 0;
        if (isSafe) return;
        await this.#writer.write(segment);
        this.#becomeDurable(segment.positionBase + segment.syncedTo);
      } else if (segment.isFull) {
        this.#unwritten.shift();
        this.#finish(segment);
      } else {
        return;
      }
    }
  }

  /** It has lived and died without ever touching the disk, or can do without more of it. */
  #needNotBeWritten(segment: Segment): boolean {
    if (!segment.isDoomed || segment.hasSettlements || !this.isFree(segment)) return false;
    return segment.fileBytes === 0 || this.#fault !== undefined;
  }

  /** Files without an end must not be found beside those of a later segment. */
  async #dropUnfinished(segment: Segment): Promise<void> {
    const { directory } = this;
    const { file, abandoned, lastRemoval } = segment;
    segment.file = null;
    await file?.close();
    const paths = [...abandoned, directory.recordsPath(segment)];
    await directory.finish(directory.removeRecords(paths, segment.fileBytes, lastRemoval));
    segment.abandoned = [];
    segment.abandonedBytes = 0;
    segment.fileBytes = 0;
  }

  /** Whether the groups are durable that have settled some of its records. */
  isFree(segment: Segment): boolean {
    return segment.waitsFor <= this.#log.durablePosition;
  }

  #becomeDurable(position: number): void {
    if (position <= this.#log.durablePosition) return;
    this.#log.durablePosition = position;
    this.#options.onDurable();
  }

  async #giveUpSuspects(): Promise<void> {
    for (const segment of this.#suspects) {
      this.#unwritten.unshift(segment);
      this.letGo(segment);
    }
    this.#suspects = [];
    const suspects = this.#unwritten.filter((segment) => segment.isSuspect);
    for (const segment of suspects) await caught(this.#writer.abandon(segment));
  }

  /** Has the index written of a full segment, beside the rounds. */
  #finish(segment: Segment): void {
    segment.hold();
    this.#unindexed.push(segment);
    this.#goOnIndexing();
  }

  #goOnIndexing(): void {
    if (this.#unindexed.length === 0) return;
    this.#indexing ??= this.#writeIndexes().finally(() => {
      this.#indexing = undefined;
    });
  }

  async #writeIndexes(): Promise<void> {
    for (;;) {
      const segment = this.#unindexed[0];
      if (segment === undefined) return;
      const isDead = segment.isDoomed;
      const failure = isDead ? undefined : await caught(this.#writer.finish(segment));
      if (failure !== undefined && !segment.isSuspect) {
        this.counters.faults++;
        this.#wakeUpIn(retryDelayMs);
        return;
      }
      this.#unindexed.shift();
      if (segment.isSuspect) {
        this.#suspects.push(segment);
        this.#wakeUpIn(retryDelayMs);
        continue;
      }
      this.letGo(segment);
      this.#options.onChange();
    }
  }

  // Step 2: settlements

  /** Returns whether all of them are in their sidecars. */
  async #noteSettlements(settled: ReadonlySet<Segment>): Promise<boolean> {
    let areNoted = true;
    for (const segment of settled) {
      if (segment.settlements.length === 0 || segment.isDoomed) continue;
      const isPossible = !segment.isCompacting && this.isFree(segment);
      const failure = isPossible ? await caught(this.#sidecars.append(segment)) : undefined;
      if (failure !== undefined) this.#tryLater();
      if (!isPossible || failure !== undefined) areNoted = false;
      if (segment.settlements.length === 0) continue;
      // What has come meanwhile, or could not be noted. The end of a compaction or of a fault is
      // told.
      this.#settled.add(segment);
      if (isPossible) this.#wakeUpIn(settlementDelayMs);
    }
    return areNoted;
  }

  /**
   * Makes all settlements safe that have been made so far. Returns false if that is not possible
   * now.
   */
  secureSettlements(): Promise<boolean> {
    if (this.#isClosed || this.#fault !== undefined) return Promise.resolve(false);
    const request = new Promise<boolean>((resolve) => this.#secureRequests.push(resolve));
    this.#schedule();
    return request;
  }

  /** What is in the segment's sidecar may never have reached the disk, and others depend on it. */
  distrustSidecar(segment: Segment): void {
    this.#sidecars.distrust(segment);
  }

  /** The segment's sidecar goes, and all that was in it is safe elsewhere. */
  forgetSidecar(segment: Segment): Promise<void> {
    return this.#sidecars.forget(segment);
  }

  async #answer(requests: readonly SecureRequest[], areNoted: boolean): Promise<void> {
    if (requests.length === 0) return;
    const isSecure = areNoted && (await this.#secure());
    for (const resolve of requests) resolve(isSecure);
  }

  /** Whether nothing comes back any more of what has been settled and removed so far. */
  async #secure(before = Number.POSITIVE_INFINITY): Promise<boolean> {
    const isInTheWay = ({ number, isSettledByGroups }: Segment): boolean =>
      isSettledByGroups && number < before;
    try {
      if (this.#doomed.some(isInTheWay)) return false;
      if (!(await this.#sidecars.secure())) return false;
      await this.#sweep();
      if (this.directory.hasRecordsToRemove) return false;
      await this.directory.syncRemovals();
      return true;
    } catch (error) {
      demandDiskError(error);
      this.#tryLater();
      return false;
    }
  }

  // Step 3: what is dead

  /** The oldest first: groups settle records of segments before their own. */
  async #removeDoomed(doomed: readonly Segment[], areNoted: boolean): Promise<void> {
    for (const segment of doomed.toSorted((a, b) => a.number - b.number)) {
      // One that is still to be written gives its position away first.
      let mayGo = !segment.isBusy && this.isFree(segment) && !this.#unwritten.includes(segment);
      if (mayGo && segment.hasSettlements) {
        mayGo = areNoted && (await this.#secure(segment.number));
        if (!mayGo) this.#wakeUpIn(retryDelayMs);
      }
      if (mayGo) await this.#remove(segment);
      else this.#doomed.push(segment);
    }
  }

  async #remove(segment: Segment): Promise<void> {
    if (segment.durability === "transient") {
      if (segment.spillPath !== undefined) this.discardSpilled(segment);
    } else {
      await caught(this.#sidecars.forget(segment));
      const file = segment.file;
      segment.file = null;
      if (file !== null) await caught(file.close());
      this.#removeFiles(segment);
    }
    this.#log.forget(segment);
  }

  /** First the records, for without them index and sidecar mean nothing. */
  #removeFiles(segment: Segment): void {
    const { directory } = this;
    const { abandoned, abandonedBytes, fileBytes, indexBytes, sidecarBytes } = segment;
    let last = segment.lastRemoval;
    if (abandoned.length > 0) last = directory.removeRecords(abandoned, abandonedBytes, last);
    if (fileBytes === 0 && !segment.hasSidecar && !segment.isIndexed) return;
    last = directory.removeRecords([directory.recordsPath(segment)], fileBytes, last);
    const rest = [directory.pathIn(segment, "idx"), directory.pathIn(segment, "ack")];
    directory.remove(rest, indexBytes + sidecarBytes, last);
  }

  /** Has a transient segment's file removed. */
  discardSpilled(segment: Segment): void {
    this.directory.remove([segment.spillPath!], segment.fileBytes);
    segment.spillPath = undefined;
    this.#wakeUpIn(settlementDelayMs);
  }

  /**
   * Index and sidecar of the dead wait for a sync of the directory, unless they add up to
   * something.
   */
  async #sweep(): Promise<void> {
    const { directory } = this;
    let isClean = await directory.sweep();
    const bytesMax = this.#options.sizes.segmentBytes / 4;
    while (isClean && (directory.hasRecordsToRemove || directory.bytesToRemove > bytesMax)) {
      isClean = (await caught(directory.sync())) === undefined && (await directory.sweep());
    }
    if (!isClean) this.#tryLater();
  }

  // Trouble

  #noteFault(failure: DiskError | undefined): void {
    const before = this.#fault;
    this.#fault = failure;
    if (failure !== undefined) this.counters.faults++;
    if (failure !== undefined && before === undefined) this.#options.onFault(failure);
    if (failure === undefined && before !== undefined) this.#options.onFault(undefined);
  }

  /** Records could not be written: the next round is a while away. */
  #tryAgain(): void {
    this.#log.endDeadTail();
    this.#isScheduled = true;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#wakeUpIn(retryDelayMs);
  }

  /** Something less urgent could not be done. */
  #tryLater(): void {
    this.counters.faults++;
    this.#wakeUpIn(retryDelayMs);
  }

  // The end

  /** Resolves when everything appended so far has been written, or cannot be. */
  async settleDown(): Promise<void> {
    if (this.#fault !== undefined || !this.#isStarted) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isScheduled = true;
    const idle = new Promise<void>((resolve) => this.#idle.push(resolve));
    if (!this.#isRunning) void this.#run();
    await idle;
    await this.#indexing;
  }

  /** Ends the last segment with its index, and closes all files. */
  async close(): Promise<void> {
    this.#log.endTail();
    await this.settleDown();
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#indexing;
    if (this.directory.hasRemovals) {
      await caught(this.directory.sync());
      await this.directory.sweep();
    }
    await this.#sidecars.closeAll();
    for (const segment of this.#log.segments) await segment?.file?.close();
  }

  #tellIdle(): void {
    const waiting = this.#idle;
    this.#idle = [];
    for (const resolve of waiting) resolve();
    if (this.#fault === undefined) return;
    for (const resolve of this.#secureRequests.splice(0)) resolve(false);
  }
}

/** The disk's error, if that is what the promise comes to. Any other is a mistake of ours. */
async function caught(promise: Promise<void>): Promise<DiskError | undefined> {
  try {
    await promise;
    return undefined;
  } catch (error) {
    return demandDiskError(error);
  }
}

function demandDiskError(error: unknown): DiskError {
  if (error instanceof DiskError) return error;
  throw error;
}
