/**
 * The crash simulator of a broker with streams: messages go to streams and to classic queues beside
 * them, alone and in transactions, and are read from everywhere, while the disk fails, the power
 * goes and processes die. After every restart each stream is read from its first message to its
 * last, and the model judges. Everything follows from the seed.
 */

import { SeededRandom } from "@haremq/kernel";
import { DiskError, type DiskOperation, FaultyDisk, SeededScheduler } from "@haremq/store";
import { demand } from "./promise-broken.ts";
import type { SimulatedMessage } from "./simulated-message.ts";
import { SimulatedMetadata } from "./simulated-metadata.ts";
import {
  dataDirectory,
  endOffsetOf,
  firstOffsetOf,
  StreamingReader,
  StreamLife,
} from "./stream-life.ts";
import type { ModelStream } from "./stream-model.ts";

export interface StreamSimulationReport {
  readonly messages: number;
  readonly crashes: number;
  readonly faults: number;
}

const streamNames = ["s0", "s1", "s2"];
const tags = ["t0", "t1"];

/** Rejects with PromiseBroken, or whatever else went wrong. */
export async function simulateStreams(
  seed: number,
  trace: (line: string) => void = () => {},
): Promise<StreamSimulationReport> {
  return await new StreamSimulation(seed, trace).run();
}

class StreamSimulation {
  readonly #random: SeededRandom;
  readonly #scheduler: SeededScheduler;
  readonly #trace: (line: string) => void;
  readonly #segmentBytes: number;
  readonly #streamSegmentBytes: number;
  readonly #bytesMax: number;
  readonly #faultsInThousand: number;
  readonly #streams = new Map<number, ModelStream>();
  #disk: FaultyDisk;
  #metadata: SimulatedMetadata;
  #life!: StreamLife;
  #isAfterCrash = false;
  #messages = 0;
  #crashes = 0;
  #faults = 0;

