/**
 * One life of the log in the simulation: from an opening to a crash. It does to the log what a
 * broker does, keeps what a broker keeps in memory, and tells the model of all it does.
 */

import { type SeededRandom, VirtualClock } from "@haremq/kernel";
import { DiskError } from "../src/disk/disk.ts";
import type { FaultyDisk } from "../src/disk/faulty-disk.ts";
import type { ConfirmLevel } from "../src/log/confirm-level.ts";
import { DurableLog } from "../src/log/durable-log.ts";
import type { LogSizes } from "../src/log/log-sizes.ts";
import { DeliveryNote } from "../src/log/message-log.ts";
import { headBytes, RecordKind, recordBytes, userWord } from "../src/log/record.ts";
import {
  demand,
  type LogModel,
  type ModelGroup,
  type ModelRecord,
  type ModelTarget,
  nameOf,
  type Recovered,
} from "./log-model.ts";

export interface LifeOptions {
  readonly disk: FaultyDisk;
  readonly random: SeededRandom;
  readonly model: LogModel;
  readonly sizes: LogSizes;
  readonly memoryBytes: number;
  /** Something has gone wrong in a callback or promise, which nobody waits for. */
  onBroken(error: unknown): void;
}

interface TransientRecord {
  readonly handle: number;
  readonly id: number;
  readonly length: number;
}

export const dataDirectory = "/data";

export class LogLife {
  readonly clock = new VirtualClock();
  readonly #options: LifeOptions;
  #durable: DurableLog | undefined;
  /** What the queues hold, in order. */
  readonly queues = new Map<number, { target: ModelTarget; handle: number }[]>();
  /** Up to which record each queue has delivered. */
  readonly #delivered = new Map<number, number>();
  readonly #notes = new Map<number, DeliveryNote>();
  readonly #transient: TransientRecord[] = [];
  #transientIds = 0;
  isFaulty = false;
  damages: string[] = [];

  constructor(options: LifeOptions) {
    this.#options = options;
  }

  get durable(): DurableLog {
    return this.#durable!;
  }

  get isOpen(): boolean {
    return this.#durable !== undefined;
  }

  /**
   * Opens the log and judges what it finds. Rejects with a DiskError if the disk does not let it.
   */
  async open(): Promise<void> {
    const { disk, model, sizes, memoryBytes } = this.#options;
    const recovered: Recovered[] = [];
    const durable = await DurableLog.open({
      disk,
      sizes,
      memoryBytes,
      directory: dataDirectory,
      clock: this.clock,
      onMessage: (queue, handle, wasDelivered, words, notedAt) => {
        const id = words[notedAt + 2]!;
        if (model.deletedQueues.has(queue)) return false;
        recovered.push({ id, queue, handle, wasDelivered });
        return true;
      },
      onWritten: () => this.#guard(() => model.onWritten(this.durable.log.writtenPosition)),
      onDurable: () => this.#guard(() => model.onDurable(this.durable.log.durablePosition)),
      onFault: (error) => {
        this.isFaulty = error !== undefined;
      },
      onDamage: (description) => {
        this.damages.push(description);
      },
    });
    this.#durable = durable;
    model.recover(recovered, durable.log.position);
    for (const { id, queue, handle, wasDelivered } of recovered) {
      const target = model.records[id]!.targets.find((each) => each.queue === queue)!;
      this.#enqueue(target, handle);
      if (wasDelivered) this.#delivered.set(queue, id);
    }
    this.checkLiving();
    demand(this.damages.length === 0, () => `false report: ${this.damages.join("; ")}`);
  }

  // What a broker does

  append(length: number, queues: readonly number[], level: ConfirmLevel): void {
    const { model } = this.#options;
    const record = model.append(length, queues);
    this.#append(record, RecordKind.Message, level);
  }

  /** A group of messages and settlements: a transaction, or a message that moves. */
  appendGroup(
    messages: readonly { length: number; queues: readonly number[] }[],
    settles: readonly ModelTarget[],
    level: ConfirmLevel,
  ): void {
    const { model } = this.#options;
    const { log } = this.durable;
    const group = model.beginGroup();
    const sizes = messages.map(({ length, queues }) => recordBytes(queues.length, length));
    const settlementsLength = settles.length * 12;
    if (settles.length > 0) sizes.push(recordBytes(0, settlementsLength));
    const isBare = messages.length === 0;
    if (isBare) sizes.push(recordBytes(0, 0));
    log.beginGroup(sizes.reduce((sum, size) => sum + size, 0));
    const handles = settles.map((target) => this.#handleOf(target));
    if (settles.length > 0) this.#appendSettlements(settles, handles, level);
    for (const [i, { length, queues }] of messages.entries()) {
      const kind = i === messages.length - 1 ? RecordKind.GroupEnd : RecordKind.Grouped;
      this.#append(model.append(length, queues, group), kind, level);
    }
    if (isBare) log.release(log.appendDurable(0, [], RecordKind.GroupEnd, level));
    group.position = log.position;
    // None of them is safe before all are.
    for (const record of group.members) record.position = log.position;
    for (const target of settles) this.settle(target, group);
  }

  #appendSettlements(
    settles: readonly ModelTarget[],
    handles: readonly number[],
    level: ConfirmLevel,
  ): void {
    const { log } = this.durable;
    const handle = log.appendDurable(settles.length * 12, [], RecordKind.Settlements, level);
    log.words[log.word + userWord] = settles.length;
    let at = log.contentStart >>> 2;
    for (const [i, { queue }] of settles.entries()) {
      log.words[at++] = log.segmentOf(handles[i]!).number;
      log.words[at++] = log.unitOf(handles[i]!);
      log.words[at++] = queue;
    }
    log.release(handle);
  }

