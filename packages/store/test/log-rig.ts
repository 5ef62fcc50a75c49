/**
 * A durable log on a faulty disk with small segments, for tests: appends and settles texts,
 * crashes, opens again, and says what it found.
 */

import assert from "node:assert/strict";
import { SeededRandom, VirtualClock } from "@haremq/kernel";
import type { Disk } from "../src/disk/disk.ts";
import { FaultyDisk } from "../src/disk/faulty-disk.ts";
import type { ConfirmLevel } from "../src/log/confirm-level.ts";
import { DurableLog, type DurableLogOptions } from "../src/log/durable-log.ts";
import type { LogSizes } from "../src/log/log-sizes.ts";
import { RecordKind, recordBytes, userWord } from "../src/log/record.ts";

export const directory = "/data";

export interface RigOptions {
  readonly sizes?: Partial<LogSizes>;
  readonly memoryBytes?: number;
  readonly sharedMemory?: DurableLogOptions["sharedMemory"];
  /** Puts another disk in front of the faulty one. */
  readonly wrap?: (disk: FaultyDisk) => Disk;
}

/** A record that an opening has found, for one queue. */
export interface Found {
  readonly queue: number;
  readonly handle: number;
  readonly id: number;
}

export class LogRig {
  readonly #options: RigOptions;
  disk = new FaultyDisk({ random: new SeededRandom(1) });
  clock = new VirtualClock();
  durable!: DurableLog;
  found: Found[] = [];
  damage: string[] = [];
  faults: (Error | undefined)[] = [];
  /** `writtenPosition` and `durablePosition` at each growth. */
  writtenPositions: number[] = [];
  durablePositions: number[] = [];
  /** Which queues there are when the log opens. */
  knows: (queue: number) => boolean = () => true;
  #ids = 0;

  private constructor(options: RigOptions) {
    this.#options = options;
  }

  static async open(options: RigOptions = {}): Promise<LogRig> {
    const rig = new LogRig(options);
    await rig.open();
    return rig;
  }

  get log() {
    return this.durable.log;
  }

  get segmentBytes(): number {
    return this.#options.sizes?.segmentBytes ?? 4096;
  }

  /** Opens the log on what is on the disk. */
  async open(): Promise<void> {
    const { sizes, memoryBytes, sharedMemory, wrap } = this.#options;
    this.clock = new VirtualClock();
    this.found = [];
    this.damage = [];
    this.faults = [];
    this.writtenPositions = [];
    this.durablePositions = [];
    const { segmentBytes } = this;
    this.durable = await DurableLog.open({
      directory,
      disk: wrap?.(this.disk) ?? this.disk,
      clock: this.clock,
      memoryBytes: memoryBytes ?? Number.MAX_SAFE_INTEGER,
      ...(sharedMemory && { sharedMemory }),
      sizes: {
        segmentBytes,
        transientSegmentBytes: segmentBytes / 4,
        roundBytes: 64 * 1024,
        ...sizes,
      },
      onMessage: (queue, handle, _wasDelivered, words, notedAt) => {
        const id = words[notedAt + 2]!;
        if (!this.knows(queue)) return false;
        this.found.push({ queue, handle, id });
        return true;
      },
      onWritten: () => this.writtenPositions.push(this.log.writtenPosition),
      onDurable: () => this.durablePositions.push(this.log.durablePosition),
      onFault: (error) => this.faults.push(error),
      onDamage: (description) => this.damage.push(description),
    });
  }

  /** Appends a text for the queues, each of which holds it from now on; the id goes up from 1. */
  append(
    text: string,
    queues: readonly number[] = [1],
    kind: number = RecordKind.Message,
    level: ConfirmLevel = "disk",
  ): number {
    const { log } = this;
    const length = Buffer.byteLength(text);
    const handle = log.appendDurable(length, queues, kind, level);
    log.words.fill(0, log.word + userWord, log.word + userWord + 4);
    log.words[log.word + userWord] = length;
    log.words[log.word + userWord + 3] = ++this.#ids;
    log.bytes.write(text, log.contentStart);
    for (let i = 1; i < queues.length; i++) log.retain(handle);
    return handle;
  }

