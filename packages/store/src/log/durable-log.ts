/**
 * A message log with a disk under it: opens the files of a data directory, recovers what is in
 * them, and keeps memory and disk within their bounds. The broker opens one per node; without a
 * data directory it uses a bare MessageLog.
 *
 *     DIRECTORY/log/         segments, indexes, sidecars of durable records
 *     DIRECTORY/spill/       transient records that memory had no room for; emptied at every start
 *     DIRECTORY/quarantine/  what was found damaged
 */

import { dirname, join } from "node:path";
import type { Clock, Timer } from "@haremq/kernel";
import type { Disk } from "../disk/disk.ts";
import { Compaction } from "./compaction.ts";
import { LogFiles } from "./log-files.ts";
import { defaultSizes, type LogSizes } from "./log-sizes.ts";
import { MessageLog } from "./message-log.ts";
import { Quarantine } from "./quarantine.ts";
import { Recovery } from "./recovery.ts";
import { Residency, type SharedMemory } from "./residency.ts";

export interface DurableLogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  /** Memory for segments; above it the coldest leave. */
  readonly memoryBytes: number;
  /** Memory that segments have to share with what is known of them, and with others. */
  readonly sharedMemory?: SharedMemory;
  /** Other than the usual sizes, for tests. */
  readonly sizes?: LogSizes;
  /** See Recovery: a record that was found, and a queue that it is meant for. */
  onMessage(
    queue: number,
    handle: number,
    wasDelivered: boolean,
    words: Int32Array,
    notedAt: number,
    returns: number,
  ): boolean;
  /** See LogFiles. */
  onWritten(): void;
  onDurable(): void;
  onFault(error: Error | undefined): void;
  /** Something was found damaged; for the log and the operator. */
  onDamage(description: string): void;
}

/** So many segments more than there is room for may wait for the disk before publishers have to. */
const waitingSegments = 2;
/** So many segments may stay in memory however much of it others take. */
const leastSegments = 2;
/** Spare memory beyond this would not make anything faster. */
const spareBytesMax = 64 * 1024 * 1024;
const compactionDelayMs = 100;
const compactionRetryMs = 1000;

export class DurableLog {
  readonly log: MessageLog;
  readonly files: LogFiles;
  readonly residency: Residency;
  readonly #compaction: Compaction;
  readonly #options: DurableLogOptions;
  readonly #quarantine: Quarantine;
  readonly #waitingBytesMax: number;
  /** Who waits for the disk to catch up. */
  #waiting: (() => void)[] = [];
  #compactionTimer: Timer | undefined;
  #isClosed = false;
  recoveredRecords = 0;

  private constructor(options: DurableLogOptions) {
    this.#options = options;
    const { disk, directory, clock, onWritten, onDurable, onFault, onDamage } = options;
    const sizes = options.sizes ?? defaultSizes;
    const { memoryBytes, sharedMemory } = options;
    const usualBytes = Math.min(memoryBytes, sharedMemory?.bytesMax ?? memoryBytes);
    this.log = new MessageLog(Math.min(spareBytesMax, usualBytes / 2), sizes);
    this.files = new LogFiles(this.log, {
      disk,
      clock,
      sizes,
      onWritten,
      onDurable,
      onFault,
      directory: join(directory, "log"),
      onChange: () => this.#onChange(),
    });
    this.#quarantine = new Quarantine({
      disk,
      directory: join(directory, "quarantine"),
      onDamage,
    });
    this.residency = new Residency(this.log, this.files, {
      disk,
      clock,
      quarantine: this.#quarantine,
      spillDirectory: join(directory, "spill"),
      budgetBytes: options.memoryBytes,
      shared: options.sharedMemory,
      leastBytes: leastSegments * sizes.segmentBytes,
      onRelieved: () => this.#letGoOn(),
    });
    this.#waitingBytesMax = waitingSegments * sizes.segmentBytes;
    this.#compaction = new Compaction(this.log, this.files, this.residency, disk);
  }

  static async open(options: DurableLogOptions): Promise<DurableLog> {
    const { disk, directory, onMessage } = options;
    const durable = new DurableLog(options);
    await disk.makeDirectory(join(directory, "log"));
    await disk.makeDirectory(join(directory, "spill"));
    await disk.syncDirectory(directory);
    await disk.syncDirectory(dirname(directory));
    for (const name of await disk.list(join(directory, "spill"))) {
      await disk.remove(join(directory, "spill", name));
    }
    const { log, files } = durable;
    const recovery = new Recovery({
      log,
      disk,
      files,
      quarantine: durable.#quarantine,
      onMessage,
    });
    await recovery.run();
    durable.recoveredRecords = recovery.records;
    await files.start();
    durable.#onChange();
    return durable;
  }

  /** Brings a record's segment into memory. */
  load(handle: number): Promise<void> {
    return this.residency.load(this.log.segmentOf(handle));
  }

  /**
   * Resolves once memory is free again that can only become so when the disk has caught up;
   * undefined if there is no such shortage. Who appends without waiting for anything should wait
   * for this, or the memory alarm will be all that stops it.
   */
  untilCaughtUp(): Promise<void> | undefined {
    if (!this.#isBehind) return undefined;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get #isBehind(): boolean {
    const { residency, files } = this;
    if (this.#isClosed || residency.excessBytes <= this.#waitingBytesMax) return false;
    return residency.isSpilling || files.isWriting;
  }

  #letGoOn(): void {
    if (this.#waiting.length === 0 || this.#isBehind) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #onChange(): void {
    if (this.#isClosed) return;
    this.residency.relieve();
    this.#letGoOn();
    if (this.#compactionTimer !== undefined || !this.#compaction.isAnyDue) return;
    this.#compactIn(compactionDelayMs);
  }

  #compactIn(delayMs: number): void {
    this.#compactionTimer = this.#options.clock.schedule(delayMs, () => {
      void this.#compaction.run().then((isDone) => {
        this.#compactionTimer = undefined;
        if (!isDone && !this.#isClosed) this.#compactIn(compactionRetryMs);
      });
    });
  }

  /** Writes what is left and closes all files; the next start finds everything indexed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#compactionTimer?.cancel();
    this.#letGoOn();
    this.residency.close();
    await this.#compaction.running;
    await this.files.close();
  }
}
