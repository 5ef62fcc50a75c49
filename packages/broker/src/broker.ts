/**
 * The broker, without sockets: the facade that every adapter speaks to. It owns the virtual hosts
 * and the memory of their messages, and opens a session for each authenticated connection. Clock,
 * randomness, user database and log are passed in, so that two brokers can live in one process.
 */

import { type Clock, KeyedTurns, type Random, type Timer } from "@haremq/kernel";
import type { ConfirmLevel } from "@haremq/store";
import type { Authenticator, Authorizer, User } from "./access/access.ts";
import type { BrokerLimits } from "./access/limits.ts";
import { Presence } from "./access/presence.ts";
import type { BrokerData } from "./broker-data.ts";
import { ExchangeDeduplication } from "./deduplication/exchange-deduplication.ts";
import { vhostNotFound, vhostRefused } from "./errors.ts";
import { Alarms } from "./events/alarms.ts";
import { BrokerEvents, internalUser } from "./events/broker-events.ts";
import { eventExchange, publishEvents } from "./events/event-exchange.ts";
import { Firehose } from "./events/firehose.ts";
import { InternalPublisher } from "./events/internal-publisher.ts";
import { type LogExchange, logExchangeName } from "./events/log-exchange.ts";
import type { Logger } from "./events/logger.ts";
import type { Exchange } from "./exchange/exchange.ts";
import type { ExchangeFeature } from "./exchange/exchange-feature.ts";
import { ExchangeTypes } from "./exchange/exchange-types.ts";
import { recentHistory } from "./exchange/recent-history.ts";
import { DirectReplies } from "./message/direct-replies.ts";
import { MessageStore } from "./message/message-store.ts";
import { GlobalParameters } from "./parameter/global-parameters.ts";
import { ParameterComponents } from "./parameter/parameter-components.ts";
import { limitsComponent, virtualHostLimits } from "./parameter/virtual-host-limits.ts";
import type { Queue } from "./queue/queue.ts";
import { Streams } from "./queue/stream/streams.ts";
import { type StoreStats, storeStatsOf } from "./store-stats.ts";
import { checkDefaultQueueType } from "./vhost/default-queue-type.ts";
import { Session } from "./vhost/session.ts";
import { VirtualHost } from "./vhost/virtual-host.ts";
import { noMetadata, type VirtualHostMetadata } from "./vhost/virtual-host-metadata.ts";

export interface BrokerOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly limits: BrokerLimits;
  readonly log: Logger;
  /** What RabbitMQ's tools and headers call this broker. */
  readonly nodeName?: string;
  /** Shared with whatever else tells of what happens, such as the user database. */
  readonly events?: BrokerEvents;
  /** The virtual host that is to have an exchange for events. */
  readonly eventVhost?: string | undefined;
  /** The exchange that the log goes to, besides wherever else. */
  readonly logExchange?: LogExchange | undefined;
  /** What is kept on disk; without it everything ends with the process. */
  readonly data?: BrokerData | undefined;
  /** What confirms stand for in virtual hosts without a level of their own; "disk" unless given. */
  readonly confirm?: ConfirmLevel | undefined;
}

/** What a virtual host is created with. */
export interface VirtualHostSettings extends Partial<VirtualHostMetadata> {
  /** What its confirms stand for, whatever the broker's default is. */
  readonly confirm?: ConfirmLevel | undefined;
}

/** How often free disk space is looked at. */
const diskCheckMs = 5000;
/** How long a queue leaves the disk alone that could not be read. */
const loadRetryMs = 1000;
/** How often a raised memory alarm is looked at when nothing else happens. */
const alarmCheckMs = 100;
/** How much of the memory for messages exchanges may use to remember what they have seen. */
const keysShare = 1 / 8;
/** A client that makes the same mistake again and again does not fill the log. */
const alternateWarningMs = 1000;

