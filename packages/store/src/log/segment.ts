/**
 * A segment: a run of records that live and die together as one slab of memory and one file. The log
 * owns them; nothing outside the log's folder sees one.
 *
 *     | record | record | record | record | record | free        |
 *     0               writtenTo          tail                  capacity
 *
 * A record is known by its unit, its offset in units of eight bytes. Compaction moves records within
 * the file and leaves their units alone: `places` then says where a unit really lies.
 *
 * This is a hot file.
 */

import type { DiskFile } from "../disk/disk.ts";
import { bytesWord, referencesWord } from "./record.ts";

export const unitBits = 3;

export type Durability = "durable" | "transient";

export class Segment {
  readonly durability: Durability;
  /** Grows from segment to segment and orders them; part of the file's name. */
  readonly number: number;
  /** Where the log has it in its table, the high part of its records' handles. */
  readonly slot: number;
  /** The memory, while the segment is in memory. */
  bytes: Buffer | null;
  words: Int32Array | null;
  /** The units of all records, in order. */
  #units: Uint32Array = new Uint32Array(64);
  /** Their lengths, once compaction has left gaps between them. */
  #lengths: Uint32Array | undefined;
  recordCount = 0;

  /** The log's position at the segment's first byte. */
  positionBase = 0;
  /** Bytes of records, living and dead. */
  tail = 0;
  /** Up to here the records are in the file... */
  writtenTo = 0;
  /** So many records are, */
  writtenRecords = 0;
  /** ...and up to here known to be safe there. */
  syncedTo = 0;
  /** Nothing is appended any more. */
  isFull = false;
  /** A flush or a load is under way, so the memory must stay. */
  isBusy = false;

  liveRecords = 0;
  liveBytes = 0;
  /** References of records that have more than one, while the segment is not in memory. */
  #manyReferences: Map<number, number> | undefined;

  file: DiskFile | null = null;
  /** How often the segment has been written into a new file. */
  generation = 0;
  /** The file holds living records only, one after the other, whatever their units. */
  isCompact = false;
  /** An index of the records has been written. */
  isIndexed = false;
  fileBytes = 0;
  indexBytes = 0;
  /** Settlements that are not in the sidecar yet: unit, queue number, unit, queue number... */
  settlements: number[] = [];
  sidecar: DiskFile | null = null;
  sidecarBytes = 0;
  /** Holders who need its records in memory. */
  pins = 0;
  /** Nothing lives in it any more, and its files are to go. */
  isDoomed = false;
  /** Its slot has been given away. */
  isForgotten = false;
  /** The load that is under way. */
  loading: Promise<void> | undefined;
  /** When it was last touched, in the log's own count of events. */
  touchedAt = 0;

  constructor(durability: Durability, number: number, slot: number, bytes: Buffer | null) {
    this.durability = durability;
    this.number = number;
    this.slot = slot;
    this.bytes = bytes;
    this.words = bytes === null ? null : wordsOf(bytes);
  }

  get isResident(): boolean {
    return this.words !== null;
  }

  /** Notes a record of `bytes` at the tail, with one reference. */
  add(bytes: number): void {
    if (this.recordCount === this.#units.length) this.#growUnits();
    this.#units[this.recordCount++] = this.tail >>> unitBits;
    this.tail += bytes;
    this.liveRecords++;
    this.liveBytes += bytes;
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
      words[word] = references;
      if (references > 0) return false;
      this.liveBytes -= words[(unit << 1) + bytesWord]!;
    } else {
      const references = this.#manyReferences?.get(unit) ?? 1;
      if (references > 1) {
        this.#manyReferences!.set(unit, references - 1);
        return false;
      }
      this.liveBytes -= this.bytesOf(unit);
    }
    this.liveRecords--;
    return true;
  }

  /** Takes over the records that recovery found: their units, in order. */
  restore(units: Uint32Array, lengths: Uint32Array | undefined, tail: number): void {
    this.#units = units;
    this.#lengths = lengths;
    this.recordCount = units.length;
    this.tail = tail;
    this.writtenTo = tail;
    this.writtenRecords = units.length;
    this.syncedTo = tail;
    this.isFull = true;
  }

  /** A record found by recovery has `references` holders. */
  revive(unit: number, references: number): void {
    this.liveRecords++;
    this.liveBytes += this.bytesOf(unit);
    if (references <= 1) return;
    this.#manyReferences ??= new Map();
    this.#manyReferences.set(unit, references);
  }

  /** Bytes of the segment's files. */
  get diskBytes(): number {
    return this.fileBytes + this.indexBytes + this.sidecarBytes;
  }

  /** A mark is written like a record, and counts as none that lives. */
  dropMark(unit: number): void {
    const words = this.words!;
    words[(unit << 1) + referencesWord] = 0;
    this.liveRecords--;
    this.liveBytes -= words[(unit << 1) + bytesWord]!;
  }

  unitAt(index: number): number {
    return this.#units[index]!;
  }

  /** Gives the memory back; the records stay known by unit, length and references. */
  leaveMemory(): Buffer {
    const words = this.words!;
    const bytes = this.bytes!;
    this.#manyReferences = undefined;
    for (let i = 0; i < this.recordCount; i++) {
      const unit = this.#units[i]!;
      const references = words[(unit << 1) + referencesWord]!;
      if (references <= 1) continue;
      this.#manyReferences ??= new Map();
      this.#manyReferences.set(unit, references);
    }
    this.bytes = null;
    this.words = null;
    this.#units = this.#units.slice(0, this.recordCount);
    return bytes;
  }

  /** Takes memory that holds the file's bytes. */
  enterMemory(bytes: Buffer): void {
    const words = wordsOf(bytes);
    for (let i = 0; i < this.recordCount; i++) {
      const unit = this.#units[i]!;
      words[(unit << 1) + referencesWord] = this.#manyReferences?.get(unit) ?? 1;
    }
    this.#manyReferences = undefined;
    this.bytes = bytes;
    this.words = words;
  }

  /** Only these records are left, with gaps between them. */
  keepOnly(units: Uint32Array, lengths: Uint32Array): void {
    this.#units = units;
    this.#lengths = lengths;
    this.recordCount = units.length;
    this.writtenRecords = units.length;
  }

  /** The length of a record that is not in memory: up to the next one. */
  bytesOf(unit: number): number {
    let low = 0;
    let high = this.recordCount - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#units[middle]! < unit) low = middle + 1;
      else high = middle;
    }
    if (this.#lengths !== undefined) return this.#lengths[low]!;
    const next = low + 1 < this.recordCount ? this.#units[low + 1]! << unitBits : this.tail;
    return next - (unit << unitBits);
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
