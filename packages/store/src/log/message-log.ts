/**
 * The message log: where the bytes of all messages of a node live, in memory and, as far as they
 * are to survive, on disk. It knows nothing of AMQP: a record is four words and a run of bytes of
 * its user's, and the numbers of the queues that it is meant for.
 *
 *     append -> | segment 7, full | segment 8, full | segment 9, filling |   one for all queues
 *                                      written, synced ^    ^ only in memory
 *
 * Every record has a handle, a number; queues hold handles. A record lives while somebody holds a
 * reference to it; a segment without living records is gone, in memory and on disk. Records that
 * are to survive are written by one flush at a time, which takes along all that has come meanwhile,
 * in the order in which it came: what is written is always a prefix of what was appended, and what
 * is durable one of that. A record's level says which of the two somebody waits for.
 *
 * Invariants:
 * - A handle is slot x units a slot + unit. Handles of living records are unique and never change.
 * - `durablePosition` never passes a record that could be lost, `writtenPosition` none that could
 *   be lost with the process.
 * - Memory of segments comes from a pool and goes back to it, hottest first.
 *
 * This is a hot file.
 */

import { ByteCount } from "@haremq/kernel";
import type { ConfirmLevel } from "./confirm-level.ts";
import { defaultSizes, type LogSizes } from "./log-sizes.ts";
import {
  bytesWord,
  headBytes,
  headWords,
  kindAndTargets,
  kindOf,
  kindWord,
  RecordKind,
  recordBytes,
  referencesWord,
  unitBits,
  userWord,
} from "./record.ts";
import { type Durability, Segment } from "./segment.ts";
import { deliveredFlag, returnedFlag } from "./segment-file.ts";
import { SlabPool } from "./slab-pool.ts";

/** What an operator may know of the log. */
export interface LogStats {
  readonly segments: number;
  readonly residentBytes: number;
  readonly liveRecords: number;
  readonly liveBytes: number;
  /** Bytes on disk, or due to get there, that belong to no living record. */
  readonly garbageBytes: number;
}

/** What the log tells the part of it that owns files. Without one nothing is ever written. */
export interface LogDisk {
  /** A durable record has been appended, and nothing has been scheduled yet for those before it. */
  onAppend(segment: Segment): void;
  /** A new segment has been begun, which took memory. */
  onTurn(): void;
  /** A durable segment has a settlement to note. */
  onSettlement(segment: Segment): void;
  /** Who held the segment in memory does so no longer. */
  letGo(segment: Segment): void;
  /**
   * Nothing lives in the segment any more: its files may go. Returns false to keep the segment for
   * the time being, and forgets it later.
   */
  onDead(segment: Segment): boolean;
}

/** How many units a slot has room for in a handle. */
const slotUnits = defaultSizes.segmentBytes >>> unitBits;
/** Offsets within a segment are 32 bits in places. */
const groupBytesMax = 1024 * 1024 * 1024;

