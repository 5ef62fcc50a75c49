/**
 * Decides which segments are in memory. When more than the budget is, full segments leave, those
 * that were not touched for longest first; one whose record is wanted comes back. A durable segment
 * only leaves once it is safe in its file and indexed; a transient one is written to a spill file
 * for that.
 *
 * Queues ask for a load before they open a record that is not resident, and go on when it has come.
 * A record that is then found damaged is reported, kept in quarantine, and stands in memory as
 * `Lost`.
 */

import { join } from "node:path";
import type { Clock, Timer } from "@haremq/kernel";
import { type Disk, DiskError, type DiskFile } from "../disk/disk.ts";
import type { LogCounters } from "./log-counters.ts";
import { createAnew } from "./log-directory.ts";
import type { LogFiles } from "./log-files.ts";
import type { MessageLog } from "./message-log.ts";
import type { Quarantine } from "./quarantine.ts";
import {
  bytesWord,
  isRecord,
  kindAndTargets,
  kindWord,
  RecordKind,
  sealFiller,
  unitBits,
} from "./record.ts";
import type { Segment } from "./segment.ts";
import { sealRecords } from "./segment-seal.ts";

export interface ResidencyOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly spillDirectory: string;
  readonly quarantine: Quarantine;
  /** Memory for segments above which some leave... */
  readonly budgetBytes: number;
  /** ...or less, when others need what they share... */
  readonly shared?: SharedMemory | undefined;
  /** ...but not less than this. */
  readonly leastBytes: number;
  /** Something may have left. */
  onRelieved(): void;
}

/** Memory for more than segments. */
export interface SharedMemory {
  readonly bytesMax: number;
  /** What others than the log take of it. */
  otherBytes(): number;
}

/** How long the disk is left alone that had no room for a spill file. */
const spillRetryMs = 1000;

export class Residency {
  readonly #log: MessageLog;
  readonly #files: LogFiles;
  readonly #options: ResidencyOptions;
  readonly #counters: LogCounters;
  #spills = 0;
  #isSpilling = false;
  /** Runs for a while after a spill has failed. */
  #spillTimer: Timer | undefined;

  constructor(log: MessageLog, files: LogFiles, options: ResidencyOptions) {
    this.#log = log;
    this.#files = files;
    this.#options = options;
    this.#counters = files.counters;
  }