  /** Appends a text at level os for queue 1. */
  appendAtOs(text: string): number {
    return this.append(text, [1], RecordKind.Message, "os");
  }

  /** A group of texts, and settlements, the way a transaction or a move appends it. */
  appendGroup(
    texts: readonly string[],
    settles: readonly { handle: number; queue: number }[] = [],
    level: ConfirmLevel = "disk",
  ): number[] {
    const { log } = this;
    const sizes = texts.map((text) => recordBytes(1, Buffer.byteLength(text)));
    const settlementsBytes = recordBytes(0, settles.length * 12);
    log.beginGroup(sizes.reduce((sum, size) => sum + size, settlementsBytes + recordBytes(0, 0)));
    const handles = texts.map((text) => this.append(text, [1], RecordKind.Grouped, level));
    const record = log.appendDurable(settles.length * 12, [], RecordKind.Settlements, level);
    log.words[log.word + userWord] = settles.length;
    let at = log.contentStart >>> 2;
    for (const { handle, queue } of settles) {
      log.words.set([log.segmentOf(handle).number, log.unitOf(handle), queue], at);
      at += 3;
    }
    log.release(record);
    log.release(log.appendDurable(0, [], RecordKind.GroupEnd, level));
    for (const { handle, queue } of settles) log.settle(handle, queue);
    return handles;
  }

  /** The text of a record, which is loaded if it has to be. */
  async text(handle: number): Promise<string> {
    const { log } = this;
    if (!log.isResident(handle)) await this.durable.load(handle);
    assert.ok(log.isResident(handle), "a record that was loaded is there");
    log.open(handle);
    const length = log.words[log.word + userWord]!;
    return log.bytes.toString("utf8", log.contentStart, log.contentStart + length);
  }

  /** What an opening has found for a queue, in order. */
  async textsOf(queue: number): Promise<string[]> {
    const texts: string[] = [];
    for (const each of this.found) {
      if (each.queue === queue) texts.push(await this.text(each.handle));
    }
    return texts;
  }

  /** Lets everything happen that needs no time to pass. */
  async turn(): Promise<void> {
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets time pass until nothing is left to do. */
  async rest(): Promise<void> {
    for (let i = 0; i < 6; i++) {
      await this.turn();
      this.clock.advance(1100);
    }
    await this.turn();
  }

  crash(powerLoss: boolean): void {
    this.disk = this.disk.crash({ powerLoss });
  }

  /** Kills the process, or the power, and opens again. */
  async restart(powerLoss: boolean): Promise<void> {
    this.crash(powerLoss);
    await this.open();
  }

  /** The names in the log's directory, all or those with an ending. */
  async files(ending = ""): Promise<string[]> {
    const names = await this.disk.list(`${directory}/log`);
    return names.filter((name) => name.endsWith(ending));
  }

  async read(name: string): Promise<Buffer> {
    const file = await this.disk.open(`${directory}/${name}`, "read");
    const bytes = Buffer.alloc(await file.size());
    await file.read(bytes, 0, bytes.length, 0);
    await file.close();
    return bytes;
  }

  /** Changes a file on the disk for good, as decay would. */
  async overwrite(name: string, bytes: Uint8Array, position = 0): Promise<void> {
    const file = await this.disk.open(`${directory}/${name}`, "write");
    await file.write(bytes, 0, bytes.length, position);
    await file.sync();
    await file.close();
  }

  async truncate(name: string, length: number): Promise<void> {
    const file = await this.disk.open(`${directory}/${name}`, "write");
    await file.truncate(length);
    await file.sync();
    await file.close();
  }

  async diskBytes(): Promise<number> {
    let bytes = 0;
    for (const name of await this.files()) bytes += (await this.read(`log/${name}`)).length;
    return bytes;
  }
}
