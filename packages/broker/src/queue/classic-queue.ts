/**
 * The ordinary queue. Its backlog (see backlog.ts) says in what order messages leave; a message
 * that is requeued returns to where it stood. Limits, times to live and dead letters are as its
 * settings say, which change with its policy.
 *
 * Invariant: while a consumer could take a message, no message is ready, once a verb has returned.
 *
 * A message that nothing is asked of but to be delivered takes the short ways: `publish`, `serve`
 * and the settling verbs look at one flag for all that a queue may be asked besides.
 *
 * This is a hot file.
 */

import { type ByteCount, type Clock, FloatRing } from "@haremq/kernel";
import { DeliveryNote } from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import type { Consumer } from "../consumer/consumer.ts";
import { QueueConsumers } from "../consumer/queue-consumers.ts";
import { QueueKeys } from "../deduplication/queue-keys.ts";
import { type MessageStore, Viewed } from "../message/message-store.ts";
import { expirationOf, noTerms } from "../message/message-terms.ts";
import { MessageView, unstored } from "../message/message-view.ts";
import { setHeader } from "../message/set-header.ts";
import { type EffectivePolicy, noPolicy } from "../policy/effective-policy.ts";
import type { Backlog } from "./backlog.ts";
import { DeadLetterOutbox, type OutboxOwner } from "./dead-letter-outbox.ts";
import { ExpiryWatch } from "./expiry-watch.ts";
import { FifoBacklog } from "./fifo-backlog.ts";
import { IdleWatch } from "./idle-watch.ts";
import type { MessageFact } from "./message-facts.ts";
import { PriorityBacklog } from "./priority-backlog.ts";
import type {
  PulledMessage,
  QueueCounts,
  QueueOwner,
  QueueSpec,
  RestoredMessage,
} from "./queue.ts";
import type { DeathReason, QueueHost } from "./queue-host.ts";
import { integerArgument, type QueueSettings, queueSettings } from "./queue-settings.ts";
import { queueTypeOf } from "./queue-types.ts";
import { RetrySchedule } from "./retry-schedule.ts";
import { retryDelayMs } from "./retry-settings.ts";

/** About a segment's worth of small messages. */
const readAheadMessages = 16_384;

/** How many messages are measured before others have their turn. */
const measuresPerTurn = 4096;

export class ClassicQueue implements OutboxOwner {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusiveOwner: QueueOwner | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  readonly singleActiveConsumer: boolean;
  readonly storeNumber: number;
  readonly keepsAll: boolean;
  readonly deliversCopies = false;
  deleted = false;
  policy = noPolicy;
  settings: QueueSettings;

  readonly #messages: MessageStore;
  readonly #host: QueueHost;
  readonly #backlog: Backlog;
  readonly #consumers: QueueConsumers;
  /** What a restart is to know of deliveries, if the queue survives one. */
  readonly #note: DeliveryNote | undefined;
  /** The first message is being read from disk. */
  #isLoading = false;
  #unsettled = 0;

  /** Whether more is asked of the queue than to keep messages and to deliver them. */
  #isGoverned = false;
  readonly #expiry: ExpiryWatch;
  readonly #idle: IdleWatch;
  #outbox: DeadLetterOutbox | undefined;
  /** Rejected messages that are tried again after a while. */
  #retries: RetrySchedule | undefined;
  #retryTurn = 0;
  /** How often messages have been tried again, by sequence number. */
  readonly #attempts = new Map<number, number>();
  /** How often messages have come back, by sequence number, if that matters. */
  #returns: Map<number, number> | undefined;
  /** What no second message may have, if the queue is to know duplicates. */
  #keys: QueueKeys | undefined;

  #published = 0;
  #delivered = 0;
  #redelivered = 0;
  #acknowledged = 0;

