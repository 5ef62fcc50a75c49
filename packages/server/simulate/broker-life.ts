/**
 * One life of the broker in the simulation: from an opening to a crash. Judges what the opening
 * finds, lets clients work, and carries out changes of the topology, several at a time.
 */

import {
  Broker,
  BrokerData,
  ChannelError,
  type Exchange,
  InternalDatabase,
  type Logger,
  MessageStore,
  MessageView,
  type Queue,
  Viewed,
  type VirtualHost,
} from "@haremq/broker";
import { type SeededRandom, VirtualClock } from "@haremq/kernel";
import {
  type ConfirmLevel,
  DataDirectory,
  type FaultyDisk,
  type LogSizes,
  MetadataError,
  noLock,
} from "@haremq/store";
import { FieldTable } from "@haremq/wire";
import {
  type FoundMessage,
  type MessageModel,
  type ModelQueue,
  openMessages,
} from "./message-model.ts";
import { demand } from "./promise-broken.ts";
import { type ClientHost, SimulatedClient } from "./simulated-client.ts";
import { identify } from "./simulated-message.ts";
import type { SimulatedMetadata } from "./simulated-metadata.ts";
import {
  bindingKey,
  describe,
  describeLevel,
  durableTopology,
  type TopologyModel,
} from "./topology-model.ts";

export interface LifeOptions {
  readonly disk: FaultyDisk;
  readonly metadata: SimulatedMetadata;
  readonly random: SeededRandom;
  readonly model: MessageModel;
  readonly topology: TopologyModel;
  readonly confirmLevel: ConfirmLevel;
  readonly memoryBytes: number;
  readonly logSizes: LogSizes;
  /** How the life before has ended. */
  readonly wasPowerLoss: boolean;
  onBroken(error: unknown): void;
}

export interface QueueWish {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
}

export interface BindingWish {
  readonly source: string;
  readonly destinationKind: "queue" | "exchange";
  readonly destination: string;
  readonly routingKey: string;
}

export const dataDirectory = "/data";
const user = { name: "simulated", tags: [] };
const noArguments = new FieldTable();

export class BrokerLife implements ClientHost {
  readonly clock = new VirtualClock();
  readonly #options: LifeOptions;
  #data: BrokerData | undefined;
  #broker: Broker | undefined;
  readonly #queues = new Map<Queue, ModelQueue>();
  #changesUnderWay = 0;
  /** A change has failed half way: memory and disk may differ until the next start. */
  #isTorn = false;
  readonly errors: string[] = [];

  constructor(options: LifeOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#broker !== undefined;
  }

  get broker(): Broker {
    return this.#broker!;
  }

  get data(): BrokerData {
    return this.#data!;
  }

  get messages(): MessageStore {
    return this.broker.messages;
  }

  get model(): MessageModel {
    return this.#options.model;
  }

  get vhost(): VirtualHost {
    return this.broker.vhost("/")!;
  }

  onBroken(error: unknown): void {
    this.#options.onBroken(error);
  }

  // The beginning

