/**
 * The crash simulator of streams: the log of one stream takes records, writes them, forgets the
 * oldest and is read from everywhere, on a disk that fails, fills up and loses power. What a broker
 * adds is played: a durable log that never forgets what has not been written, and gives it back
 * after a crash.
 *
 * Promised, and judged here: a record keeps its offset, its bytes and its time for good; what was
 * written is there after every crash; readers get every record from where they stand on, in order;
 * nothing is there twice; nothing goes but the oldest, as far as the stream may not keep it.
 */

import { SeededRandom } from "@haremq/kernel";
import { DiskError, type DiskOperation } from "../src/disk/disk.ts";
import { SeededScheduler, settled } from "../src/disk/disk-scheduler.ts";
import { FaultyDisk } from "../src/disk/faulty-disk.ts";
import { isAfter, streamRecordHeadBytes } from "../src/stream/stream-chunk.ts";
import type { StreamLog } from "../src/stream/stream-log.ts";
import { StreamReader } from "../src/stream/stream-reader.ts";
import { type StreamSizes, StreamStore } from "../src/stream/stream-store.ts";
import { demand } from "./log-model.ts";

export interface StreamReport {
  readonly records: number;
  readonly read: number;
  readonly crashes: number;
  readonly faults: number;
}

interface ModelRecord {
  readonly length: number;
  /** What the record is filled with. */
  readonly fill: number;
  readonly timestampMs: number;
  /**
   * Times that it had in earlier lives: what was given up may be found after all, if the record has
   * not been written again.
   */
  readonly earlierMs: readonly number[];
}

interface SimulatedReader {
  readonly reader: StreamReader;
  /** Where it was put, and what it must get next. */
  expected: number;
  isLoading: boolean;
  isResting: boolean;
}

const streamNumber = 7;
const directory = "/data/streams";
const faultCodes = ["EIO", "ENOSPC"];
const operations: readonly DiskOperation[] = ["write", "sync", "open", "remove", "syncDirectory"];

/** Rejects with PromiseBroken, or whatever else went wrong. */
export async function simulateStream(
  seed: number,
  trace: (line: string) => void = () => {},
): Promise<StreamReport> {
  return await new StreamSimulation(seed, trace).run();
}

class StreamSimulation {
  readonly #random: SeededRandom;
  readonly #scheduler: SeededScheduler;
  readonly #trace: (line: string) => void;
  readonly #sizes: StreamSizes;
  readonly #faultsInThousand: number;
  readonly #bytesMax: number;
  #disk: FaultyDisk;
  #log!: StreamLog;
  /** By offset: everything that was ever appended and not lost with the broker's log. */
  #records: ModelRecord[] = [];
  /** What stands before is in files for good. */
  #written = 0;
  /** What stands before may have been removed. */
  #removed = 0;
  #readers: SimulatedReader[] = [];
  #writing: Promise<void> | undefined;
  #wallMs = 1_000_000;
  #read = 0;
  #crashes = 0;
  #faults = 0;
  #broken: unknown;
  #damages: string[] = [];

