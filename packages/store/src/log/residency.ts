/**
 * Decides which segments are in memory. When more than the budget is, full segments leave, those that
 * were not touched for longest first; one whose record is wanted comes back. A durable segment only
 * leaves once it is safe in its file; a transient one is written to a spill file for that.
 *
 * Queues ask for a load before they open a record that is not resident, and go on when it has come.
 */

import { join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import type { LogCounters } from "./log-counters.ts";
import type { LogFiles } from "./log-files.ts";
import type { MessageLog } from "./message-log.ts";
import { bytesWord, isRecord, kindWord } from "./record.ts";
import { type Segment, unitBits } from "./segment.ts";
import { SegmentIndex } from "./segment-file.ts";

export interface ResidencyOptions {
  readonly disk: Disk;
  readonly spillDirectory: string;
  /** Memory for segments above which some leave. */
  readonly budgetBytes: number;
  /** Records of a segment are damaged: their queues must do without them. */
  onDamage(segment: Segment, units: readonly number[]): void;
}

export class Residency {
  readonly #log: MessageLog;
  readonly #files: LogFiles;
  readonly #options: ResidencyOptions;
  readonly #counters: LogCounters;
  #spills = 0;
  #isEvicting = false;

  constructor(log: MessageLog, files: LogFiles, options: ResidencyOptions) {
    this.#log = log;
    this.#files = files;
    this.#options = options;
    this.#counters = files.counters;
  }

  /** Lets segments leave until the budget holds, as far as any may. Called whenever memory was taken. */
  relieve(): void {
    if (this.#isEvicting) return;
    while (this.#log.pool.takenBytes > this.#options.budgetBytes) {
      const segment = this.#coldest();
      if (segment === undefined) return;
      if (segment.durability === "transient" && segment.fileBytes === 0) {
        this.#isEvicting = true;
        this.#spill(segment).finally(() => {
          this.#isEvicting = false;
          this.relieve();
        });
        return;
      }
      this.#evict(segment);
    }
  }

  /** Brings a segment back; all who ask meanwhile wait for the same read. */
  load(segment: Segment): Promise<void> {
    segment.loading ??= this.#read(segment).finally(() => {
      segment.loading = undefined;
    });
    return segment.loading;
  }

  #coldest(): Segment | undefined {
    let coldest: Segment | undefined;
    for (const segment of this.#log.segments) {
      if (segment === undefined || !segment.isResident || !segment.isFull) continue;
      if (segment.isBusy || segment.isDoomed || segment.pins > 0) continue;
      if (segment.durability === "durable" && segment.syncedTo < segment.tail) continue;
      if (coldest === undefined || segment.touchedAt < coldest.touchedAt) coldest = segment;
    }
    return coldest;
  }

  #evict(segment: Segment): void {
    this.#counters.evictions++;
    this.#log.pool.give(segment.leaveMemory());
  }

  async #spill(segment: Segment): Promise<void> {
    segment.isBusy = true;
    try {
      const path = join(this.#options.spillDirectory, String(++this.#spills));
      segment.file = await this.#options.disk.open(path, "create");
      await segment.file.write(segment.bytes!, 0, segment.tail, 0);
      segment.fileBytes = segment.tail;
    } finally {
      segment.isBusy = false;
    }
    if (!segment.isForgotten) this.#evict(segment);
  }

  async #read(segment: Segment): Promise<void> {
    if (segment.isResident) return;
    this.#counters.loads++;
    segment.isBusy = true;
    const slab = this.#log.pool.take(slabBytesFor(segment.tail));
    try {
      segment.file ??= await this.#options.disk.open(this.#files.path(segment, "seg"), "read");
      if (segment.isCompact) await this.#readCompact(segment, slab);
      else await segment.file.read(slab, 0, segment.tail, 0);
    } catch (error) {
      this.#log.pool.give(slab);
      throw error;
    } finally {
      segment.isBusy = false;
    }
    if (segment.isForgotten) {
      this.#log.pool.give(slab);
      return;
    }
    this.#checkRecords(segment, slab);
    segment.enterMemory(slab);
    this.relieve();
  }

  /** A compacted file holds the living records one after the other; the index says which they are. */
  async #readCompact(segment: Segment, slab: Buffer): Promise<void> {
    const { disk } = this.#options;
    const index = SegmentIndex.read(await readWhole(disk, this.#files.path(segment, "idx")));
    if (index === undefined) throw new Error(`the index of segment ${segment.number} is damaged`);
    const packed = Buffer.allocUnsafeSlow(segment.fileBytes);
    await segment.file!.read(packed, 0, packed.length, 0);
    let from = 0;
    index.forEach((unit, bytes) => {
      packed.copy(slab, unit << unitBits, from, from + bytes);
      from += bytes;
    });
  }

  #checkRecords(segment: Segment, slab: Buffer): void {
    const words = new Int32Array(slab.buffer, slab.byteOffset, slab.length >>> 2);
    const damaged: number[] = [];
    for (let i = 0; i < segment.recordCount; i++) {
      const unit = segment.unitAt(i);
      if (isRecord(words, unit << 1, segment.tail >>> 2)) continue;
      damaged.push(unit);
      // Whoever opens it sees that it is none; its length is known from the next one.
      words[(unit << 1) + kindWord] = 0;
      words[(unit << 1) + bytesWord] = segment.bytesOf(unit);
    }
    if (damaged.length === 0) return;
    this.#counters.damagedRecords += damaged.length;
    this.#options.onDamage(segment, damaged);
  }
}

const fullSlabBytes = 16 * 1024 * 1024;
const smallSlabBytes = 1024 * 1024;

/** Slabs come in few sizes, so that they can be used again. */
export function slabBytesFor(bytes: number): number {
  if (bytes <= smallSlabBytes) return smallSlabBytes;
  return Math.max(bytes, fullSlabBytes);
}

export async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.allocUnsafeSlow(await file.size());
    const length = await file.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}
