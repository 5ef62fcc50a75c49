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
 *   counts for each while they are not.
 *
 * This is a hot file.
 */

import type { ByteCount } from "@haremq/kernel";
import type { DiskFile } from "../disk/disk.ts";
import type { FileRemoval } from "./log-directory.ts";
import { bytesWord, kindOf, RecordKind, referencesWord, unitBits, userWord } from "./record.ts";
import { RecordTable } from "./record-table.ts";
import { ReferenceCounts } from "./reference-counts.ts";

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
  /** All records, in order. */
  readonly #records = new RecordTable();

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
  /** What the last mark in the file says of that; less than nothing without one. */
  markedTo = -1;
  /** Nothing is appended any more. */
  isFull = false;
  /** How many operations need the memory and the files to stay as they are. */
  #holds = 0;

  liveRecords = 0;
  liveBytes = 0;
  /** While the segment is not in memory: how many references each record has. */
  #referencesAway: ReferenceCounts | undefined;
  /** Where the memory is counted that it takes to know of the records... */
  readonly #memory: ByteCount | undefined;
  /** ...and what is counted there. */
  #countedBytes = 0;
  /** Units of records whose damage has been reported. */
  lostUnits: Set<number> | undefined;

  /** The file that the records are being written to. */
  file: DiskFile | null = null;
  /** Each file that the segment is written to has a number of its own. */
  generation = 0;
  #lastGeneration = 0;
  /** Why a sync of the file has failed: it is not to be trusted any more. */
  suspicion: Error | undefined;
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

  constructor(
    durability: Durability,
    number: number,
    slot: number,
    slots: number,
    memory?: ByteCount,
  ) {
    this.durability = durability;
    this.number = number;
    this.slot = slot;
    this.slots = slots;
    this.#memory = memory;
    this.bytes = null;
    this.words = null;
  }

  get recordCount(): number {
    return this.#records.count;
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
    if (this.#records.add(this.tail >>> unitBits)) this.#countMemory();
    this.tail += bytes;
  }

  /** None of the records lives: the next one comes to the beginning of the same memory. */
  forgetRecords(): void {
    this.#records.count = 0;
    this.tail = 0;
  }

  /** One reference more to a record. */
  retain(unit: number): void {
    const words = this.words;
    if (words !== null) {
      const word = (unit << 1) + referencesWord;
      words[word] = words[word]! + 1;
      return;
    }
    const references = this.#referencesAway!;
    const index = this.indexOf(unit);
    references.set(index, references.at(index) + 1);
    this.#countMemory();
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
    const references = this.#referencesAway!;
    const index = this.indexOf(unit);
    const left = references.at(index) - 1;
    if (left < 0) throw overReleased(this.number, unit);
    references.set(index, left);
    if (left > 0) return false;
    this.liveBytes -= this.lengthAt(index);
    return true;
  }

  /**
   * Takes over records that were found on disk, by unit, in order. None lives before it is revived;
   * once all that do are, `pack` is to be called.
   */
  restore(units: Uint32Array, lengths: Uint32Array | undefined, tail: number): void {
    this.#records.replace(units, lengths);
    this.#referencesAway = new ReferenceCounts(units.length);
    this.#countMemory();
    this.tail = tail;
    this.writtenTo = tail;
    this.writtenRecords = units.length;
    this.syncedTo = tail;
    this.isFull = true;
  }

  /** The record at this index has `references` holders, as recovery found out. */
  revive(index: number, references: number): void {
    this.liveRecords++;
    this.liveBytes += this.lengthAt(index);
    if (this.words === null) this.#referencesAway!.set(index, references);
    else this.words[(this.unitAt(index) << 1) + referencesWord] = references;
  }

  /** Nobody looks at the records of a segment that is not in memory for the time being. */
  pack(): void {
    if (this.words !== null) return;
    this.#records.pack();
    this.#countMemory();
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
    this.markedTo = -1;
    this.fileBytes = 0;
    this.suspicion = undefined;
    const words = this.words!;
    for (let i = 0; i < this.recordCount; i++) {
      const word = this.unitAt(i) << 1;
      // A mark speaks of the file that it was written to.
      if (kindOf(words, word) === RecordKind.Mark) words[word + userWord] = 0;
    }
  }

  unitAt(index: number): number {
    return this.#records.unitAt(index);
  }

  /** Gives the memory back; the records stay known by unit, length and references. */
  leaveMemory(): Buffer {
    const words = this.words!;
    const bytes = this.bytes!;
    const references = new ReferenceCounts(this.recordCount);
    for (let i = 0; i < this.recordCount; i++) {
      const count = words[(this.unitAt(i) << 1) + referencesWord]!;
      if (count !== 0) references.set(i, count);
    }
    this.#referencesAway = references;
    this.bytes = null;
    this.words = null;
    this.#records.pack();
    this.#countMemory();
    return bytes;
  }

  /** Takes memory with every record at its unit. */
  enterMemory(bytes: Buffer): void {
    const words = wordsOf(bytes);
    const references = this.#referencesAway!;
    this.#records.unpack();
    for (let i = 0; i < this.recordCount; i++) {
      words[(this.unitAt(i) << 1) + referencesWord] = references.at(i);
    }
    this.#referencesAway = undefined;
    this.bytes = bytes;
    this.words = words;
    this.#countMemory();
  }

  /** Whether there is a record at this unit that somebody holds. */
  lives(unit: number): boolean {
    const index = this.indexOf(unit);
    return this.unitAt(index) === unit && this.livesAt(index);
  }

  /** Whether somebody holds the record at this index. */
  livesAt(index: number): boolean {
    if (this.words === null) return this.#referencesAway!.at(index) > 0;
    return this.words[(this.unitAt(index) << 1) + referencesWord]! > 0;
  }

  /** Only these records are left, with gaps between them. The segment is in memory. */
  keepOnly(units: Uint32Array, lengths: Uint32Array): void {
    this.#records.replace(units, lengths);
    this.#countMemory();
    this.writtenRecords = units.length;
  }

  /** The index of the record with this unit. */
  indexOf(unit: number): number {
    return this.#records.indexOf(unit);
  }

  /** The length of the record at this index: up to the next one, if there are no gaps. */
  lengthAt(index: number): number {
    return this.#records.lengthAt(index, this.tail);
  }

  /** The segment is gone, and what was known of its records with it. */
  forget(): void {
    this.isForgotten = true;
    if (this.#memory !== undefined) this.#memory.bytes -= this.#countedBytes;
    this.#countedBytes = 0;
  }

  #countMemory(): void {
    if (this.#memory === undefined || this.isForgotten) return;
    const bytes = this.#records.bytes + (this.#referencesAway?.bytes ?? 0);
    this.#memory.bytes += bytes - this.#countedBytes;
    this.#countedBytes = bytes;
  }
}

function wordsOf(bytes: Buffer): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
}

function overReleased(number: number, unit: number): Error {
  return new Error(`unit ${unit} of segment ${number} was released more often than it was held`);
}
