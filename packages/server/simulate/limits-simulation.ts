/**
 * The crash simulator of what queues do besides keeping messages: times to live, limits, dead
 * letters, delivery limits, retries and priorities, on a simulated machine whose disk fails, whose
 * power goes, whose processes die. After every restart the model judges what is left; at the end
 * everything is consumed, in order, and nothing may be missing or too many. Everything follows from
 * the seed.
 */

import { SeededRandom } from "@haremq/kernel";
import { DiskError, type DiskOperation, FaultyDisk, SeededScheduler } from "@haremq/store";
import { argumentsOf, drawQueues, keepsTransient, type LimitedQueue } from "./limited-queue.ts";
import type { LimitedMessage, LimitsClient, Settlement } from "./limits-client.ts";
import { LimitsLife } from "./limits-life.ts";
import { LimitsModel, nameOf } from "./limits-model.ts";
import { demand } from "./promise-broken.ts";
import { SimulatedMetadata } from "./simulated-metadata.ts";

export interface LimitsReport {
  readonly messages: number;
  readonly crashes: number;
  readonly faults: number;
}

/** Rejects with PromiseBroken, or whatever else went wrong. */
export async function simulateLimits(
  seed: number,
  trace: (line: string) => void = () => {},
): Promise<LimitsReport> {
  return await new LimitsSimulation(seed, trace).run();
}

