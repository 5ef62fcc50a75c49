/**
 * Finds out, when the log opens, what is in its files: which records live, for which queues, in
 * which order. It reads indexes; records are read only where an index is missing, in the segments
 * that were not full when the broker ended.
 *
 *     1. for each segment: choose among its files, learn which settlements came with groups
 *     2. for each segment: tell whose its records are, and make it part of the log
 *
 * What was read of a segment without an index may never have reached the disk, even if the
 * operating system shows it. So such a segment counts as appended again, and the first round writes
 * it to a new file. Recovery itself writes hardly anything: it also works on a full disk.
 */

import { type Disk, DiskError, type DiskFile } from "../disk/disk.ts";
import { type FileRemoval, readWhole, writeSafely } from "./log-directory.ts";
import type { LogFiles } from "./log-files.ts";
import type { MessageLog } from "./message-log.ts";
import type { Quarantine } from "./quarantine.ts";
import {
  headBytes,
  isBookkeeping,
  kindOf,
  kindWord,
  noQueue,
  RecordKind,
  userWord,
} from "./record.ts";
import { GroupedSettlements, Settled } from "./recovered-settlements.ts";
import { type FoundSegment, findSegments } from "./recovery-files.ts";
import type { Segment } from "./segment.ts";
import {
  decodeSettlements,
  deliveredFlag,
  IndexFlag,
  IndexWriter,
  indexHeadBytes,
  readIndexFlags,
  returnedFlag,
  SegmentIndex,
} from "./segment-file.ts";
import {
  hasMark,
  type ScannedRecords,
  scanRecords,
  unpackedBytes,
  unpackRecords,
} from "./segment-scan.ts";
import { addToIndex } from "./segment-seal.ts";

export interface RecoveryOptions {
  readonly log: MessageLog;
  readonly disk: Disk;
  readonly files: LogFiles;
  readonly quarantine: Quarantine;
  /**
   * Called for each record and each queue that it is still meant for, in the order in which they
   * were appended. Returns whether the queue exists; otherwise the record is not kept for it. The
   * last three of its user's words begin at words[notedAt]; it has come back to the queue `returns`
   * times.
   */
  onMessage(
    queue: number,
    handle: number,
    wasDelivered: boolean,
    words: Int32Array,
    notedAt: number,
    returns: number,
  ): boolean;
}

/**
 * A segment whose file has been chosen; or whose records have been scanned, which are in memory
 * then.
 */
interface Chosen {
  readonly found: FoundSegment;
  readonly generation: number;
  /** Unless it is to be read once more. */
  readonly index?: SegmentIndex;
  readonly scanned?: Scanned;
}

interface Scanned extends ScannedRecords {
  readonly bytes: Buffer;
  readonly words: Int32Array;
}

export class Recovery {
  readonly #options: RecoveryOptions;
  readonly #grouped = new GroupedSettlements();
  /** By queue number. */
  readonly #delivered = new Map<number, { readonly segment: number; readonly unit: number }>();
  readonly #settledByGroups: Segment[] = [];
  /**
   * Nothing is removed before the directory has been synced: what replaces it may not be safe yet.
   */
  readonly #barrier: FileRemoval;
  #found: readonly FoundSegment[] = [];
  #whole: number | undefined;
  /** A segment is not as its file has it, and is to be written anew. */
  #isAnyCut = false;
  /** Records that are still wanted by a queue. */
  records = 0;

  constructor(options: RecoveryOptions) {
    this.#options = options;
    this.#barrier = options.files.directory.remove([], 0);
  }

