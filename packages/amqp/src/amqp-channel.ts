/**
 * One channel: consumers and their unsettled deliveries, publishes with their confirms, the
 * transaction. The connection hands it frames; methods that are not hot are decoded and go through
 * `channel-methods.ts`. Towards the core it is a ConsumerSink.
 *
 * Invariants: delivery tags count from 1 and are never reused. A message that is delivered and owed
 * a settlement is in the ledger until it is settled, put back by `close`, or held by the
 * transaction. After `close` nothing is delivered.
 *
 * This is a hot file.
 */

import {
  addressOf,
  type ConsumerSink,
  DeliveryLedger,
  type DirectReplies,
  Distributed,
  deliveryTimedOut,
  distribute,
  internalUser,
  MessageView,
  type Passage,
  type Queue,
  RecordKind,
  resourceText,
  type SafetyWaiter,
  type Session,
  tellArrival,
  unknownDeliveryTag,
  unstored,
  type VirtualHost,
} from "@haremq/broker";
import type { Clock } from "@haremq/kernel";
import {
  encodeBasicAck,
  encodeBasicCancel,
  encodeBasicGetEmpty,
  encodeBasicGetOk,
  encodeBasicNack,
  encodeBasicReturn,
  ReplyCode,
} from "@haremq/wire";
import { AmqpConsumer } from "./amqp-consumer.ts";
import type { ChannelHost, WaitingChannel } from "./channel-host.ts";
import { Confirms } from "./confirms.ts";
import { deliveryPrefix, writeContent, writeDelivery } from "./deliver-path.ts";
import { DeliveryWatch, type WatchedChannel } from "./delivery-watch.ts";
import { DurableGroup } from "./durable-group.ts";
import type { Output } from "./output.ts";
import { type PublishOwner, PublishPath } from "./publish-path.ts";
import { type Settlement, Transaction } from "./transaction.ts";

type Mode = "none" | "confirm" | "tx";

const fetched = new MessageView();

