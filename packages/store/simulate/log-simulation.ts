/**
 * The crash simulator of the message log: a random workload with faults, crashes and power losses
 * on the faulty disk, and a naive model that judges every recovery. All of it follows from the
 * seed.
 */

import { SeededRandom } from "@haremq/kernel";
import { DiskError, type DiskOperation } from "../src/disk/disk.ts";
import { SeededScheduler, settled } from "../src/disk/disk-scheduler.ts";
import { FaultyDisk } from "../src/disk/faulty-disk.ts";
import type { ConfirmLevel } from "../src/log/confirm-level.ts";
import type { LogSizes } from "../src/log/log-sizes.ts";
import { dataDirectory, LogLife } from "./log-life.ts";
import { demand, LogModel, type ModelTarget } from "./log-model.ts";

const stepsMax = 400;

export interface SimulationReport {
  readonly records: number;
  readonly crashes: number;
  readonly faults: number;
  readonly compactions: number;
}

/** Resolves if all promises were kept, and rejects with the first that was not. */
export async function simulateLog(
  seed: number,
  trace: (line: string) => void = () => undefined,
): Promise<SimulationReport> {
  return await new LogSimulation(seed, trace).run();
}

class LogSimulation {
  readonly #random: SeededRandom;
  readonly #scheduler: SeededScheduler;
  readonly #trace: (line: string) => void;
  readonly #model = new LogModel();
  readonly #sizes: LogSizes;
  readonly #memoryBytes: number;
  /** The levels that records are of. */
  readonly #levels: readonly ConfirmLevel[];
  readonly #queueCount: number;
  /** How long messages stay, roughly: at low numbers queues grow. */
  readonly #appetite: number;
  /** One message in so many is never settled. */
  readonly #keepOneIn: number;
  readonly #faultsInThousand: number;
  readonly #fillsInThousand: number;
  /** Some operations fail, or may. A disk that is only full does not keep a log from opening. */
  #isFailing = false;
  #queueBase = 1;
  #disk: FaultyDisk;
  #life!: LogLife;
  #broken: unknown;
  #crashes = 0;
  #faults = 0;
  #compactions = 0;

