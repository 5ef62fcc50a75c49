/**
 * The files of the message log: writes what is appended, in order and in groups, notes settlements
 * in sidecars, removes the files of dead segments. One round at a time:
 *
 *     1. write all records appended so far, segment after segment, and sync them if any is of level
 *        disk, telling those who wait
 *     2. append the settlements gathered before the round to their sidecars
 *     3. remove the segments that had died before the round
 *
 * So a settlement or a removal never comes before a record that was appended earlier. When records
 * cannot be written nothing more is told until they can, and whole rounds are tried again and
 * again. Steps 2 and 3 then still happen, or a full disk would stay full while its queues are
 * drained; only what was settled with a group that waits has to wait with it.
 *
 * Records of level os are synced by whatever sync comes next, or in the background: with the rest
 * of their segment when that is full, after a second at most. They never wait for one: what comes
 * during a sync is written beside it if some of it is of level os.
 *
 * Invariants:
 * - One sync at a time; at level disk everything appended during one goes with the next, in writes
 *   of bounded size.
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
import { SegmentSyncs } from "./segment-syncs.ts";
import { SegmentWriter } from "./segment-writer.ts";
import { Sidecars } from "./sidecars.ts";

export interface LogFilesOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly sizes: LogSizes;
  /** `writtenPosition` of the log has grown... */
  onWritten(): void;
  /** ...or `durablePosition`. */
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
/** What nobody waits for is synced after that. */
const syncDelayMs = 1000;

export class LogFiles implements LogDisk {
  readonly #log: MessageLog;
  readonly #options: LogFilesOptions;
  readonly #writer: SegmentWriter;
  readonly #syncs: SegmentSyncs;
  readonly #sidecars: Sidecars;
  readonly directory: LogDirectory;
  readonly counters = new LogCounters();
  /** Segments with records to write, in the order of their numbers. */
  readonly #unwritten: Segment[] = [];
  /** Segments that are written and have no index yet. */
  readonly #unindexed: Segment[] = [];
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
  #syncTimer: Timer | undefined;
  /** Ends the wait for a sync that is under way, for there is something else to write. */
  #wake: (() => void) | undefined;
  #isWaking = false;
  /** A settlement or a removal has to wait until more is durable. */
  #hasWaiting = false;
  #idle: (() => void)[] = [];