  #append(record: ModelRecord, kind: number, level: ConfirmLevel): void {
    const { log } = this.durable;
    const queues = record.targets.map(({ queue }) => queue);
    const handle = log.appendDurable(record.length, queues, kind, level);
    this.#checkNew(handle);
    record.position = log.position;
    write(log.bytes, log.words, log.word, log.contentStart, record.id, record.length);
    for (let i = 1; i < queues.length; i++) log.retain(handle);
    for (const target of record.targets) this.#enqueue(target, handle);
  }

  appendTransient(length: number): void {
    const { log } = this.durable;
    const handle = log.appendTransient(length);
    this.#checkNew(handle);
    const id = ++this.#transientIds;
    write(log.bytes, log.words, log.word, log.contentStart, id, length);
    this.#transient.push({ handle, id, length });
  }

  settle(target: ModelTarget, group?: ModelGroup): void {
    const { log } = this.durable;
    const queue = this.queues.get(target.queue)!;
    const [taken] = queue.splice(
      queue.findIndex((each) => each.target === target),
      1,
    );
    this.#options.model.settle(target, group);
    log.settle(taken!.handle, target.queue);
  }

  /** Delivers the next messages of a queue for the first time. */
  deliver(queue: number, count: number): void {
    const last = this.#delivered.get(queue) ?? -1;
    const entries = this.queues.get(queue) ?? [];
    const next = entries.filter(({ target }) => target.record.id > last).slice(0, count);
    let note = this.#notes.get(queue);
    if (note === undefined) {
      note = new DeliveryNote(queue);
      this.#notes.set(queue, note);
    }
    for (const { target, handle } of next) {
      this.durable.log.noteDelivered(note, handle);
      this.#options.model.deliver(target);
      this.#delivered.set(queue, target.record.id);
    }
  }

  deliveredUpTo(queue: number): number {
    return this.#delivered.get(queue) ?? -1;
  }

  releaseTransient(index: number): void {
    const [record] = this.#transient.splice(index, 1);
    if (record !== undefined) this.durable.log.release(record.handle);
  }

  get transientCount(): number {
    return this.#transient.length;
  }

  deleteQueue(queue: number): void {
    for (const { handle } of this.queues.get(queue) ?? []) this.durable.log.release(handle);
    this.queues.delete(queue);
    this.#options.model.deleteQueue(queue);
  }

  /** Opens the record, once it is in memory, and compares its bytes. */
  read(target: ModelTarget): void {
    const { record } = target;
    const isThere = (): boolean => this.#handleOf(target) >= 0;
    this.#read(this.#handleOf(target), record.id, record.length, isThere, nameOf(target));
  }

  readTransient(index: number): void {
    const record = this.#transient[index];
    if (record === undefined) return;
    const isThere = (): boolean => this.#transient.includes(record);
    this.#read(record.handle, record.id, record.length, isThere, `transient ${record.id}`);
  }

  #read(handle: number, id: number, length: number, isThere: () => boolean, name: string): void {
    const { log } = this.durable;
    if (log.isResident(handle)) {
      this.#compare(handle, id, length, name);
      return;
    }
    this.durable.load(handle).then(
      () =>
        this.#guard(
          () => isThere() && log.isResident(handle) && this.#compare(handle, id, length, name),
        ),
      (error) => {
        if (!(error instanceof DiskError)) this.#options.onBroken(error);
      },
    );
  }

  #compare(handle: number, id: number, length: number, name: string): void {
    const { log } = this.durable;
    log.open(handle);
    demand(log.words[log.word + userWord + 3] === id, () => `${name} has become another`);
    for (let i = 0; i < length; i++) {
      const isRight = log.bytes[log.contentStart + i] === byteOf(id, i);
      demand(isRight, () => `${name} has changed at byte ${i}`);
    }
  }

  // What must be so at any time

  checkLiving(): void {
    const { liveRecords } = this.durable.log.stats;
    const expected = this.#options.model.liveRecords + this.#transient.length;
    demand(liveRecords === expected, () => `${liveRecords} records live, not ${expected}`);
  }

  #checkNew(handle: number): void {
    for (const queue of this.queues.values()) {
      demand(!queue.some((each) => each.handle === handle), () => `handle ${handle} is taken`);
    }
    const isTaken = this.#transient.some((each) => each.handle === handle);
    demand(!isTaken, () => `handle ${handle} is taken`);
  }

  #enqueue(target: ModelTarget, handle: number): void {
    const queue = this.queues.get(target.queue);
    if (queue === undefined) this.queues.set(target.queue, [{ target, handle }]);
    else queue.push({ target, handle });
  }

  #handleOf(target: ModelTarget): number {
    const entry = this.queues.get(target.queue)?.find((each) => each.target === target);
    return entry?.handle ?? -1;
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#options.onBroken(error);
    }
  }
}

function write(
  bytes: Buffer,
  words: Int32Array,
  word: number,
  contentStart: number,
  id: number,
  length: number,
): void {
  for (let i = 0; i < headBytes / 4 - userWord; i++) words[word + userWord + i] = id;
  for (let i = 0; i < length; i++) bytes[contentStart + i] = byteOf(id, i);
}

function byteOf(id: number, index: number): number {
  return (id * 31 + index * 7) & 0xff;
}