export class Broker {
  readonly clock: Clock;
  readonly random: Random;
  readonly authenticator: Authenticator;
  readonly limits: BrokerLimits;
  readonly log: Logger;
  readonly alarms = new Alarms();
  readonly events: BrokerEvents;
  readonly directReplies: DirectReplies;
  /** What runtime parameters there can be. */
  readonly parameterComponents = new ParameterComponents();
  readonly globalParameters: GlobalParameters;
  readonly nodeName: string;
  readonly messages: MessageStore;
  readonly exchangeTypes: ExchangeTypes;
  readonly #streams: Streams;
  readonly #data: BrokerData | undefined;
  readonly #authorizer: Authorizer;
  readonly #presence: Presence;
  /** What exchanges can do besides routing. */
  readonly #features: readonly ExchangeFeature[];
  readonly #publisher: InternalPublisher;
  readonly #eventVhost: string | undefined;
  readonly #logExchange: LogExchange | undefined;
  /** Tells this run of the broker from others. */
  readonly #creation: number;
  #lastPid = 0;
  readonly #confirm: ConfirmLevel | undefined;
  readonly #vhosts = new Map<string, VirtualHost>();
  readonly #vhostTurns = new KeyedTurns();
  #alarmTimer: Timer | undefined;
  #diskTimer: Timer | undefined;
  #storeHasFailed = false;
  #streamsHaveFailed = false;
  #isDiskLow = false;
  #isClosed = false;
  #nextAlternateWarningMs = 0;
  readonly #cyclic = new WeakSet<Queue>();