  /** Rejects with a DiskError if the disk does not let it. */
  async open(): Promise<void> {
    const { disk, metadata, confirmLevel, memoryBytes, logSizes, random } = this.#options;
    await DataDirectory.open({ disk, random, path: dataDirectory, lock: noLock });
    const data = await BrokerData.open({
      disk,
      metadata,
      directory: dataDirectory,
      clock: this.clock,
      memoryBytes,
      logSizes,
      log: this.#logger(),
    });
    disk.faults.clear();
    await this.#judge(data);
    const alarm = this.errors.find((message) => /damaged/.test(message));
    demand(alarm === undefined, () => `false alarm: ${alarm}`);
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
      log: this.#logger(),
      data,
      confirm: confirmLevel,
    });
    await broker.ready();
    await broker.createVhost("/");
    this.#data = data;
    this.#broker = broker;
    this.#options.topology.recover(durableTopology(this.vhost));
    this.#checkJournal();
    for (const queue of this.vhost.topology.queues()) {
      const known = this.model.queue(queue.storeNumber);
      this.#queues.set(queue, known ?? this.model.addQueue(queue.name, queue.storeNumber));
    }
  }

  /** Looks at every message that was found, before the broker begins with them. */
  async #judge(data: BrokerData): Promise<void> {
    const store = new MessageStore(data.messages);
    const found = new Map<number, FoundMessage[]>();
    for (const [number, all] of data.found) {
      const messages: FoundMessage[] = [];
      for (const [handle, isRedelivered] of all.handles()) {
        messages.push({ id: await identifyStored(store, handle), isRedelivered });
      }
      found.set(number, messages);
    }
    this.model.recover(found, this.#options.wasPowerLoss);
  }

  /** What the metadata store has is what the broker has: nothing lies there that nobody sees. */
  #checkJournal(): void {
    const view = durableTopology(this.vhost);
    for (const kind of ["queue", "exchange", "binding"]) {
      const saved = [...this.#options.metadata.scan([kind])].map(({ key }) => key.join(" "));
      const seen = [...view.keys()].filter((key) => key.startsWith(`${kind} `));
      const isSame = saved.length === seen.length;
      demand(isSame, () => `saved is ${saved.join("; ")}, but there is ${seen.join("; ")}`);
    }
  }

  #logger(): Logger {
    const complain = (message: string): void => {
      this.errors.push(message);
      if (/could not be saved/.test(message)) this.#isTorn = true;
    };
    return { debug: () => {}, info: () => {}, warn: () => {}, error: complain };
  }

  // Clients

  connect(): SimulatedClient {
    return new SimulatedClient(this.broker.openSession(user, "/"), this);
  }

  modelOf(queue: Queue): ModelQueue {
    let known = this.#queues.get(queue);
    if (known === undefined) {
      known = this.model.addQueue(queue.name, queue.storeNumber);
      this.#queues.set(queue, known);
    }
    return known;
  }

  // Topology

  declareQueue({ session }: SimulatedClient, wish: QueueWish): void {
    const declaration = { ...wish, arguments: noArguments };
    if (wish.durable && !wish.exclusive) {
      this.#options.topology.expect(`queue ${wish.name}`, describe(declaration));
    }
    this.#change(session.declareQueue(declaration));
  }

  deleteQueue({ session }: SimulatedClient, name: string): void {
    const queue = this.vhost.queue(name);
    const deletion = session.deleteQueue(name, false, false);
    if (queue !== undefined) this.#noteDeleted(queue);
    this.#remove(deletion, () => {
      if (queue?.deleted === true) this.modelOf(queue).fate = "gone";
    });
  }

  purgeQueue({ session }: SimulatedClient, queue: Queue): void {
    const known = this.modelOf(queue);
    this.#change(session.purgeQueue(queue.name));
    // Unless it is somebody else's.
    if (queue.readyCount === 0) this.model.drop(known);
  }

  declareExchange({ session }: SimulatedClient, name: string, type: string, durable: boolean) {
    const flags = { autoDelete: name.endsWith("0"), internal: false };
    const declaration = { name, type, durable, ...flags, arguments: noArguments };
    if (durable) this.#options.topology.expect(`exchange ${name}`, describe(declaration));
    this.#change(session.declareExchange(declaration));
  }

  deleteExchange({ session }: SimulatedClient, name: string): void {
    this.#remove(session.deleteExchange(name, false));
  }

  bind({ session }: SimulatedClient, wish: BindingWish): void {
    const { source, destination, destinationKind, routingKey } = wish;
    const ends = { source: { name: source }, destination: { name: destination } };
    const binding = { ...ends, destinationKind, routingKey, arguments: noArguments };
    this.#options.topology.expect(bindingKey(binding), "bound");
    this.#change(session.bind({ ...wish, arguments: noArguments }));
  }

  unbind({ session }: SimulatedClient, wish: BindingWish): void {
    this.#remove(session.unbind({ ...wish, arguments: noArguments }));
  }

  setConfirmLevel(level: ConfirmLevel | undefined): void {
    this.#options.topology.expect("vhost", describeLevel(level));
    this.#change(this.vhost.setConfirmLevel(level));
  }

  disconnect(client: SimulatedClient): void {
    this.#change(client.close());
  }

  #change(change: Promise<unknown>): void {
    this.#changesUnderWay++;
    change
      .catch((error: unknown) => {
        if (error instanceof ChannelError || error instanceof MetadataError) return;
        this.onBroken(error);
      })
      .finally(() => {
        this.#changesUnderWay--;
      });
  }

  /** A removal is shown before it is saved. */
  #remove(removal: Promise<unknown>, onDone: () => void = () => {}): void {
    const isSaved = removal.then(onDone).catch((error) => {
      if (error instanceof MetadataError) this.#isTorn = true;
      throw error;
    });
    this.#change(isSaved);
  }

  #noteDeleted(queue: Queue): void {
    const known = this.modelOf(queue);
    if (!queue.deleted || known.fate !== "alive") return;
    known.fate = "dying";
    this.model.drop(known);
  }

  /** To be called after every step: keeps the model up with what clients see. */
  observe(): void {
    const view = durableTopology(this.vhost);
    const isQuiet = this.#changesUnderWay === 0 && this.#options.metadata.isIdle;
    if (isQuiet && !this.#isTorn) this.#options.topology.settle(view);
    else this.#options.topology.observe(view);
    for (const [queue, known] of this.#queues) {
      this.#noteDeleted(queue);
      if (known.fate === "dying" && isQuiet && !this.#isTorn) known.fate = "gone";
    }
  }

  // What must be so when the broker is at rest

  checkRest(clients: readonly SimulatedClient[]): void {
    demand(this.#changesUnderWay === 0, () => "a change of the topology is never answered");
    for (const client of clients) {
      const { unconfirmedCount } = client;
      demand(unconfirmedCount === 0, () => `${unconfirmedCount} messages are never confirmed`);
    }
    const { active, reason } = this.broker.alarms;
    demand(active.size === 0, () => `still ${reason}`);
    for (const queue of this.vhost.topology.queues()) this.#checkQueue(queue);
    const { liveMessages } = this.messages;
    const expected = this.model.liveMessages;
    demand(liveMessages === expected, () => `${liveMessages} messages live, not ${expected}`);
  }

  #checkQueue(queue: Queue): void {
    const count = queue.readyCount + queue.unsettledCount;
    const expected = openMessages(this.modelOf(queue)).length;
    demand(count === expected, () => `queue ${queue.name} has ${count} messages, not ${expected}`);
    if (queue.readyCount === 0) return;
    const waiting = [...queue.consumers()].filter((consumer) => consumer.canTake).length;
    demand(waiting === 0, () => `${queue.name} has messages and ${waiting} consumers that wait`);
  }

  exchanges(): Exchange[] {
    const isOurs = ({ name }: Exchange): boolean => !/^(amq\.|$)/.test(name);
    return [...this.vhost.topology.exchanges()].filter(isOurs);
  }

  queues(): Queue[] {
    return [...this.vhost.topology.queues()];
  }
}

const view = new MessageView();

async function identifyStored(store: MessageStore, handle: number): Promise<number> {
  while (store.view(handle, view) === Viewed.Away) await store.load(handle);
  return identify(view);
}
