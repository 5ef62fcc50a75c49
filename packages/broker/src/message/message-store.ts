/**
 * Keeps messages for queues: lays a message out as one record of the log, whatever the number of
 * queues that hold it, and counts the holders. Queues call it; nobody else knows the layout.
 *
 *     user's words:  | address bytes: 10 bits, properties': 22 | body bytes | arrival | terms |
 *     user's bytes:  | address .. | properties .. | body .. | length | blind copies ..       |
 *
 * A message that is to survive a restart for some of its queues is appended to the durable log,
 * with their numbers; every other one lives in memory. Without a data directory there is no durable
 * log.
 *
 * This is a hot file.
 */

import {
  type ConfirmLevel,
  type DeliveryNote,
  type DurableLog,
  type LogPlace,
  MessageLog,
  RecordKind,
  recordBytes,
  userWord,
} from "@haremq/store";
import { copyBytes } from "./copy-bytes.ts";
import { MemoryUse } from "./memory-use.ts";
import { arrivalAt } from "./message-terms.ts";
import { blindCopiesHeadBytes, MessageView, noBlindCopies, unstored } from "./message-view.ts";

/** Who waits for messages to be safe: a channel with confirms to send. */
export interface SafetyWaiter {
  /** More of them are, see `safePosition`. */
  onSafer(): void;
}

/** A queue that waits for messages from the disk. */
export interface StalledQueue {
  readonly name: string;
  serve(): void;
}

/** What looking at a stored message comes to. */
export const Viewed = { Away: 0, Ready: 1, Damaged: 2 } as const;

const noQueues: readonly number[] = [];
const addressBits = 10;
const addressMask = (1 << addressBits) - 1;
/** Two short strings. A message with blind copies has a code beyond in place of this length. */
const addressBytesMax = 512;
const copiedAddressOffset = addressMask - addressBytesMax;
const none = noBlindCopies;
/** The longest property block that a record has room to tell. */
export const propertiesBytesMax = 2 ** (32 - addressBits) - 1;
/** What is stored of a note besides its words. */
export const noteBytes = 8;
/** Segment number, unit and queue number of a settlement. */
const settlementBytes = 12;

export class MessageStore {
  readonly #log: MessageLog;
  readonly #durable: DurableLog | undefined;
  /** Those who wait for the operating system, and those who wait for the disk. */
  #waitingAtOs = new Set<SafetyWaiter>();
  #waitingAtDisk = new Set<SafetyWaiter>();
  /** What others need because of messages. */
  readonly memory: MemoryUse;
  /** For queues to look at one message after the other; nobody keeps it across calls. */
  readonly scratch = new MessageView();

  #nowMs = 0;
  #arrival = 0;

  constructor(durable?: DurableLog, memory = new MemoryUse()) {
    this.#durable = durable;
    this.memory = memory;
    this.#log = durable?.log ?? new MessageLog();
  }

  /** When messages arrive that come now, in wall time. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Whoever publishes says what time it is, once for many messages: for a chunk of input. */
  set nowMs(wallMs: number) {
    this.#nowMs = wallMs;
    this.#arrival = arrivalAt(wallMs);
  }

  /** Whether messages can survive a restart at all. */
  get isDurable(): boolean {
    return this.#durable !== undefined;
  }

  /**
   * Takes one reference to the viewed message, storing it first if no queue has done so yet.
   * Returns its handle, which the view carries from then on.
   */
  keep(view: MessageView): number {
    if (view.handle !== unstored) {
      this.#log.retain(view.handle);
      return view.handle;
    }
    return this.#fill(view, this.#log.appendTransient(view.storedBytes));
  }

  /**
   * Stores the viewed message for the durable queues with these numbers, and takes one reference.
   * It survives what the level says once `safePosition` has reached the `position` after this call.
   */
  keepDurable(
    view: MessageView,
    queues: readonly number[],
    level: ConfirmLevel,
    kind: number,
  ): number {
    return this.#fill(view, this.#log.appendDurable(view.storedBytes, queues, kind, level));
  }