export class MessageLog {
  /** By slot: one that is larger than others is there several times. */
  readonly segments: (Segment | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  readonly pool: SlabPool;
  /** What it takes to know of records, of those as well that are not in memory. */
  readonly indexMemory = new ByteCount();
  readonly #segmentBytes: number;
  readonly #transientSegmentBytes: number;
  #nextNumber = 1;
  #durable: Segment | null = null;
  #transient: Segment | null = null;
  #events = 0;
  #notes: DeliveryNote[] = [];

  /** Bytes of durable records ever appended: what confirms wait for. */
  position = 0;
  /** Up to here the operating system has everything... */
  writtenPosition = 0;
  /** ...and up to here everything is safe. */
  durablePosition = 0;
  /** The last record of level disk ends here: the log is to be synced as far as that at once... */
  positionToSync = 0;
  /** ...and the last of level os here, which need only be written. */
  positionToWrite = 0;
  /** Where the last group ended. */
  groupPosition = 0;
  disk: LogDisk | undefined;

  /** Where the record last appended or opened lies: its segment's bytes and words... */
  bytes: Buffer;
  words: Int32Array;
  /** ...the word offset of its head... */
  word = 0;
  /** ...and the byte offset of its user's bytes. */
  contentStart = 0;

  constructor(spareBytesMax = 64 * 1024 * 1024, sizes: LogSizes = defaultSizes) {
    const { segmentBytes, transientSegmentBytes } = sizes;
    this.#segmentBytes = segmentBytes;
    this.#transientSegmentBytes = transientSegmentBytes;
    this.pool = new SlabPool(spareBytesMax, [segmentBytes, transientSegmentBytes]);
    this.bytes = Buffer.alloc(0);
    this.words = new Int32Array(0);
  }

  /** Room for a record that need not survive, with one reference. Returns its handle. */
  appendTransient(length: number): number {
    const size = recordBytes(0, length);
    let segment = this.#transient;
    if (segment === null || segment.tail + size > segment.bytes!.length) {
      if (size > this.#transientSegmentBytes) {
        return this.#appendTo(this.#alone("transient", size), size, noQueues);
      }
      segment = this.#turn("transient");
    }
    return this.#appendTo(segment, size, noQueues);
  }

  /**
   * Room for a record that survives the process once `writtenPosition` has reached the `position`
   * after this call, and a power loss once `durablePosition` has, with one reference. `queues` are
   * the numbers of those that it is to survive for; at level disk it is synced without delay.
   */
  appendDurable(
    length: number,
    queues: readonly number[],
    kind: number,
    level: ConfirmLevel = "disk",
  ): number {
    const disk = this.disk;
    if (disk === undefined) return this.appendTransient(length);
    const size = recordBytes(queues.length, length);
    let segment = this.#durable;
    if (segment === null || segment.tail + size + headBytes > segment.bytes!.length) {
      if (size + headBytes > this.#segmentBytes) {
        // Positions grow along the segments, so the one being filled ends here.
        if (segment !== null) this.#finish(segment);
        this.#durable = null;
        segment = this.#alone("durable", size + headBytes);
      } else {
        segment = this.#turn("durable");
      }
    }
    const handle = this.#appendTo(segment, size, queues);
    this.words[this.word + kindWord] = kindAndTargets(kind, queues.length);
    this.position += size;
    if (kind !== RecordKind.Message) {
      this.groupPosition = this.position;
      if (kind === RecordKind.Settlements) segment.hasSettlements = true;
    }
    if (segment.isFull) this.appendEnd(segment);
    if (level === "disk") this.positionToSync = this.position;
    else this.positionToWrite = this.position;
    disk.onAppend(segment);
    return handle;
  }

  /**
   * Makes sure that durable records of so many bytes, each with its head, lie in one segment: a
   * group of records, the last of kind GroupEnd and appended in one go, is valid as a whole or not
   * at all.
   */
  beginGroup(bytes: number): void {
    const segment = this.#durable;
    if (this.disk === undefined) return;
    const capacity = Math.max(this.#segmentBytes, (bytes + headBytes + 7) & ~7);
    if (segment !== null && segment.tail + bytes + headBytes <= segment.bytes!.length) return;
    if (bytes > groupBytesMax) throw new RangeError(`a group of ${bytes} bytes is too large`);
    if (segment !== null) this.#finish(segment);
    this.#durable = this.#newSegment("durable", capacity, slotsFor(bytes));
  }

  /**
   * Notes in the segment how much of it is synced, if there is room: so that recovery can tell
   * damage from a tail that was never finished. All segments before it are safe then.
   */
  appendMark(segment: Segment): void {
    const hasRoom = segment.tail + 2 * headBytes <= segment.bytes!.length;
    if (segment.isFull || !hasRoom) return;
    segment.markedTo = segment.syncedTo;
    this.#appendOwn(segment, RecordKind.Mark, segment.syncedTo);
  }

  /**
   * The segment is full: recovery learns from the end, for which there is always room, that it was.
   */
  appendEnd(segment: Segment): void {
    this.#appendOwn(segment, RecordKind.End, 0);
  }

  /** A record that nobody holds. Whoever is just filling another does not notice. */
  #appendOwn(segment: Segment, kind: number, userValue: number): void {
    const words = segment.words!;
    const word = segment.tail >>> 2;
    words.fill(0, word, word + headWords);
    words[word + bytesWord] = headBytes;
    words[word + kindWord] = kindAndTargets(kind, 0);
    words[word + userWord] = userValue;
    segment.addOwn(headBytes);
    const isAllToSync = this.positionToSync === this.position;
    this.position += headBytes;
    if (isAllToSync) this.positionToSync = this.position;
  }

  #appendTo(segment: Segment, size: number, queues: readonly number[]): number {
    const words = segment.words!;
    const start = segment.tail;
    const word = start >>> 2;
    segment.add(size);
    segment.touchedAt = ++this.#events;
    words[word + referencesWord] = 1;
    words[word + bytesWord] = size;
    words[word + kindWord] = RecordKind.Message;
    let target = word + (headBytes >>> 2);
    for (let i = 0; i < queues.length; i++) words[target++] = queues[i]!;
    this.bytes = segment.bytes!;
    this.words = words;
    this.word = word;
    this.contentStart = target << 2;
    return segment.slot * slotUnits + (start >>> unitBits);
  }

