/**
 * The crash simulator of deduplication: publishers repeat themselves, whether they have heard of
 * the first time or not, to an exchange and to a queue that deduplicate; consumers take and settle;
 * the disk fails, the power goes and processes die. The model judges. Everything follows from the
 * seed.
 */

import {
  Broker,
  BrokerData,
  Distributed,
  distribute,
  InternalDatabase,
  MessageStore,
  MessageView,
  type Queue,
  type SafetyWaiter,
  type Session,
  silentLogger,
  tellArrival,
  Viewed,
} from "@haremq/broker";
import { SeededRandom, VirtualClock } from "@haremq/kernel";
import {
  DataDirectory,
  type DiskOperation,
  FaultyDisk,
  noLock,
  SeededScheduler,
} from "@haremq/store";
import { encodeProperties, FieldTable, WireWriter } from "@haremq/wire";
import { KeyModel, type Publication, type Target } from "./key-model.ts";
import { demand } from "./promise-broken.ts";
import { identifyBody, viewOf } from "./simulated-message.ts";
import { SimulatedMetadata } from "./simulated-metadata.ts";

export interface DeduplicationReport {
  readonly messages: number;
  readonly crashes: number;
  readonly faults: number;
}

/** Rejects with PromiseBroken, or whatever else went wrong. */
export async function simulateDeduplication(
  seed: number,
  trace: (line: string) => void = () => {},
): Promise<DeduplicationReport> {
  return await new DeduplicationSimulation(seed, trace).run();
}

const dataDirectory = "/data";
const user = { name: "simulated", tags: [] };
const exchangeNames: Readonly<Record<Target, string>> = { exchange: "x", queue: "y" };
const queueNames: Readonly<Record<Target, readonly string[]>> = {
  exchange: ["a", "b"],
  queue: ["d"],
};

interface Held {
  readonly queue: Queue;
  readonly handle: number;
  readonly sequence: number;
  readonly id: number;
}

class DeduplicationSimulation implements SafetyWaiter {
  readonly #random: SeededRandom;
  readonly #scheduler: SeededScheduler;
  readonly #trace: (line: string) => void;
  readonly #model: KeyModel;
  readonly #keys: number;
  readonly #cacheArguments: Record<string, unknown>;
  readonly #segmentBytes: number;
  readonly #faultsInThousand: number;
  #disk: FaultyDisk;
  #metadata: SimulatedMetadata;
  #clock = new VirtualClock();
  #broker!: Broker;
  #session!: Session;
  #held: Held[] = [];
  #unconfirmed: { publication: Publication; position: number }[] = [];
  #ids = 0;
  #crashes = 0;
  #faults = 0;