  async run(): Promise<void> {
    const { disk, files, log } = this.#options;
    const found = await findSegments(disk, files.directory);
    this.#found = found;
    const chosen: Chosen[] = [];
    for (const segment of found) {
      log.reserveNumber(segment.number);
      const choice = await this.#choose(segment);
      if (choice === undefined) continue;
      chosen.push(choice);
      if (segment.hasSidecar) await this.#collectDelivered(segment);
    }
    for (const choice of chosen) await this.#take(choice);
    // Some of the groups may have to be made safe again.
    for (const segment of this.#settledByGroups) segment.waitsFor = log.position;
  }

  // First pass

  /** The newest generation with a whole index: it has all records, and they are safe. */
  async #choose(found: FoundSegment): Promise<Chosen | undefined> {
    for (const generation of found.generations) {
      const flags = await this.#readFlags(found, generation);
      if (flags === undefined) continue;
      const isCompact = (flags & IndexFlag.Compact) !== 0;
      if (isCompact !== (found.records.get(generation) === "pak")) continue;
      if ((flags & IndexFlag.Settlements) === 0) return { found, generation };
      const index = SegmentIndex.read(
        await readWhole(this.#options.disk, found.indexPath(generation)),
      );
      if (index === undefined) continue;
      await this.#collectGrouped(index, found.recordsPath(generation));
      return { found, generation, index };
    }
    return await this.#scan(found, found.generations);
  }

  async #readFlags(found: FoundSegment, generation: number): Promise<number | undefined> {
    if (!found.indexes.has(generation)) return undefined;
    const file = await this.#options.disk.open(found.indexPath(generation), "read");
    try {
      const head = Buffer.alloc(indexHeadBytes);
      const length = await file.read(head, 0, head.length, 0);
      return readIndexFlags(head.subarray(0, length), await file.size());
    } finally {
      await file.close();
    }
  }