  constructor(options: BrokerOptions) {
    this.clock = options.clock;
    this.random = options.random;
    this.authenticator = options.authenticator;
    this.limits = options.limits;
    this.log = options.log;
    this.nodeName = options.nodeName ?? "haremq@localhost";
    this.#creation = Math.floor(options.clock.wallMs() / 1000);
    this.events = options.events ?? new BrokerEvents();
    this.#eventVhost = options.eventVhost;
    this.#logExchange = options.logExchange;
    this.#authorizer = options.authorizer;
    this.#presence = new Presence(options.authorizer);
    this.parameterComponents.register(limitsComponent, virtualHostLimits);
    this.globalParameters = new GlobalParameters(options.data?.metadata, this.events);
    this.#confirm = options.confirm;
    this.directReplies = new DirectReplies(options.random);
    this.exchangeTypes = new ExchangeTypes(options.random);
    this.#data = options.data;
    const keysBytesMax = this.limits.memoryBytesMax * keysShare;
    const deduplication = new ExchangeDeduplication(this.clock, this.log, keysBytesMax);
    this.#features = [deduplication, recentHistory];
    this.messages = new MessageStore(options.data?.messages, options.data?.memory);
    this.messages.onLoadFailed = (queue, error) => {
      this.log.error(`cannot read messages of queue '${queue.name}' from disk`, { error });
      // Its consumers may be all that waits for them, and nothing else would have it try again.
      if (!this.#isClosed) this.clock.schedule(loadRetryMs, () => queue.serve());
    };
    this.alarms.listen((active) => {
      if (active.size > 0) this.log.warn(`publishers have to wait: ${this.alarms.reason}`);
      else this.log.warn("publishers may go on: no shortage any more");
    });
    this.alarms.listen((active, source) => {
      if (!this.events.isHeard) return;
      this.events.tell({ type: active.has(source) ? "alarm.set" : "alarm.cleared", source });
    });
    this.#publisher = new InternalPublisher(this.messages, this.clock, this.log);
    this.#connectExchanges();
    this.#streams = new Streams({
      clock: options.clock,
      messages: this.messages,
      store: options.data?.streams,
      metadata: options.data?.metadata,
      onDamage: (description) => this.log.error(`a stream is damaged: ${description}`),
      onFault: (error) => this.#onStreamFault(error),
    });
    if (options.data !== undefined) this.#restore(options.data);
  }

  #connectExchanges(): void {
    const { events, clock, log } = this;
    events.onFailure = (error) => log.error("cannot tell of an event", { error });
    const to = (vhost: string) => ({
      publisher: this.#publisher,
      clock,
      node: this.nodeName,
      vhost: () => this.#vhosts.get(vhost),
    });
    if (this.#eventVhost !== undefined) publishEvents(events, to(this.#eventVhost));
    if (this.#logExchange !== undefined) this.#logExchange.connect(to(this.#logExchange.vhost));
  }

  #systemExchangesOf(vhost: string): string[] {
    const names: string[] = [];
    if (vhost === this.#eventVhost) names.push(eventExchange);
    if (vhost === this.#logExchange?.vhost) names.push(logExchangeName);
    return names;
  }

  /** Begins with what was found on disk. */
  #restore(data: BrokerData): void {
    const { journal, found } = data;
    for (const { confirmLevel, ...saved } of journal.vhosts()) {
      this.#addVhost(saved.name, { ...saved, confirm: confirmLevel || undefined });
    }
    for (const exchange of journal.exchanges()) {
      const vhost = this.#vhosts.get(exchange.vhost);
      vhost?.restoreExchange(exchange);
      for (const number of Object.values(exchange.stores)) {
        const messages = found.get(number);
        if (messages !== undefined) vhost?.restoreKept(exchange.name, number, messages);
      }
    }
    for (const saved of journal.queues()) {
      const queue = this.#vhosts.get(saved.vhost)?.restoreQueue(saved);
      const messages = found.get(saved.number);
      if (queue === undefined || messages === undefined) continue;
      messages.giveTo((message) => queue.restore(message), this.clock.wallMs());
    }
    found.clear();
    this.#streams.onRestored();
    for (const binding of journal.bindings()) {
      this.#vhosts.get(binding.vhost)?.restoreBinding(binding);
    }
    data.listen({
      onWritten: () => this.messages.onWritten(),
      onDurable: () => this.messages.onDurable(),
      onFault: (error) => this.#onStoreFault(error),
    });
    for (const vhost of this.#vhosts.values()) vhost.obeyPolicies();
    this.#watchDisk();
  }

  /** Resolves when all that was found on disk is as it was. Nobody may use the broker before. */
  async ready(): Promise<void> {
    for (const vhost of this.#vhosts.values()) await vhost.ready();
  }

  vhost(name: string): VirtualHost | undefined {
    return this.#vhosts.get(name);
  }

  vhosts(): Iterable<VirtualHost> {
    return this.#vhosts.values();
  }

  /** Creates a virtual host with the predeclared exchanges; an existing one is left as it is. */
  async createVhost(name: string, settings: VirtualHostSettings = {}): Promise<VirtualHost> {
    const found = this.#vhosts.get(name);
    if (found !== undefined) return found;
    checkDefaultQueueType(settings.defaultQueueType ?? "");
    if (this.#data === undefined) return this.#tellOfVhost(this.#addVhost(name, settings));
    const { journal } = this.#data;
    return await this.#vhostTurns.take(name, async () => {
      const made = this.#vhosts.get(name);
      if (made !== undefined) return made;
      const vhost = this.#newVhost(name, settings);
      const { metadata, ownConfirmLevel = "" } = vhost;
      await journal.saveVhost({ ...metadata, name, confirmLevel: ownConfirmLevel });
      this.#vhosts.set(name, vhost);
      return this.#tellOfVhost(vhost);
    });
  }

  #tellOfVhost(vhost: VirtualHost): VirtualHost {
    const { events } = this;
    if (!events.isHeard) return vhost;
    const { name, metadata } = vhost;
    for (const exchange of vhost.topology.exchanges()) {
      events.tell({ type: "exchange.created", vhost: name, exchange, by: internalUser });
    }
    events.tell({ type: "vhost.created", name, metadata });
    return vhost;
  }

  #addVhost(name: string, settings: VirtualHostSettings): VirtualHost {
    const vhost = this.#newVhost(name, settings);
    this.#vhosts.set(name, vhost);
    return vhost;
  }

  #newVhost(name: string, settings: VirtualHostSettings): VirtualHost {
    const { description, tags, defaultQueueType } = { ...noMetadata, ...settings };
    const vhost = new VirtualHost({
      name,
      metadata: { description, tags, defaultQueueType },
      messages: this.messages,
      streams: this.#streams,
      journal: this.#data?.journal,
      features: this.#features,
      exchangeTypes: this.exchangeTypes,
      parameterComponents: this.parameterComponents,
      systemExchanges: this.#systemExchangesOf(name),
      events: this.events,
      confirm: settings.confirm,
      brokersConfirm: this.#confirm,
      onSaveFailed: (error) => {
        this.log.error("a change could not be saved, and may be undone by a restart", { error });
      },
    });
    vhost.topology.onMissingAlternate = (exchange) => this.#warnOfAlternate(exchange, name);
    vhost.installFirehose(new Firehose(vhost, this.#publisher, this.nodeName));
    vhost.onDeadLetterCycle = (queue) => this.#warnOfCycle(queue, name);
    return vhost;
  }

  /** Once for each queue: its dead letters would have come back without end. */
  #warnOfCycle(queue: Queue, vhost: string): void {
    if (this.#cyclic.has(queue)) return;
    this.#cyclic.add(queue);
    this.log.warn(
      `messages dropped: dead letters of queue '${queue.name}' in vhost '${vhost}' go in a circle`,
      { vhost, queue: queue.name },
    );
  }

  #warnOfAlternate({ name, alternateExchange }: Exchange, vhost: string): void {
    const nowMs = this.clock.nowMs();
    if (nowMs < this.#nextAlternateWarningMs) return;
    this.#nextAlternateWarningMs = nowMs + alternateWarningMs;
    this.log.warn(
      `alternate exchange '${alternateExchange}' of exchange '${name}' in vhost '${vhost}' ` +
        "does not exist: messages that match no binding are unroutable",
      { vhost, exchange: name, alternateExchange },
    );
  }

  /** Lets a user into a virtual host, or throws why not. */
  openSession(user: User, vhostName: string): Session {
    const vhost = this.#vhosts.get(vhostName);
    if (vhost === undefined) throw vhostNotFound(vhostName);
    const visit = this.#presence.enter(user, vhost);
    if (this.#authorizer.mayEnter(user, vhostName)) {
      return new Session(user, vhost, this.#authorizer, this.random, visit);
    }
    visit.leave();
    throw vhostRefused(vhostName, user.name);
  }

  /** Tells the time to messages that come now. Adapters call this before each chunk of input. */
  onInput(): void {
    this.messages.nowMs = this.clock.wallMs();
  }

  /**
   * Raises or clears the memory alarm as messages occupy more or less than the limit. Adapters call
   * this after each chunk of input, which costs one comparison.
   */
  watchMemory(): void {
    const isShort = this.messages.usedBytes > this.limits.memoryBytesMax;
    if (isShort === (this.#alarmTimer !== undefined)) return;
    // Before anybody is told: who is let go on may make it short again at once, and ends up here.
    if (isShort) this.#scheduleAlarmCheck();
    else this.#cancelAlarmCheck();
    this.alarms.set("memory", isShort);
  }

  #scheduleAlarmCheck(): void {
    this.#alarmTimer = this.clock.schedule(alarmCheckMs, () => {
      this.watchMemory();
      if (this.#alarmTimer !== undefined) this.#scheduleAlarmCheck();
    });
  }

  #cancelAlarmCheck(): void {
    this.#alarmTimer?.cancel();
    this.#alarmTimer = undefined;
  }

  #onStoreFault(error: Error | undefined): void {
    this.#storeHasFailed = error !== undefined;
    if (error === undefined) this.log.warn("messages can be stored again");
    else this.log.error("messages cannot be stored: publishers have to wait", { error });
    this.#setDiskAlarm();
  }

  #onStreamFault(error: Error | undefined): void {
    this.#streamsHaveFailed = error !== undefined;
    if (error === undefined) this.log.warn("streams can be written again");
    else this.log.error("streams cannot be written: publishers have to wait", { error });
    this.#setDiskAlarm();
  }

  #setDiskAlarm(): void {
    const hasFailed = this.#storeHasFailed || this.#streamsHaveFailed;
    this.alarms.set("disk", hasFailed || this.#isDiskLow);
  }

  /** Raises the alarm before the disk is full, while there is room for what is under way. */
  #watchDisk(): void {
    const { disk, directory } = this.#data!;
    disk
      .space(directory)
      .then(({ freeBytes }) => {
        this.#isDiskLow = freeBytes < this.limits.diskFreeBytesMin;
        this.#setDiskAlarm();
      })
      .catch((error: unknown) => this.log.error("cannot tell free disk space", { error }))
      .then(() => {
        if (this.#isClosed) return;
        this.#diskTimer = this.clock.schedule(diskCheckMs, () => this.#watchDisk());
      });
  }

  /** A name for a connection, as RabbitMQ's tools know processes by. */
  nextPid(): string {
    return `<${this.nodeName}.${this.#creation}.${++this.#lastPid}.0>`;
  }

  /** What stored messages cost, and how storing goes; undefined for a broker that keeps nothing. */
  storeStats(): StoreStats | undefined {
    return this.#data === undefined ? undefined : storeStatsOf(this.#data.messages);
  }

  /** Ends the broker; adapters have closed their connections before. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelAlarmCheck();
    this.#diskTimer?.cancel();
    await this.#streams.close();
    await this.#data?.close();
    for (const vhost of this.#vhosts.values()) vhost.close();
    this.#vhosts.clear();
  }
}
