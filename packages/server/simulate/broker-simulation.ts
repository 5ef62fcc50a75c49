/**
 * The crash simulator of the broker: random clients publish, consume, settle, commit, declare and
 * delete on a simulated machine whose disk fails and fills up, whose power goes, whose processes
 * die; after every restart the models judge what is left. Everything follows from the seed, and a
 * seed that breaks a promise does so again.
 *
 * Nothing is real here but the broker: the clock is virtual, the disk lies in memory, and what
 * happens next among all that is under way is drawn.
 */

import { SeededRandom } from "@haremq/kernel";
import { DiskError, type DiskOperation, FaultyDisk, SeededScheduler } from "@haremq/store";
import { BrokerLife, dataDirectory } from "./broker-life.ts";
import { MessageModel } from "./message-model.ts";
import { demand } from "./promise-broken.ts";
import type { Settlement, SimulatedClient } from "./simulated-client.ts";
import type { SimulatedMessage } from "./simulated-message.ts";
import { SimulatedMetadata } from "./simulated-metadata.ts";
import { TopologyModel } from "./topology-model.ts";

export interface SimulationReport {
  readonly messages: number;
  readonly crashes: number;
  readonly faults: number;
}

/** Rejects with PromiseBroken, or whatever else went wrong. */
export async function simulateBroker(
  seed: number,
  trace: (line: string) => void = () => {},
): Promise<SimulationReport> {
  return await new BrokerSimulation(seed, trace).run();
}

const queueNames = ["q0", "q1", "q2", "q3"];
const exchangeNames = ["e0", "e1", "e2"];
const routingKeys = ["a", "b"];

type Action = () => void | Promise<void>;