  /**
   * Lets segments leave until the budget holds, as far as any may, but never the one given. Called
   * whenever memory was taken.
   */
  relieve(wanted?: Segment): void {
    if (this.#isSpilling) return;
    while (this.excessBytes > 0) {
      const segment = this.#coldest(wanted);
      if (segment === undefined) return;
      if (segment.durability === "transient" && segment.spillPath === undefined) {
        this.#isSpilling = true;
        void this.#spill(segment).then((isDone) => {
          this.#isSpilling = false;
          if (isDone) this.relieve();
          else this.#spillLater();
          this.#options.onRelieved();
        });
        return;
      }
      this.#evict(segment);
    }
  }

  /** Until then only those leave that need no room on the disk. */
  #spillLater(): void {
    this.#spillTimer = this.#options.clock.schedule(spillRetryMs, () => {
      this.#spillTimer = undefined;
      this.relieve();
    });
    this.relieve();
  }

  close(): void {
    this.#spillTimer?.cancel();
  }

  /** Memory of segments beyond the budget, which is more than there was room for. */
  get excessBytes(): number {
    return this.#log.pool.takenBytes - this.#budgetBytes;
  }

  /** Whether something is being written that will leave then. */
  get isSpilling(): boolean {
    return this.#isSpilling;
  }

  get #budgetBytes(): number {
    const { budgetBytes, shared, leastBytes } = this.#options;
    if (shared === undefined) return budgetBytes;
    const left = shared.bytesMax - this.#log.indexMemory.bytes - shared.otherBytes();
    return Math.min(budgetBytes, Math.max(leastBytes, left));
  }

  /** Brings a segment back; all who ask meanwhile wait for the same read. */
  load(segment: Segment): Promise<void> {
    segment.loading ??= this.#read(segment).finally(() => {
      segment.loading = undefined;
    });
    return segment.loading;
  }

  #coldest(wanted: Segment | undefined): Segment | undefined {
    let coldest: Segment | undefined;
    for (const segment of this.#log.segments) {
      if (segment === undefined || !segment.isResident || !segment.isFull) continue;
      if (segment.isBusy || segment.isDoomed || segment === wanted) continue;
      if (segment.durability === "durable") {
        if (!segment.isIndexed) continue;
      } else if (this.#spillTimer !== undefined && segment.spillPath === undefined) {
        continue;
      }
      if (coldest === undefined || segment.touchedAt < coldest.touchedAt) coldest = segment;
    }
    return coldest;
  }

  #evict(segment: Segment): void {
    this.#counters.evictions++;
    this.#log.pool.give(segment.leaveMemory());
  }

  /** Returns whether the segment has left memory. */
  async #spill(segment: Segment): Promise<boolean> {
    const { disk, spillDirectory } = this.#options;
    const path = join(spillDirectory, String(++this.#spills));
    segment.hold();
    sealRecords(segment, Number.POSITIVE_INFINITY);
    try {
      const file = await createAnew(disk, path);
      segment.spillPath = path;
      segment.fileBytes = segment.tail;
      await writeAndClose(file, segment.bytes!, segment.tail);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      this.#counters.faults++;
      if (segment.spillPath !== undefined) this.#files.discardSpilled(segment);
      return false;
    } finally {
      this.#files.letGo(segment);
    }
    if (!segment.isDoomed) this.#evict(segment);
    return true;
  }

  async #read(segment: Segment): Promise<void> {
    if (segment.isResident) return;
    this.#counters.loads++;
    segment.hold();
    const slab = this.#log.pool.take(this.#log.slabBytesFor(segment.tail));
    try {
      await this.#readRecords(segment, slab);
      await this.#replaceDamaged(segment, slab);
    } catch (error) {
      this.#log.pool.give(slab);
      throw error;
    } finally {
      this.#files.letGo(segment);
    }
    segment.enterMemory(slab);
    this.#log.touch(segment);
    this.relieve(segment);
  }

  async #readRecords(segment: Segment, slab: Buffer): Promise<void> {
    const path = segment.spillPath ?? this.#files.directory.recordsPath(segment);
    const file = await this.#options.disk.open(path, "read");
    try {
      if (segment.isCompact) {
        await readPacked(segment, file, slab);
      } else {
        const length = await file.read(slab, 0, segment.tail, 0);
        // What the file lacks must not be taken from whoever had this memory before.
        slab.fill(0, length);
      }
    } finally {
      await file.close();
    }
  }

  async #replaceDamaged(segment: Segment, slab: Buffer): Promise<void> {
    const words = new Int32Array(slab.buffer, slab.byteOffset, slab.length >>> 2);
    const endWord = segment.tail >>> 2;
    for (let i = 0; i < segment.recordCount; i++) {
      const unit = segment.unitAt(i);
      const word = unit << 1;
      const length = segment.lengthAt(i);
      if (isRecord(words, word, endWord) && words[word + bytesWord] === length) continue;
      const isNews = segment.livesAt(i) && segment.lostUnits?.has(unit) !== true;
      if (isNews) await this.#report(segment, unit, slab.subarray(word << 2, (word << 2) + length));
      sealFiller(words, word, length);
      words[word + kindWord] = kindAndTargets(RecordKind.Lost, 0);
    }
  }

  async #report(segment: Segment, unit: number, bytes: Buffer): Promise<void> {
    segment.lostUnits ??= new Set();
    segment.lostUnits.add(unit);
    this.#counters.damagedRecords++;
    await this.#options.quarantine.keep(segment.number, unit << unitBits, bytes);
  }
}

async function writeAndClose(file: DiskFile, bytes: Buffer, length: number): Promise<void> {
  try {
    await file.write(bytes, 0, length, 0);
  } finally {
    await file.close();
  }
}

/** A packed file holds the records one after the other; the segment knows which they are. */
async function readPacked(segment: Segment, file: DiskFile, slab: Buffer): Promise<void> {
  const packed = Buffer.allocUnsafeSlow(segment.fileBytes);
  const length = await file.read(packed, 0, packed.length, 0);
  packed.fill(0, length);
  let from = 0;
  for (let i = 0; i < segment.recordCount; i++) {
    const bytes = segment.lengthAt(i);
    packed.copy(slab, segment.unitAt(i) << unitBits, from, from + bytes);
    from += bytes;
  }
}
