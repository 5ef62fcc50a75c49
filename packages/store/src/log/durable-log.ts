/**
 * A message log with a disk under it: opens the files of a data directory, recovers what is in them, and
 * keeps memory and disk within their bounds. The broker opens one per node; without a data directory it
 * uses a bare MessageLog.
 *
 *     DIRECTORY/log/         segments, indexes, sidecars of durable records
 *     DIRECTORY/spill/       transient records that memory was too small for; emptied at every start
 *     DIRECTORY/quarantine/  what was found damaged
 */

import { join } from "node:path";
import type { Clock, Timer } from "@haremq/kernel";
import type { Disk } from "../disk/disk.ts";
import { Compaction } from "./compaction.ts";
import { type ConfirmLevel, LogFiles } from "./log-files.ts";
import { MessageLog } from "./message-log.ts";
import { Recovery } from "./recovery.ts";
import { Residency } from "./residency.ts";

export interface DurableLogOptions {
  readonly disk: Disk;
  readonly directory: string;
  readonly clock: Clock;
  readonly confirmLevel: ConfirmLevel;
  /** Memory for segments; above it the coldest leave. */
  readonly memoryBytes: number;
  /** See Recovery: a record that was found, and a queue that it is meant for. */
  onMessage(queue: number, handle: number, userWord: number, wasDelivered: boolean): boolean;
  onDurable(): void;
  onFault(error: Error | undefined): void;
  /** Something was found damaged; for the log and the operator. */
  onDamage(description: string): void;
}

const compactionDelayMs = 100;

export class DurableLog {
  readonly log: MessageLog;
  readonly files: LogFiles;
  readonly residency: Residency;
  readonly #compaction: Compaction;
  readonly #options: DurableLogOptions;
  #compactionTimer: Timer | undefined;
  #isClosed = false;
  recoveredRecords = 0;

  private constructor(options: DurableLogOptions) {
    this.#options = options;
    const { disk, directory, clock, confirmLevel, onDurable, onFault } = options;
    this.log = new MessageLog();
    this.files = new LogFiles(this.log, {
      disk,
      clock,
      confirmLevel,
      onDurable,
      onFault,
      directory: join(directory, "log"),
      onChange: () => this.#onChange(),
    });
    this.residency = new Residency(this.log, this.files, {
      disk,
      spillDirectory: join(directory, "spill"),
      budgetBytes: options.memoryBytes,
      onDamage: (segment, units) => {
        options.onDamage(`segment ${segment.number}: ${units.length} records are damaged`);
      },
    });
    this.#compaction = new Compaction(this.log, this.files, this.residency, disk);
  }

  static async open(options: DurableLogOptions): Promise<DurableLog> {
    const { disk, directory } = options;
    const durable = new DurableLog(options);
    await disk.makeDirectory(join(directory, "log"));
    await disk.makeDirectory(join(directory, "spill"));
    for (const name of await disk.list(join(directory, "spill"))) {
      await disk.remove(join(directory, "spill", name));
    }
    const recovery = new Recovery({
      log: durable.log,
      disk,
      directory: join(directory, "log"),
      quarantineDirectory: join(directory, "quarantine"),
      onMessage: options.onMessage,
      onDamage: options.onDamage,
    });
    await recovery.run();
    durable.recoveredRecords = recovery.records;
    return durable;
  }

  /** Brings a record's segment into memory. */
  load(handle: number): Promise<void> {
    return this.residency.load(this.log.segmentOf(handle));
  }

  #onChange(): void {
    this.residency.relieve();
    if (this.#compactionTimer !== undefined || this.#isClosed) return;
    if (!this.log.segments.some((each) => each !== undefined && Compaction.isDue(each))) return;
    this.#compactionTimer = this.#options.clock.schedule(compactionDelayMs, () => {
      this.#compaction
        .run()
        .catch((error: Error) => this.#options.onFault(error))
        .finally(() => {
          this.#compactionTimer = undefined;
        });
    });
  }

  /** Writes what is left and closes all files; the next start finds everything indexed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#compactionTimer?.cancel();
    await this.files.close();
  }
}
