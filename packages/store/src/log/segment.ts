/**
 * A segment: a run of records that live and die together as one slab of memory and one file. The
 * log owns them; nothing outside the log's folder sees one.
 *
 *     | record | record | record | record | record | free        |
 *     0               writtenTo          tail                  capacity
 *
 * A record is known by its unit, its offset in units of eight bytes. Compaction packs the records
 * of the file and leaves their units alone; in memory every record lies at its unit.
 *
 * Invariants:
 * - `liveRecords` and `liveBytes` count the records with a reference, in memory or not.
 * - Which records live is known at all times: from their references while they are in memory, from
 *   a bit for each while they are not.
 *
 * This is a hot file.
 */

import type { DiskFile } from "../disk/disk.ts";
import type { FileRemoval } from "./log-directory.ts";
import { bytesWord, kindOf, RecordKind, referencesWord, userWord } from "./record.ts";

export const unitBits = 3;

export type Durability = "durable" | "transient";

export class Segment {
  readonly durability: Durability;
  /** Grows from segment to segment and orders them; part of the file's name. */
  readonly number: number;
  /** Where the log has it in its table, the high part of its records' handles. */
  readonly slot: number;
  /** How many slots it takes: more than one if it has more units than fit into one. */
  readonly slots: number;
  /** The memory, while the segment is in memory. */
  bytes: Buffer | null;
  words: Int32Array | null;
  /** The units of all records, in order. */
  #units: Uint32Array = new Uint32Array(64);
  /** Their lengths, once there are gaps between them. */
  #lengths: Uint32Array | undefined;
  recordCount = 0;

  /** The log's position at the segment's first byte. */
  positionBase = 0;
  /** Bytes of records, living and dead. */
  tail = 0;
  /** Up to here the records are in the file... */
  writtenTo = 0;
  /** ...so many of them... */
  writtenRecords = 0;
  /** ...and up to here known to be safe there. */
  syncedTo = 0;
  /** Nothing is appended any more. */
  isFull = false;
  /** How many operations need the memory and the files to stay as they are. */
  #holds = 0;

  liveRecords = 0;
  liveBytes = 0;
  /** While the segment is not in memory: which records live, a bit for each in order... */
  #living: Uint8Array | undefined;
  /** ...and the references of those that have more than one. */
  #manyReferences: Map<number, number> | undefined;
  /** Units of records whose damage has been reported. */
  lostUnits: Set<number> | undefined;

  /** The file that the records are being written to. */
  file: DiskFile | null = null;
  /** Each file that the segment is written to has a number of its own. */
  generation = 0;
  #lastGeneration = 0;
  /** A sync of the file has failed: it is not to be trusted any more. */
  isSuspect = false;
  /** Files of earlier generations, which go once this one is safe. */
  abandoned: string[] = [];
  /** How much of them was safe. */
  abandonedBytes = 0;
  /** The file holds the records that lived at some time only, one after the other. */
  isCompact = false;
  /** An index of the records has been written. */
  isIndexed = false;
  fileBytes = 0;
  indexBytes = 0;
  /** Where the records are if the segment is transient and was too much for the memory. */
  spillPath: string | undefined;
  /** It holds settlements of other segments' records, which must be safe there before it goes. */
  hasSettlements = false;
  /**
   * Groups have settled some of its records: they may have to go before the group's own record...
   */
  isSettledByGroups = false;
  /** ...and must stay until the last of the groups is durable, up to here in the log... */
  waitsFor = 0;
  /** ...those of them as well that die before they are written. */
  keptUnits: Set<number> | undefined;
  /** Its file is being replaced: no settlements are noted meanwhile. */
  isCompacting = false;
  /** Settlements that are not in the sidecar yet: unit, queue number, unit, queue number... */
  settlements: number[] = [];
  sidecar: DiskFile | null = null;
  hasSidecar = false;
  sidecarBytes = 0;
  /** Of those, what compaction has left: how far queues have delivered. */
  notesBytes = 0;
  /** A sync of the sidecar has failed. */
  isSidecarSuspect = false;
  /** After that, some of what was in it was gone: the groups that it was of have to stay. */
  lacksSettlements = false;
  /** The removal of older files, which must be on the disk before the newer ones may go. */
  lastRemoval: FileRemoval | undefined;
  /** Nothing lives in it any more, and its files are to go. */
  isDoomed = false;
  /** Its slot has been given away. */
  isForgotten = false;
  /** The load that is under way. */
  loading: Promise<void> | undefined;
  /** When it was last touched, in the log's own count of events. */
  touchedAt = 0;

