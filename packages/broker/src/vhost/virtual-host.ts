/**
 * One virtual host: its exchanges, bindings and queues, and what happens to the rest when one of
 * them goes. It checks no permission and knows no connection: sessions do, on top of it.
 *
 * A durable change is shown only once it has been saved; a removal is shown at once and saved then.
 * Without a journal nothing is saved, and durable is a word.
 */

import { type Clock, KeyedTurns } from "@haremq/kernel";
import { type ConfirmLevel, confirmLevels } from "@haremq/store";
import { FieldTable } from "@haremq/wire";
import { tooManyQueues } from "../errors.ts";
import { BrokerEvents, internalUser } from "../events/broker-events.ts";
import { type Firehose, traceExchange } from "../events/firehose.ts";
import { type Binding, bindingIdentity } from "../exchange/binding.ts";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import type { ExchangeFeature, RunningFeature } from "../exchange/exchange-feature.ts";
import type { ExchangeTypes } from "../exchange/exchange-types.ts";
import { type Removed, Topology } from "../exchange/topology.ts";
import type { FoundMessages } from "../found-messages.ts";
import type { MessageStore } from "../message/message-store.ts";
import { ParameterComponents } from "../parameter/parameter-components.ts";
import { RuntimeParameters } from "../parameter/runtime-parameters.ts";
import { VirtualHostLimits } from "../parameter/virtual-host-limits.ts";
import type { PolicyTable } from "../policy/policy-table.ts";
import { VirtualHostPolicies } from "../policy/virtual-host-policies.ts";
import { ClassicQueue } from "../queue/classic-queue.ts";
import type { Queue, QueueSpec } from "../queue/queue.ts";
import type { DeadLetter, QueueHost } from "../queue/queue-host.ts";
import { isStream } from "../queue/queue-types.ts";
import type { Streams } from "../queue/stream/streams.ts";
import { DeadLetters } from "./dead-letters.ts";
import { checkDefaultQueueType } from "./default-queue-type.ts";
import { ExchangeFeatures, noStoreNumbers } from "./exchange-features.ts";
import {
  isDurableBinding,
  type SavedBinding,
  type SavedExchange,
  type SavedQueue,
  savedBinding,
  type TopologyJournal,
} from "./topology-journal.ts";
import { noMetadata, type VirtualHostMetadata } from "./virtual-host-metadata.ts";

export interface VirtualHostOptions {
  readonly name: string;
  readonly messages: MessageStore;
  readonly streams: Streams;
  readonly journal?: TopologyJournal | undefined;
  readonly metadata?: VirtualHostMetadata | undefined;
  /** What its confirms stand for; undefined for the broker's default. */
  readonly confirm?: ConfirmLevel | undefined;
  /** That default, which is "disk" unless given. */
  readonly brokersConfirm?: ConfirmLevel | undefined;
  /** What exchanges can do besides routing. */
  readonly features?: readonly ExchangeFeature[];
  readonly exchangeTypes?: ExchangeTypes;
  readonly parameterComponents?: ParameterComponents;
  /** Topic exchanges that the broker itself publishes to, besides the one for traces. */
  readonly systemExchanges?: readonly string[];
  readonly events?: BrokerEvents;
  /** A change that nobody waits for could not be saved. */
  onSaveFailed?(error: unknown): void;
}

/** What a queue is declared as; its number in the store is for the virtual host to find. */
export type NewQueue = Omit<QueueSpec, "storeNumber">;

const predeclared: readonly (readonly [name: string, type: string, internal: boolean])[] = [
  ["amq.direct", "direct", false],
  ["amq.fanout", "fanout", false],
  ["amq.topic", "topic", false],
  ["amq.headers", "headers", false],
  ["amq.match", "headers", false],
  [traceExchange, "topic", true],
];