class LimitsSimulation {
  readonly #random: SeededRandom;
  readonly #scheduler: SeededScheduler;
  readonly #trace: (line: string) => void;
  readonly #queues: readonly LimitedQueue[];
  readonly #model: LimitsModel;
  readonly #segmentBytes: number;
  readonly #memoryBytes: number;
  readonly #faultsInThousand: number;
  readonly #hasTransient: boolean;
  #disk: FaultyDisk;
  #metadata: SimulatedMetadata;
  #life!: LimitsLife;
  #clients: LimitsClient[] = [];
  #broken: unknown;
  #wallMs = 1_700_000_000_000;
  #wasPowerLoss = false;
  #isTroubled = false;
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
    this.#queues = drawQueues(random);
    this.#model = new LimitsModel(this.#queues);
    this.#segmentBytes = random.pick([1024, 4096, 65_536]);
    this.#memoryBytes = random.pick([2, 5, 1000]) * this.#segmentBytes;
    this.#faultsInThousand = random.pick([0, 0, 20, 50]);
    this.#hasTransient = random.below(3) === 0;
    this.#disk.faults.onFault = (operation, path) => {
      if (operation === "sync" && path.endsWith(".ack")) this.#model.onFailedSync();
    };
  }

  async run(): Promise<LimitsReport> {
    for (const queue of this.#queues) {
      this.#trace(`${queue.name}: ${JSON.stringify(argumentsOf(queue).toObject())}`);
    }
    await this.#begin();
    const lives = 1 + this.#random.below(5);
    for (let life = 0; life < lives; life++) {
      for (let left = 10 + this.#random.below(120); left > 0; left--) {
        this.#act();
        await this.#pump(this.#random.pick([0, 1, 3, 20]));
      }
      if (this.#random.below(3) === 0) await this.#rest();
      if (this.#random.below(4) === 0) await this.#close();
      else await this.#crash();
    }
    await this.#rest();
    await this.#consumeAll();
    return { messages: this.#messages, crashes: this.#crashes, faults: this.#faults };
  }

  // Work

  #act(): void {
    const draw = this.#random.below(1000);
    if (draw < this.#faultsInThousand) this.#injectFault();
    else if (draw < 100) this.#advance();
    else if (draw < 170) this.#subscribe();
    else if (draw < 210) this.#unsubscribe();
    else if (draw < 300) this.#get();
    else if (draw < 600) this.#settle();
    else if (draw < 620) this.#disconnect();
    else this.#publish();
  }

  get #client(): LimitsClient {
    return this.#random.pick(this.#clients);
  }

  #publish(): void {
    const count = this.#random.pick([1, 1, 2, 10]);
    for (let i = 0; i < count; i++) {
      const some = this.#queues.filter(() => this.#random.below(4) === 0);
      const queues = some.length > 0 ? some : [this.#random.pick(this.#queues)];
      const message = this.#drawMessage(queues.every(keepsTransient));
      const { id, priority, expirationMs, isPersistent } = message;
      const kind = `${isPersistent ? "" : "transient, "}priority ${priority}`;
      const names = queues.map(({ name }) => name);
      this.#trace(`publish ${id} to ${names}: ${kind}, expires in ${expirationMs ?? "no time"}`);
      this.#client.publish(
        message,
        queues.map((queue) => this.#life.queue(queue)),
      );
    }
  }

  #drawMessage(mayBeTransient: boolean): LimitedMessage {
    const isLarge = this.#random.below(60) === 0;
    const isTransient = mayBeTransient && this.#hasTransient && this.#random.below(4) === 0;
    return {
      id: ++this.#messages,
      exchange: "",
      routingKey: "k",
      length: isLarge ? this.#segmentBytes : this.#random.below(this.#random.pick([1, 40, 300])),
      isPersistent: !isTransient,
      priority: this.#random.pick([0, 0, 1, 4, 5, 9, 200]),
      expirationMs: this.#random.pick([undefined, undefined, undefined, 0, 30, 900]),
    };
  }

  #subscribe(): void {
    const queue = this.#random.pick(this.#queues);
    const noAck = this.#random.below(6) === 0;
    const prefetch = this.#random.pick([0, 1, 3, 10]);
    this.#trace(`consume from ${queue.name}, ${noAck ? "no ack" : `prefetch ${prefetch}`}`);
    this.#client.subscribe(this.#life.queue(queue), noAck, prefetch);
  }

  #unsubscribe(): void {
    const client = this.#client;
    const [consumer] = client.consumers;
    if (consumer === undefined) return;
    this.#trace(`cancel a consumer of ${consumer.queue.name}`);
    client.unsubscribe(consumer);
  }

  #get(): void {
    const queue = this.#random.pick(this.#queues);
    const noAck = this.#random.below(3) === 0;
    this.#trace(`get from ${queue.name}`);
    this.#client.get(this.#life.queue(queue), noAck).catch((error) => {
      if (!(error instanceof DiskError)) this.#broken ??= error;
    });
  }

  #settle(): void {
    const client = this.#client;
    const settlements = ["acknowledge", "reject", "reject", "requeue"] as const;
    const settlement: Settlement = this.#random.pick(settlements);
    let count = 0;
    for (let left = 1 + this.#random.below(8); left > 0 && client.heldCount > 0; left--) {
      const index = this.#random.below(4) > 0 ? 0 : this.#random.below(client.heldCount);
      client.settle(settlement, index);
      count++;
    }
    if (count > 0) this.#trace(`${settlement} ${count}`);
  }

  #disconnect(): void {
    const index = this.#random.below(this.#clients.length);
    this.#trace("disconnect");
    this.#clients[index]!.close();
    this.#clients[index] = this.#life.connect();
  }

  #advance(): void {
    const delayMs = this.#random.pick([1, 20, 100, 500, 1100]);
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
    this.#faults++;
    this.#isTroubled = true;
    const fault = this.#random.pick(["EIO", "ENOSPC"]);
    this.#trace(`fault: ${operations} ${fault}`);
    this.#disk.faults.inject({ operations, fault, times: this.#random.pick([1, 3]) });
  }

  async #crash(): Promise<void> {
    await this.#pump(this.#random.below(10));
    const powerLoss = this.#random.below(2) === 0;
    await this.#die(powerLoss);
    await this.#begin();
  }

  async #die(powerLoss: boolean): Promise<void> {
    this.#checkUnbroken();
    this.#trace(powerLoss ? "power loss" : "crash");
    this.#crashes++;
    this.#wallMs = this.#life.clock.wallMs();
    this.#disk = this.#disk.crash({ powerLoss });
    this.#metadata = await this.#metadata.crash();
    this.#wasPowerLoss ||= powerLoss;
    if (powerLoss) this.#model.onPowerLoss();
  }

  /** Stops in order: the next life finds what this one had, message for message. */
  async #close(): Promise<void> {
    await this.#rest();
    this.#trace("stop");
    for (const client of this.#clients) client.close();
    await this.#settleDown();
    this.#model.onRest();
    const had = new Map(this.#queues.map((each) => [each, this.#life.queue(each).readyCount]));
    await this.#pumped(this.#life.broker.close());
    const powerLoss = this.#random.below(3) === 0;
    await this.#die(powerLoss);
    await this.#begin();
    // Over a power loss what was settled may be back.
    if (this.#hasTransient || powerLoss) return;
    for (const [queue, count] of had) {
      const found = this.#life.found.get(queue)!;
      // What is on its way out, or to be tried again later, is in nobody's count.
      const isMore = found > count && (queue.retryAttempts > 0 || queue.target !== undefined);
      const isRight = found === count || isMore;
      demand(isRight, () => `${queue.name} had ${count} messages, and has ${found}`);
    }
  }

  // Lives

  async #begin(): Promise<void> {
    for (;;) {
      const segmentBytes = this.#segmentBytes;
      const life = new LimitsLife({
        disk: this.#disk,
        metadata: this.#metadata,
        random: this.#random,
        logSizes: { segmentBytes, transientSegmentBytes: 1024, roundBytes: segmentBytes / 2 },
        memoryBytes: this.#memoryBytes,
        queues: this.#queues,
        model: this.#model,
        wallMs: this.#wallMs,
        wasPowerLoss: this.#wasPowerLoss,
      });
      this.#life = life;
      await this.#pumped(life.open().catch(demandDiskError));
      if (life.isOpen) break;
      this.#disk.faults.clear();
      this.#disk = this.#disk.crash({ powerLoss: false });
      this.#metadata = await this.#metadata.crash();
    }
    this.#wasPowerLoss = false;
    this.#isTroubled = false;
    this.#trace(`started with ${this.#life.messages.liveMessages} messages`);
    this.#clients = [this.#life.connect(), this.#life.connect()];
  }

  /** Everything comes to its end that does so by itself. */
  async #rest(): Promise<void> {
    this.#trace("rest");
    if (this.#isTroubled) this.#disk.faults.clear();
    await this.#settleDown();
    // Longer than any time to live and all retries together, and letters are tried again.
    for (let i = 0; i < 12; i++) {
      this.#life.clock.advance(1100);
      await this.#settleDown();
    }
    this.#checkUnbroken();
    this.#life.checkRest(this.#clients);
    this.#model.onRest();
  }

  /** Consumers who take everything get everything, in order, and then nothing is left. */
  async #consumeAll(): Promise<void> {
    this.#trace("consume everything");
    for (const client of this.#clients) client.close();
    await this.#settleDown();
    for (let left = Number.POSITIVE_INFINITY; this.#life.messages.liveMessages < left; ) {
      left = this.#life.messages.liveMessages;
      for (const queue of this.#queues) await this.#consume(queue);
      // What could not go where it had to has got room meanwhile.
      await this.#rest();
    }
    this.#model.checkConsumed(this.#life.clock.wallMs());
    for (const queue of this.#queues) {
      const { readyCount, unsettledCount } = this.#life.queue(queue);
      const isEmpty = readyCount + unsettledCount === 0;
      demand(isEmpty, () => `${queue.name} has ${readyCount} and ${unsettledCount} messages`);
    }
    const { liveMessages } = this.#life.messages;
    demand(liveMessages === 0, () => `${liveMessages} messages live, and no queue has one`);
  }

  async #consume(queue: LimitedQueue): Promise<void> {
    const client = this.#life.connect();
    this.#clients = [client];
    client.subscribe(this.#life.queue(queue), false, 0);
    await this.#settleDown();
    this.#checkUnbroken();
    this.#judgeOrder(queue, client);
    while (client.heldCount > 0) client.settle("acknowledge", 0);
    await this.#settleDown();
    client.close();
  }

  /** Highest priority first, and what came first first. */
  #judgeOrder(queue: LimitedQueue, client: LimitsClient): void {
    const level = (priority: number): number => {
      if (queue.isQuorum) return priority > 4 ? 1 : 0;
      return Math.min(priority, queue.priorityMax);
    };
    const isStrict = !queue.isQuorum && !queue.isAgeing;
    let highest = Number.POSITIVE_INFINITY;
    const last = new Map<number, number>();
    for (const { copy } of client.seen) {
      const own = level(copy.priority);
      const isNext = !isStrict || own <= highest;
      demand(isNext, () => `${nameOf(copy)}, of level ${own}, comes after ${highest}`);
      highest = own;
      if (copy.origin !== queue) continue;
      const before = last.get(own) ?? 0;
      demand(copy.id > before, () => `${nameOf(copy)} comes after message ${before}`);
      last.set(own, copy.id);
    }
  }

  /** Until nothing is under way but what waits for its time. */
  async #settleDown(): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      await settled();
      quiet = this.#scheduler.step() ? 0 : quiet + 1;
    }
    this.#checkUnbroken();
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
    this.#checkUnbroken();
  }

  #checkUnbroken(): void {
    if (this.#broken !== undefined) throw this.#broken;
  }
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function demandDiskError(error: unknown): void {
  if (!(error instanceof DiskError)) throw error;
}