  constructor(durability: Durability, number: number, slot: number, slots: number) {
    this.durability = durability;
    this.number = number;
    this.slot = slot;
    this.slots = slots;
    this.bytes = null;
    this.words = null;
  }

  get isResident(): boolean {
    return this.words !== null;
  }

  /** Whether an operation needs the memory and the files to stay. */
  get isBusy(): boolean {
    return this.#holds > 0;
  }

  hold(): void {
    this.#holds++;
  }

  letGo(): void {
    this.#holds--;
  }

  /** Memory for records to come. */
  beginMemory(bytes: Buffer): void {
    this.bytes = bytes;
    this.words = wordsOf(bytes);
  }

  /** Notes a record of `bytes` at the tail, with one reference. */
  add(bytes: number): void {
    this.addOwn(bytes);
    this.liveRecords++;
    this.liveBytes += bytes;
  }

  /** Notes a record of the log's own at the tail, which never lives. */
  addOwn(bytes: number): void {
    if (this.recordCount === this.#units.length) this.#growUnits();
    this.#units[this.recordCount++] = this.tail >>> unitBits;
    this.tail += bytes;
  }

  /** One reference more to a record. */
  retain(unit: number): void {
    const words = this.words;
    if (words !== null) {
      const word = (unit << 1) + referencesWord;
      words[word] = words[word]! + 1;
      return;
    }
    this.#manyReferences ??= new Map();
    this.#manyReferences.set(unit, (this.#manyReferences.get(unit) ?? 1) + 1);
  }

  /** One reference less to a record; true if it was the last. */
  release(unit: number): boolean {
    const words = this.words;
    if (words !== null) {
      const word = (unit << 1) + referencesWord;
      const references = words[word]! - 1;
      if (references < 0) throw overReleased(this.number, unit);
      words[word] = references;
      if (references > 0) return false;
      this.liveBytes -= words[(unit << 1) + bytesWord]!;
    } else if (!this.#releaseAway(unit)) {
      return false;
    }
    this.liveRecords--;
    return true;
  }

  #releaseAway(unit: number): boolean {
    const index = this.indexOf(unit);
    if (!this.#livesAway(index)) throw overReleased(this.number, unit);
    const references = this.#manyReferences?.get(unit) ?? 1;
    if (references > 1) {
      if (references === 2) this.#manyReferences!.delete(unit);
      else this.#manyReferences!.set(unit, references - 1);
      return false;
    }
    this.#living![index >>> 3]! &= ~(1 << (index & 7));
    this.liveBytes -= this.lengthAt(index);
    return true;
  }

  #livesAway(index: number): boolean {
    return (this.#living![index >>> 3]! & (1 << (index & 7))) !== 0;
  }

  /** Takes over records that were found on disk, by unit, in order. None lives yet. */
  restore(units: Uint32Array, lengths: Uint32Array | undefined, tail: number): void {
    this.#units = units;
    this.#lengths = lengths;
    this.recordCount = units.length;
    this.#living = new Uint8Array((units.length + 7) >>> 3);
    this.tail = tail;
    this.writtenTo = tail;
    this.writtenRecords = units.length;
    this.syncedTo = tail;
    this.isFull = true;
  }

  /** The record at this index has `references` holders, as recovery found out. */
  revive(index: number, references: number): void {
    const unit = this.#units[index]!;
    this.liveRecords++;
    this.liveBytes += this.lengthAt(index);
    if (this.words !== null) {
      this.words[(unit << 1) + referencesWord] = references;
      return;
    }
    this.#living![index >>> 3]! |= 1 << (index & 7);
    if (references <= 1) return;
    this.#manyReferences ??= new Map();
    this.#manyReferences.set(unit, references);
  }

  /** Bytes of the segment's files. */
  get diskBytes(): number {
    return this.fileBytes + this.indexBytes + this.sidecarBytes;
  }

  /** A number that no file of the segment has had; those up to `found` were found on disk. */
  nextGeneration(found = 0): number {
    this.#lastGeneration = Math.max(this.#lastGeneration, this.generation, found) + 1;
    return this.#lastGeneration;
  }

  /** Everything is to be written again, into a new file, from memory. */
  restart(generation: number): void {
    this.generation = generation;
    this.writtenTo = 0;
    this.writtenRecords = 0;
    this.syncedTo = 0;
    this.fileBytes = 0;
    this.isSuspect = false;
    const words = this.words!;
    for (let i = 0; i < this.recordCount; i++) {
      const word = this.#units[i]! << 1;
      // A mark speaks of the file that it was written to.
      if (kindOf(words, word) === RecordKind.Mark) words[word + userWord] = 0;
    }
  }

  unitAt(index: number): number {
    return this.#units[index]!;
  }

  /** Gives the memory back; the records stay known by unit, length and references. */
  leaveMemory(): Buffer {
    const words = this.words!;
    const bytes = this.bytes!;
    const living = new Uint8Array((this.recordCount + 7) >>> 3);
    for (let i = 0; i < this.recordCount; i++) {
      const unit = this.#units[i]!;
      const references = words[(unit << 1) + referencesWord]!;
      if (references === 0) continue;
      living[i >>> 3]! |= 1 << (i & 7);
      if (references === 1) continue;
      this.#manyReferences ??= new Map();
      this.#manyReferences.set(unit, references);
    }
    this.#living = living;
    this.bytes = null;
    this.words = null;
    if (this.#units.length > this.recordCount) this.#units = this.#units.slice(0, this.recordCount);
    return bytes;
  }

  /** Takes memory with every record at its unit. */
  enterMemory(bytes: Buffer): void {
    const words = wordsOf(bytes);
    for (let i = 0; i < this.recordCount; i++) {
      const unit = this.#units[i]!;
      const lives = this.#livesAway(i);
      words[(unit << 1) + referencesWord] = lives ? (this.#manyReferences?.get(unit) ?? 1) : 0;
    }
    this.#living = undefined;
    this.#manyReferences = undefined;
    this.bytes = bytes;
    this.words = words;
  }

  /** Whether somebody holds the record at this index. */
  livesAt(index: number): boolean {
    if (this.words === null) return this.#livesAway(index);
    return this.words[(this.#units[index]! << 1) + referencesWord]! > 0;
  }

  /** Only these records are left, with gaps between them. The segment is in memory. */
  keepOnly(units: Uint32Array, lengths: Uint32Array): void {
    this.#units = units;
    this.#lengths = lengths;
    this.recordCount = units.length;
    this.writtenRecords = units.length;
  }

  /** The index of the record with this unit. */
  indexOf(unit: number): number {
    let low = 0;
    let high = this.recordCount - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#units[middle]! < unit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The length of the record at this index: up to the next one, if there are no gaps. */
  lengthAt(index: number): number {
    if (this.#lengths !== undefined) return this.#lengths[index]!;
    const next = index + 1 < this.recordCount ? this.#units[index + 1]! << unitBits : this.tail;
    return next - (this.#units[index]! << unitBits);
  }

  #growUnits(): void {
    const grown = new Uint32Array(this.#units.length * 2);
    grown.set(this.#units);
    this.#units = grown;
  }
}

function wordsOf(bytes: Buffer): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
}

function overReleased(number: number, unit: number): Error {
  return new Error(`unit ${unit} of segment ${number} was released more often than it was held`);
}