  async #collectGrouped(index: SegmentIndex, path: string): Promise<void> {
    const words = await this.#readWords(path);
    let packed = 0;
    index.forEach((unit, bytes, kindAndTargets) => {
      const word = index.isCompact ? packed >>> 2 : unit << 1;
      packed += bytes;
      if ((kindAndTargets & 0xff) === RecordKind.Settlements) this.#grouped.addRecord(words, word);
    });
  }

  /** How far each queue had delivered; segments come in order, so the last word counts. */
  async #collectDelivered(found: FoundSegment): Promise<void> {
    const { number } = found;
    decodeSettlements(await readWhole(this.#options.disk, found.sidecarPath), (unit, queue) => {
      if (unit >= 0) return;
      const reached = unit & ~deliveredFlag;
      const before = this.#delivered.get(queue);
      if (before?.segment === number && before.unit >= reached) return;
      this.#delivered.set(queue, { segment: number, unit: reached });
    });
  }

  #wasDelivered(queue: number, segment: number, unit: number): boolean {
    const reached = this.#delivered.get(queue);
    if (reached === undefined) return false;
    return segment < reached.segment || (segment === reached.segment && unit <= reached.unit);
  }

  async #readWords(path: string): Promise<Int32Array> {
    const bytes = await readWhole(this.#options.disk, path);
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  }

  /** Reads the records themselves, of all the generations together. */
  async #scan(found: FoundSegment, generations: readonly number[]): Promise<Chosen | undefined> {
    const { log, quarantine } = this.#options;
    const isWhole = found.number < (await this.#wholeBefore());
    const scanned = await this.#readRecords(found, generations, isWhole);
    if (scanned === undefined) {
      this.#discard(found);
      return undefined;
    }
    for (const { from, bytes } of scanned.damage) await quarantine.keep(found.number, from, bytes);
    for (const unit of scanned.units) {
      const isSettlements = kindOf(scanned.words, unit << 1) === RecordKind.Settlements;
      if (isSettlements) this.#grouped.addRecord(scanned.words, unit << 1);
    }
    const [generation] = generations.filter((each) => found.records.get(each) === "seg");
    // One that was full before another was begun lacks nothing but its index, which says besides
    // that all segments before are whole.
    const isFull = scanned.isClean && isWhole && !this.#isAnyCut;
    if (isFull && (await this.#isSafe(found.recordsPath(generation!)))) {
      const index = await this.#writeIndex(scanned, found.indexPath(generation!));
      log.pool.give(scanned.bytes);
      return { found, generation: generation!, index };
    }
    this.#isAnyCut = true;
    return { found, generation: found.newestGeneration, scanned };
  }

  /**
   * Segments before this number had been synced as a whole. Those behind were written when the
   * power went, or the process ended, and any of them may lack something.
   */
  async #wholeBefore(): Promise<number> {
    if (this.#whole !== undefined) return this.#whole;
    let whole = 0;
    for (const found of this.#found.toReversed()) {
      if (!(await this.#isMarked(found))) continue;
      whole = found.number;
      break;
    }
    this.#whole = whole;
    return whole;
  }

  /** Whether the segment has got a mark, or an index, which it had not before those before it. */
  async #isMarked(found: FoundSegment): Promise<boolean> {
    for (const generation of found.generations) {
      if ((await this.#readFlags(found, generation)) !== undefined) return true;
      if (hasMark(await this.#readWords(found.recordsPath(generation)))) return true;
    }
    return false;
  }

  /**
   * The oldest file has all records: none goes before a newer one has them, too. Where plain ones
   * follow it, they may have records that came later. Nothing if there is not a single record.
   */
  async #readRecords(
    found: FoundSegment,
    generations: readonly number[],
    isWhole: boolean,
  ): Promise<Scanned | undefined> {
    const oldest = generations.at(-1);
    if (oldest === undefined) return undefined;
    const isPacked = found.records.get(oldest) === "pak";
    const plain = generations.filter((each) => found.records.get(each) === "seg");
    const versions: Int32Array[] = [];
    for (const each of isPacked ? [oldest] : plain) {
      versions.push(await this.#readWords(found.recordsPath(each)));
    }
    const length = isPacked
      ? unpackedBytes(versions[0]!)
      : Math.max(...versions.map((each) => each.length)) << 2;
    const { log } = this.#options;
    // With room for an end.
    const bytes = log.pool.take(log.slabBytesFor(length + headBytes));
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
    const scanned = isPacked
      ? unpackRecords(versions[0]!, words)
      : scanRecords(versions, words, isWhole);
    if (scanned.units.length > 0) return { ...scanned, bytes, words };
    log.pool.give(bytes);
    return await this.#readRecords(found, generations.slice(0, -1), isWhole);
  }

  async #isSafe(path: string): Promise<boolean> {
    let file: DiskFile | undefined;
    try {
      file = await this.#options.disk.open(path, "write");
      await file.sync();
      return true;
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      return false;
    } finally {
      await file?.close();
    }
  }

  /** If there is no room for it, the next start will have to scan again. */
  async #writeIndex(scanned: Scanned, path: string): Promise<SegmentIndex> {
    const { files } = this.#options;
    const writer = new IndexWriter();
    for (const unit of scanned.units) {
      if (isBookkeeping(kindOf(scanned.words, unit << 1))) continue;
      addToIndex(writer, scanned.words, unit);
    }
    const encoded = writer.finish(scanned.tail, false);
    try {
      await writeSafely(await files.directory.create(path), encoded);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
    }
    return SegmentIndex.read(encoded)!;
  }

  /** Nothing of it is worth anything. */
  #discard(found: FoundSegment): void {
    const { directory } = this.#options.files;
    const records = found.generations.map((each) => found.recordsPath(each));
    const first = directory.removeRecords(records, 0, this.#barrier);
    const indexes = [...found.indexes].map((each) => found.indexPath(each));
    directory.remove([...indexes, found.sidecarPath], 0, first);
  }

  // Second pass

  /** Makes the segment part of the log, and tells whose its records are. */
  async #take(choice: Chosen): Promise<void> {
    const { disk } = this.#options;
    const { found, generation, scanned } = choice;
    if (scanned !== undefined) {
      await this.#takeScanned(found, scanned);
      return;
    }
    const path = found.indexPath(generation);
    const index = choice.index ?? SegmentIndex.read(await readWhole(disk, path));
    if (index !== undefined) {
      await this.#takeIndexed(found, generation, index);
      return;
    }
    // Its head was whole, its entries are not.
    const again = await this.#scan(found, [generation]);
    if (again?.scanned !== undefined) await this.#takeScanned(found, again.scanned);
    else if (again?.index !== undefined) await this.#takeIndexed(found, generation, again.index);
  }

  async #takeIndexed(found: FoundSegment, generation: number, index: SegmentIndex): Promise<void> {
    const { log, files } = this.#options;
    const segment = log.adopt(found.number, index.tail);
    segment.nextGeneration(found.newestGeneration);
    segment.generation = generation;
    segment.isCompact = index.isCompact;
    segment.isIndexed = true;
    segment.hasSettlements = index.hasSettlements;
    segment.indexBytes = index.bytes;
    const others = found.pathsBut(generation);
    if (others.length > 0) {
      segment.lastRemoval = files.directory.removeRecords(others, 0, this.#barrier);
    }
    const settled = await this.#readSidecar(found, segment);
    const units = new Uint32Array(index.count);
    const lengths = new Uint32Array(index.count);
    let count = 0;
    let bytes = 0;
    index.forEach((unit, length) => {
      units[count] = unit;
      lengths[count++] = length;
      bytes += length;
    });
    segment.restore(units, lengths, index.tail);
    segment.fileBytes = index.isCompact ? bytes : index.tail;
    count = 0;
    index.forEach((unit, _length, kindAndTargets, words, notedAt, queuesAt) => {
      const queuesEnd = queuesAt + (kindAndTargets >>> 8);
      this.#revive(segment, count++, unit, words, notedAt, queuesAt, queuesEnd, settled);
    });
    this.#finish(segment, settled);
  }

  async #takeScanned(found: FoundSegment, scanned: Scanned): Promise<void> {
    const { log, files } = this.#options;
    const { units, tail, words } = scanned;
    const segment = log.adopt(found.number, tail);
    segment.restore(units, undefined, tail);
    segment.enterMemory(scanned.bytes);
    const settled = await this.#readSidecar(found, segment);
    for (const [i, unit] of units.entries()) {
      const word = unit << 1;
      const kind = kindOf(words, word);
      if (kind === RecordKind.Settlements) segment.hasSettlements = true;
      if (isBookkeeping(kind)) continue;
      const queuesAt = word + (headBytes >>> 2);
      const queuesEnd = queuesAt + (words[word + kindWord]! >>> 8);
      const notedAt = word + userWord + 1;
      this.#revive(segment, i, unit, words, notedAt, queuesAt, queuesEnd, settled);
    }
    segment.abandoned = found.generations.map((each) => found.recordsPath(each));
    segment.abandonedBytes = tail;
    files.directory.remove(
      [...found.indexes].map((each) => found.indexPath(each)),
      0,
    );
    segment.restart(segment.nextGeneration(found.newestGeneration));
    log.appendAgain(segment, scanned.hasEnd);
    this.#finish(segment, settled);
  }

  /** What is settled in the segment, by its sidecar and by groups. */
  async #readSidecar(found: FoundSegment, segment: Segment): Promise<Settled> {
    const settled = new Settled();
    if (found.hasSidecar) {
      const bytes = await readWhole(this.#options.disk, found.sidecarPath);
      segment.sidecarBytes = decodeSettlements(bytes, (unit, queue) => {
        if (unit < 0) settled.delivered.set(queue, unit & ~deliveredFlag);
        else if ((unit & returnedFlag) === 0) settled.add(unit, queue);
        else settled.addReturn(unit & ~returnedFlag, queue);
      });
      segment.hasSidecar = true;
      // Behind a batch that is torn there may be whole ones. They must not count again some day.
      if (bytes.length > segment.sidecarBytes) this.#options.files.distrustSidecar(segment);
    }
    const grouped = this.#grouped.pairsOf(found.number);
    for (let i = 0; i < grouped.length; i += 2) {
      const unit = grouped[i]!;
      const queue = grouped[i + 1]!;
      if (settled.has(unit, queue)) continue;
      settled.add(unit, queue);
      segment.settlements.push(unit, queue);
      segment.keptUnits ??= new Set();
      segment.keptUnits.add(unit);
    }
    if (grouped.length > 0) {
      segment.isSettledByGroups = true;
      this.#settledByGroups.push(segment);
    }
    // The groups will go one day, and rely on the sidecar then.
    if (grouped.length > 0 && found.hasSidecar) this.#options.files.distrustSidecar(segment);
    return settled;
  }

  #revive(
    segment: Segment,
    index: number,
    unit: number,
    words: Int32Array,
    notedAt: number,
    queuesAt: number,
    queuesEnd: number,
    settled: Settled,
  ): void {
    const { log, onMessage } = this.#options;
    let references = 0;
    for (let i = queuesAt; i < queuesEnd; i++) {
      const queue = words[i]!;
      if (queue === noQueue || settled.has(unit, queue)) continue;
      const wasDelivered = this.#wasDelivered(queue, segment.number, unit);
      const handle = log.handleOf(segment, unit);
      const returns = settled.returnsOf(unit, queue);
      if (!onMessage(queue, handle, wasDelivered, words, notedAt, returns)) continue;
      references++;
      if (wasDelivered) settled.marked.set(queue, unit);
    }
    if (references === 0) return;
    segment.revive(index, references);
    this.records++;
  }

  #finish(segment: Segment, settled: Settled): void {
    segment.pack();
    // What only a later segment says is noted here as well, for that segment may go first.
    for (const [queue, unit] of settled.marked) {
      const isNoted = (settled.delivered.get(queue) ?? -1) >= unit;
      if (!isNoted) segment.settlements.push(unit | deliveredFlag, queue);
    }
    const disk = this.#options.log.disk!;
    if (segment.liveRecords === 0) disk.onDead(segment);
    else if (segment.settlements.length > 0) disk.onSettlement(segment);
  }
}