  /** Whether the record can be opened without reading from disk first. */
  isResident(handle: number): boolean {
    return this.segments[Math.floor(handle / slotUnits)]!.words !== null;
  }

  /** Leaves `bytes`, `words`, `word` and `contentStart` standing on a resident record. */
  open(handle: number): void {
    const segment = this.segments[Math.floor(handle / slotUnits)]!;
    const words = segment.words!;
    const word = (handle - segment.slot * slotUnits) << 1;
    segment.touchedAt = ++this.#events;
    this.bytes = segment.bytes!;
    this.words = words;
    this.word = word;
    this.contentStart = (word << 2) + headBytes + (words[word + kindWord]! >>> 8) * 4;
  }

  /**
   * Whether the record, which is resident, has turned out damaged: nothing is left but to settle
   * it.
   */
  isLost(handle: number): boolean {
    const segment = this.segments[Math.floor(handle / slotUnits)]!;
    return kindOf(segment.words!, (handle - segment.slot * slotUnits) << 1) === RecordKind.Lost;
  }

  retain(handle: number): void {
    const segment = this.segments[Math.floor(handle / slotUnits)]!;
    segment.retain(handle - segment.slot * slotUnits);
  }

  release(handle: number): void {
    const segment = this.segments[Math.floor(handle / slotUnits)]!;
    if (segment.release(handle - segment.slot * slotUnits)) this.#onRecordDead(segment);
  }

  /** The queue with this number has no more claim on the record, now and after a restart. */
  settle(handle: number, queue: number): void {
    const segment = this.segments[Math.floor(handle / slotUnits)]!;
    const unit = handle - segment.slot * slotUnits;
    const isDead = segment.release(unit);
    if (segment.durability === "durable" && this.disk !== undefined) {
      const start = unit << unitBits;
      const group = this.groupPosition;
      if (group > this.durablePosition && segment.positionBase + start < group) {
        this.#keepForGroup(segment, unit);
      }
      // What dies before it was written is written as dead, or not at all.
      const isWritten = start < segment.writtenTo || segment.isBusy;
      const isKept = isWritten || !isDead || segment.keptUnits?.has(unit) === true;
      if (isKept || kindOf(segment.words!, unit << 1) !== RecordKind.Message) {
        segment.settlements.push(unit, queue);
        this.disk.onSettlement(segment);
      }
    }
    if (isDead) this.#onRecordDead(segment);
  }

  /** Keeps a resident record in memory until it is unpinned. */
  pin(handle: number): void {
    this.segmentOf(handle).hold();
  }

  unpin(handle: number): void {
    const segment = this.segmentOf(handle);
    if (this.disk === undefined) segment.letGo();
    else this.disk.letGo(segment);
  }

  /** Whether the record is written to disk to survive. */
  isDurable(handle: number): boolean {
    return this.segmentOf(handle).durability === "durable";
  }