export class VirtualHost implements QueueHost {
  readonly name: string;
  readonly topology: Topology<Queue>;
  readonly events: BrokerEvents;
  readonly parameters: RuntimeParameters;
  readonly limits: VirtualHostLimits;
  #metadata: VirtualHostMetadata;
  /** Queues that are being saved. */
  #queuesToCome = 0;
  /** Where adapters send copies of all messages, while it is on. */
  firehose: Firehose | null = null;
  #tracer: Firehose | null = null;
  readonly #messages: MessageStore;
  readonly #streams: Streams;
  readonly #deadLetters: DeadLetters;
  #isClosed = false;
  readonly #journal: TopologyJournal | undefined;
  readonly #features: ExchangeFeatures;
  readonly #policies: VirtualHostPolicies;
  readonly #turns = new KeyedTurns();
  readonly #onSaveFailed: (error: unknown) => void;
  readonly #brokersConfirm: ConfirmLevel;
  #ownConfirm: ConfirmLevel | undefined;
  /** What its confirms stand for. */
  confirmLevel: ConfirmLevel;

  constructor(options: VirtualHostOptions) {
    const { name, messages, journal, parameterComponents = new ParameterComponents() } = options;
    const topology = new Topology<Queue>(options.exchangeTypes);
    const onSaveFailed = options.onSaveFailed?.bind(options) ?? (() => undefined);
    this.name = name;
    this.topology = topology;
    this.#metadata = options.metadata ?? noMetadata;
    this.events = options.events ?? new BrokerEvents();
    this.#messages = messages;
    this.#streams = options.streams;
    this.#deadLetters = new DeadLetters(this, messages, (queue, exchange) =>
      this.onDeadLetterCycle(queue, exchange),
    );
    this.#journal = journal;
    this.#onSaveFailed = onSaveFailed;
    this.parameters = new RuntimeParameters(
      name,
      parameterComponents,
      journal?.metadata,
      this.events,
    );
    this.limits = new VirtualHostLimits(this.parameters);
    this.#brokersConfirm = checkedLevel(options.brokersConfirm) ?? "disk";
    this.#ownConfirm = checkedLevel(options.confirm);
    this.confirmLevel = this.#ownConfirm ?? this.#brokersConfirm;
    const place = { vhost: name, host: this, topology, messages, journal, onSaveFailed };
    this.#features = new ExchangeFeatures(options.features ?? [], place);
    this.#policies = new VirtualHostPolicies(name, topology, journal?.metadata, this.events);
    topology.applyPolicy(topology.defaultExchange, this.#policies.ofExchange(""));
    const system = (options.systemExchanges ?? []).map((each) => [each, "topic", true] as const);
    for (const [exchange, type, internal] of [...predeclared, ...system]) {
      const spec = { name: exchange, type, internal, durable: true, autoDelete: false };
      const args = new FieldTable();
      const policy = this.#policies.ofExchange(exchange);
      const added = topology.addExchange({ ...spec, arguments: args }, policy);
      this.#features.begin(added, journal?.storeNumbers(name, exchange) ?? noStoreNumbers);
    }
  }

  /** Dead letters of the queue would go round for ever, and were dropped. */
  onDeadLetterCycle: (queue: Queue, exchange: string) => void = () => undefined;

  get clock(): Clock {
    return this.#streams.clock;
  }

  moveDeadLetter(letter: DeadLetter): boolean {
    if (this.#isClosed) {
      this.#messages.release(letter.handle);
      return true;
    }
    const nowMs = this.clock.wallMs();
    this.#messages.nowMs = nowMs;
    return this.#deadLetters.move(letter, nowMs);
  }

  expire(queue: Queue): void {
    this.expireQueue(queue);
  }

  /** The level that it was given, whatever the broker's is. */
  get ownConfirmLevel(): ConfirmLevel | undefined {
    return this.#ownConfirm;
  }

  /**
   * Sets what confirms stand for, from the next one on; undefined for the broker's default. Who has
   * published before and waits is confirmed at the new level.
   */
  async setConfirmLevel(level: ConfirmLevel | undefined): Promise<void> {
    checkedLevel(level);
    await this.exclusively("metadata", async () => {
      await this.#journal?.saveVhost({ name: this.name, confirmLevel: level ?? "" });
      this.#ownConfirm = level;
      this.confirmLevel = level ?? this.#brokersConfirm;
    });
  }

