/**
 * Finds out, when the log opens, what is in its files: which records live, for which queues, in which
 * order. It reads indexes; records are read only where an index is missing, in the segments that were
 * not full when the broker ended.
 *
 * A tail that was never finished is cut at its last whole record. Damage anywhere else is reported, kept
 * in a quarantine file, and what follows it is still believed.
 */

import { join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import { deliveredFlag, type MessageLog } from "./message-log.ts";
import {
  bytesWord,
  headBytes,
  headWords,
  isRecord,
  kindOf,
  kindWord,
  RecordKind,
  userWord,
} from "./record.ts";
import { readWhole } from "./residency.ts";
import type { Segment } from "./segment.ts";
import {
  decodeSettlements,
  IndexWriter,
  parseSegmentFileName,
  SegmentIndex,
  segmentFileName,
} from "./segment-file.ts";

export interface RecoveryOptions {
  readonly log: MessageLog;
  readonly disk: Disk;
  readonly directory: string;
  readonly quarantineDirectory: string;
  /**
   * Called for each record and each queue that it is still meant for, in the order in which they were
   * appended. Returns whether the queue exists; otherwise the record is not kept for it.
   */
  onMessage(queue: number, handle: number, userWord: number, wasDelivered: boolean): boolean;
  onDamage(description: string): void;
}

interface FoundSegment {
  readonly number: number;
  readonly generations: number[];
  readonly indexes: Set<number>;
  hasSidecar: boolean;
}

/** What is settled in a segment: unit to queue numbers. */
type Settled = Map<number, number[]>;

export class Recovery {
  readonly #options: RecoveryOptions;
  /** Settlements that came with groups, by segment number. */
  readonly #grouped = new Map<number, Settled>();
  readonly #delivered = new Map<number, { segment: number; unit: number }>();
  records = 0;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const found = await this.#find();
    const numbers = [...found.keys()].sort((a, b) => a - b);
    const last = numbers.at(-1);
    for (const number of numbers) await this.#prepare(found.get(number)!, number === last);
    for (const number of numbers) await this.#take(found.get(number)!);
  }

  async #find(): Promise<Map<number, FoundSegment>> {
    const { disk, directory } = this.#options;
    const found = new Map<number, FoundSegment>();
    for (const name of await disk.list(directory)) {
      const parsed = parseSegmentFileName(name);
      if (parsed === undefined) {
        // What compaction had not finished.
        if (name.endsWith(".new")) await disk.remove(join(directory, name));
        continue;
      }
      let segment = found.get(parsed.number);
      if (segment === undefined) {
        segment = {
          number: parsed.number,
          generations: [],
          indexes: new Set(),
          hasSidecar: false,
        };
        found.set(parsed.number, segment);
      }
      if (parsed.kind === "seg") segment.generations.push(parsed.generation);
      else if (parsed.kind === "idx") segment.indexes.add(parsed.generation);
      else segment.hasSidecar = true;
    }
    return found;
  }

  /** Leaves exactly one generation, with an index. */
  async #prepare(found: FoundSegment, isLast: boolean): Promise<void> {
    const { disk, directory } = this.#options;
    const path = (generation: number, kind: "seg" | "idx") =>
      join(directory, segmentFileName(found.number, generation, kind));
    found.generations.sort((a, b) => a - b);
    const chosen = await this.#choose(found, path);
    for (const generation of [...found.generations]) {
      if (generation === chosen) continue;
      await disk.remove(path(generation, "seg"));
    }
    for (const generation of found.indexes) {
      if (generation !== chosen) await disk.remove(path(generation, "idx"));
    }
    found.generations.length = 0;
    if (chosen === undefined) return;
    found.generations.push(chosen);
    let index = await this.#readIndex(found, chosen);
    if (index === undefined) {
      await disk.remove(path(chosen, "idx"));
      index = await this.#scan(found, path(chosen, "seg"), path(chosen, "idx"), isLast);
    }
    await this.#collectGroupedSettlements(index, path(chosen, "seg"));
    if (found.hasSidecar) await this.#collectDelivered(found.number);
  }

  /**
   * Of several generations: the oldest that is whole, for it was safe before the next was begun; or the
   * one with most whole records, where a file was given up after a fault.
   */
  async #choose(
    found: FoundSegment,
    path: (generation: number, kind: "seg" | "idx") => string,
  ): Promise<number | undefined> {
    const [first, ...others] = found.generations;
    if (first === undefined || others.length === 0) return first;
    if ((await this.#readIndex(found, first)) !== undefined) return first;
    let chosen = first;
    let most = -1;
    for (const generation of found.generations) {
      const words = await this.#readWords(path(generation, "seg"));
      const records = countRecords(words);
      if (records > most) {
        most = records;
        chosen = generation;
      }
    }
    return chosen;
  }

  async #readIndex(found: FoundSegment, generation: number): Promise<SegmentIndex | undefined> {
    if (!found.indexes.has(generation)) return undefined;
    const { disk, directory } = this.#options;
    const name = segmentFileName(found.number, generation, "idx");
    return SegmentIndex.read(await readWhole(disk, join(directory, name)));
  }

  async #readWords(path: string): Promise<Int32Array> {
    const bytes = await readWhole(this.#options.disk, path);
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  }

  /** Reads the records of a segment without an index, and writes one. */
  async #scan(
    found: FoundSegment,
    path: string,
    indexPath: string,
    isLast: boolean,
  ): Promise<SegmentIndex> {
    const { disk } = this.#options;
    const words = await this.#readWords(path);
    const syncedTo = isLast ? highestMark(words) : words.length << 2;
    const index = new IndexWriter();
    let word = 0;
    let tail = 0;
    while (word + headWords <= words.length) {
      if (!isRecord(words, word, words.length)) {
        const next = nextRecord(words, word + 2);
        if (next === undefined || word << 2 >= syncedTo) break;
        await this.#quarantine(found.number, words, word, next);
        word = next;
        continue;
      }
      const bytes = words[word + bytesWord]!;
      const kind = kindOf(words, word);
      if (kind !== RecordKind.Dead && kind !== RecordKind.Mark) {
        const queuesAt = word + (headBytes >>> 2);
        const user = words[word + userWord + 3]!;
        index.add(word >>> 1, bytes, words[word + kindWord]!, user, words, queuesAt);
      }
      word += bytes >>> 2;
      tail = word << 2;
    }
    const encoded = index.finish(tail, false);
    const file = await disk.open(indexPath, "create");
    await file.write(encoded, 0, encoded.length, 0);
    await file.sync();
    await file.close();
    return SegmentIndex.read(encoded)!;
  }

  async #quarantine(number: number, words: Int32Array, from: number, to: number): Promise<void> {
    const { disk, quarantineDirectory, onDamage } = this.#options;
    const name = `${number}-${from << 2}-${to << 2}`;
    onDamage(
      `segment ${number} is damaged from byte ${from << 2} to ${to << 2}: kept in quarantine as ${name}`,
    );
    await disk.makeDirectory(quarantineDirectory);
    const path = join(quarantineDirectory, name);
    await disk.remove(path);
    const file = await disk.open(path, "create");
    const bytes = Buffer.from(words.buffer, words.byteOffset + (from << 2), (to - from) << 2);
    await file.write(bytes, 0, bytes.length, 0);
    await file.close();
  }

  /** Settlements that were committed in a group with messages count like those of a sidecar. */
  async #collectGroupedSettlements(index: SegmentIndex, path: string): Promise<void> {
    const units: number[] = [];
    index.forEach((unit, _bytes, kindAndTargets) => {
      if ((kindAndTargets & 0xff) === RecordKind.Settlements) units.push(unit);
    });
    if (units.length === 0) return;
    const words = await this.#readWords(path);
    let packed = 0;
    index.forEach((unit, bytes, kindAndTargets) => {
      const word = index.isCompact ? packed >>> 2 : unit << 1;
      packed += bytes;
      if ((kindAndTargets & 0xff) !== RecordKind.Settlements) return;
      const count = words[word + userWord]!;
      const start = word + headWords;
      for (let i = start; i < start + count * 3; i += 3) {
        this.#addGrouped(words[i]!, words[i + 1]!, words[i + 2]!);
      }
    });
  }

  /** How far each queue had delivered. Later segments are read later, so the last word counts. */
  async #collectDelivered(number: number): Promise<void> {
    const { disk, directory } = this.#options;
    const sidecar = await readWhole(disk, join(directory, segmentFileName(number, 0, "ack")));
    decodeSettlements(sidecar, (unit, queue) => {
      if (unit >= 0) return;
      const reached = unit & ~deliveredFlag;
      const before = this.#delivered.get(queue);
      if (before !== undefined && before.segment === number && before.unit >= reached) return;
      this.#delivered.set(queue, { segment: number, unit: reached });
    });
  }

  #wasDelivered(queue: number, segment: number, unit: number): boolean {
    const reached = this.#delivered.get(queue);
    if (reached === undefined) return false;
    return segment < reached.segment || (segment === reached.segment && unit <= reached.unit);
  }

  #addGrouped(segment: number, unit: number, queue: number): void {
    this.#options.log.avoidNumber(segment);
    let settled = this.#grouped.get(segment);
    if (settled === undefined) {
      settled = new Map();
      this.#grouped.set(segment, settled);
    }
    addSettled(settled, unit, queue);
  }

  /** Makes the segment part of the log, and tells whose its records are. */
  async #take(found: FoundSegment): Promise<void> {
    const { disk, directory, log } = this.#options;
    const sidecarPath = join(directory, segmentFileName(found.number, 0, "ack"));
    const generation = found.generations[0];
    if (generation === undefined) {
      if (found.hasSidecar) await disk.remove(sidecarPath);
      return;
    }
    found.indexes.add(generation);
    const index = (await this.#readIndex(found, generation))!;
    const settled: Settled = this.#grouped.get(found.number) ?? new Map();
    const segment = log.adopt(found.number);
    segment.generation = generation;
    if (found.hasSidecar) {
      const sidecar = await readWhole(disk, sidecarPath);
      const take = (unit: number, queue: number) => {
        if (unit >= 0) addSettled(settled, unit, queue);
      };
      segment.sidecarBytes = decodeSettlements(sidecar, take);
      segment.sidecar = await disk.open(sidecarPath, "write");
    }
    const name = (kind: "seg" | "idx") =>
      join(directory, segmentFileName(found.number, generation, kind));
    segment.file = await disk.open(name("seg"), "write");
    segment.fileBytes = await segment.file.size();
    segment.indexBytes = (await readWhole(disk, name("idx"))).length;
    segment.isIndexed = true;
    segment.isCompact = index.isCompact;
    this.#revive(segment, index, settled);
    if (segment.liveRecords === 0) log.disk!.onDead(segment);
  }

  #revive(segment: Segment, index: SegmentIndex, settled: Settled): void {
    const units = new Uint32Array(index.count);
    const lengths = new Uint32Array(index.count);
    let count = 0;
    index.forEach((unit, bytes) => {
      units[count] = unit;
      lengths[count++] = bytes;
    });
    segment.restore(units, lengths, index.tail);
    const { log, onMessage } = this.#options;
    const group: (() => void)[] = [];
    index.forEach((unit, _bytes, kindAndTargets, userWord3, words, queuesAt) => {
      const kind = kindAndTargets & 0xff;
      if (kind === RecordKind.Settlements) {
        for (const each of group) each();
        group.length = 0;
        return;
      }
      const give = (): void => {
        let references = 0;
        const gone = settled.get(unit);
        const handle = log.handleOf(segment, unit);
        for (let i = queuesAt; i < queuesAt + (kindAndTargets >>> 8); i++) {
          const queue = words[i]!;
          if (gone?.includes(queue) === true) continue;
          const wasDelivered = this.#wasDelivered(queue, segment.number, unit);
          if (onMessage(queue, handle, userWord3, wasDelivered)) references++;
        }
        if (references > 0) segment.revive(unit, references);
        this.records++;
      };
      if (kind === RecordKind.Grouped) {
        group.push(give);
        return;
      }
      // A group counts once its end is there; one without an end is forgotten.
      if (kind === RecordKind.GroupEnd) for (const each of group) each();
      group.length = 0;
      give();
    });
  }
}

function addSettled(settled: Settled, unit: number, queue: number): void {
  const queues = settled.get(unit);
  if (queues === undefined) settled.set(unit, [queue]);
  else queues.push(queue);
}

function countRecords(words: Int32Array): number {
  let count = 0;
  for (let word = 0; isRecord(words, word, words.length); word += words[word + bytesWord]! >>> 2) {
    count++;
  }
  return count;
}

/** How much of a segment is known to have been synced. */
function highestMark(words: Int32Array): number {
  let highest = 0;
  for (let word = 0; word + headWords <= words.length; word += 2) {
    if (kindOf(words, word) !== RecordKind.Mark || !isRecord(words, word, words.length)) continue;
    highest = Math.max(highest, words[word + userWord]!);
  }
  return highest;
}

function nextRecord(words: Int32Array, from: number): number | undefined {
  for (let word = from; word + headWords <= words.length; word += 2) {
    if (isRecord(words, word, words.length)) return word;
  }
  return undefined;
}