  constructor(seed: number, trace: (line: string) => void) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#trace = trace;
    this.#scheduler = new SeededScheduler(random);
    this.#disk = new FaultyDisk({ random, scheduler: this.#scheduler });
    this.#metadata = new SimulatedMetadata({ random, scheduler: this.#scheduler });
    this.#segmentBytes = random.pick([1024, 4096, 65_536]);
    this.#streamSegmentBytes = random.pick([500, 4000, 1e6]);
    this.#bytesMax = random.pick([2000, 1e6, 1e9]);
    this.#faultsInThousand = random.pick([0, 0, 20, 50]);
  }

  async run(): Promise<StreamSimulationReport> {
    await this.#begin();
    const lives = 1 + this.#random.below(5);
    for (let life = 0; life < lives; life++) {
      for (let left = 20 + this.#random.below(150); left > 0; left--) {
        await this.#act();
        await this.#pump(this.#random.pick([0, 1, 3, 20]));
      }
      if (this.#random.below(2) === 0) await this.#rest();
      if (this.#random.below(4) === 0) await this.#close();
      else await this.#crash();
    }
    await this.#rest();
    return { messages: this.#messages, crashes: this.#crashes, faults: this.#faults };
  }

  async #act(): Promise<void> {
    const draw = this.#random.below(1000);
    if (draw < this.#faultsInThousand) this.#injectFault();
    else if (draw < 60) await this.#declare();
    else if (draw < 70) await this.#delete();
    else if (draw < 150) this.#read();
    else if (draw < 250) this.#settle();
    else if (draw < 280) this.#stopReading();
    else if (draw < 350) this.#advance();
    else if (draw < 430) this.#commit();
    else this.#publish();
  }

  // The workload

  async #declare(): Promise<void> {
    const isStream = this.#random.below(4) > 0;
    const name = isStream ? this.#random.pick(streamNames) : "q";
    this.#trace(`declare ${name}`);
    await this.#pumped(this.#life.declare(name, isStream));
  }

  async #delete(): Promise<void> {
    const name = this.#random.pick(streamNames);
    this.#trace(`delete ${name}`);
    await this.#pumped(this.#life.delete(name));
  }

  #drawMessage(): SimulatedMessage {
    const { chunkBytes } = this.#streamSizes;
    const isLarge = this.#random.below(50) === 0;
    const length = isLarge ? chunkBytes + this.#random.below(1000) : this.#random.below(100);
    const isPersistent = this.#random.below(2) === 0;
    const routingKey = "k";
    return { id: ++this.#messages, exchange: "", routingKey, length, isPersistent };
  }

  #drawNames(): string[] {
    const names = [...streamNames, "q"].filter(() => this.#random.below(3) === 0);
    return names.length > 0 ? names : [this.#random.pick(streamNames)];
  }

  #publish(): void {
    const names = this.#drawNames();
    const count = this.#random.pick([1, 1, 5, 30]);
    for (let i = 0; i < count; i++) this.#life.publish(this.#drawMessage(), names);
    this.#trace(`publish ${count}, up to ${this.#messages}, to ${names}`);
  }

  #commit(): void {
    const names = this.#drawNames();
    const publishes = Array.from({ length: 1 + this.#random.below(4) }, () => this.#drawMessage());
    this.#life.commit(publishes, names);
    this.#trace(`commit ${publishes.map(({ id }) => id)} to ${names}`);
  }

  #read(): void {
    const streams = this.#life.streams();
    if (streams.length === 0) return;
    const queue = this.#random.pick(streams);
    const prefetch = this.#random.pick([1, 10, 1000]);
    const isTracking = this.#random.below(2) === 0;
    if (isTracking) {
      const tag = this.#random.pick(tags);
      const isFree = ({ queue: other, tag: used }: StreamingReader) =>
        other !== queue || used !== tag;
      if (!this.#life.readers.every(isFree)) return;
      this.#trace(`${tag} reads ${queue.name}`);
      this.#life.read(queue, prefetch, tag);
      return;
    }
    const offset = this.#random.pick(["first", "last", "next", this.#random.below(100)] as const);
    this.#trace(`read ${queue.name} from ${offset}`);
    this.#life.read(queue, prefetch, "", offset);
  }

  #settle(): void {
    if (this.#life.readers.length === 0) return;
    const reader = this.#random.pick(this.#life.readers);
    const ways = ["acknowledge", "acknowledge", "acknowledge", "acknowledge", "reject"] as const;
    const how = this.#random.below(30) === 0 ? "requeue" : this.#random.pick(ways);
    for (let left = this.#random.pick([1, 5, 100]); left > 0; left--) {
      if (reader.unsettledCount === 0) break;
      const index = this.#random.below(4) > 0 ? 0 : this.#random.below(reader.unsettledCount);
      reader.settle(index, how);
    }
    this.#trace(`${how} of ${reader.queue.name}`);
  }

  #stopReading(): void {
    const { readers } = this.#life;
    if (readers.length === 0) return;
    const [reader] = readers.splice(this.#random.below(readers.length), 1);
    this.#trace(`stop reading ${reader!.queue.name}`);
    reader!.end();
  }

  #advance(): void {
    const delayMs = this.#random.pick([1, 500, 5000]);
    this.#trace(`${delayMs} ms pass`);
    this.#life.clock.advance(delayMs);
  }

  // Trouble

  #injectFault(): void {
    const operations: DiskOperation[] = this.#random.pick([
      ["write"],
      ["sync"],
      ["open", "read"],
      ["remove", "syncDirectory"],
    ]);
    const fault = this.#random.pick(["EIO", "ENOSPC"]);
    this.#faults++;
    this.#trace(`fault: ${operations} ${fault}`);
    this.#disk.faults.inject({ operations, fault, times: this.#random.pick([1, 3]) });
  }

  async #crash(): Promise<void> {
    const powerLoss = this.#random.below(2) === 0;
    this.#trace(powerLoss ? "power loss" : "crash");
    this.#crashes++;
    this.#disk = this.#disk.crash({ powerLoss });
    this.#metadata = await this.#metadata.crash();
    this.#isAfterCrash = true;
    await this.#begin();
  }

  async #close(): Promise<void> {
    this.#disk.faults.clear();
    await this.#settleDown();
    this.#trace("close");
    for (const reader of this.#life.readers) reader.end();
    await this.#pumped(this.#life.broker.close());
    this.#isAfterCrash = false;
    await this.#begin();
  }

  // Lives

  get #streamSizes() {
    return {
      segmentBytes: this.#streamSegmentBytes,
      chunkBytes: this.#streamSegmentBytes === 500 ? 300 : 2000,
      blockBytes: 1000,
      readMemoryBytes: 10_000,
    };
  }

  async #begin(): Promise<void> {
    for (;;) {
      const life = new StreamLife({
        disk: this.#disk,
        metadata: this.#metadata,
        random: this.#random,
        logSizes: {
          segmentBytes: this.#segmentBytes,
          transientSegmentBytes: this.#segmentBytes / 2,
          roundBytes: 2048,
        },
        streamSizes: this.#streamSizes,
        memoryBytes: this.#segmentBytes * 3,
        bytesMax: this.#bytesMax,
        streams: this.#streams,
      });
      this.#life = life;
      await this.#pumped(life.open().catch(demandDiskError));
      if (life.isOpen) break;
      // Whoever could not open has closed what it had.
      this.#disk.faults.clear();
      this.#disk = this.#disk.crash({ powerLoss: false });
      this.#metadata = await this.#metadata.crash();
    }
    this.#disk.faults.clear();
    await this.#settleDown();
    await this.#checkFiles();
    for (const queue of this.#life.streams()) await this.#judge(queue, this.#isAfterCrash);
    if (this.#isAfterCrash) for (const stream of this.#streams.values()) stream.onCrash();
  }

  /** Of streams that are gone nothing is left. */
  async #checkFiles(): Promise<void> {
    const names = await this.#pumped(this.#disk.list(`${dataDirectory}/streams`));
    const numbers = new Set(this.#life.streams().map(({ storeNumber }) => storeNumber));
    const strange = names.filter((name) => !numbers.has(Number(name.slice(0, 10))));
    demand(strange.length === 0, () => `left behind: ${strange}`);
  }

  /** Reads a stream from its first message to its last. */
  async #judge(queue: ReturnType<StreamLife["streams"]>[number], isAfterCrash: boolean) {
    const reader = new StreamingReader(queue, this.#life, 0, "", "first");
    await this.#settleDown();
    const firstOffset = firstOffsetOf(queue);
    const found = reader.seen.filter(({ offset }) => offset >= firstOffset);
    demand(found.length === queue.readyCount, () => `${found.length} of ${queue.readyCount} read`);
    reader.end();
    this.#trace(`${queue.name} has ${firstOffset}..${firstOffset + found.length - 1}`);
    this.#life.modelOf(queue).judge(found, firstOffset, isAfterCrash);
  }

  /** Everything comes to its end, and nothing must be missing. */
  async #rest(): Promise<void> {
    this.#disk.faults.clear();
    await this.#settleDown();
    this.#life.clock.advance(6000);
    await this.#settleDown();
    const { unconfirmedCount, broker } = this.#life;
    demand(unconfirmedCount === 0, () => `${unconfirmedCount} messages are never confirmed`);
    demand(broker.alarms.active.size === 0, () => `still ${broker.alarms.reason}`);
    for (const queue of this.#life.streams()) {
      await this.#judge(queue, false);
      this.#life.modelOf(queue).onRest();
    }
    const pending = [...this.#life.session.vhost.topology.queues()]
      .filter(({ keepsAll }) => !keepsAll)
      .reduce((sum, { readyCount }) => sum + readyCount, 0);
    const { liveMessages } = broker.messages;
    const isSettled = liveMessages === pending;
    demand(isSettled, () => `${liveMessages} messages live, not ${pending}`);
    for (const reader of this.#life.readers) {
      const { consumer, queue, seen } = reader;
      const last = seen.at(-1)?.offset;
      const isServed = last === undefined || last === endOffsetOf(queue) - 1;
      demand(isServed || !consumer.canTake, () => `a reader of ${queue.name} waits at ${last}`);
    }
  }

  /** Until nothing is under way but what waits for its time. */
  async #settleDown(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      await settled();
      if (this.#scheduler.step()) quiet = 0;
      else {
        quiet++;
        this.#life.clock.advance(600);
      }
    }
  }

  async #pumped<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    while (!isDone) {
      await settled();
      if (!this.#scheduler.step()) this.#life.clock.advance(600);
    }
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

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function demandDiskError(error: unknown): void {
  if (!(error instanceof DiskError)) throw error;
}