  /** What a Settlements record calls a record: its segment's number, and its unit. */
  placeOf(handle: number): readonly [segment: number, unit: number] {
    return [this.segmentOf(handle).number, this.unitOf(handle)];
  }

  /**
   * The note's queue has delivered its messages up to this record for the first time, which a
   * restart is to know: they may have been seen.
   */
  noteDelivered(note: DeliveryNote, handle: number): void {
    const segment = this.segments[Math.floor(handle / slotUnits)]!;
    if (segment.durability !== "durable" || this.disk === undefined) return;
    if (note.segment !== segment) {
      if (note.segment !== null) this.#writeNote(note);
      note.segment = segment;
      this.#notes.push(note);
      this.disk.onSettlement(segment);
    }
    note.unit = handle - segment.slot * slotUnits;
  }

  /** The queue has got the record back, which a restart is to count. */
  noteReturned(handle: number, queue: number): void {
    const segment = this.segmentOf(handle);
    if (segment.durability !== "durable" || this.disk === undefined) return;
    segment.settlements.push(this.unitOf(handle) | returnedFlag, queue);
    this.disk.onSettlement(segment);
  }

  /** Gives what was noted of deliveries to the segments, which write it with their settlements. */
  flushNotes(): void {
    if (this.#notes.length === 0) return;
    const notes = this.#notes;
    this.#notes = [];
    for (const note of notes) if (note.segment !== null) this.#writeNote(note);
  }

  #writeNote(note: DeliveryNote): void {
    const segment = note.segment!;
    note.segment = null;
    if (segment.isForgotten) return;
    segment.settlements.push(note.unit | deliveredFlag, note.queue);
    this.disk!.onSettlement(segment);
  }