  constructor(spec: QueueSpec, messages: MessageStore, host: QueueHost) {
    this.name = spec.name;
    this.durable = spec.durable;
    this.exclusiveOwner = spec.exclusiveOwner;
    this.autoDelete = spec.autoDelete;
    this.arguments = spec.arguments;
    this.singleActiveConsumer = spec.arguments.get("x-single-active-consumer")?.value === true;
    this.storeNumber = spec.storeNumber ?? 0;
    this.#note = this.storeNumber === 0 ? undefined : new DeliveryNote(this.storeNumber);
    this.#messages = messages;
    this.#host = host;
    this.#backlog = backlogFor(spec.arguments, messages.memory.positions);
    this.#consumers = new QueueConsumers(this.singleActiveConsumer);
    this.#expiry = new ExpiryWatch(this.#backlog, host.clock, (handle, sequence) =>
      this.#leave(handle, sequence, "expired"),
    );
    this.#idle = new IdleWatch(
      host.clock,
      () => this.#consumers.size > 0,
      () => host.expire(this),
    );
    this.keepsAll = queueTypeOf(spec.arguments).name === "quorum";
    this.settings = queueSettings(this.arguments, this.policy);
    this.#obeySettings();
  }

  get keepsRejected(): boolean {
    const { deadLetterExchange, retry } = this.settings;
    return deadLetterExchange !== undefined || retry !== undefined;
  }

  get readyCount(): number {
    return this.#backlog.length;
  }

  get waitingCount(): number {
    return (this.#retries?.length ?? 0) + (this.#outbox?.length ?? 0);
  }

  get unsettledCount(): number {
    return this.#unsettled;
  }

  get consumerCount(): number {
    return this.#consumers.size;
  }

  get counts(): QueueCounts {
    return {
      published: this.#published,
      delivered: this.#delivered,
      redelivered: this.#redelivered,
      acknowledged: this.#acknowledged,
    };
  }

  consumers(): Iterable<Consumer> {
    return this.#consumers;
  }

  applyPolicy(policy: EffectivePolicy): void {
    this.policy = policy;
    this.settings = queueSettings(this.arguments, policy);
    this.#obeySettings();
  }

  touch(): void {
    this.#idle.touch();
  }

  isFull(bodyBytes: number): boolean {
    if (!this.#isGoverned || this.settings.overflow === "drop-head") return false;
    const { lengthMax, bytesMax } = this.settings;
    // What cannot move on yet takes its place.
    const length = this.#backlog.length + (this.#outbox?.length ?? 0);
    return length + 1 > lengthMax || this.#backlog.bodyBytes + bodyBytes > bytesMax;
  }

  publish(view: MessageView): boolean {
    if (this.#isGoverned || view.terms !== noTerms) return this.#publishGoverned(view);
    this.#published++;
    const backlog = this.#backlog;
    if (backlog.length === 0) {
      const consumer = this.#consumers.next();
      if (consumer !== null) {
        this.#handOver(consumer, view, backlog.pass(noTerms));
        return true;
      }
    }
    backlog.push(this.#messages.keep(view), noTerms);
    return true;
  }

  restore(message: RestoredMessage): void {
    const { handle, terms, bodyBytes, arrivedAtMs } = message;
    const ttlMs = Math.min(expirationOf(terms), this.settings.messageTtlMs);
    if (Number.isFinite(ttlMs)) this.#keepFacts();
    const fact = { expiresAtMs: arrivedAtMs + ttlMs, bodyBytes, arrivedAtMs };
    const backlog = this.#backlog;
    let sequence: number;
    if (message.wasDelivered) {
      sequence = backlog.pass(terms, fact);
      backlog.putBack(sequence, handle);
    } else {
      sequence = backlog.push(handle, terms, fact);
    }
    this.#expiry.note(sequence);
    if (message.returns > 0) {
      this.#returns?.set(sequence, message.returns);
      if (this.settings.retry !== undefined) this.#attempts.set(sequence, message.returns);
    }
    this.#keys?.noteUnread(sequence, handle);
    if (this.#isGoverned) this.#expiry.arm();
  }

  ready(): Promise<void> | undefined {
    return this.#keys?.read(this.#messages);
  }

  subscribe(consumer: Consumer): void {
    this.#consumers.add(consumer);
    // Who only stands by for the active one changes nothing.
    const { active } = this.#consumers;
    if (active === null || active === consumer) this.serve();
  }

  unsubscribe(consumer: Consumer): void {
    const wasActive = this.#consumers.active === consumer;
    if (!this.#consumers.remove(consumer)) return;
    if (this.#consumers.size === 0) this.#idle.touch();
    else if (wasActive) this.serve();
  }

  rejoin(consumer: Consumer): void {
    this.#consumers.rejoin(consumer);
  }

  wake(consumer: Consumer): void {
    if (!consumer.parked) return;
    this.rejoin(consumer);
    this.serve();
  }

  serve(): void {
    const messages = this.#messages;
    const backlog = this.#backlog;
    const view = messages.scratch;
    // What has come back may be too many.
    if (this.#isGoverned) this.#enforceLimits();
    while (backlog.length > 0) {
      if (this.#isGoverned && (!this.#refresh() || backlog.length === 0)) break;
      const consumer = this.#consumers.next();
      if (consumer === null) break;
      const handle = backlog.firstHandle;
      const viewed = messages.view(handle, view);
      if (viewed === Viewed.Away) {
        this.#load(handle);
        return;
      }
      const isReturned = backlog.firstWasReturned;
      const sequence = backlog.takeFirst();
      if (viewed === Viewed.Damaged) this.#settle(handle, sequence);
      else this.#deliverStored(consumer, view, handle, sequence, isReturned);
    }
    if (this.#isGoverned) this.#expiry.arm();
  }

  prepareGet(): Promise<void> | undefined {
    if (this.#isGoverned) this.#refresh();
    if (this.#backlog.length === 0) return undefined;
    const first = this.#backlog.firstHandle;
    return this.#messages.isResident(first) ? undefined : this.#messages.load(first);
  }

  get(noAck: boolean, view: MessageView): PulledMessage | undefined {
    this.#idle.touch();
    const backlog = this.#backlog;
    if (this.#isGoverned && !this.#refresh()) return undefined;
    if (backlog.length === 0) return undefined;
    const redelivered = backlog.firstWasReturned;
    const handle = backlog.firstHandle;
    const viewed = this.#messages.view(handle, view);
    if (viewed === Viewed.Away) return undefined;
    const sequence = backlog.takeFirst();
    if (viewed === Viewed.Damaged) {
      this.#settle(handle, sequence);
      return this.get(noAck, view);
    }
    this.#delivered++;
    if (redelivered) this.#redelivered++;
    if (this.#returns !== undefined) this.#tellReturns(view, sequence);
    if (noAck) this.#settle(handle, sequence);
    else {
      this.#unsettled++;
      if (this.#note !== undefined && !redelivered) {
        this.#messages.noteDelivered(this.#note, handle);
      }
    }
    if (this.#isGoverned) {
      this.#refresh();
      this.#expiry.arm();
    }
    return { handle, sequence, redelivered, remaining: backlog.length };
  }

  acknowledge(handle: number, sequence: number): void {
    this.#unsettled--;
    this.#acknowledged++;
    this.#settle(handle, sequence);
  }

  requeue(handle: number, sequence: number): void {
    this.#unsettled--;
    if (this.deleted) this.#messages.release(handle);
    else if (this.#returns !== undefined && this.#countReturn(handle, sequence)) {
      this.#leave(handle, sequence, "delivery_limit");
    } else {
      this.#comeBack(handle, sequence);
    }
  }

  reject(handle: number, sequence: number): void {
    this.#unsettled--;
    if (this.settings.retry !== undefined && this.#retriesLater(handle, sequence)) return;
    this.#leave(handle, sequence, "rejected");
  }

  purge(): number {
    const backlog = this.#backlog;
    let count = backlog.length;
    this.#retries?.takeAll((handle, sequence) => {
      this.#settle(handle, sequence);
      count++;
    });
    while (backlog.length > 0) {
      const handle = backlog.firstHandle;
      this.#settle(handle, backlog.takeFirst());
    }
    return count;
  }

  close(): number {
    this.deleted = true;
    this.#idle.stop();
    this.#expiry.stop();
    this.#consumers.cancelAll();
    this.#outbox?.finish();
    const dropped = this.purge();
    this.#keys?.clear();
    return dropped;
  }

  drop(handle: number): void {
    if (this.storeNumber === 0 || this.deleted) this.#messages.release(handle);
    else this.#messages.settle(handle, this.storeNumber);
  }

  // Delivering

  /** Gives a message that has just arrived straight to a consumer. */
  #handOver(consumer: Consumer, view: MessageView, sequence: number): void {
    this.#delivered++;
    if (consumer.noAck) {
      consumer.sink.deliver(consumer, view, unstored, sequence, false);
      if (view.handle !== unstored && this.storeNumber !== 0) {
        this.#settle(this.#messages.keep(view), sequence);
      } else if (this.#isGoverned) {
        this.#forget(sequence);
      }
      return;
    }
    const handle = this.#messages.keep(view);
    this.#unsettled++;
    if (this.#note !== undefined) this.#messages.noteDelivered(this.#note, handle);
    consumer.spendCredit();
    consumer.sink.deliver(consumer, view, handle, sequence, false);
  }

  #deliverStored(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    this.#delivered++;
    if (redelivered) this.#redelivered++;
    if (this.#returns !== undefined) this.#tellReturns(view, sequence);
    if (consumer.noAck) {
      consumer.sink.deliver(consumer, view, unstored, sequence, redelivered);
      this.#settle(handle, sequence);
      return;
    }
    this.#unsettled++;
    if (this.#note !== undefined && !redelivered) {
      this.#messages.noteDelivered(this.#note, handle);
    }
    consumer.spendCredit();
    consumer.sink.deliver(consumer, view, handle, sequence, redelivered);
  }

  /** This queue has no more claim on the message. Of a deleted queue nobody remembers any. */
  #settle(handle: number, sequence: number): void {
    if (this.#isGoverned) this.#forget(sequence);
    this.drop(handle);
  }

  #forget(sequence: number): void {
    this.#backlog.settled(sequence);
    this.#returns?.delete(sequence);
    if (this.#attempts.size > 0) this.#attempts.delete(sequence);
    this.#keys?.forget(sequence);
  }

  /**
   * Goes on serving when the message's segment is in memory, and fetches the next one meanwhile.
   */
  #load(handle: number): void {
    if (this.#isLoading) return;
    this.#isLoading = true;
    this.#messages.load(handle).then(
      () => {
        this.#isLoading = false;
        this.#readAhead();
        this.serve();
      },
      (error: Error) => {
        this.#isLoading = false;
        this.#messages.onLoadFailed(this, error);
      },
    );
  }

  /** Fetches what will be due next, so that it is there by then. */
  #readAhead(): void {
    if (this.#backlog.length === 0) return;
    const handle = this.#backlog.handleAhead(readAheadMessages);
    if (!this.#messages.isResident(handle)) this.#messages.load(handle).catch(() => undefined);
  }

  // What may be asked besides

  #obeySettings(): void {
    const { settings } = this;
    const { messageTtlMs, bytesMax, lengthMax, deliveryLimit } = settings;
    this.#idle.setLimit(settings.expiresMs);
    if (Number.isFinite(messageTtlMs) || Number.isFinite(bytesMax)) this.#keepFacts();
    if (Number.isFinite(deliveryLimit) || this.keepsAll || settings.retry !== undefined) {
      this.#returns ??= new Map();
    }
    if (Number.isFinite(lengthMax) || this.#returns !== undefined) this.#isGoverned = true;
    if (this.#backlog.keepsFacts) this.#isGoverned = true;
    this.#knowDuplicates(settings.deduplicationHeader);
    this.#expiry.setAnywhere(settings.expiresAnywhere);
    if (this.#isGoverned) this.#enforceLimits();
  }

  #keepFacts(): void {
    this.#isGoverned = true;
    if (this.#backlog.keepsFacts) return;
    this.#backlog.keepFacts();
    if (this.#backlog.length > 0) this.#measure();
  }

  /** Finds out how long the messages are that came before anybody asked. */
  async #measure(): Promise<void> {
    const unknown = new FloatRing();
    const handles = new FloatRing();
    this.#backlog.forEach((sequence, handle) => {
      unknown.push(sequence);
      handles.push(handle);
    });
    const view = new MessageView();
    while (unknown.length > 0 && !this.deleted) {
      if (unknown.length % measuresPerTurn === 0) await nextTurn(this.#host.clock);
      const sequence = unknown.shift();
      const handle = handles.shift();
      const isThere = (): boolean => this.#backlog.isReady(sequence);
      if (!isThere()) continue;
      if (!this.#messages.isResident(handle)) {
        await this.#messages.load(handle).catch(() => undefined);
        if (!isThere()) continue;
      }
      if (this.#messages.view(handle, view) !== Viewed.Ready) continue;
      this.#backlog.setBodyBytes(sequence, view.bodyLength);
    }
    if (!this.deleted) this.#enforceLimits();
  }

  /** By this header, or not at all; of the messages that are there, too. */
  #knowDuplicates(header: string | undefined): void {
    if (header === this.#keys?.header) return;
    this.#keys?.clear();
    this.#keys = undefined;
    if (header === undefined) return;
    const keys = new QueueKeys(header, this.#messages.memory.positions);
    this.#keys = keys;
    this.#isGoverned = true;
    this.#backlog.forEach((sequence, handle) => {
      keys.noteUnread(sequence, handle);
    });
    void keys.read(this.#messages, () => nextTurn(this.#host.clock));
  }

  #publishGoverned(view: MessageView): boolean {
    if (this.#keys !== undefined && this.#isDuplicate(this.#keys, view)) {
      this.#turnAway(view);
      return true;
    }
    this.#published++;
    if (this.isFull(view.bodyLength)) {
      this.#refuse(view);
      return false;
    }
    const fact = this.#factOf(view);
    const backlog = this.#backlog;
    if (backlog.length === 0 || this.#refreshesToNothing()) {
      const consumer = this.#consumers.next();
      if (consumer !== null) {
        const sequence = backlog.pass(view.terms, fact);
        this.#keys?.add(sequence);
        this.#handOver(consumer, view, sequence);
        return true;
      }
    }
    const { terms } = view;
    const isFirstKeeper = view.handle === unstored;
    const sequence = backlog.push(this.#messages.keep(view), terms, fact);
    if (!this.#isGoverned) return true;
    this.#keys?.add(sequence);
    this.#expiry.note(sequence);
    this.#enforceLimits();
    // One that is too many by itself has gone at once, and others have yet to take it.
    if (isFirstKeeper && !backlog.isReady(sequence)) view.handle = unstored;
    this.#expiry.arm();
    return true;
  }

  /** Whether the queue has its key, and not just in a message that has expired. */
  #isDuplicate(keys: QueueKeys, view: MessageView): boolean {
    if (!keys.has(view)) return false;
    this.#refresh();
    return keys.has(view);
  }

  #factOf(view: MessageView): MessageFact | undefined {
    const ttlMs = Math.min(expirationOf(view.terms), this.settings.messageTtlMs);
    if (Number.isFinite(ttlMs)) this.#keepFacts();
    if (!this.#backlog.keepsFacts) return undefined;
    const { nowMs } = this.#messages;
    return { expiresAtMs: nowMs + ttlMs, bodyBytes: view.bodyLength, arrivedAtMs: nowMs };
  }

  /** Drops what has expired. Whether nothing is left. */
  #refreshesToNothing(): boolean {
    if (this.#isGoverned) this.#refresh();
    return this.#backlog.length === 0;
  }

  /** Brings the backlog up to date; false if that takes longer than this turn. */
  #refresh(): boolean {
    if (!this.#backlog.keepsFacts) return true;
    if (!this.#expiry.dropExpired()) {
      this.#expiry.arm();
      return false;
    }
    this.#backlog.refreshFirst(this.#messages.nowMs);
    return true;
  }

  /** Does not take a message that is too many. */
  #refuse(view: MessageView): void {
    if (this.settings.overflow === "reject-publish-dlx") {
      const isFirstKeeper = view.handle === unstored;
      this.#letGo(this.#messages.keep(view), "maxlen");
      if (isFirstKeeper) view.handle = unstored;
    } else {
      this.#turnAway(view);
    }
  }

  /** Drops a message that has not been taken; the store may have it for this queue. */
  #turnAway(view: MessageView): void {
    const isStored = view.handle !== unstored && this.storeNumber !== 0;
    if (isStored) this.drop(this.#messages.keep(view));
  }

  /** Drops from the front what is too many. */
  #enforceLimits(): void {
    const backlog = this.#backlog;
    const { lengthMax, bytesMax, overflow } = this.settings;
    if (overflow !== "drop-head") return;
    while (backlog.length > 0 && (backlog.length > lengthMax || backlog.bodyBytes > bytesMax)) {
      const handle = backlog.firstHandle;
      this.#leave(handle, backlog.takeFirst(), "maxlen");
    }
  }

  /** A message leaves that nobody has consumed: for where dead letters go, or for good. */
  #leave(handle: number, sequence: number, reason: DeathReason): void {
    if (this.#isGoverned) this.#forget(sequence);
    this.#letGo(handle, reason);
  }

  #letGo(handle: number, reason: DeathReason): void {
    if (this.settings.deadLetterExchange === undefined || this.deleted) {
      this.drop(handle);
      return;
    }
    this.#outbox ??= new DeadLetterOutbox(this, this.#host, this.#messages);
    this.#outbox.add(handle, reason);
  }

  /** Puts a rejected message aside for a later attempt; false if it has had all it gets. */
  #retriesLater(handle: number, sequence: number): boolean {
    const retry = this.settings.retry!;
    const attempt = (this.#attempts.get(sequence) ?? 0) + 1;
    if (attempt > retry.attempts || this.deleted) return false;
    this.#attempts.set(sequence, attempt);
    this.#returns!.set(sequence, (this.#returns!.get(sequence) ?? 0) + 1);
    if (this.storeNumber !== 0) this.#messages.noteReturned(handle, this.storeNumber);
    this.#retries ??= new RetrySchedule(
      this.#host.clock,
      (dueHandle, due) => this.#comeBack(dueHandle, due),
      () => this.serve(),
    );
    this.#retries.add(handle, sequence, retryDelayMs(retry, attempt, this.#retryTurn++));
    return true;
  }

  #comeBack(handle: number, sequence: number): void {
    this.#backlog.putBack(sequence, handle);
    this.#expiry.note(sequence);
  }

  /** Counts that a message has come back; whether it has once too often. */
  #countReturn(handle: number, sequence: number): boolean {
    const { deliveryLimit } = this.settings;
    const count = (this.#returns!.get(sequence) ?? 0) + 1;
    this.#returns!.set(sequence, count);
    if (count > deliveryLimit) return true;
    const outlivesRestart = this.storeNumber !== 0 && Number.isFinite(deliveryLimit);
    if (outlivesRestart) this.#messages.noteReturned(handle, this.storeNumber);
    return false;
  }

  /** Tells the consumer in a header how often the message has come back. */
  #tellReturns(view: MessageView, sequence: number): void {
    const count = this.#returns!.get(sequence);
    if (count !== undefined) setHeader(view, "x-delivery-count", { type: "l", value: count });
  }
}

/**
 * With priorities if the queue is one for them, or was declared so; a policy cannot give it any.
 */
function backlogFor(args: FieldTable, memory: ByteCount): Backlog {
  if (queueTypeOf(args).name === "quorum") return PriorityBacklog.ofTwo(memory);
  const priorityMax = integerArgument(args, "max-priority");
  if (!Number.isFinite(priorityMax) || priorityMax === 0) return new FifoBacklog(memory);
  return PriorityBacklog.upTo(priorityMax, integerArgument(args, "priority-ageing"), memory);
}

function nextTurn(clock: Clock): Promise<void> {
  return new Promise((resolve) => clock.schedule(0, resolve));
}