  constructor(seed: number, trace: (line: string) => void) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#trace = trace;
    this.#scheduler = new SeededScheduler(random);
    this.#disk = new FaultyDisk({ random, scheduler: this.#scheduler });
    const segmentBytes = random.pick([1024, 4096, 16384]);
    this.#sizes = {
      segmentBytes,
      transientSegmentBytes: segmentBytes / 2,
      roundBytes: random.pick([256, 2048, 65536]),
    };
    this.#memoryBytes = segmentBytes * random.pick([1, 3, 10, 1000]);
    this.#levels = random.pick([["disk"], ["disk"], ["disk"], ["os"], ["disk", "os"]]);
    this.#queueCount = 1 + random.below(4);
    this.#appetite = random.pick([20, 50, 90]);
    this.#keepOneIn = random.pick([2, 10, 1000]);
    this.#faultsInThousand = random.pick([0, 0, 10, 40]);
    this.#fillsInThousand = random.pick([0, 0, 5]);
    this.#disk.faults.onFault = (operation, path) => {
      if (operation === "sync" && path.endsWith(".ack")) this.#model.onFailedSync();
    };
  }

  async run(): Promise<SimulationReport> {
    await this.#prepareDisk();
    await this.#begin();
    const steps = 50 + this.#random.below(stepsMax);
    for (let step = 0; step < steps; step++) {
      await this.#act();
      await this.#pump(this.#random.pick([0, 0, 1, 2, 5]));
      this.#checkUnbroken();
    }
    await this.#rest();
    await this.#crash();
    await this.#rest();
    const crashes = this.#crashes;
    return {
      crashes,
      records: this.#model.records.length,
      faults: this.#faults,
      compactions: this.#compactions,
    };
  }

  /** Whoever makes the data directory makes it safe, too. */
  async #prepareDisk(): Promise<void> {
    const made = this.#disk.makeDirectory(dataDirectory).then(() => this.#disk.syncDirectory("/"));
    await this.#drain();
    await made;
  }

  async #act(): Promise<void> {
    const { below } = { below: (limit: number) => this.#random.below(limit) };
    const draw = below(1000);
    if (draw < this.#faultsInThousand) this.#injectFault();
    else if (draw < this.#faultsInThousand + this.#fillsInThousand) this.#turnFull();
    else if (draw < 60) this.#advance();
    else if (draw < 80) await this.#crash();
    else if (draw < 90) await this.#rest();
    else if (draw < 95) await this.#closeAndOpen();
    else if (draw < 100) this.#deleteQueue();
    else if (draw < 160) this.#appendGroup();
    else if (draw < 230) this.#transient();
    else if (draw < 290) this.#read();
    else if (draw < 330) this.#deliver();
    else if (draw < 340) this.#purge();
    else if (below(100) < this.#appetite) this.#settle();
    else this.#append();
  }

  // The workload

  #append(): void {
    const count = 1 + this.#random.below(4);
    const level = this.#random.pick(this.#levels);
    for (let i = 0; i < count; i++) {
      this.#life.append(this.#drawLength(), this.#drawQueues(), level);
    }
    this.#trace(`append ${count} at ${level}, up to record ${this.#model.records.length - 1}`);
  }

  #appendGroup(): void {
    const open = this.#model.openTargets;
    const settles: ModelTarget[] = [];
    const count = this.#random.below(4);
    for (let i = 0; i < count && open.length > 0; i++) {
      const target = this.#random.pick(open);
      if (!settles.includes(target)) settles.push(target);
    }
    const messages = Array.from({ length: this.#random.below(4) }, () => ({
      length: this.#drawLength(),
      queues: this.#drawQueues(),
    }));
    if (messages.length + settles.length === 0) return;
    const level = this.#random.pick(this.#levels);
    this.#life.appendGroup(messages, settles, level);
    const names = settles.map(({ record, queue }) => `${record.id}@${queue}`);
    this.#trace(`group of ${messages.length} at ${level}, settling ${names}`);
  }

  #drawLength(): number {
    const { segmentBytes } = this.#sizes;
    const limit = this.#random.pick([1, 50, 50, 200, segmentBytes / 2]);
    return this.#random.below(40) === 0
      ? segmentBytes + this.#random.below(segmentBytes)
      : this.#random.below(limit);
  }

  #drawQueues(): number[] {
    const queues: number[] = [];
    for (let i = 0; i < this.#queueCount; i++) {
      if (this.#random.below(this.#queueCount) === 0) queues.push(this.#queueBase + i);
    }
    return queues.length > 0 ? queues : [this.#queueBase];
  }

  #settle(): void {
    const count = 1 + this.#random.below(6);
    const ids: string[] = [];
    for (let i = 0; i < count; i++) {
      const entries = [...this.#life.queues.values()].flat();
      const wanted = entries.filter(({ target }) => target.record.id % this.#keepOneIn !== 0);
      if (wanted.length === 0) break;
      // Mostly in order, as consumers do.
      const isFirst = this.#random.below(4) > 0;
      const { target } = isFirst ? wanted[0]! : this.#random.pick(wanted);
      ids.push(`${target.record.id}@${target.queue}`);
      this.#life.settle(target);
    }
    this.#trace(`settle ${ids}`);
  }

  #deliver(): void {
    const queue = this.#queueBase + this.#random.below(this.#queueCount);
    const count = 1 + this.#random.below(6);
    this.#life.deliver(queue, count);
    this.#trace(
      `deliver up to ${count} of ${queue}, up to record ${this.#life.deliveredUpTo(queue)}`,
    );
  }

  #purge(): void {
    const queue = this.#queueBase + this.#random.below(this.#queueCount);
    const entries = [...(this.#life.queues.get(queue) ?? [])];
    for (const { target } of entries) this.#life.settle(target);
    this.#trace(`purge ${queue} of ${entries.length}`);
  }

  #deleteQueue(): void {
    // Numbers of queues are not used again: the lowest goes, a new highest comes.
    this.#trace(`delete queue ${this.#queueBase}`);
    this.#life.deleteQueue(this.#queueBase++);
  }

  #transient(): void {
    const { transientCount } = this.#life;
    const draw = this.#random.below(4);
    const index = transientCount === 0 ? 0 : this.#random.below(transientCount);
    if (draw === 0) this.#life.readTransient(index);
    else if (draw === 1) this.#life.releaseTransient(index);
    else this.#life.appendTransient(this.#drawLength());
  }

  #read(): void {
    const open = this.#model.openTargets;
    if (open.length > 0) this.#life.read(this.#random.pick(open));
  }

  #advance(): void {
    const delayMs = this.#random.pick([1, 20, 100, 500]);
    this.#trace(`${delayMs} ms pass`);
    this.#life.clock.advance(delayMs);
  }

  // Trouble

  #injectFault(): void {
    this.#faults++;
    const operations: DiskOperation[] = this.#random.pick([
      ["write"],
      ["sync"],
      ["open"],
      ["remove"],
      ["rename"],
      ["syncDirectory"],
      ["read"],
      ["close"],
      ["truncate", "size"],
      ["write", "sync", "open", "remove", "rename", "syncDirectory", "read", "list"],
    ]);
    if (operations.includes("sync")) this.#model.onSyncFault();
    const isShort =
      operations[0] === "write" && operations.length === 1 && this.#random.below(2) === 0;
    const fault = isShort ? "short" : this.#random.pick(["EIO", "ENOSPC"]);
    const times = this.#random.pick([1, 1, 3, 10]);
    const probability = this.#random.pick([1, 1, 0.3]);
    this.#trace(`fault: ${operations} ${fault}, ${times} times, chance ${probability}`);
    this.#disk.faults.inject({ operations, fault, times, probability });
    this.#isFailing = true;
  }

  /** No space is left, or soon none; or there is again. */
  #turnFull(): void {
    this.#faults++;
    const isFull = this.#disk.capacityBytes < Number.MAX_SAFE_INTEGER;
    this.#trace(`disk ${isFull ? "with room" : "full"}`);
    const limit = 10 * this.#sizes.segmentBytes;
    this.#disk.capacityBytes = isFull ? Number.MAX_SAFE_INTEGER : this.#random.below(limit);
  }

  #endFaults(): void {
    this.#disk.faults.clear();
    this.#isFailing = false;
  }

  /** The end of the process, or of the power; the next one may meet the same, on its way up. */
  async #crash(): Promise<void> {
    await this.#pump(this.#random.below(10));
    this.#die();
    await this.#begin();
  }

  #die(): void {
    this.#crashes++;
    this.#compactions += this.#life.isOpen ? this.#life.durable.files.counters.compactions : 0;
    const powerLoss = this.#random.below(2) === 0;
    this.#trace(powerLoss ? "power loss" : "crash");
    this.#disk = this.#disk.crash({ powerLoss });
    if (powerLoss) this.#model.onPowerLoss(this.#levels.includes("os"));
    if (this.#random.below(2) === 0) this.#endFaults();
  }

  async #begin(): Promise<void> {
    for (;;) {
      const life = new LogLife({
        disk: this.#disk,
        random: this.#random,
        model: this.#model,
        sizes: this.#sizes,
        memoryBytes: this.#memoryBytes,
        onBroken: (error) => {
          this.#broken ??= error;
        },
      });
      this.#life = life;
      const opened = life.open().then(
        () => true,
        (error) => {
          if (!(error instanceof DiskError)) this.#broken ??= error;
          else this.#trace(`cannot open: ${error.message}`);
          return false;
        },
      );
      if (this.#random.below(6) === 0) {
        await this.#pump(this.#random.below(40));
        if (!life.isOpen) {
          this.#checkUnbroken();
          this.#die();
          continue;
        }
      }
      await this.#drain();
      this.#checkUnbroken();
      if (await opened) {
        const { recoveredRecords } = life.durable;
        this.#trace(`open with ${recoveredRecords} records`);
        this.#traceSegments();
        return;
      }
      demand(this.#isFailing, () => "the log does not open");
      this.#endFaults();
    }
  }

  #traceSegments(): void {
    for (const segment of this.#life.durable.log.segments) {
      if (segment?.durability !== "durable") continue;
      const { number, generation, liveRecords, recordCount, isIndexed } = segment;
      const name = `${number}.${generation}${isIndexed ? "" : ", no index"}`;
      this.#trace(`  segment ${name}: ${liveRecords} of ${recordCount} records live`);
    }
  }

  async #closeAndOpen(): Promise<void> {
    this.#trace("close");
    const closed = this.#life.durable.close().then(
      () => true,
      (error) => {
        if (!(error instanceof DiskError)) this.#broken ??= error;
        return false;
      },
    );
    const { isFaulty } = this.#life;
    await this.#drain();
    const isClean = await closed;
    this.#checkUnbroken();
    const { log } = this.#life.durable;
    if (isClean && !isFaulty && !this.#life.isFaulty) {
      demand(log.durablePosition === log.position, () => "closed, and not all is durable");
    }
    this.#die();
    await this.#begin();
  }

  // Peace

  /**
   * All faults end and everything comes to rest: then nothing waits, and space and memory are
   * right.
   */
  async #rest(): Promise<void> {
    this.#trace("rest");
    this.#endFaults();
    this.#disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    for (let i = 0; i < 12; i++) {
      this.#life.clock.advance(1100);
      await this.#drain();
      this.#checkUnbroken();
    }
    const { log, files } = this.#life.durable;
    demand(files.fault === undefined, () => `still faulty: ${files.fault?.message}`);
    const { position, durablePosition } = log;
    demand(durablePosition === position, () => `durable up to ${durablePosition} of ${position}`);
    this.#model.onRest();
    this.#life.checkLiving();
    await this.#checkSpace();
  }

  async #checkSpace(): Promise<void> {
    const { log } = this.#life.durable;
    const { segmentBytes } = this.#sizes;
    let diskBytes = 0;
    const measured = this.#measure().then((bytes) => {
      diskBytes = bytes;
    });
    await this.#drain();
    await measured;
    let liveBytes = 0;
    let segments = 0;
    let largestBytes = segmentBytes;
    for (const segment of log.segments) {
      // Groups have to stay then.
      if (segment?.lacksSettlements === true) return;
      if (segment?.durability !== "durable") continue;
      liveBytes += segment.liveBytes;
      largestBytes = Math.max(largestBytes, segment.tail);
      segments++;
    }
    // The heads of indexes and sidecars, which only matter when segments are as small as here.
    const bound = 2 * liveBytes + 2 * largestBytes + 96 * segments;
    demand(diskBytes <= bound, () => `${diskBytes} bytes on disk for ${liveBytes} in ${segments}`);
  }

  async #measure(): Promise<number> {
    let bytes = 0;
    for (const name of await this.#disk.list(`${dataDirectory}/log`)) {
      const file = await this.#disk.open(`${dataDirectory}/log/${name}`, "read");
      bytes += await file.size();
      await file.close();
    }
    return bytes;
  }

  async #pump(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      await settled();
      this.#scheduler.step();
    }
    await settled();
  }

  /**
   * Until nothing waits: also what begins only in the next turn of the event loop, or that after
   * it.
   */
  async #drain(): Promise<void> {
    do {
      await this.#scheduler.run();
      await settled();
      await settled();
    } while (this.#scheduler.waiting > 0);
  }

  #checkUnbroken(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }
}
