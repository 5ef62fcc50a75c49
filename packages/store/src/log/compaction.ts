/**
 * Keeps the disk within twice of what lives: a full segment of which the greater part is garbage is
 * written anew, with its living records only. Their units stay what they are, so nobody else
 * notices.
 *
 *     before:  | dead | A | dead | dead | B | dead |      after:  | A | B |
 *
 * Settlements of living records, of which other queues still want something, go into the records,
 * in place of the queues' numbers; all that is left of the sidecar is how far queues have
 * delivered. The new file and its index are safe before the old ones go. One segment at a time,
 * that with the least to write first: it frees most.
 */

import { type Disk, DiskError } from "../disk/disk.ts";
import { createAnew, type LogDirectory, readWhole, writeSafely } from "./log-directory.ts";
import type { LogFiles } from "./log-files.ts";
import type { MessageLog } from "./message-log.ts";
import type { Residency } from "./residency.ts";
import type { Segment } from "./segment.ts";
import {
  decodeSettlements,
  encodeSettlements,
  indexHeadBytes,
  returnedFlag,
  segmentFileName,
} from "./segment-file.ts";
import { noteSettled, type Packed, packRecords } from "./segment-seal.ts";

export class Compaction {
  readonly #log: MessageLog;
  readonly #files: LogFiles;
  readonly #directory: LogDirectory;
  readonly #residency: Residency;
  readonly #disk: Disk;
  #running: Promise<boolean> | undefined;

  constructor(log: MessageLog, files: LogFiles, residency: Residency, disk: Disk) {
    this.#log = log;
    this.#files = files;
    this.#directory = files.directory;
    this.#residency = residency;
    this.#disk = disk;
  }

  /**
   * Compacts whatever has become more than half garbage; resolves when nothing is left to do: true,
   * or false if the disk did not let it, or something has to be waited for.
   */
  run(): Promise<boolean> {
    this.#running ??= this.#compactAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** What is being done at the moment. */
  get running(): Promise<boolean> | undefined {
    return this.#running;
  }

  /**
   * Whether a segment is due: it is more than half garbage, and writing it anew makes it smaller.
   */
  isDue(segment: Segment): boolean {
    if (!segment.isIndexed || segment.isBusy || segment.isDoomed) return false;
    // What is dead because of a group that is not safe yet may still be needed.
    if (!this.#files.isFree(segment) || segment.lacksSettlements) return false;
    const { diskBytes, liveBytes } = segment;
    if (diskBytes <= 2 * liveBytes) return false;
    const liveShare = segment.liveRecords / segment.recordCount;
    const entriesBytes = (segment.indexBytes - indexHeadBytes) * liveShare;
    const compactBytes = liveBytes + indexHeadBytes + entriesBytes + segment.notesBytes;
    return compactBytes < 0.875 * diskBytes;
  }

  get isAnyDue(): boolean {
    return this.#log.segments.some((each) => each !== undefined && this.isDue(each));
  }

  async #compactAll(): Promise<boolean> {
    for (;;) {
      const due = this.#smallestDue();
      if (due === undefined) return true;
      try {
        if (!(await this.#compact(due))) return false;
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        this.#files.counters.faults++;
        return false;
      }
    }
  }

  #smallestDue(): Segment | undefined {
    let smallest: Segment | undefined;
    for (const segment of this.#log.segments) {
      if (segment === undefined || !this.isDue(segment)) continue;
      if (smallest === undefined || segment.liveBytes < smallest.liveBytes) smallest = segment;
    }
    return smallest;
  }

  /** Returns whether the segment is no longer due. */
  async #compact(segment: Segment): Promise<boolean> {
    if (segment.hasSettlements && !(await this.#files.secureSettlements())) return false;
    await this.#residency.load(segment);
    if (!segment.isResident || !this.isDue(segment)) return true;
    segment.hold();
    segment.isCompacting = true;
    try {
      const notes = segment.hasSidecar ? await this.#takeSidecar(segment) : [];
      // A group may have settled some of them meanwhile.
      if (!this.#files.isFree(segment) || segment.lacksSettlements) return true;
      const packed = packRecords(segment);
      const generation = segment.nextGeneration();
      await this.#write(segment.number, generation, packed);
      this.#replace(segment, generation, packed);
      if (segment.hasSidecar) await this.#shortenSidecar(segment, notes);
      this.#files.counters.compactions++;
      return true;
    } finally {
      segment.isCompacting = false;
      this.#files.letGo(segment);
    }
  }

  /** The records first: where an index is whole, the records are. */
  async #write(number: number, generation: number, packed: Packed): Promise<void> {
    const paths = (["pak", "idx"] as const).map((kind) =>
      this.#directory.pathOf(segmentFileName(number, generation, kind)),
    );
    try {
      await writeSafely(await this.#directory.create(paths[0]!), packed.records);
      await writeSafely(await this.#directory.create(paths[1]!), packed.index);
      await this.#directory.sync();
    } catch (error) {
      this.#directory.remove(paths, packed.records.length + packed.index.length);
      throw error;
    }
  }

  #replace(segment: Segment, generation: number, packed: Packed): void {
    const old = [this.#directory.recordsPath(segment), this.#directory.pathIn(segment, "idx")];
    const oldBytes = segment.fileBytes + segment.indexBytes;
    segment.lastRemoval = this.#directory.removeRecords(old, oldBytes, segment.lastRemoval);
    segment.generation = generation;
    segment.isCompact = true;
    segment.fileBytes = packed.records.length;
    segment.indexBytes = packed.index.length;
    segment.hasSettlements = packed.hasSettlements;
    segment.keepOnly(packed.units, packed.lengths);
  }

  /**
   * Notes its settlements in the records. Returns the pairs that are still to be told: how far each
   * queue had delivered, and what has come back.
   */
  async #takeSidecar(segment: Segment): Promise<number[]> {
    const returned: number[] = [];
    const delivered = new Map<number, number>();
    const sidecar = await readWhole(this.#disk, this.#directory.pathIn(segment, "ack"));
    const known = sidecar.subarray(0, segment.sidecarBytes);
    const length = decodeSettlements(known, (unit, queue) => {
      if (unit < 0) delivered.set(queue, Math.max(unit, delivered.get(queue) ?? unit));
      else if ((unit & returnedFlag) === 0) noteSettled(segment, unit, queue);
      else if (segment.lives(unit & ~returnedFlag)) returned.push(unit, queue);
    });
    if (length < segment.sidecarBytes) segment.lacksSettlements = true;
    return [...returned, ...[...delivered].flatMap(([queue, unit]) => [unit, queue])];
  }

  /**
   * Settlements are in the records now, or their records are gone; the rest is all that is left.
   */
  async #shortenSidecar(segment: Segment, notes: readonly number[]): Promise<void> {
    const path = this.#directory.pathIn(segment, "ack");
    await this.#files.forgetSidecar(segment);
    if (notes.length === 0) {
      await this.#disk.remove(path);
      segment.hasSidecar = false;
      segment.sidecarBytes = 0;
    } else {
      const batch = encodeSettlements(notes);
      await writeSafely(await createAnew(this.#disk, `${path}.new`), batch);
      await this.#disk.rename(`${path}.new`, path);
      this.#directory.noteRename();
      segment.sidecarBytes = batch.length;
    }
    segment.notesBytes = segment.sidecarBytes;
    segment.isSidecarSuspect = false;
  }
}