  constructor(log: MessageLog, options: LogFilesOptions) {
    const { disk, sizes } = options;
    this.#log = log;
    this.#options = options;
    const directory = new LogDirectory(disk, options.directory);
    this.directory = directory;
    this.#sidecars = new Sidecars(disk, directory);
    this.#writer = new SegmentWriter({ log, directory, roundBytes: sizes.roundBytes });
    this.#syncs = new SegmentSyncs({
      log,
      directory,
      onSynced: (position) => this.#becomeDurable(position),
      onFailed: (segment) => this.#onSyncFailed(segment),
    });
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
    if (last < 0 || this.#unwritten[last] !== segment) {
      this.#unwritten.push(segment);
      this.#syncs.add(segment);
    }
    if (!this.#isScheduled) this.#schedule();
    if (this.#wake !== undefined && !this.#isWaking) this.#wakeLater();
  }

  /** Once all is appended that comes in this turn. */
  #wakeLater(): void {
    if (this.#log.positionToWrite <= this.#log.writtenPosition) return;
    this.#isWaking = true;
    setImmediate(() => {
      this.#isWaking = false;
      this.#wake?.();
    });
  }

  /** Everything appended so far is to be synced as soon as can be. */
  demandSync(): void {
    this.#log.positionToSync = this.#log.position;
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
    const areNoted = await this.#noteSettlements(settled);
    await this.#removeDoomed(doomed, areNoted);
    await this.#answer(secureRequests, areNoted);
    await this.#sweep();
    this.#goOnWriting();
  }

  /** Another round if one is due, also because of the marks; a sync some time if not. */
  #goOnWriting(): void {
    const { position, writtenPosition, durablePosition, positionToSync } = this.#log;
    if (writtenPosition < position || durablePosition < positionToSync) this.#isScheduled = true;
    else if (durablePosition < position) this.#syncLater();
  }

  #syncLater(): void {
    if (this.#isClosed) return;
    this.#syncTimer ??= this.#options.clock.schedule(syncDelayMs, () => {
      this.#syncTimer = undefined;
      void caught(this.#syncs.sync(this.#log.writtenPosition));
    });
  }

  // Step 1: records

  /** Writes records up to the position, and perhaps some more; syncs those that are to be. */
  async #writeRecords(upTo: number): Promise<void> {
    for (;;) {
      const segment = await this.#nextToWrite(upTo);
      if (segment !== undefined) await this.#write(segment);
      else if (this.#mustSync(upTo)) await this.#sync();
      else return;
    }
  }

  #mustSync(upTo: number): boolean {
    return this.#log.durablePosition < Math.min(this.#log.positionToSync, upTo);
  }

  /** The segment whose records are next; those that have none to write are put aside. */
  async #nextToWrite(upTo: number): Promise<Segment | undefined> {
    for (;;) {
      const segment = this.#unwritten[0];
      if (segment === undefined) return undefined;
      if (this.#needNotBeWritten(segment)) {
        const hasFile = segment.fileBytes > 0 || segment.abandoned.length > 0;
        if (hasFile) await this.#dropUnfinished(segment);
        this.#unwritten.shift();
        this.#becomeWritten(segment.positionBase + segment.tail);
        this.#syncs.drop(segment);
      } else if (segment.suspicion !== undefined) {
        // Since this round began.
        throw segment.suspicion;
      } else if (segment.writtenTo < segment.tail) {
        const { writtenPosition, positionToWrite } = this.#log;
        if (writtenPosition < upTo || segment.abandoned.length > 0) return segment;
        return writtenPosition < positionToWrite && this.#mustSync(upTo) ? segment : undefined;
      } else if (segment.isFull) {
        this.#unwritten.shift();
        this.#finish(segment);
      } else {
        return undefined;
      }
    }
  }

  async #write(segment: Segment): Promise<void> {
    const { clock } = this.#options;
    const startedMs = clock.nowMs();
    const bytes = await this.#writer.write(segment);
    this.#becomeWritten(segment.positionBase + segment.writtenTo);
    const log = this.#log;
    if (log.durablePosition < log.positionToSync) await this.#sync();
    this.counters.onFlush(bytes, clock.nowMs() - startedMs);
  }

  /** Waits until what is written is synced, or until there is something to write meanwhile. */
  async #sync(): Promise<void> {
    const { positionToSync, writtenPosition } = this.#log;
    const sync = this.#syncs.sync(Math.min(positionToSync, writtenPosition));
    try {
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        this.#wakeLater();
        sync.then(resolve, reject);
      });
    } finally {
      this.#wake = undefined;
    }
  }

  /** It has lived and died without ever touching the disk, or can do without more of it. */
  #needNotBeWritten(segment: Segment): boolean {
    if (!segment.isDoomed || segment.hasSettlements || !this.isFree(segment)) return false;
    return segment.fileBytes === 0 || (this.#fault !== undefined && !segment.isBusy);
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

  #becomeWritten(position: number): void {
    if (position <= this.#log.writtenPosition) return;
    this.#log.writtenPosition = position;
    this.#options.onWritten();
  }

  #becomeDurable(position: number): void {
    if (position <= this.#log.durablePosition) return;
    this.#log.durablePosition = position;
    this.#options.onDurable();
    if (!this.#hasWaiting) return;
    this.#hasWaiting = false;
    this.#schedule();
  }

  /** All of the segment has to be written again, even if it was written and full. */
  #onSyncFailed(segment: Segment): void {
    this.#log.positionToSync = this.#log.position;
    const index = this.#unindexed.indexOf(segment);
    if (index >= 0) {
      this.#unindexed.splice(index, 1);
      this.letGo(segment);
    }
    if (!this.#unwritten.includes(segment)) this.#unwritten.push(segment);
    this.#unwritten.sort((a, b) => a.number - b.number);
    if (this.#isRunning) this.#isScheduled = true;
    else this.#wakeUpIn(retryDelayMs);
  }

  async #giveUpSuspects(): Promise<void> {
    const suspects = this.#unwritten.filter(({ suspicion }) => suspicion !== undefined);
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
      if (!segment.isDoomed && segment.syncedTo < segment.tail) {
        await caught(this.#syncs.sync(segment.positionBase + segment.tail));
        // It may have failed, and had it not, the segment may have died.
        if (segment.syncedTo < segment.tail) return;
        continue;
      }
      const failure = segment.isDoomed ? undefined : await caught(this.#writer.finish(segment));
      if (failure !== undefined) {
        this.counters.faults++;
        this.#wakeUpIn(retryDelayMs);
        return;
      }
      this.#unindexed.shift();
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
      if (!this.isFree(segment)) this.#awaitDurable(segment.waitsFor);
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

  /** Something that is not to be held up for long has to wait until that much is durable. */
  #awaitDurable(position: number): void {
    this.#hasWaiting = true;
    if (position <= this.#log.writtenPosition) void caught(this.#syncs.sync(position));
  }

  /**
   * Makes all settlements safe that have been made so far. Returns false if that is not possible
   * now.
   */
  secureSettlements(): Promise<boolean> {
    if (this.#isClosed || this.#fault !== undefined) return Promise.resolve(false);
    const request = new Promise<boolean>((resolve) => this.#secureRequests.push(resolve));
    this.demandSync();
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
      if (!mayGo) this.#awaitDurable(segment.waitsFor);
      if (mayGo && segment.hasSettlements) {
        mayGo = areNoted && (await this.#secure(segment.number));
        if (!mayGo) this.#wakeUpIn(retryDelayMs);
      }
      if (mayGo && !isSafe(segment)) mayGo = await this.#dropUnsafe(segment);
      if (mayGo) await this.#remove(segment);
      else this.#doomed.push(segment);
    }
  }

  /** Nobody waits for it to be synced, and what comes behind it must not be synced before. */
  async #dropUnsafe(segment: Segment): Promise<boolean> {
    const failure = await caught(this.#dropUnfinished(segment));
    if (failure === undefined) {
      this.#syncs.drop(segment);
      return true;
    }
    segment.suspicion = failure;
    this.#onSyncFailed(segment);
    return false;
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
    this.#log.positionToSync = this.#log.position;
    await this.settleDown();
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#syncTimer?.cancel();
    await this.#indexing;
    await this.#syncs.idle;
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

/** What is on the disk of it is all there. */
function isSafe({ durability, syncedTo, tail }: Segment): boolean {
  return durability === "transient" || syncedTo === tail;
}