  constructor(seed: number, trace: (line: string) => void) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#trace = trace;
    this.#scheduler = new SeededScheduler(random);
    this.#disk = new FaultyDisk({ random, scheduler: this.#scheduler });
    this.#metadata = new SimulatedMetadata({ random, scheduler: this.#scheduler });
    this.#keys = random.pick([5, 50, 1000]);
    const forgets = random.below(4) === 0;
    this.#model = new KeyModel(!forgets);
    this.#cacheArguments = forgets
      ? { "x-cache-size": random.pick([1, 10]), "x-cache-ttl": random.pick([100, 10_000]) }
      : { "x-cache-size": 100_000 };
    this.#segmentBytes = random.pick([1024, 4096, 65_536]);
    this.#faultsInThousand = random.pick([0, 0, 20, 50]);
  }

  async run(): Promise<DeduplicationReport> {
    await this.#begin();
    for (let lives = 1 + this.#random.below(6); lives > 0; lives--) {
      for (let left = 20 + this.#random.below(150); left > 0; left--) {
        this.#act();
        await this.#pump(this.#random.pick([0, 0, 1, 5]));
      }
      if (this.#random.below(3) === 0) await this.#rest();
      await this.#crash();
    }
    await this.#rest();
    await this.#consumeAll();
    this.#model.judge(queueNames);
    await this.#deleteAll();
    return { messages: this.#ids, crashes: this.#crashes, faults: this.#faults };
  }

  #act(): void {
    const draw = this.#random.below(1000);
    if (draw < this.#faultsInThousand) this.#injectFault();
    else if (draw < 200) this.#get();
    else if (draw < 350) this.#settle();
    else if (draw < 400) this.#clock.advance(this.#random.pick([1, 100, 1000]));
    else for (let left = this.#random.pick([1, 1, 10]); left > 0; left--) this.#publish();
  }

  // The workload

  #publish(): void {
    const target: Target = this.#random.below(2) === 0 ? "exchange" : "queue";
    const key = this.#random.below(this.#keys);
    const publication: Publication = { id: ++this.#ids, key, target, isConfirmed: false };
    const exchange = exchangeNames[target];
    const length = this.#random.pick([0, 50, 200]);
    const message = { id: publication.id, exchange, routingKey: "", length, isPersistent: true };
    const headers = FieldTable.from({ "x-deduplication-header": key });
    const view = withHeaders(viewOf(message), headers);
    const { messages } = this.#broker;
    messages.nowMs = this.#clock.wallMs();
    const { topology } = this.#session.vhost;
    const passage = topology.pass(topology.exchange(exchange)!, {
      routingKeys: [""],
      headers,
      view,
    });
    const { queues, keepers, receipts, isRouted, awaitsStore } = passage;
    const counts = queues.map((queue) => queue.counts.published);
    const outcome = distribute(messages, queues, view, "disk", undefined, keepers);
    if (isRouted) tellArrival(receipts, outcome);
    const isTaken = queues.some((queue, i) => queue.counts.published > counts[i]!);
    this.#trace(`${publication.id} with key ${key} to ${exchange}: ${isTaken ? "new" : "known"}`);
    this.#model.publish(publication, isTaken);
    if (awaitsStore || (outcome & Distributed.Stored) !== 0) {
      this.#unconfirmed.push({ publication, position: messages.position });
      messages.awaitSafe(this, "disk", messages.position);
    } else {
      this.#model.confirm(publication);
    }
  }

  onSafer(): void {
    const { messages } = this.#broker;
    const safePosition = messages.safePosition("disk");
    while ((this.#unconfirmed[0]?.position ?? Number.POSITIVE_INFINITY) <= safePosition) {
      this.#model.confirm(this.#unconfirmed.shift()!.publication);
    }
    const last = this.#unconfirmed.at(-1);
    if (last !== undefined) messages.awaitSafe(this, "disk", last.position);
  }

  #queue(name: string): Queue {
    return this.#session.vhost.queue(name)!;
  }

  #get(): void {
    const queue = this.#queue(this.#random.pick(["a", "b", "d"]));
    for (let left = this.#random.pick([1, 5]); left > 0; left--) this.#take(queue);
  }

  /** Returns false if there is nothing to be had, or nothing in memory. */
  #take(queue: Queue): boolean {
    const loading = queue.prepareGet();
    loading?.catch(() => undefined);
    const pulled = loading === undefined ? queue.get(false, fetched) : undefined;
    if (pulled === undefined) return false;
    const id = idOf(fetched);
    this.#model.deliver(queue.name, id);
    this.#held.push({ queue, handle: pulled.handle, sequence: pulled.sequence, id });
    return true;
  }

  #settle(): void {
    for (let left = this.#random.pick([1, 5]); left > 0 && this.#held.length > 0; left--) {
      const [held] = this.#held.splice(this.#random.below(this.#held.length), 1);
      const how = this.#random.pick(["acknowledge", "acknowledge", "reject", "requeue"] as const);
      this.#settleOne(held!, how);
    }
  }

  #settleOne({ queue, handle, sequence, id }: Held, how: "acknowledge" | "reject" | "requeue") {
    queue[how](handle, sequence);
    if (how !== "requeue" && queue.name === "d") this.#model.settle(id);
  }

  // Trouble

  #injectFault(): void {
    const operations: DiskOperation[] = this.#random.pick([["write"], ["sync"], ["open", "read"]]);
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
    this.#disk.faults.clear();
    this.#held = [];
    this.#unconfirmed = [];
    this.#clock = new VirtualClock(this.#clock.wallMs());
    await this.#begin();
  }

  // Lives

  async #begin(): Promise<void> {
    const random = this.#random;
    const opened = (async () => {
      await DataDirectory.open({ disk: this.#disk, random, path: dataDirectory, lock: noLock });
      const data = await BrokerData.open({
        disk: this.#disk,
        metadata: this.#metadata,
        directory: dataDirectory,
        clock: this.#clock,
        logSizes: {
          segmentBytes: this.#segmentBytes,
          transientSegmentBytes: 1024,
          roundBytes: this.#segmentBytes / 2,
        },
        memoryBytes: this.#segmentBytes * 3,
        log: silentLogger,
      });
      const found = await this.#found(data);
      await this.#start(data);
      this.#model.restart(found);
    })();
    await this.#pumped(opened);
  }

  /** The ids in the queue that deduplicates. */
  async #found(data: BrokerData): Promise<number[]> {
    const store = new MessageStore(data.messages);
    const ids: number[] = [];
    for (const saved of data.journal.queues()) {
      if (saved.name !== "d") continue;
      for (const [handle] of data.found.get(saved.number)?.handles() ?? []) {
        while (store.view(handle, fetched) === Viewed.Away) await store.load(handle);
        ids.push(idOf(fetched));
      }
    }
    return ids;
  }

  async #start(data: BrokerData): Promise<void> {
    const users = new InternalDatabase([], this.#random);
    void users.addUser(user.name, "", []);
    void users.setPermissions(user.name, "/", { configure: ".*", write: ".*", read: ".*" });
    this.#broker = new Broker({
      clock: this.#clock,
      random: this.#random,
      authenticator: users,
      authorizer: users,
      limits: {
        messageBytesMax: 2 ** 20,
        channelConsumersMax: 0,
        memoryBytesMax: Number.POSITIVE_INFINITY,
        diskFreeBytesMin: 0,
      },
      log: silentLogger,
      data,
    });
    await this.#broker.ready();
    await this.#broker.createVhost("/");
    this.#session = this.#broker.openSession(user, "/");
    await this.#declareAll();
  }

  async #declareAll(): Promise<void> {
    const session = this.#session;
    const flags = { durable: true, autoDelete: false };
    const none = new FieldTable();
    const cache = FieldTable.from(this.#cacheArguments);
    const x = { name: "x", type: "x-message-deduplication", internal: false, arguments: cache };
    await session.declareExchange({ ...flags, ...x });
    await session.declareExchange({ ...x, ...flags, name: "y", type: "fanout", arguments: none });
    const isOnce = FieldTable.from({ "x-message-deduplication": true });
    for (const [source, names] of [
      ["x", queueNames.exchange],
      ["y", queueNames.queue],
    ] as const) {
      for (const name of names) {
        const args = name === "d" ? isOnce : none;
        await session.declareQueue({ name, ...flags, exclusive: false, arguments: args });
        const end = { destinationKind: "queue", destination: name, routingKey: "" } as const;
        await session.bind({ source, ...end, arguments: none });
      }
    }
  }

  async #rest(): Promise<void> {
    this.#trace("rest");
    this.#disk.faults.clear();
    for (let i = 0; i < 8; i++) {
      this.#clock.advance(1100);
      await this.#drain();
    }
    const { length } = this.#unconfirmed;
    demand(length === 0, () => `${length} messages are never confirmed`);
  }

  async #consumeAll(): Promise<void> {
    this.#trace("consume everything");
    for (;;) {
      for (const held of this.#held.splice(0)) this.#settleOne(held, "acknowledge");
      const queues = ["a", "b", "d"].map((name) => this.#queue(name));
      if (queues.every(({ readyCount }) => readyCount === 0)) break;
      for (const queue of queues) while (this.#take(queue));
      await this.#drain();
    }
  }

  /** Nothing is left of anything, and of the exchange's keys neither. */
  async #deleteAll(): Promise<void> {
    await this.#pumped(this.#session.deleteExchange("x", false));
    const { liveMessages, memory } = this.#broker.messages;
    demand(liveMessages === 0, () => `${liveMessages} records are left`);
    demand(memory.keys.bytes === 0, () => `${memory.keys.bytes} bytes of keys are left`);
  }

  async #pumped<T>(promise: Promise<T>): Promise<T> {
    let isDone = false;
    const done = promise.finally(() => {
      isDone = true;
    });
    done.catch(() => undefined);
    while (!isDone) {
      await settled();
      if (!this.#scheduler.step()) this.#clock.advance(100);
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

  async #drain(): Promise<void> {
    do {
      await this.#scheduler.run();
      await settled();
      await settled();
    } while (this.#scheduler.waiting > 0);
  }
}

const fetched = new MessageView();

function idOf({ body, bodyStart, bodyLength }: MessageView): number {
  return identifyBody(body.subarray(bodyStart, bodyStart + bodyLength));
}

function withHeaders(view: MessageView, headers: FieldTable): MessageView {
  const writer = new WireWriter();
  encodeProperties(writer, { deliveryMode: 2, headers });
  view.properties = writer.take();
  view.propertiesLength = view.properties.length;
  return view;
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
