/**
 * One life of a broker whose queues have limits, in the simulation: from an opening to a crash.
 * Judges what the opening finds.
 */

import {
  Broker,
  BrokerData,
  InternalDatabase,
  type Logger,
  MessageStore,
  MessageView,
  type Queue,
  Viewed,
} from "@haremq/broker";
import { type SeededRandom, VirtualClock } from "@haremq/kernel";
import { DataDirectory, type FaultyDisk, type LogSizes, noLock } from "@haremq/store";
import { argumentsOf, isBounded, type LimitedQueue } from "./limited-queue.ts";
import { LimitsClient, type LimitsHost, sightingOf } from "./limits-client.ts";
import type { LimitsModel, Sighting } from "./limits-model.ts";
import { demand } from "./promise-broken.ts";
import type { SimulatedMetadata } from "./simulated-metadata.ts";

export interface LimitsLifeOptions {
  readonly disk: FaultyDisk;
  readonly metadata: SimulatedMetadata;
  readonly random: SeededRandom;
  readonly logSizes: LogSizes;
  readonly memoryBytes: number;
  readonly queues: readonly LimitedQueue[];
  readonly model: LimitsModel;
  /** Wall time at its beginning. */
  readonly wallMs: number;
  readonly wasPowerLoss: boolean;
}

export const dataDirectory = "/data";
const user = { name: "simulated", tags: [] };

export class LimitsLife implements LimitsHost {
  readonly clock: VirtualClock;
  readonly model: LimitsModel;
  /** How many messages the opening has found. */
  readonly found = new Map<LimitedQueue, number>();
  readonly #options: LimitsLifeOptions;
  #broker: Broker | undefined;

  constructor(options: LimitsLifeOptions) {
    this.#options = options;
    this.model = options.model;
    this.clock = new VirtualClock(options.wallMs);
  }

  get isOpen(): boolean {
    return this.#broker !== undefined;
  }

  get broker(): Broker {
    return this.#broker!;
  }

  get messages(): MessageStore {
    return this.broker.messages;
  }

  /** Rejects with a DiskError if the disk does not let it. */
  async open(): Promise<void> {
    const { disk, metadata, memoryBytes, logSizes, random } = this.#options;
    await DataDirectory.open({ disk, random, path: dataDirectory, lock: noLock });
    const log = silent;
    const data = await BrokerData.open({
      disk,
      metadata,
      directory: dataDirectory,
      clock: this.clock,
      memoryBytes,
      logSizes,
      log,
    });
    disk.faults.clear();
    await this.#judge(data);
    const users = new InternalDatabase([], random);
    users.addUser(user.name, "", []);
    users.setPermissions(user.name, "/", { configure: ".*", write: ".*", read: ".*" });
    const broker = new Broker({
      clock: this.clock,
      random,
      authenticator: users,
      authorizer: users,
      limits: {
        messageBytesMax: 2 ** 20,
        channelConsumersMax: 0,
        memoryBytesMax: Number.POSITIVE_INFINITY,
        diskFreeBytesMin: 0,
      },
      log,
      data,
    });
    await broker.ready();
    await broker.createVhost("/");
    this.#broker = broker;
    await this.#declare();
  }

  /** Looks at every message that was found, before the broker begins with them. */
  async #judge(data: BrokerData): Promise<void> {
    const { queues, model, wasPowerLoss } = this.#options;
    const store = new MessageStore(data.messages);
    const found = new Map<LimitedQueue, (Sighting & { isRedelivered: boolean })[]>();
    for (const saved of data.journal.queues()) {
      const queue = queues.find(({ name }) => name === saved.name)!;
      const messages: (Sighting & { isRedelivered: boolean })[] = [];
      for (const [handle, isRedelivered] of data.found.get(saved.number)?.handles() ?? []) {
        messages.push({ ...(await look(store, handle)), isRedelivered });
      }
      this.found.set(queue, messages.length);
      found.set(queue, messages);
    }
    model.recover(found, this.clock.wallMs(), wasPowerLoss);
  }

  /** Those that the life before has not come to; the others are what they were. */
  async #declare(): Promise<void> {
    const session = this.broker.openSession(user, "/");
    for (const queue of this.#options.queues) {
      const flags = { durable: true, exclusive: false, autoDelete: false };
      const { name } = queue;
      await session.declareQueue({ name, ...flags, arguments: argumentsOf(queue) });
    }
  }

  connect(): LimitsClient {
    return new LimitsClient(this);
  }

  queue({ name }: LimitedQueue): Queue {
    return this.broker.vhost("/")!.queue(name)!;
  }

  limitsOf({ name }: Queue): LimitedQueue {
    return this.#options.queues.find((each) => each.name === name)!;
  }

  // What must be so when the broker is at rest

  checkRest(clients: readonly LimitsClient[]): void {
    for (const client of clients) {
      const { unconfirmedCount } = client;
      demand(unconfirmedCount === 0, () => `${unconfirmedCount} messages are never confirmed`);
    }
    const { active, reason } = this.broker.alarms;
    demand(active.size === 0, () => `still ${reason}`);
    for (const limits of this.#options.queues) this.#checkQueue(limits);
  }

  #checkQueue(limits: LimitedQueue): void {
    const { name, lengthMax, overflow, ttlMs } = limits;
    const queue = this.queue(limits);
    const { readyCount, unsettledCount } = queue;
    const held = [...this.model.copies()].filter(({ isHeld, at }) => isHeld && at === limits);
    demand(unsettledCount === held.length, () => `${name} has ${unsettledCount} unsettled`);
    const isOver = overflow === "drop-head" && readyCount > lengthMax;
    demand(!isOver, () => `${name} has ${readyCount} messages, and may have ${lengthMax}`);
    // Where there is not room for all, others come when some have gone.
    const isLate = Number.isFinite(ttlMs) && readyCount > 0 && !isBounded(limits);
    demand(!isLate, () => `${name} has ${readyCount} messages that have expired`);
    if (readyCount === 0) return;
    const waiting = [...queue.consumers()].filter((consumer) => consumer.canTake).length;
    demand(waiting === 0, () => `${name} has messages and ${waiting} consumers that wait`);
  }
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const view = new MessageView();

async function look(store: MessageStore, handle: number): Promise<Sighting> {
  while (store.view(handle, view) === Viewed.Away) await store.load(handle);
  return sightingOf(view);
}