  /**
   * The settlement may be part of a group that is not durable yet. Should the group be lost, the
   * record must not be.
   */
  #keepForGroup(segment: Segment, unit: number): void {
    segment.isSettledByGroups = true;
    segment.waitsFor = this.groupPosition;
    // Even if it is written: the file may have to be given up.
    if (segment.isIndexed) return;
    segment.keptUnits ??= new Set();
    segment.keptUnits.add(unit);
  }

  /** Which segment a handle's record is in, for loading and unloading. */
  segmentOf(handle: number): Segment {
    return this.segments[Math.floor(handle / slotUnits)]!;
  }

  /** The handle of the record at this unit of a segment. */
  handleOf(segment: Segment, unit: number): number {
    return segment.slot * slotUnits + unit;
  }

  /** The unit of a handle's record in its segment. */
  unitOf(handle: number): number {
    return handle - this.segmentOf(handle).slot * slotUnits;
  }

  /** The segment was made use of just now. */
  touch(segment: Segment): void {
    segment.touchedAt = ++this.#events;
  }

  /** Makes a segment for one that was found on disk; its memory comes when it is needed. */
  adopt(number: number, bytes: number): Segment {
    this.reserveNumber(number);
    const segment = this.#addSegment("durable", number, slotsFor(bytes));
    // Before everything that is appended from now on.
    segment.positionBase = -bytes;
    return segment;
  }

  /** No segment to come has this number, nor a lower one. */
  reserveNumber(number: number): void {
    this.#nextNumber = Math.max(this.#nextNumber, number + 1);
  }

  /**
   * A segment that was found on disk, and is in memory, but not trusted to be safe: as if appended.
   */
  appendAgain(segment: Segment, hasEnd: boolean): void {
    segment.positionBase = this.position;
    this.position += segment.tail;
    if (!hasEnd) this.appendEnd(segment);
    this.positionToSync = this.position;
    this.disk!.onAppend(segment);
  }

  /** The size of the slab for so many bytes; there are few, so that they can be used again. */
  slabBytesFor(bytes: number): number {
    if (bytes <= this.#transientSegmentBytes) return this.#transientSegmentBytes;
    return Math.max(bytes, this.#segmentBytes);
  }

  /** The durable segment that is being filled. */
  get tailSegment(): Segment | null {
    return this.#durable;
  }

  /** Nothing more is appended to the segment that is being filled. */
  endTail(): void {
    const segment = this.#durable;
    this.#durable = null;
    if (segment === null) return;
    this.#finish(segment);
  }

  /**
   * Ends the durable segment that is being filled if nothing in it lives: it need not be written.
   */
  endDeadTail(): void {
    const segment = this.#durable;
    if (segment !== null && segment.liveRecords === 0 && !segment.isBusy) this.endTail();
  }

  get stats(): LogStats {
    let residentBytes = 0;
    let liveRecords = 0;
    let liveBytes = 0;
    let garbageBytes = 0;
    let segments = 0;
    for (const [slot, segment] of this.segments.entries()) {
      if (segment === undefined || segment.slot !== slot) continue;
      segments++;
      residentBytes += segment.bytes?.length ?? 0;
      liveRecords += segment.liveRecords;
      liveBytes += segment.liveBytes;
      if (segment.durability === "transient") continue;
      const bytes = segment.isCompact ? segment.fileBytes : segment.tail;
      garbageBytes += bytes - segment.liveBytes;
    }
    return { segments, residentBytes, liveRecords, liveBytes, garbageBytes };
  }

  #turn(durability: Durability): Segment {
    const capacity = durability === "durable" ? this.#segmentBytes : this.#transientSegmentBytes;
    const old = durability === "durable" ? this.#durable : this.#transient;
    // First the old one, whose end still moves the position.
    if (old !== null) this.#finish(old);
    const segment = this.#newSegment(durability, capacity);
    if (durability === "durable") this.#durable = segment;
    else this.#transient = segment;
    return segment;
  }

  #finish(segment: Segment): void {
    segment.isFull = true;
    if (segment.durability === "durable" && segment.tail > 0) this.appendEnd(segment);
    if (segment.liveRecords === 0) this.#onSegmentDead(segment);
  }

  /** A segment for one record that is larger than any. */
  #alone(durability: Durability, size: number): Segment {
    const segment = this.#newSegment(durability, size);
    segment.isFull = true;
    return segment;
  }

  #newSegment(durability: Durability, capacity: number, slots = 1): Segment {
    const segment = this.#addSegment(durability, this.#nextNumber++, slots);
    segment.beginMemory(this.pool.take(capacity));
    segment.positionBase = this.position;
    this.disk?.onTurn();
    return segment;
  }

  #addSegment(durability: Durability, number: number, slots: number): Segment {
    const isUsual = slots === 1 && this.#freeSlots.length > 0;
    const slot = isUsual ? this.#freeSlots.pop()! : this.segments.length;
    const segment = new Segment(durability, number, slot, slots, this.indexMemory);
    for (let i = slot; i < slot + slots; i++) this.segments[i] = segment;
    return segment;
  }

  #onRecordDead(segment: Segment): void {
    if (segment.liveRecords > 0) return;
    if (segment.isFull) {
      this.#onSegmentDead(segment);
    } else if (segment.durability === "transient") {
      // All that was written is dead: start over in the same, warm memory.
      segment.forgetRecords();
    }
  }

  #onSegmentDead(segment: Segment): void {
    if (this.disk !== undefined && !this.disk.onDead(segment)) return;
    this.forget(segment);
  }

  /** The segment is gone: its slot and memory serve again. */
  forget(segment: Segment): void {
    segment.forget();
    for (let slot = segment.slot; slot < segment.slot + segment.slots; slot++) {
      this.segments[slot] = undefined;
      this.#freeSlots.push(slot);
    }
    if (segment.bytes !== null) this.pool.give(segment.bytes);
    segment.bytes = null;
    segment.words = null;
  }
}

const noQueues: readonly number[] = [];

/** How far one durable queue has delivered since the files were last told. */
export class DeliveryNote {
  readonly queue: number;
  segment: Segment | null = null;
  unit = 0;

  constructor(queue: number) {
    this.queue = queue;
  }
}

/** How many slots a segment of so many bytes needs for its units. */
function slotsFor(bytes: number): number {
  return Math.max(1, Math.ceil((bytes >>> unitBits) / slotUnits));
}