  exchange(name: string): Exchange | undefined {
    return this.topology.exchange(name);
  }

  queue(name: string): Queue | undefined {
    return this.topology.queue(name);
  }

  get metadata(): VirtualHostMetadata {
    return this.#metadata;
  }

  /** Says other things of it. Throws a ParameterError for a type of queue that there is not. */
  async changeMetadata(changes: Partial<VirtualHostMetadata>): Promise<void> {
    if (changes.defaultQueueType !== undefined) checkDefaultQueueType(changes.defaultQueueType);
    await this.exclusively("metadata", async () => {
      await this.#journal?.saveVhost({ ...changes, name: this.name });
      this.#metadata = { ...this.#metadata, ...changes };
    });
  }

  /** What users ask of queues and exchanges by their names. */
  get policies(): PolicyTable {
    return this.#policies.user;
  }

  /** What the operators of the broker ask, whatever users do. */
  get operatorPolicies(): PolicyTable {
    return this.#policies.operator;
  }

  // Tracing

  /** The broker gives it one, which is on if it was when the broker ended. */
  installFirehose(firehose: Firehose): void {
    this.#tracer = firehose;
    if (this.#journal?.isTraced(this.name) === true) this.firehose = firehose;
  }

  get isTraced(): boolean {
    return this.firehose !== null;
  }

  /** Turns the firehose on or off, for all connections there are and also after a restart. */
  async setTracing(isTraced: boolean): Promise<void> {
    await this.exclusively("metadata", async () => {
      await this.#journal?.saveVhost({ name: this.name, tracing: isTraced });
      this.firehose = isTraced ? this.#tracer : null;
    });
  }

  /** Work on one name takes turns, as long as a change may have to wait for the disk. */
  exclusively<T>(name: string, work: () => Promise<T>): Promise<T> {
    return this.#journal === undefined ? work() : this.#turns.take(name, work);
  }

  /** Resolves when all that was restored is as it was. */
  async ready(): Promise<void> {
    await this.#features.ready();
    for (const queue of this.topology.queues()) {
      const reading = queue.ready?.();
      if (reading !== undefined) await reading;
    }
  }

  /** Throws what an exchange must not be declared with. */
  checkExchange(spec: ExchangeSpec): void {
    this.#features.check(spec);
  }

  /** A feature as it runs at an exchange. */
  featureOf(exchange: Exchange, feature: ExchangeFeature): RunningFeature | undefined {
    return this.#features.of(exchange, feature);
  }

  async createExchange(spec: ExchangeSpec, by = internalUser): Promise<Exchange> {
    const numbers = this.#features.newNumbers(spec, this.#policies.ofExchange(spec.name));
    if (spec.durable && this.#journal !== undefined) {
      await this.#journal.saveExchange(this.name, spec, numbers);
    }
    const policy = this.#policies.ofExchange(spec.name);
    const exchange = this.topology.addExchange(spec, policy);
    this.#features.begin(exchange, numbers);
    if (this.events.isHeard) {
      this.events.tell({ type: "exchange.created", vhost: this.name, exchange, by });
    }
    return exchange;
  }

  async deleteExchange(exchange: Exchange, by = internalUser): Promise<void> {
    const removed = this.topology.removeExchange(exchange);
    this.#tellRemoved(removed, by);
    await this.#journal?.remove(this.name, {
      ...removed,
      exchanges: [exchange, ...removed.exchanges],
    });
  }

  /** Throws if there are as many queues as there may be. */
  checkQueueCount(newQueue: string): void {
    const { maxQueues } = this.limits;
    if (maxQueues === undefined) return;
    if (this.topology.queueCount + this.#queuesToCome < maxQueues) return;
    throw tooManyQueues(newQueue, this.name, maxQueues);
  }

  async createQueue(spec: NewQueue, by = internalUser): Promise<Queue> {
    const journal = spec.durable ? this.#journal : undefined;
    const storeNumber = journal?.newStoreNumber() ?? 0;
    const numbered = { ...spec, storeNumber };
    let queue: Queue;
    this.#queuesToCome++;
    try {
      if (journal !== undefined) {
        const { name, autoDelete, arguments: args } = spec;
        const saved = { vhost: this.name, name, number: storeNumber, autoDelete, arguments: args };
        await journal.saveQueue(saved);
      }
      queue = isStream(spec.arguments)
        ? await this.#streams.create(numbered)
        : new ClassicQueue(numbered, this.#messages, this);
    } finally {
      this.#queuesToCome--;
    }
    this.#addQueue(queue);
    if (this.events.isHeard) {
      this.events.tell({ type: "queue.created", vhost: this.name, queue, by });
    }
    return queue;
  }

  /** Shows a queue, which obeys its policy from the beginning. */
  #addQueue(queue: Queue): void {
    const policy = this.#policies.ofQueue(queue.name, queue.arguments);
    if (policy !== queue.policy) queue.applyPolicy(policy);
    this.topology.addQueue(queue);
  }

  /** Removes the queue, its bindings and its messages, and cancels its consumers. */
  async deleteQueue(queue: Queue, by = internalUser): Promise<number> {
    if (queue.deleted) return 0;
    const { removed, count } = this.#dropQueue(queue);
    if (this.events.isHeard) {
      this.events.tell({ type: "queue.deleted", vhost: this.name, queue, by });
      this.#tellRemoved(removed, by);
    }
    await this.#journal?.remove(this.name, { ...removed, queues: [queue] });
    return count;
  }

  /** The same for a queue whose time has come, with nobody waiting for it to be saved. */
  expireQueue(queue: Queue): void {
    this.deleteQueue(queue).catch(this.#onSaveFailed);
  }

  #dropQueue(queue: Queue): { removed: Removed<Queue>; count: number } {
    // Out of the routes first, so that nothing is published to a queue that is closing.
    const removed = this.topology.removeQueue(queue);
    return { removed, count: queue.close() };
  }

  #tellRemoved({ exchanges, bindings }: Removed<Queue>, by: string): void {
    const events = this.events;
    if (!events.isHeard) return;
    const vhost = this.name;
    for (const exchange of exchanges)
      events.tell({ type: "exchange.deleted", vhost, exchange, by });
    for (const binding of bindings) events.tell({ type: "binding.deleted", vhost, binding, by });
  }

  async bind(
    source: Exchange,
    destination: Exchange | Queue,
    routingKey: string,
    args: FieldTable,
    by = internalUser,
  ): Promise<void> {
    const destinationKind = this.#isQueue(destination) ? "queue" : "exchange";
    const binding = { source, destination, destinationKind, routingKey, arguments: args } as const;
    if (this.#journal === undefined || !isDurableBinding(source, destination)) {
      await this.#bindNow(binding, by);
      return;
    }
    const identity = bindingIdentity(source.name, routingKey, args);
    await this.exclusively(`binding to ${destinationKind} ${destination.name} ${identity}`, () =>
      this.#bindDurably(this.#journal!, binding, by),
    );
  }

  async #bindDurably(journal: TopologyJournal, binding: Binding<Queue>, by: string): Promise<void> {
    if (!this.#hasBothEnds(binding) || this.#isBound(binding)) return;
    await journal.saveBinding(savedBinding(this.name, binding));
    // Either end may have gone while this was saved.
    const isBound = await this.#bindNow(binding, by);
    if (!isBound) await journal.remove(this.name, { bindings: [binding] });
  }

  /** Resolves to false if either end has gone. */
  async #bindNow(binding: Binding<Queue>, by: string): Promise<boolean> {
    const { source, destination, routingKey } = binding;
    if (this.#hasBothEnds(binding) && !this.#isBound(binding)) {
      const introduction = this.#features.introduce(binding);
      let waits = introduction?.advance();
      while (waits !== undefined) {
        await waits;
        if (!this.#hasBothEnds(binding)) return false;
        waits = introduction?.advance();
      }
    }
    if (!this.#hasBothEnds(binding)) return false;
    const isNew = this.topology.bind(source, destination, routingKey, binding.arguments);
    if (isNew && this.events.isHeard) {
      this.events.tell({ type: "binding.created", vhost: this.name, binding, by });
    }
    return true;
  }

  #isBound({ source, destination, routingKey, arguments: args }: Binding<Queue>): boolean {
    return this.topology.hasBinding(source, destination, routingKey, args);
  }

  #hasBothEnds({ source, destination }: Binding<Queue>): boolean {
    if (this.exchange(source.name) !== source) return false;
    return this.#isQueue(destination) || this.exchange(destination.name) === destination;
  }

  #isQueue(destination: Exchange | Queue): boolean {
    return this.topology.queue(destination.name) === destination;
  }

  async unbind(
    source: Exchange,
    destination: Exchange | Queue,
    routingKey: string,
    args: FieldTable,
    by = internalUser,
  ): Promise<void> {
    const removed = this.topology.unbind(source, destination, routingKey, args);
    if (removed === undefined) return;
    this.#tellRemoved(removed, by);
    await this.#journal?.remove(this.name, removed);
  }

  // What a restart finds

  restoreExchange(saved: SavedExchange): void {
    if (this.topology.exchange(saved.name) !== undefined) return;
    const policy = this.#policies.ofExchange(saved.name);
    this.#features.begin(this.topology.addExchange(saved, policy), saved.stores);
  }

  /** Gives an exchange back what was kept for it under this number. */
  restoreKept(exchange: string, number: number, messages: FoundMessages): void {
    const node = this.topology.exchange(exchange);
    const feature = node === undefined ? undefined : this.#features.find(node, number);
    messages.giveTo(({ handle }) => {
      if (feature === undefined) this.#messages.settle(handle, number);
      else feature.restore(handle);
    }, this.clock.wallMs());
  }

  restoreQueue(saved: SavedQueue): Queue {
    const spec = {
      name: saved.name,
      durable: true,
      exclusiveOwner: null,
      autoDelete: saved.autoDelete,
      arguments: saved.arguments,
      storeNumber: saved.number,
    };
    const queue = isStream(spec.arguments)
      ? this.#streams.restore(spec)
      : new ClassicQueue(spec, this.#messages, this);
    this.#addQueue(queue);
    return queue;
  }

  /**
   * Has queues obey their limits with what they were given back. Dead letters find their way by
   * now.
   */
  obeyPolicies(): void {
    for (const queue of [...this.topology.queues()]) {
      if (queue.readyCount > 0) queue.applyPolicy(queue.policy);
    }
  }

  restoreBinding(saved: SavedBinding): void {
    const { topology } = this;
    const source = topology.exchange(saved.source);
    const isQueue = saved.destinationKind === "queue";
    const destination = isQueue
      ? topology.queue(saved.destination)
      : topology.exchange(saved.destination);
    if (source === undefined || destination === undefined) return;
    topology.bind(source, destination, saved.routingKey, saved.arguments);
  }

  /**
   * Gives back what is only in memory; the virtual host is not used afterwards. Durable queues and
   * their messages are left as they are, for the next start.
   */
  close(): void {
    this.#isClosed = true;
    this.#features.stop();
    for (const queue of [...this.topology.queues()]) {
      if (queue.storeNumber === 0) this.#dropQueue(queue);
    }
  }
}

/** Whoever embeds a broker may not have had types to keep to. */
function checkedLevel(level: ConfirmLevel | undefined): ConfirmLevel | undefined {
  if (level === undefined || confirmLevels.includes(level)) return level;
  throw new RangeError(`confirms can be "disk" or "os", not ${JSON.stringify(level)}`);
}