class BrokerSimulation {
  readonly #random: SeededRandom;
  readonly #scheduler: SeededScheduler;
  readonly #trace: (line: string) => void;
  readonly #model = new MessageModel();
  readonly #topology = new TopologyModel();
  readonly #confirmLevel: "disk" | "os";
  readonly #segmentBytes: number;
  readonly #memoryBytes: number;
  readonly #actions: readonly (readonly [weight: number, action: Action])[];
  #disk: FaultyDisk;
  #metadata: SimulatedMetadata;
  #life!: BrokerLife;
  #clients: SimulatedClient[] = [];
  #broken: unknown;
  #wasPowerLoss = false;
  /** Something fails, or may. */
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
    this.#confirmLevel = random.below(6) === 0 ? "os" : "disk";
    this.#segmentBytes = random.pick([1024, 4096, 4096, 65_536]);
    this.#memoryBytes = random.pick([2, 2, 5, 1000]) * this.#segmentBytes;
    this.#actions = this.#drawWeights();
    this.#disk.faults.onFault = (operation, path) => {
      if (operation === "sync" && path.endsWith(".ack")) this.#model.onFailedSync();
    };
  }

  async run(): Promise<SimulationReport> {
    this.#trace(`segments of ${this.#segmentBytes}, confirm=${this.#confirmLevel}`);
    await this.#begin();
    const lives = 1 + this.#random.below(5);
    for (let life = 0; life < lives; life++) {
      await this.#live(10 + this.#random.below(120));
      if (this.#random.below(3) === 0) await this.#rest();
      if (this.#random.below(4) === 0) await this.#close();
      else await this.#crash();
    }
    await this.#rest();
    await this.#drainQueues();
    await this.#rest();
    await this.#close();
    return { messages: this.#messages, crashes: this.#crashes, faults: this.#faults };
  }

  // Work

  /** Some seeds do much of one thing and nothing of another. */
  #drawWeights(): (readonly [number, Action])[] {
    const draw = (weight: number): number => weight * this.#random.pick([0, 1, 1, 1, 3]);
    return [
      [10, () => this.#publish()],
      [draw(4), () => this.#publishBurst()],
      [draw(3), () => this.#commit()],
      [draw(2), () => this.#subscribe()],
      [draw(1), () => this.#unsubscribe()],
      [draw(2), () => this.#get()],
      [draw(6), () => this.#settle()],
      [draw(0.5), () => this.#disconnect()],
      [draw(0.5), () => this.#purge()],
      [3, () => this.#declareQueue()],
      [draw(0.5), () => this.#deleteQueue()],
      [2, () => this.#declareExchange()],
      [draw(0.5), () => this.#deleteExchange()],
      [3, () => this.#bind()],
      [draw(0.5), () => this.#unbind()],
      [draw(0.3), () => this.#setConfirmLevel()],
      [draw(0.7), () => this.#injectFault()],
      [draw(0.5), () => this.#turnFull()],
      [8, () => this.#pump(this.#random.below(20))],
      [4, () => this.#advance()],
    ];
  }

  async #live(steps: number): Promise<void> {
    const total = this.#actions.reduce((sum, [weight]) => sum + weight, 0);
    for (let step = 0; step < steps; step++) {
      let draw = (this.#random.uint32() / 2 ** 32) * total;
      const chosen = this.#actions.find(([weight]) => {
        draw -= weight;
        return draw < 0;
      });
      await (chosen ?? this.#actions[0]!)[1]();
      await this.#pump(this.#random.below(3));
      this.#observe();
    }
  }

  #observe(): void {
    this.#checkUnbroken();
    this.#life.observe();
  }

  get #client(): SimulatedClient {
    return this.#random.pick(this.#clients);
  }

  #publish(): void {
    const message = this.#drawMessage();
    if (message === undefined) return;
    const count = this.#client.publish(message);
    const { id, exchange, routingKey, length, isPersistent } = message;
    const kind = isPersistent ? "persistent" : "transient";
    this.#trace(`publish ${id} to "${exchange}" by ${routingKey}: ${kind}, ${length} B, ${count}`);
  }

  #publishBurst(): void {
    const count = this.#random.below(30);
    for (let i = 0; i < count; i++) this.#publish();
  }

  #drawMessage(): SimulatedMessage | undefined {
    const names = ["", "", ...this.#life.exchanges().map(({ name }) => name)];
    const exchange = this.#random.pick(names);
    return {
      id: ++this.#messages,
      exchange,
      routingKey: this.#random.pick(exchange === "" ? queueNames : routingKeys),
      length: this.#drawLength(),
      isPersistent: this.#random.below(5) > 0,
    };
  }

  #drawLength(): number {
    if (this.#random.below(60) === 0) return this.#segmentBytes + this.#random.below(2000);
    return this.#random.below(this.#random.pick([1, 40, 40, 300]));
  }

  #commit(): void {
    const client = this.#client;
    const publishes: SimulatedMessage[] = [];
    for (let count = this.#random.below(4); count > 0; count--) {
      const message = this.#drawMessage();
      if (message !== undefined) publishes.push(message);
    }
    const settled = this.#random.below(Math.min(4, client.heldCount + 1));
    const ids = publishes.map(({ id, routingKey }) => `${id} by ${routingKey}`);
    this.#trace(`commit ${ids}, settling ${settled}`);
    client.commit(publishes, settled, this.#random.pick(["acknowledge", "reject"]));
  }

  #subscribe(): void {
    const queue = this.#drawQueue();
    if (queue === undefined) return;
    const noAck = this.#random.below(5) === 0;
    const prefetch = this.#random.pick([0, 1, 3, 10]);
    this.#trace(`consume from ${queue.name}, ${noAck ? "no ack" : `prefetch ${prefetch}`}`);
    this.#client.subscribe(queue, noAck, prefetch);
  }

  #unsubscribe(): void {
    const client = this.#client;
    const [consumer] = client.consumers;
    if (consumer === undefined) return;
    this.#trace(`cancel a consumer of ${consumer.queue.name}`);
    client.unsubscribe(consumer);
  }

  #get(): void {
    const queue = this.#drawQueue();
    if (queue === undefined) return;
    const noAck = this.#random.below(2) === 0;
    this.#trace(`get from ${queue.name}`);
    this.#client.get(queue, noAck).catch((error) => {
      if (!(error instanceof DiskError)) this.#broken ??= error;
    });
  }

  #settle(): void {
    const client = this.#client;
    const settlements = ["acknowledge", "acknowledge", "acknowledge", "reject", "requeue"] as const;
    const settlement: Settlement = this.#random.pick(settlements);
    let count = 0;
    for (let left = 1 + this.#random.below(8); left > 0 && client.heldCount > 0; left--) {
      // Mostly in order, as consumers do.
      const index = this.#random.below(4) > 0 ? 0 : this.#random.below(client.heldCount);
      client.settle(settlement, index);
      count++;
    }
    if (count > 0) this.#trace(`${settlement} ${count}`);
  }

  #disconnect(): void {
    const index = this.#random.below(this.#clients.length);
    this.#trace("disconnect");
    this.#life.disconnect(this.#clients[index]!);
    this.#clients[index] = this.#life.connect();
  }

  #drawQueue() {
    const queues = this.#life.queues().filter(({ exclusiveOwner }) => exclusiveOwner === null);
    return queues.length === 0 ? undefined : this.#random.pick(queues);
  }

  // Topology

  #declareQueue(): void {
    const wish = {
      name: this.#random.pick(queueNames),
      durable: this.#random.below(8) > 0,
      exclusive: this.#random.below(20) === 0,
      autoDelete: this.#random.below(12) === 0,
    };
    this.#trace(`declare ${JSON.stringify(wish)}`);
    this.#life.declareQueue(this.#client, wish);
  }

  #deleteQueue(): void {
    const name = this.#random.pick(queueNames);
    this.#trace(`delete ${name}`);
    this.#life.deleteQueue(this.#client, name);
  }

  #purge(): void {
    const queue = this.#drawQueue();
    if (queue === undefined) return;
    this.#trace(`purge ${queue.name}`);
    this.#life.purgeQueue(this.#client, queue);
  }

  #declareExchange(): void {
    const name = this.#random.pick(exchangeNames);
    const type = name === "e2" ? "fanout" : "direct";
    const durable = this.#random.below(6) > 0;
    this.#trace(`declare ${name}${durable ? "" : ", not durable"}`);
    this.#life.declareExchange(this.#client, name, type, durable);
  }

  #deleteExchange(): void {
    const name = this.#random.pick(exchangeNames);
    this.#trace(`delete ${name}`);
    this.#life.deleteExchange(this.#client, name);
  }

  #bind(): void {
    const wish = this.#drawBinding();
    this.#trace(`bind ${JSON.stringify(wish)}`);
    this.#life.bind(this.#client, wish);
  }

  #unbind(): void {
    const wish = this.#drawBinding();
    this.#trace(`unbind ${JSON.stringify(wish)}`);
    this.#life.unbind(this.#client, wish);
  }

  #drawBinding() {
    const destinationKind = this.#random.below(4) === 0 ? "exchange" : "queue";
    return {
      source: this.#random.pick(exchangeNames),
      destinationKind,
      destination: this.#random.pick(destinationKind === "queue" ? queueNames : exchangeNames),
      routingKey: this.#random.pick(routingKeys),
    } as const;
  }

  #setConfirmLevel(): void {
    const level = this.#random.pick(["disk", "os", undefined] as const);
    this.#trace(`confirms at level ${level ?? "of the broker"}`);
    this.#life.setConfirmLevel(level);
  }

  #advance(): void {
    const delayMs = this.#random.pick([1, 20, 100, 500]);
    this.#trace(`${delayMs} ms pass`);
    this.#life.clock.advance(delayMs);
  }

  // Trouble

  #injectFault(): void {
    this.#faults++;
    this.#isTroubled = true;
    const operations: DiskOperation[] = this.#random.pick([
      ["write"],
      ["sync"],
      ["open"],
      ["read"],
      ["remove"],
      ["syncDirectory"],
      ["write", "sync", "open", "remove", "rename", "syncDirectory", "read"],
    ]);
    if (operations.includes("sync")) this.#model.onSyncFault();
    const fault = this.#random.pick(["EIO", "ENOSPC"]);
    const times = this.#random.pick([1, 1, 3, 10]);
    this.#trace(`fault: ${operations} ${fault}, ${times} times`);
    this.#disk.faults.inject({ operations, fault, times });
  }

  /** No space is left, for messages or for metadata; or there is again. */
  #turnFull(): void {
    this.#isTroubled = true;
    if (this.#random.below(3) === 0) {
      this.#metadata.isFull = !this.#metadata.isFull;
      this.#trace(`metadata ${this.#metadata.isFull ? "full" : "with room"}`);
      return;
    }
    const isFull = this.#disk.capacityBytes < Number.MAX_SAFE_INTEGER;
    this.#trace(`disk ${isFull ? "with room" : "full"}`);
    this.#disk.capacityBytes = isFull ? Number.MAX_SAFE_INTEGER : this.#random.below(50_000);
  }

  #endTrouble(): void {
    this.#disk.faults.clear();
    this.#disk.capacityBytes = Number.MAX_SAFE_INTEGER;
    this.#metadata.isFull = false;
    this.#isTroubled = false;
  }

  /** The end of the process, or of the power; the next one may meet the same, on its way up. */
  async #crash(): Promise<void> {
    await this.#pump(this.#random.below(10));
    this.#observe();
    await this.#die();
    await this.#begin();
  }

  async #die(): Promise<void> {
    this.#crashes++;
    const powerLoss = this.#random.below(2) === 0;
    this.#trace(powerLoss ? "power loss" : "crash");
    this.#disk = this.#disk.crash({ powerLoss });
    this.#metadata = await this.#metadata.crash();
    this.#wasPowerLoss ||= powerLoss;
    if (powerLoss) this.#model.onPowerLoss();
    if (this.#random.below(2) === 0) this.#endTrouble();
    else this.#metadata.isFull = false;
  }

  async #begin(): Promise<void> {
    for (;;) {
      const life = this.#newLife();
      this.#life = life;
      let failure: unknown;
      let isSettled = false;
      life
        .open()
        .catch((error) => {
          failure = error;
        })
        .finally(() => {
          isSettled = true;
        });
      if (this.#random.below(6) === 0) {
        await this.#pump(this.#random.below(40));
        if (!isSettled) {
          await this.#die();
          continue;
        }
      }
      await this.#drain();
      demand(isSettled, () => "the broker does not start, and does not say why");
      this.#checkUnbroken();
      if (failure === undefined) break;
      if (!(failure instanceof DiskError)) throw failure;
      this.#trace(`cannot start: ${failure.message}`);
      this.#endTrouble();
    }
    this.#wasPowerLoss = false;
    this.#trace(`started with ${this.#life.messages.liveMessages} messages`);
    this.#clients = [this.#life.connect(), this.#life.connect()];
  }

  #newLife(): BrokerLife {
    const segmentBytes = this.#segmentBytes;
    return new BrokerLife({
      disk: this.#disk,
      metadata: this.#metadata,
      random: this.#random,
      model: this.#model,
      topology: this.#topology,
      confirmLevel: this.#confirmLevel,
      memoryBytes: this.#memoryBytes,
      logSizes: { segmentBytes, transientSegmentBytes: 1024, roundBytes: segmentBytes / 2 },
      wasPowerLoss: this.#wasPowerLoss,
      onBroken: (error) => {
        this.#broken ??= error;
      },
    });
  }

  /** Stops in order. What follows finds everything, even if the power goes at that moment. */
  async #close(): Promise<void> {
    this.#trace("stop");
    // Adapters end their connections first.
    for (const client of this.#clients) this.#life.disconnect(client);
    this.#clients = [];
    this.#observe();
    await this.#drain();
    this.#observe();
    let isClosed = false;
    let failure: unknown;
    this.#life.broker
      .close()
      .catch((error) => {
        failure = error;
      })
      .finally(() => {
        isClosed = true;
      });
    await this.#drain();
    this.#checkUnbroken();
    demand(isClosed, () => "the broker does not stop");
    if (failure !== undefined && !(failure instanceof DiskError)) throw failure;
    if (!this.#isTroubled) this.#model.onRest();
    await this.#die();
    await this.#begin();
  }

  // Peace

  /**
   * All trouble ends and everything comes to rest: then nothing waits, and all is as it should be.
   */
  async #rest(): Promise<void> {
    this.#trace("rest");
    this.#endTrouble();
    for (let i = 0; i < 8; i++) {
      this.#life.clock.advance(1100);
      await this.#drain();
      this.#observe();
    }
    this.#life.checkRest(this.#clients);
    this.#model.onRest();
    await this.#checkSpace();
    this.#traceSegments();
  }

  #traceSegments(): void {
    for (const segment of this.#life.data.messages.log.segments) {
      if (segment?.durability !== "durable") continue;
      const { number, generation, liveRecords, recordCount, isIndexed } = segment;
      const name = `${number}.${generation}${isIndexed ? "" : ", no index"}`;
      this.#trace(`  segment ${name}: ${liveRecords} of ${recordCount} records live`);
    }
  }

  /** Consumers who take everything get everything. */
  async #drainQueues(): Promise<void> {
    this.#trace("consume everything");
    const [client] = this.#clients;
    for (const other of this.#clients.slice(1)) this.#life.disconnect(other);
    this.#clients = [client!];
    for (const queue of this.#life.queues()) {
      if (queue.exclusiveOwner === null) client!.subscribe(queue, false, 0);
    }
    await this.#drain();
    while (client!.heldCount > 0) {
      client!.settle("acknowledge", 0);
      if (client!.heldCount === 0) await this.#drain();
    }
    this.#observe();
    demand(this.#model.liveMessages === 0, () => "some messages are never delivered");
  }

  async #checkSpace(): Promise<void> {
    let diskBytes = 0;
    const measured = this.#measure().then((bytes) => {
      diskBytes = bytes;
    });
    await this.#drain();
    await measured;
    let liveBytes = 0;
    let segments = 0;
    for (const segment of this.#life.data.messages.log.segments) {
      // Groups have to stay then.
      if (segment?.lacksSettlements === true) return;
      if (segment?.durability !== "durable") continue;
      liveBytes += segment.liveBytes;
      segments++;
    }
    // What is being filled goes when it is full, also if a large transaction has made it larger.
    const tailBytes = this.#life.data.messages.log.tailSegment?.bytes?.length ?? 0;
    // The heads of indexes and sidecars, which only matter when segments are as small as here.
    const bound = 2 * liveBytes + this.#segmentBytes + tailBytes + 64 * (segments + 1);
    demand(diskBytes <= bound, () => `${diskBytes} bytes on disk for ${liveBytes} in ${segments}`);
  }

  async #measure(): Promise<number> {
    const directory = `${dataDirectory}/messages/log`;
    let bytes = 0;
    for (const name of await this.#disk.list(directory)) {
      const file = await this.#disk.open(`${directory}/${name}`, "read");
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

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