  constructor(seed: number, trace: (line: string) => void) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#trace = trace;
    this.#scheduler = new SeededScheduler(random);
    this.#disk = new FaultyDisk({ random, scheduler: this.#scheduler });
    this.#sizes = {
      segmentBytes: random.pick([500, 2000, 10_000]),
      chunkBytes: random.pick([300, 1000]),
      blockBytes: random.pick([200, 1000, 3000]),
      readMemoryBytes: random.pick([0, 5000, 100_000]),
    };
    this.#faultsInThousand = random.pick([0, 0, 20, 60]);
    this.#bytesMax = random.pick([2000, 20_000, Number.POSITIVE_INFINITY]);
  }

  async run(): Promise<StreamReport> {
    await this.#pumped(this.#disk.makeDirectory("/data"));
    await this.#pumped(this.#disk.syncDirectory("/"));
    await this.#open();
    const steps = 50 + this.#random.below(300);
    for (let step = 0; step < steps; step++) {
      await this.#act();
      await this.#pump(this.#random.pick([0, 0, 1, 2, 5]));
      if (this.#broken !== undefined) throw this.#broken;
    }
    await this.#rest();
    await this.#crash();
    await this.#rest();
    const { length: records } = this.#records;
    return { records, read: this.#read, crashes: this.#crashes, faults: this.#faults };
  }

  async #act(): Promise<void> {
    const draw = this.#random.below(1000);
    if (draw < this.#faultsInThousand) this.#injectFault();
    else if (draw < 80) await this.#crash();
    else if (draw < 95) await this.#rest();
    else if (draw < 105) await this.#closeAndOpen();
    else if (draw < 200) this.#addReader();
    else if (draw < 500) this.#readSome();
    else if (draw < 560) this.#log.closeChunk();
    else if (draw < 700) this.#write();
    else this.#append();
  }

  // The workload

  #append(): void {
    const count = 1 + this.#random.below(8);
    for (let i = 0; i < count; i++) {
      this.#wallMs += this.#random.below(100) - 20;
      const { chunkBytes } = this.#sizes;
      const isLarge = this.#random.below(30) === 0;
      const limit = this.#random.pick([1, 50, chunkBytes / 2]);
      const length = isLarge ? chunkBytes + this.#random.below(2000) : this.#random.below(limit);
      const before = this.#records.at(-1)?.timestampMs ?? 0;
      const timestampMs = Math.max(before, this.#wallMs);
      const fill = this.#random.below(256);
      this.#records.push({ length, fill, timestampMs, earlierMs: [] });
      this.#appendRecord(this.#records.length - 1, this.#wallMs);
    }
    this.#trace(`append ${count}, up to ${this.#records.length - 1}`);
  }

  #appendRecord(offset: number, wallMs: number): void {
    const { length, fill } = this.#records[offset]!;
    demand(this.#log.endOffset === offset, () => `${offset} gets offset ${this.#log.endOffset}`);
    this.#log.append(length, offset, fill, wallMs);
    this.#log.bytes.fill(fill, this.#log.contentStart, this.#log.contentStart + length);
  }

  #write(): void {
    if (this.#writing !== undefined) return;
    const chunks = this.#log.closedChunks(this.#log.endOffset, this.#random.pick([1, 2000, 1e9]));
    if (chunks.length === 0) return;
    // A place for each record that says which it is.
    for (const chunk of chunks) chunk.place = placeOf(chunk.endOffset - 1);
    const endOffset = chunks.at(-1)!.endOffset;
    this.#trace(`write up to ${endOffset - 1}`);
    const log = this.#log;
    this.#writing = log
      .write(chunks)
      .then(async (written) => {
        this.#written = written.at(-1)!.endOffset;
        this.#trace(`written up to ${this.#written - 1}`);
        await this.#retain(log);
      })
      .catch((error: unknown) => {
        if (!(error instanceof DiskError)) this.#broken = error;
        else this.#trace(`writing fails: ${error.message}`);
      })
      .finally(() => {
        this.#writing = undefined;
      });
  }

  async #retain(log: StreamLog): Promise<void> {
    const limits = { bytesMax: this.#bytesMax, ageMaxMs: Number.POSITIVE_INFINITY };
    await log.retain(limits, this.#wallMs);
  }

  // Reading

  #addReader(): void {
    if (this.#readers.length > 5) {
      const [closed] = this.#readers.splice(this.#random.below(this.#readers.length), 1);
      closed!.reader.close();
    }
    const offset = this.#random.below(this.#records.length + 2);
    const reader = new StreamReader(this.#log, offset);
    this.#readers.push({ reader, expected: offset, isLoading: false, isResting: false });
    this.#trace(`a reader at ${offset}`);
  }

  #readSome(): void {
    if (this.#readers.length === 0) return;
    const reading = this.#random.pick(this.#readers);
    if (reading.isLoading) return;
    const count = this.#random.pick([1, 5, 1000]);
    this.#readRecords(reading, count);
  }

  /** Reads so many records, as far as they are in memory; has the next ones loaded then. */
  #readRecords(reading: SimulatedReader, count: number): void {
    const { reader } = reading;
    if (reading.isResting) reader.goOn();
    reading.isResting = false;
    for (let i = 0; i < count; i++) {
      if (reader.offset >= this.#log.endOffset) return;
      if (!reader.find()) {
        this.#load(reading);
        return;
      }
      this.#judge(reading);
      reader.step();
      reading.expected = reader.offset;
      this.#read++;
    }
    reading.isResting = true;
    reader.rest();
  }

  #judge({ reader, expected }: SimulatedReader): void {
    const { offset, words, word, bytes } = reader;
    const isMissing = offset !== expected && offset > this.#log.firstOffset;
    demand(offset >= expected && !isMissing, () => `read ${offset} instead of ${expected}`);
    const record = this.#records[offset]!;
    const name = `record ${offset}`;
    demand(words[word + 2] === offset, () => `${name} is record ${words[word + 2]}`);
    const length = words[word]! - streamRecordHeadBytes;
    demand(length === record.length, () => `${name} has ${length} bytes, not ${record.length}`);
    const start = (word << 2) + streamRecordHeadBytes;
    const content = bytes.subarray(start, start + length);
    demand(
      content.every((byte) => byte === record.fill),
      () => `${name} is damaged`,
    );
    const { timestampMs } = reader;
    const isTime = [record.timestampMs, ...record.earlierMs].includes(timestampMs);
    demand(isTime, () => `${name} is of ${timestampMs}`);
    // What was read is what it is from now on, if it is in a file.
    const isWritten = offset < this.#written;
    if (isWritten) this.#records[offset] = { ...record, timestampMs, earlierMs: [] };
  }

  #load(reading: SimulatedReader): void {
    reading.isLoading = true;
    const { disk } = { disk: this.#disk };
    reading.reader.load().then(
      () => {
        reading.isLoading = false;
      },
      (error: unknown) => {
        reading.isLoading = false;
        if (!(error instanceof DiskError) && this.#disk === disk) this.#broken = error;
      },
    );
  }

  // The disk

  #injectFault(): void {
    const rule = {
      operations: [this.#random.pick(operations)],
      fault: this.#random.pick(faultCodes),
      times: 1 + this.#random.below(3),
    };
    this.#faults++;
    this.#trace(`fault: ${rule.fault} in ${rule.operations}`);
    this.#disk.faults.inject(rule);
  }

  async #crash(): Promise<void> {
    const powerLoss = this.#random.below(3) > 0;
    this.#crashes++;
    this.#trace(powerLoss ? "power loss" : "crash");
    this.#disk = this.#disk.crash({ powerLoss });
    const [oldest] = this.#log.segments;
    this.#removed = oldest?.removal === undefined ? this.#log.firstOffset : oldest.endOffset;
    this.#writing = undefined;
    await this.#open();
  }

  async #closeAndOpen(): Promise<void> {
    await this.#idle();
    for (const { reader } of this.#readers) reader.close();
    this.#removed = this.#log.firstOffset;
    await this.#pumped(this.#log.close().catch(demandDiskError));
    this.#trace("close");
    await this.#open();
  }

  async #open(): Promise<void> {
    this.#readers = [];
    this.#damages = [];
    for (;;) {
      const opening = StreamStore.open(
        { disk: this.#disk, directory, sizes: this.#sizes },
        new Set([streamNumber]),
      ).catch(demandDiskError);
      const store = await this.#pumped(opening);
      if (store !== undefined) {
        store.listen({
          onMemory: () => undefined,
          onFiles: () => undefined,
          onDamage: (what) => this.#damages.push(what),
        });
        this.#log = store.log(streamNumber);
        break;
      }
      this.#disk.faults.clear();
    }
    this.#recover();
  }

  /** Judges what is found, and gives back what the broker's log still has. */
  #recover(): void {
    const { endOffset, firstOffset, lastPlace } = this.#log;
    this.#trace(`found ${firstOffset}..${endOffset - 1}`);
    const isThere = endOffset >= this.#written && endOffset <= this.#records.length;
    demand(isThere, () => `${endOffset} records, not ${this.#written}..${this.#records.length}`);
    demand(firstOffset <= this.#removed, () => `records before ${firstOffset} are gone`);
    if (endOffset > 0) {
      const isPlace = !isAfter(lastPlace, placeOf(endOffset - 1));
      demand(isPlace && isAfter(lastPlace, placeOf(endOffset - 2)), () => "wrong place");
    }
    const rest = this.#records.splice(endOffset);
    for (const { length, fill, timestampMs: earlier, earlierMs } of rest) {
      const before = this.#records.at(-1)?.timestampMs ?? 0;
      const timestampMs = Math.max(before, this.#wallMs);
      this.#records.push({ length, fill, timestampMs, earlierMs: [...earlierMs, earlier] });
      this.#appendRecord(this.#records.length - 1, this.#wallMs);
    }
    this.#written = endOffset;
    this.#removed = firstOffset;
  }

  /** Lets everything come to its end, and looks at all there is. */
  async #rest(): Promise<void> {
    this.#disk.faults.clear();
    await this.#idle();
    this.#log.closeChunk();
    while (this.#log.hasUnwritten) {
      this.#write();
      await this.#idle();
    }
    demand(this.#written === this.#records.length, () => "not everything is written");
    const reader = new StreamReader(this.#log, 0);
    const reading = { reader, expected: 0, isLoading: false, isResting: false };
    while (reader.offset < this.#log.endOffset) {
      this.#readRecords(reading, 1000);
      await this.#pump(1000);
    }
    reader.close();
    demand(this.#damages.length === 0, () => `false alarm: ${this.#damages}`);
    await this.#checkTimes();
  }

  /** Whoever looks for a time finds a place that nothing as young stands before. */
  async #checkTimes(): Promise<void> {
    for (let i = 0; i < 3 && this.#records.length > 0; i++) {
      const { timestampMs } = this.#random.pick(this.#records);
      const offset = await this.#pumped(this.#log.offsetBefore(timestampMs));
      const first = this.#records.findIndex((record) => record.timestampMs >= timestampMs);
      const isBefore = offset <= Math.max(first, this.#log.firstOffset);
      demand(isBefore, () => `${first} is of ${timestampMs}, found ${offset}`);
    }
  }

  async #idle(): Promise<void> {
    while (this.#writing !== undefined) await this.#pump(1000);
    await this.#pump(1000);
    if (this.#broken !== undefined) throw this.#broken;
  }

  async #pumped<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    while (!isDone) await this.#pump(1);
    return await done;
  }

  async #pump(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      await settled();
      if (!this.#scheduler.step()) break;
    }
    await settled();
  }
}

/** Two records have one segment of the broker's log. */
function placeOf(offset: number) {
  return { segment: 1 + (offset >> 1), unit: 4 * (offset & 1) };
}

function demandDiskError(error: unknown): undefined {
  if (!(error instanceof DiskError)) throw error;
}