  #fill(view: MessageView, handle: number): number {
    const { addressLength, propertiesLength, bodyLength } = view;
    const log = this.#log;
    const words = log.words;
    const word = log.word + userWord;
    const addressCode =
      view.blindCopies.length === 0 ? addressLength : addressLength + copiedAddressOffset;
    words[word] = addressCode | (propertiesLength << addressBits);
    words[word + 1] = bodyLength;
    words[word + 2] = this.#arrival;
    words[word + 3] = view.terms;
    const bytes = log.bytes;
    let offset = log.contentStart;
    copyBytes(view.address, view.addressStart, addressLength, bytes, offset);
    offset += addressLength;
    copyBytes(view.properties, view.propertiesStart, propertiesLength, bytes, offset);
    offset += propertiesLength;
    copyBytes(view.body, view.bodyStart, bodyLength, bytes, offset);
    if (addressCode !== addressLength) {
      offset += bodyLength;
      bytes.writeUInt32LE(view.blindCopies.length, offset);
      view.blindCopies.copy(bytes, offset + blindCopiesHeadBytes);
    }
    view.handle = handle;
    return handle;
  }

  /**
   * Stores a note for whoever has the number: four words and a double. It survives if what was
   * stored before it does. It is settled, released and restored like a message, and is none.
   */
  keepNote(
    number: number,
    words: Int32Array,
    value: number,
    level: ConfirmLevel,
    kind: number,
  ): number {
    const log = this.#log;
    const handle = log.appendDurable(noteBytes, [number], kind, level);
    log.words.set(words, log.word + userWord);
    log.bytes.writeDoubleLE(value, log.contentStart);
    return handle;
  }

  /** Reads a note, which is in memory: its words, and the double, NaN if it is damaged. */
  readNote(handle: number, words: Int32Array): number {
    const log = this.#log;
    if (log.isLost(handle)) return Number.NaN;
    log.open(handle);
    const from = log.word + userWord;
    words.set(log.words.subarray(from, from + words.length));
    return log.bytes.readDoubleLE(log.contentStart);
  }

  /**
   * Points the view at a stored message, if it is in memory; `load` brings it there. Valid until
   * the message's last reference is released or the event loop turns.
   */
  view(handle: number, view: MessageView): number {
    const log = this.#log;
    if (!log.isResident(handle)) return Viewed.Away;
    if (log.isLost(handle)) return Viewed.Damaged;
    log.open(handle);
    const words = log.words;
    const word = log.word + userWord;
    const addressCode = words[word]! & addressMask;
    const hasCopies = addressCode > addressBytesMax;
    const addressLength = hasCopies ? addressCode - copiedAddressOffset : addressCode;
    const propertiesLength = words[word]! >>> addressBits;
    const start = log.contentStart;
    view.address = log.bytes;
    view.addressStart = start;
    view.addressLength = addressLength;
    view.properties = log.bytes;
    view.propertiesStart = start + addressLength;
    view.propertiesLength = propertiesLength;
    view.body = log.bytes;
    view.bodyStart = start + addressLength + propertiesLength;
    view.bodyLength = words[word + 1]!;
    view.terms = words[word + 3]!;
    view.blindCopies = hasCopies
      ? blindCopiesAt(log.bytes, view.bodyStart + view.bodyLength)
      : none;
    view.handle = handle;
    return Viewed.Ready;
  }

  isResident(handle: number): boolean {
    return this.#log.isResident(handle);
  }

  /** Brings a stored message, and its neighbours, into memory. */
  load(handle: number): Promise<void> {
    return this.#durable!.load(handle);
  }

  /** A queue could not read its messages; `serve` tries again. */
  onLoadFailed: (queue: StalledQueue, error: Error) => void = () => undefined;

  retain(handle: number): void {
    this.#log.retain(handle);
  }

  /** Gives one reference back. */
  release(handle: number): void {
    this.#log.release(handle);
  }

  /** Gives a durable queue's reference back, and sees to it that a restart knows. */
  settle(handle: number, queue: number): void {
    this.#log.settle(handle, queue);
  }

  /** The note's queue has delivered its messages up to this one for the first time. */
  noteDelivered(note: DeliveryNote, handle: number): void {
    if (this.#durable !== undefined) this.#log.noteDelivered(note, handle);
  }

  /** The durable queue with this number has got the message back, and counts. */
  noteReturned(handle: number, queue: number): void {
    this.#log.noteReturned(handle, queue);
  }

  /**
   * Keeps a message that is not settled yet in memory, for whoever will look at it without waiting.
   */
  pin(handle: number): void {
    this.#log.pin(handle);
  }

  unpin(handle: number): void {
    this.#log.unpin(handle);
  }

  /**
   * Begins a group of messages and settlements that become durable together or not at all: room for
   * messages of `bytes` with `targets` queues altogether, and for so many settlements.
   */
  beginGroup(messages: number, targets: number, bytes: number, settlements: number): void {
    const heads = recordBytes(0, 0) + 8;
    const end = recordBytes(0, settlements * settlementBytes) + recordBytes(0, 0);
    this.#log.beginGroup(messages * heads + targets * 4 + bytes + end);
  }

  /** Ends a group with settlements that durable queues make right after. */
  endGroup(handles: readonly number[], queues: readonly number[], level: ConfirmLevel): void {
    const log = this.#log;
    const durable = handles.flatMap((handle, i) => (log.isDurable(handle) ? [i] : []));
    const length = durable.length * settlementBytes;
    const record = log.appendDurable(length, noQueues, RecordKind.Settlements, level);
    const { words } = log;
    words[log.word + userWord] = durable.length;
    let at = log.contentStart >>> 2;
    for (const i of durable) {
      const [segment, unit] = log.placeOf(handles[i]!);
      words[at++] = segment;
      words[at++] = unit;
      words[at++] = queues[i]!;
    }
    // The log keeps it as long as it is needed.
    log.release(record);
    log.release(log.appendDurable(0, noQueues, RecordKind.GroupEnd, level));
  }

  /** Where the log has a message: what orders the messages of a queue over restarts. */
  placeOf(handle: number): LogPlace {
    const [segment, unit] = this.#log.placeOf(handle);
    return { segment, unit };
  }

  /** What publishers should wait for whose messages come faster than the disk takes them. */
  untilCaughtUp(): Promise<void> | undefined {
    return this.#durable?.untilCaughtUp();
  }

  /** What a confirm of everything stored so far has to wait for. */
  get position(): number {
    return this.#log.position;
  }

  /** Up to here, what was stored survives the process, or at level disk a power loss as well. */
  safePosition(level: ConfirmLevel): number {
    return level === "disk" ? this.#log.durablePosition : this.#log.writtenPosition;
  }

  /**
   * Tells the waiter, who waits for a position, about the next growth of `safePosition`; it asks
   * again if it must.
   */
  awaitSafe(waiter: SafetyWaiter, level: ConfirmLevel, position: number): void {
    if (level === "os") {
      this.#waitingAtOs.add(waiter);
      return;
    }
    this.#waitingAtDisk.add(waiter);
    // It may have been stored at another level.
    if (position > this.#log.positionToSync) this.#durable!.files.demandSync();
  }

  /** `safePosition` has grown at level os. */
  onWritten(): void {
    if (this.#waitingAtOs.size === 0) return;
    const waiting = this.#waitingAtOs;
    this.#waitingAtOs = new Set();
    for (const waiter of waiting) waiter.onSafer();
  }

  /** `safePosition` has grown at level disk. */
  onDurable(): void {
    if (this.#waitingAtDisk.size === 0) return;
    const waiting = this.#waitingAtDisk;
    this.#waitingAtDisk = new Set();
    for (const waiter of waiting) waiter.onSafer();
  }

  /** Resolves once everything stored so far is safe. */
  untilSafe(level: ConfirmLevel): Promise<void> | undefined {
    const position = this.#log.position;
    if (this.safePosition(level) >= position) return undefined;
    return new Promise((resolve) => {
      const waiter: SafetyWaiter = {
        onSafer: () => {
          if (this.safePosition(level) >= position) resolve();
          else this.awaitSafe(waiter, level, position);
        },
      };
      this.awaitSafe(waiter, level, position);
    });
  }

  /** Memory for messages, and for what it takes to know of them and to pass them on. */
  get usedBytes(): number {
    return this.#log.pool.takenBytes + this.#log.indexMemory.bytes + this.memory.bytes;
  }

  get liveMessages(): number {
    return this.#log.stats.liveRecords;
  }
}

function blindCopiesAt(bytes: Buffer, start: number): Buffer {
  const from = start + blindCopiesHeadBytes;
  return Buffer.from(bytes.subarray(from, from + bytes.readUInt32LE(start)));
}