export class AmqpChannel
  implements ConsumerSink, PublishOwner, WaitingChannel, SafetyWaiter, WatchedChannel
{
  readonly number: number;
  readonly host: ChannelHost;
  readonly #out: Output;
  readonly #vhost: VirtualHost;
  readonly #ledger: DeliveryLedger;
  readonly #watch = new DeliveryWatch(this);
  readonly publishPath: PublishPath;
  mode: Mode = "none";
  #isDelivering = true;
  #isClosed = false;

  #deliveryTag = 0;
  /** Unsettled deliveries that were pushed, which the shared prefetch limit counts. */
  #pushed = 0;
  #sharedPrefetch = 0;
  /** The prefetch limit of consumers to come. */
  prefetch = 0;
  withinPrefetch = true;

  readonly consumers = new Map<string, AmqpConsumer>();
  /** Owners of pulled deliveries, by queue; made when first needed. */
  #pullers: Map<Queue, AmqpConsumer> | undefined;
  /** Consumers that were passed over for want of room or shared prefetch. */
  #waiting: Set<AmqpConsumer> | undefined;
  #cancelled: string[] = [];
  #emitsLater = false;

  readonly #confirms = new Confirms();
  #awaitsSafety = false;
  #transaction: Transaction | undefined;

  /** The address for direct replies, while this channel takes them. */
  replyAddress: string | undefined;
  /** The consumer tag of direct replies, while this channel consumes them. */
  replyTag: string | undefined;
  /** What an empty queue name stands for. */
  lastQueue = "";

  /** Throws if its user has as many channels as it may have. */
  constructor(number: number, host: ChannelHost) {
    host.session.openChannel(number);
    this.number = number;
    this.host = host;
    this.#out = host.output;
    this.#vhost = host.session.vhost;
    this.#ledger = new DeliveryLedger(host.broker.messages.memory.unsettled);
    this.publishPath = new PublishPath(this);
  }

  get connectionName(): string {
    return this.host.name;
  }

  get userName(): string {
    return this.session.user.name;
  }

  get session(): Session {
    return this.host.session;
  }

  get directReplies(): DirectReplies {
    return this.host.broker.directReplies;
  }

  get messageBytesMax(): number {
    return this.host.broker.limits.messageBytesMax;
  }

  // Publishing

  onContent(): void {
    this.host.onPublish();
  }

  onHeld(bytes: number): void {
    this.host.broker.messages.memory.received.bytes += bytes;
  }

  onMessage(view: MessageView, queues: readonly Queue[], mandatory: boolean): void {
    if (this.#vhost.firehose !== null) this.#tracePublish(view, undefined, queues);
    if (this.#transaction !== undefined) {
      this.#transaction.publish(view, destinationNames(view, queues), mandatory);
      return;
    }
    const { messages } = this.host.broker;
    let outcome: number = Distributed.Done;
    if (queues.length === 0) this.#unroutable(view, mandatory);
    else outcome = distribute(messages, queues, view, this.#vhost.confirmLevel);
    if (this.mode === "confirm") this.#confirm(outcome);
  }

  onPassage(
    view: MessageView,
    routingKeys: readonly string[],
    passage: Passage<Queue>,
    mandatory: boolean,
  ): void {
    const { queues, keepers } = passage;
    if (this.#vhost.firehose !== null) this.#tracePublish(view, routingKeys, queues);
    if (this.#transaction !== undefined) {
      this.#transaction.publish(view, destinationNames(view, queues), mandatory, passage);
      return;
    }
    const { messages } = this.host.broker;
    const { confirmLevel } = this.#vhost;
    if (!passage.isRouted) this.#unroutable(view, mandatory);
    let outcome: number = passage.awaitsStore ? Distributed.Stored : Distributed.Done;
    if (queues.length + keepers.length > 0) {
      const { Message } = RecordKind;
      const given = distribute(messages, queues, view, confirmLevel, Message, keepers);
      if (passage.isRouted) tellArrival(passage.receipts, given);
      outcome |= given;
    }
    if (this.mode === "confirm") this.#confirm(outcome);
  }

  #confirm(outcome: number): void {
    if ((outcome & Distributed.Refused) !== 0) {
      this.#confirms.addRefused();
      if (!this.#emitsLater) this.#emitLater();
    } else if (outcome === Distributed.Stored) {
      this.#confirms.addStored(this.host.broker.messages.position);
      if (!this.#awaitsSafety) this.#awaitSafety();
    } else {
      this.#confirms.add();
      if (!this.#emitsLater) this.#emitLater();
    }
  }

  /** Like RabbitMQ it takes any key of the default exchange for the name of a queue. */
  #tracePublish(
    view: MessageView,
    routingKeys: readonly string[] | undefined,
    queues: readonly Queue[],
  ): void {
    const keys = routingKeys ?? [addressOf(view).routingKey];
    const isDefaultExchange = view.address[view.addressStart] === 0;
    const names = isDefaultExchange ? keys : queues.map(({ name }) => name);
    this.#vhost.firehose?.onPublish(view, keys, names, this);
  }

  #awaitSafety(): void {
    this.#awaitsSafety = true;
    const { lastPosition } = this.#confirms;
    this.host.broker.messages.awaitSafe(this, this.#vhost.confirmLevel, lastPosition);
  }

  /** More of what the store holds is safe, and may be confirmed. */
  onSafer(): void {
    this.#awaitsSafety = false;
    if (this.#isClosed) return;
    // At the level that holds now, whatever was asked for.
    this.#confirms.release(this.host.broker.messages.safePosition(this.#vhost.confirmLevel));
    if (this.#confirms.isWaiting) this.#awaitSafety();
    if (!this.#emitsLater) this.#emitLater();
  }

  #unroutable(view: MessageView, mandatory: boolean): void {
    if (!mandatory) return;
    const address = addressOf(view);
    encodeBasicReturn(this.#out, this.number, {
      replyCode: ReplyCode.NoRoute,
      replyText: "NO_ROUTE",
      exchange: address.exchange,
      routingKey: address.routingKey,
    });
    writeContent(this.#out, this.number, view, this.host.frameMax);
  }

  #emitLater(): void {
    this.#emitsLater = true;
    this.host.emitLater(this);
  }

  emitPending(): void {
    this.#emitsLater = false;
    for (const deliveryTag of this.#confirms.takeRefused()) {
      const nack = { deliveryTag, multiple: false, requeue: false };
      encodeBasicNack(this.#out, this.number, nack);
    }
    const confirmed = this.#confirms.take();
    if (confirmed > 0) {
      const deliveryTag = this.#confirms.confirmedTag;
      encodeBasicAck(this.#out, this.number, { deliveryTag, multiple: confirmed > 1 });
    }
    if (this.#cancelled.length > 0) this.emitCancellations();
  }

  // Delivering

  get writable(): boolean {
    return this.#out.writable && this.#isDelivering;
  }

  deliver(
    consumer: AmqpConsumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    const tag = ++this.#deliveryTag;
    if (handle !== unstored) {
      this.#ledger.add(tag, consumer, handle, sequence);
      if (!consumer.isWatched) this.#watch.add(consumer);
      this.#pushed++;
      if (this.#pushed === this.#sharedPrefetch) this.withinPrefetch = false;
    }
    const { number, host } = this;
    writeDelivery(this.#out, number, consumer.prefix, tag, redelivered, view, host.frameMax);
    const { firehose } = this.#vhost;
    if (firehose !== null) firehose.onDeliver(view, consumer.queue.name, redelivered, this);
  }

  park(consumer: AmqpConsumer): void {
    if (consumer.credit <= 0) return;
    this.#waiting ??= new Set();
    this.#waiting.add(consumer);
    if (!this.writable) this.host.awaitDrain(this);
  }

  wakeWaiting(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    while (waiting.size > 0 && this.withinPrefetch && this.writable) this.#wakeSome(waiting);
    if (waiting.size > 0 && !this.writable) this.host.awaitDrain(this);
  }

  /**
   * Wakes as many as the shared prefetch limit has room for. They are all back before any is
   * served, so that those of one queue take turns.
   */
  #wakeSome(waiting: Set<AmqpConsumer>): void {
    // Without a limit this begins at or below 0 and never comes there.
    let room = this.#sharedPrefetch - this.#pushed;
    const queues = new Set<Queue>();
    for (const consumer of waiting) {
      waiting.delete(consumer);
      consumer.queue.rejoin(consumer);
      queues.add(consumer.queue);
      if (!consumer.noAck && --room === 0) break;
    }
    for (const queue of queues) queue.serve();
  }

  cancelled(consumer: AmqpConsumer): void {
    this.dropConsumer(consumer);
    this.session.onCancelled(consumer, this.number);
    if (!this.host.wantsCancelNotification || this.#isClosed) return;
    // Told at the next flush, so that whoever deleted the queue reads delete-ok first.
    this.#cancelled.push(consumer.tag);
    if (!this.#emitsLater) this.#emitLater();
  }

  /** Tells the client about cancelled consumers; also called before a tag may be used again. */
  emitCancellations(): void {
    for (const consumerTag of this.#cancelled) {
      encodeBasicCancel(this.#out, this.number, { consumerTag, nowait: true });
    }
    this.#cancelled = [];
  }

  /** Begins to take direct replies, as deliveries with the given consumer tag. */
  takeReplies(tag: string): void {
    const prefix = deliveryPrefix(this.number, tag);
    this.replyTag = tag;
    this.replyAddress = this.directReplies.register((view) => {
      // A requester that does not read loses replies, and not the broker its memory.
      if (!this.writable) return;
      const { number, host } = this;
      // Like RabbitMQ it uses the next delivery's tag and does not use it up: nobody settles it.
      const tag = this.#deliveryTag + 1;
      writeDelivery(this.#out, number, prefix, tag, false, view, host.frameMax);
    });
  }

  refuseReplies(): void {
    if (this.replyAddress !== undefined) this.directReplies.unregister(this.replyAddress);
    this.replyAddress = undefined;
    this.replyTag = undefined;
  }

  /** Forgets a consumer that its client has cancelled. */
  dropConsumer(consumer: AmqpConsumer): void {
    this.consumers.delete(consumer.tag);
    this.#waiting?.delete(consumer);
  }

  get(queue: Queue, noAck: boolean): void {
    const pulled = queue.get(noAck, fetched);
    if (pulled === undefined) {
      encodeBasicGetEmpty(this.#out, this.number);
      return;
    }
    const deliveryTag = ++this.#deliveryTag;
    if (!noAck) {
      const puller = this.#puller(queue);
      puller.unsettled++;
      this.#ledger.add(deliveryTag, puller, pulled.handle, pulled.sequence);
      if (!puller.isWatched) this.#watch.add(puller);
    }
    encodeBasicGetOk(this.#out, this.number, {
      deliveryTag,
      redelivered: pulled.redelivered,
      ...addressOf(fetched),
      messageCount: pulled.remaining,
    });
    writeContent(this.#out, this.number, fetched, this.host.frameMax);
    this.#vhost.firehose?.onDeliver(fetched, queue.name, pulled.redelivered, this);
  }

  #puller(queue: Queue): AmqpConsumer {
    this.#pullers ??= new Map();
    let puller = this.#pullers.get(queue);
    if (puller === undefined) {
      puller = AmqpConsumer.forPull(queue, this, this.number);
      this.#pullers.set(queue, puller);
      if (this.#pullers.size > 64) this.#forgetIdlePullers();
    }
    return puller;
  }

  #forgetIdlePullers(): void {
    for (const [queue, puller] of this.#pullers!) {
      if (puller.unsettled <= 0) this.#pullers!.delete(queue);
    }
  }

  /** Whether all its consumers together have a limit. */
  get hasSharedPrefetch(): boolean {
    return this.#sharedPrefetch > 0;
  }

  setSharedPrefetch(limit: number): void {
    this.#sharedPrefetch = limit;
    this.#updatePrefetch();
  }

  #updatePrefetch(): void {
    const within = this.#sharedPrefetch === 0 || this.#pushed < this.#sharedPrefetch;
    if (within === this.withinPrefetch) return;
    this.withinPrefetch = within;
    if (within) this.wakeWaiting();
  }

  // Settling

  /** basic.ack, from its arguments. */
  acknowledge(tag: number, multiple: boolean): void {
    if (!multiple && this.#transaction === undefined) {
      const ledger = this.#ledger;
      if (!ledger.take(tag)) throw unknownDeliveryTag(tag);
      this.#apply("ack", ledger.consumer as AmqpConsumer, ledger.handle, ledger.sequence);
      if (!this.withinPrefetch) this.#updatePrefetch();
      return;
    }
    this.settle("ack", tag, multiple);
  }

  settle(settlement: Settlement, tag: number, multiple: boolean): void {
    const ledger = this.#ledger;
    if (!multiple) {
      if (!ledger.take(tag)) throw unknownDeliveryTag(tag);
      this.#settleTaken(settlement, tag);
    } else if (tag === 0 || ledger.has(tag)) {
      const upTo = tag === 0 ? Number.POSITIVE_INFINITY : tag;
      while (ledger.takeOldest(upTo)) this.#settleTaken(settlement, ledger.tag);
    } else {
      throw unknownDeliveryTag(tag);
    }
    this.#afterSettling(settlement);
  }

  /** basic.recover: everything unsettled goes back to its queue. */
  recover(): void {
    const ledger = this.#ledger;
    while (ledger.takeOldest(Number.POSITIVE_INFINITY)) {
      this.#apply("requeue", ledger.consumer as AmqpConsumer, ledger.handle, ledger.sequence);
    }
    this.#afterSettling("requeue");
  }

  #requeuedTo: Set<Queue> | undefined;

  #settleTaken(settlement: Settlement, tag: number): void {
    const { handle, sequence } = this.#ledger;
    const consumer = this.#ledger.consumer as AmqpConsumer;
    if (this.#transaction !== undefined) {
      this.#transaction.settlements.push({ settlement, tag, consumer, handle, sequence });
    } else {
      this.#apply(settlement, consumer, handle, sequence);
    }
  }

  #apply(settlement: Settlement, consumer: AmqpConsumer, handle: number, sequence: number): void {
    const queue = consumer.queue;
    if (settlement === "ack") {
      queue.acknowledge(handle, sequence);
    } else if (settlement === "reject") {
      queue.reject(handle, sequence);
    } else {
      queue.requeue(handle, sequence);
      this.#requeuedTo ??= new Set();
      this.#requeuedTo.add(queue);
    }
    if (consumer.isPull) {
      consumer.unsettled--;
      return;
    }
    this.#pushed--;
    consumer.regainCredit();
    if (consumer.parked && !consumer.isWakeScheduled) this.host.wakeLater(consumer);
  }

  #afterSettling(settlement: Settlement): void {
    if (!this.withinPrefetch) this.#updatePrefetch();
    if (settlement !== "requeue" || this.#requeuedTo === undefined) return;
    const queues = this.#requeuedTo;
    this.#requeuedTo = undefined;
    for (const queue of queues) queue.serve();
  }

  // Deliveries that are not settled in time

  get clock(): Clock {
    return this.host.broker.clock;
  }

  get consumerTimeoutMs(): number {
    return this.host.consumerTimeoutMs;
  }

  get ledger(): DeliveryLedger {
    return this.#ledger;
  }

  get latestDeliveryTag(): number {
    return this.#deliveryTag;
  }

  onTimeout({ tag, queue, isPull }: AmqpConsumer, deliveryTag: number, timeoutMs: number): boolean {
    const error = deliveryTimedOut(this.number, timeoutMs);
    if (!this.host.failChannel(this.number, error)) return false;
    const who = isPull ? "the client" : `consumer '${tag}'`;
    const where = resourceText("queue", queue.name, this.session.vhost.name);
    this.host.broker.log.warn(
      `${who} on channel ${this.number} of connection ${this.host.name} has not acknowledged ` +
        `delivery ${deliveryTag} of ${where} for ${timeoutMs} ms, so the channel was closed`,
    );
    return true;
  }

  // Transactions

  beginTransactions(): void {
    this.mode = "tx";
    this.#transaction ??= new Transaction(this.host.broker.messages);
  }

  /**
   * Applies what the transaction has gathered, and answers; resolves when it is safe, if it must
   * be.
   */
  commit(answer: () => void): Promise<void> | undefined {
    const transaction = this.#transaction!;
    const { publishes, settlements } = transaction.take();
    const { messages } = this.host.broker;
    const { confirmLevel } = this.#vhost;
    const routed = publishes.map((publish) => ({
      publish,
      queues: this.#living(publish.queues),
      keepers: publish.keepers.filter((keeper) => !keeper.deleted),
    }));
    const group = messages.isDurable ? DurableGroup.of(routed, settlements) : undefined;
    group?.begin(messages);
    const kind = group === undefined ? RecordKind.Message : RecordKind.Grouped;
    for (const { publish, queues, keepers } of routed) {
      if (!publish.receipts.every(({ mayPass }) => mayPass)) {
        transaction.forget(publish.handle);
        continue;
      }
      messages.view(publish.handle, fetched);
      fetched.isPersistent = publish.isPersistent;
      // As a durable message it is stored anew.
      if (publish.isPersistent && group !== undefined) fetched.handle = unstored;
      const isRouted = queues.length > 0 || publish.isTaken;
      if (!isRouted) this.#unroutable(fetched, publish.mandatory);
      if (queues.length + keepers.length > 0) {
        const outcome = distribute(messages, queues, fetched, confirmLevel, kind, keepers);
        if (isRouted) tellArrival(publish.receipts, outcome, kind);
      }
      transaction.forget(publish.handle);
    }
    group?.end(messages, confirmLevel);
    for (const { settlement, consumer, handle, sequence } of settlements) {
      this.#apply(settlement, consumer, handle, sequence);
    }
    const awaitsStore = group !== undefined || publishes.some((publish) => publish.awaitsStore);
    const safe = awaitsStore ? messages.untilSafe(confirmLevel) : undefined;
    if (safe === undefined) answer();
    // What went back to its queue may be delivered again at once, and the answer comes first.
    this.#afterSettling("requeue");
    return safe?.then(answer);
  }

  #living(names: readonly string[]): Queue[] {
    const { vhost } = this.session;
    return names.flatMap((name) => vhost.queue(name) ?? []);
  }

  rollback(): void {
    const transaction = this.#transaction!;
    transaction.dropPublishes();
    this.#ledger.restore(transaction.take().settlements);
  }

  /** Takes no more deliveries; the channel is about to be closed. */
  stopDelivering(): void {
    this.#isDelivering = false;
  }

  /** Ends the channel: what it has not settled goes back to the queues, its consumers go. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.session.closeChannel(this.number);
    this.stopDelivering();
    this.#watch.stop();
    this.publishPath.dropAssembly();
    if (this.#transaction !== undefined) this.rollback();
    this.refuseReplies();
    const ledger = this.#ledger;
    const queues = new Set<Queue>();
    while (ledger.takeOldest(Number.POSITIVE_INFINITY)) {
      const { queue } = ledger.consumer!;
      queue.requeue(ledger.handle, ledger.sequence);
      queues.add(queue);
    }
    for (const consumer of this.consumers.values()) {
      this.session.unsubscribe(consumer, this.number, internalUser);
    }
    this.consumers.clear();
    this.#waiting = undefined;
    for (const queue of queues) queue.serve();
  }
}

/**
 * The names of the queues that a message goes to. The default exchange has one for every key,
 * whether there is such a queue or not.
 */
function destinationNames(view: MessageView, queues: readonly Queue[]): string[] {
  const names = queues.map((queue) => queue.name);
  const isDefaultExchange = view.address[view.addressStart] === 0;
  if (isDefaultExchange && names.length === 0) names.push(addressOf(view).routingKey);
  return names;
}
