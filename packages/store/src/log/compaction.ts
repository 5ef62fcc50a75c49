/**
 * Keeps the disk within twice of what lives: a full segment of which the greater part is garbage is
 * written anew, with its living records only. Their units stay what they are, so nobody else notices.
 *
 *     before:  | dead | A | dead | dead | B | dead |      after:  | A | B |
 *
 * The new file and its index are safe before the old ones go. One segment at a time.
 */

import type { Disk } from "../disk/disk.ts";
import type { LogFiles } from "./log-files.ts";
import type { MessageLog } from "./message-log.ts";
import {
  bytesWord,
  headBytes,
  kindAndTargets,
  kindOf,
  kindWord,
  RecordKind,
  referencesWord,
  sealRecord,
  targetsOf,
  userWord,
} from "./record.ts";
import { type Residency, readWhole } from "./residency.ts";
import type { Segment } from "./segment.ts";
import {
  decodeSettlements,
  encodeSettlements,
  IndexWriter,
  segmentFileName,
} from "./segment-file.ts";

export class Compaction {
  readonly #log: MessageLog;
  readonly #files: LogFiles;
  readonly #residency: Residency;
  readonly #disk: Disk;
  #running: Promise<void> | undefined;

  constructor(log: MessageLog, files: LogFiles, residency: Residency, disk: Disk) {
    this.#log = log;
    this.#files = files;
    this.#residency = residency;
    this.#disk = disk;
  }

  /** Compacts whatever has become more than half garbage; resolves when nothing is left to do. */
  run(): Promise<void> {
    this.#running ??= this.#compactAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Whether a segment is due. */
  static isDue(segment: Segment): boolean {
    return (
      segment.durability === "durable" &&
      segment.isFull &&
      segment.isIndexed &&
      !segment.isBusy &&
      !segment.isDoomed &&
      segment.diskBytes > 2 * segment.liveBytes
    );
  }

  async #compactAll(): Promise<void> {
    for (;;) {
      const due = this.#log.segments.find((each) => each !== undefined && Compaction.isDue(each));
      if (due === undefined || this.#files.fault !== undefined) return;
      await this.#compact(due);
    }
  }

  async #compact(segment: Segment): Promise<void> {
    await this.#residency.load(segment);
    if (!segment.isResident || !Compaction.isDue(segment)) return;
    segment.isBusy = true;
    try {
      const packed = pack(segment);
      const old = { generation: segment.generation, file: segment.file };
      const generation = segment.generation + 1;
      const path = (kind: "seg" | "idx", of: number) =>
        this.#files.pathOf(segmentFileName(segment.number, of, kind));
      await this.#writeSafely(path("idx", generation), packed.index);
      const file = await this.#disk.open(path("seg", generation), "create");
      await file.write(packed.records, 0, packed.records.length, 0);
      await file.sync();
      await this.#files.syncDirectory();
      segment.generation = generation;
      segment.file = file;
      segment.isCompact = true;
      segment.fileBytes = packed.records.length;
      segment.indexBytes = packed.index.length;
      segment.keepOnly(packed.units, packed.lengths);
      await old.file?.close();
      await this.#disk.remove(path("idx", old.generation));
      await this.#disk.remove(path("seg", old.generation));
      await this.#shortenSidecar(segment, new Set(packed.units));
      this.#files.counters.compactions++;
    } finally {
      segment.isBusy = false;
      this.#files.onSettlement(segment);
    }
  }

  /** Of settlements only those of records that live, for another queue, still mean anything. */
  async #shortenSidecar(segment: Segment, living: ReadonlySet<number>): Promise<void> {
    if (segment.sidecarBytes === 0) return;
    const path = this.#files.path(segment, "ack");
    const pairs: number[] = [];
    decodeSettlements(await readWhole(this.#disk, path), (unit, queue) => {
      if (unit < 0 || living.has(unit)) pairs.push(unit, queue);
    });
    await segment.sidecar?.close();
    segment.sidecar = null;
    segment.sidecarBytes = 0;
    if (pairs.length === 0) {
      await this.#disk.remove(path);
      return;
    }
    const batch = encodeSettlements(pairs);
    await this.#writeSafely(`${path}.new`, batch);
    await this.#disk.rename(`${path}.new`, path);
    segment.sidecar = await this.#disk.open(path, "write");
    segment.sidecarBytes = batch.length;
  }

  async #writeSafely(path: string, bytes: Buffer): Promise<void> {
    const file = await this.#disk.open(path, "create");
    try {
      await file.write(bytes, 0, bytes.length, 0);
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

interface Packed {
  readonly records: Buffer;
  readonly index: Buffer;
  readonly units: Uint32Array;
  readonly lengths: Uint32Array;
}

/** The living records of a resident segment, one after the other, with their index. */
function pack(segment: Segment): Packed {
  const words = segment.words!;
  const living: number[] = [];
  let bytes = 0;
  for (let i = 0; i < segment.recordCount; i++) {
    const unit = segment.unitAt(i);
    if (words[(unit << 1) + referencesWord]! <= 0) continue;
    living.push(unit);
    bytes += words[(unit << 1) + bytesWord]!;
  }
  const records = Buffer.allocUnsafeSlow(bytes);
  const lengths = new Uint32Array(living.length);
  const index = new IndexWriter();
  let at = 0;
  for (const [i, unit] of living.entries()) {
    const word = unit << 1;
    // Its group is complete, or it would not be here; it stands for itself from now on.
    if (kindOf(words, word) !== RecordKind.Settlements) {
      words[word + kindWord] = kindAndTargets(RecordKind.Message, targetsOf(words, word));
    }
    sealRecord(words, word);
    const length = words[word + bytesWord]!;
    const queuesAt = word + (headBytes >>> 2);
    index.add(unit, length, words[word + kindWord]!, words[word + userWord + 3]!, words, queuesAt);
    segment.bytes!.copy(records, at, word << 2, (word << 2) + length);
    lengths[i] = length;
    at += length;
  }
  const finished = index.finish(segment.tail, true);
  return { records, index: finished, units: Uint32Array.from(living), lengths };
}
