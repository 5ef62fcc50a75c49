/**
 * What one authenticated connection may do to its virtual host: the verbs that adapters call, each
 * of which checks names, permissions, locks and equivalence in RabbitMQ's order and with its texts.
 * Verbs that change topology are asynchronous, for a change may have to be made durable first.
 * Adapters of every protocol open one session per connection.
 */

import type { Random } from "@haremq/kernel";
import type { FieldTable } from "@haremq/wire";
import type { Authorizer, Permission, User } from "../access/access.ts";
import type { Visit } from "../access/presence.ts";
import type { Consumer, ConsumerOptions } from "../consumer/consumer.ts";
import { checkConsumerArguments } from "../consumer/consumer-arguments.ts";
import {
  accessRefused,
  defaultExchangeRefused,
  exclusivelyConsumed,
  inUse,
  malformedName,
  notEmpty,
  notFound,
  preconditionFailed,
  queueLocked,
  type ResourceKind,
  reservedName,
  resourceText,
  singleActiveConsumerGet,
  systemExchangeDeletion,
  topicRefused,
  unknownExchangeType,
} from "../errors.ts";
import { internalUser } from "../events/broker-events.ts";
import type { ConnectionDetails } from "../events/connection-details.ts";
import type { Exchange } from "../exchange/exchange.ts";
import type { Queue, QueueOwner } from "../queue/queue.ts";
import { checkQueueArguments, checkServerNamed } from "../queue/queue-arguments.ts";
import { isStream, queueTypeOf } from "../queue/queue-types.ts";
import { checkStreamConsumer, unsupportedByStream } from "../queue/stream/stream-arguments.ts";
import { argumentsWithType } from "./default-queue-type.ts";
import { checkExchangeEquivalence, checkQueueEquivalence } from "./equivalence.ts";
import { fieldTypeName } from "./field-text.ts";
import type { VirtualHost } from "./virtual-host.ts";

export interface ExchangeDeclaration {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: FieldTable;
}

export interface QueueDeclaration {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusive: boolean;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
}

/** What decides whether a consumer may be added to a queue. */
export type NewConsumer = Pick<
  ConsumerOptions,
  "tag" | "exclusive" | "noAck" | "prefetch" | "arguments"
>;

export interface BindingDeclaration {
  readonly source: string;
  readonly destinationKind: ResourceKind;
  readonly destination: string;
  readonly routingKey: string;
  readonly arguments: FieldTable;
}

export class Session implements QueueOwner {
  readonly user: User;
  readonly vhost: VirtualHost;
  readonly #authorizer: Authorizer;
  readonly #random: Random;
  readonly #visit: Visit;
  readonly #exclusiveQueues = new Set<Queue>();
  /** Whom it is for, once its adapter has said so. */
  connection: ConnectionDetails | undefined;
  #isClosed = false;

  constructor(
    user: User,
    vhost: VirtualHost,
    authorizer: Authorizer,
    random: Random,
    visit: Visit,
  ) {
    this.user = user;
    this.vhost = vhost;
    this.#authorizer = authorizer;
    this.#random = random;
    this.#visit = visit;
  }

  /** Grows whenever `mayWrite` may answer differently. */
  get accessEpoch(): number {
    return this.#authorizer.epoch;
  }

  /** The connection is open. */
  begin(connection: ConnectionDetails): void {
    this.connection = connection;
    if (this.vhost.events.isHeard)
      this.vhost.events.tell({ type: "connection.created", connection });
  }

  /** A protocol with channels opens each here; throws if the user has as many as it may have. */
  openChannel(channel: number): void {
    this.#visit.openChannel();
    this.#tellOfChannel("channel.created", channel);
  }

  closeChannel(channel: number): void {
    this.#visit.closeChannel();
    this.#tellOfChannel("channel.closed", channel);
  }

  #tellOfChannel(type: "channel.created" | "channel.closed", channel: number): void {
    const { connection } = this;
    if (connection === undefined || !this.vhost.events.isHeard) return;
    this.vhost.events.tell({ type, connection, channel });
  }

  // Exchanges

  async declareExchange(declaration: ExchangeDeclaration): Promise<Exchange> {
    this.#checkExchangeType(declaration.type);
    const name = plainName(declaration.name);
    checkNotDefaultExchange(name);
    this.#check("configure", "exchange", name);
    return this.vhost.exclusively(`exchange ${name}`, () =>
      this.#declareExchange(name, declaration),
    );
  }

  async #declareExchange(name: string, declaration: ExchangeDeclaration): Promise<Exchange> {
    let exchange = this.vhost.exchange(name);
    if (exchange === undefined) {
      checkNotReserved("exchange", name);
      const alternate = this.#exchangeArgument(
        "exchange",
        name,
        declaration.arguments,
        "alternate-exchange",
      );
      if (alternate !== undefined) {
        this.#check("read", "exchange", name);
        this.#check("write", "exchange", alternate);
      }
      this.#checkExchangeArguments(declaration);
      this.vhost.checkExchange({ ...declaration, name });
      exchange = await this.vhost.createExchange({ ...declaration, name }, this.user.name);
    }
    checkExchangeEquivalence(exchange, declaration, this.vhost.name);
    return exchange;
  }

  async checkExchange(name: string): Promise<Exchange> {
    const plain = plainName(name);
    checkNotDefaultExchange(plain);
    return this.#exchange(plain);
  }

  async deleteExchange(name: string, ifUnused: boolean): Promise<void> {
    const plain = plainName(name);
    checkNotDefaultExchange(plain);
    if (plain.startsWith("amq.")) throw systemExchangeDeletion(plain, this.vhost.name);
    this.#check("configure", "exchange", plain);
    const exchange = this.vhost.exchange(plain);
    if (exchange === undefined) return;
    if (ifUnused && this.vhost.topology.isSource(exchange)) {
      throw inUse("exchange", plain, this.vhost.name);
    }
    await this.vhost.deleteExchange(exchange, this.user.name);
  }

  // Bindings

  async bind(declaration: BindingDeclaration): Promise<void> {
    const { destinationKind, routingKey } = declaration;
    const { source, destination } = this.#bindingNames(declaration);
    const from = this.#exchange(source);
    const to = destinationKind === "queue" ? this.#queue(destination) : this.#exchange(destination);
    if (destinationKind === "queue") this.#checkUnlocked(to as Queue);
    const invalid = this.vhost.topology.validateBinding(from, {
      ...declaration,
      ...(destinationKind === "queue" && { queueModule: queueTypeOf(to.arguments).module }),
    });
    if (invalid !== undefined) throw preconditionFailed(invalid.explanation);
    await this.vhost.bind(from, to, routingKey, declaration.arguments, this.user.name);
  }

  /** Removing what is not there succeeds. */
  async unbind(declaration: BindingDeclaration): Promise<void> {
    const { destinationKind, routingKey } = declaration;
    const { source, destination } = this.#bindingNames(declaration);
    const from = this.vhost.exchange(source);
    const isQueue = destinationKind === "queue";
    const to = isQueue ? this.vhost.queue(destination) : this.vhost.exchange(destination);
    if (from === undefined || to === undefined) return;
    const args = declaration.arguments;
    if (!this.vhost.topology.hasBinding(from, to, routingKey, args)) return;
    if (isQueue) this.#checkUnlocked(to as Queue);
    await this.vhost.unbind(from, to, routingKey, args, this.user.name);
  }

  // Queues

  async declareQueue(given: QueueDeclaration): Promise<Queue> {
    const vhost = this.vhost;
    const declaration = {
      ...given,
      // What goes with its connection anyway is not made durable, and does not count as such.
      durable: given.durable && !given.exclusive,
      arguments: argumentsWithType(given, vhost.metadata.defaultQueueType),
    };
    let name = plainName(declaration.name);
    if (name === "") {
      checkServerNamed(declaration.arguments);
      name = this.#generatedName("amq.gen-");
    } else {
      checkNotReserved("queue", name);
    }
    this.#check("configure", "queue", name);
    return vhost.exclusively(`queue ${name}`, () => this.#declareQueue(name, declaration));
  }

  async #declareQueue(name: string, declaration: QueueDeclaration): Promise<Queue> {
    const vhost = this.vhost;
    const found = vhost.queue(name);
    if (found !== undefined) {
      checkQueueEquivalence(found, declaration, this.#owner(declaration), vhost.name);
      found.touch();
      return found;
    }
    vhost.checkQueueCount(name);
    const deadLetters = this.#exchangeArgument(
      "queue",
      name,
      declaration.arguments,
      "x-dead-letter-exchange",
    );
    if (deadLetters !== undefined) {
      this.#check("read", "queue", name);
      this.#check("write", "exchange", deadLetters);
    }
    checkQueueArguments(name, declaration, vhost.name);
    const { durable, autoDelete, arguments: args } = declaration;
    const queue = await vhost.createQueue(
      { name, durable, exclusiveOwner: this.#owner(declaration), autoDelete, arguments: args },
      this.user.name,
    );
    if (declaration.exclusive) this.#exclusiveQueues.add(queue);
    // The connection may have ended meanwhile.
    if (this.#isClosed && declaration.exclusive) this.#expireQueue(queue);
    return queue;
  }

  /** A queue that exists and that this session may use. */
  async checkQueue(name: string): Promise<Queue> {
    const queue = this.#queue(plainName(name));
    this.#checkUnlocked(queue);
    return queue;
  }

  async deleteQueue(name: string, ifUnused: boolean, ifEmpty: boolean): Promise<number> {
    const plain = plainName(name);
    this.#check("configure", "queue", plain);
    const queue = this.vhost.queue(plain);
    if (queue === undefined) return 0;
    this.#checkUnlocked(queue);
    // Like RabbitMQ a stream goes with its messages and consumers, whatever is asked for.
    if (!isStream(queue.arguments)) {
      if (ifEmpty && queue.readyCount + queue.waitingCount > 0)
        throw notEmpty(plain, this.vhost.name);
      if (ifUnused && queue.consumerCount > 0) throw inUse("queue", plain, this.vhost.name);
    }
    return this.#removeQueue(queue);
  }

  async purgeQueue(name: string): Promise<number> {
    const queue = this.#readableQueue(plainName(name));
    if (isStream(queue.arguments)) {
      throw unsupportedByStream("queue.purge", queue.name, this.vhost.name);
    }
    return queue.purge();
  }

  // Consuming

  /** The queue to consume from, once everything that RabbitMQ checks is in order. */
  queueToConsume(name: string, consumer: NewConsumer): Queue {
    const queue = this.#readableQueue(name);
    const { exclusive } = consumer;
    checkConsumerArguments(consumer.arguments, queue, this.vhost.name);
    if (isStream(queue.arguments)) {
      checkStreamConsumer(consumer, queue.name, this.vhost.name);
      return queue;
    }
    if (!isFreeFor(queue, exclusive)) throw exclusivelyConsumed(queue.name, this.vhost.name);
    return queue;
  }

  queueToGet(name: string): Queue {
    const queue = this.#readableQueue(name);
    if (isStream(queue.arguments)) {
      throw unsupportedByStream("basic.get", queue.name, this.vhost.name);
    }
    if (queue.singleActiveConsumer) throw singleActiveConsumerGet(queue.name, this.vhost.name);
    return queue;
  }

  /** Begins a subscription of a channel. */
  subscribe(consumer: Consumer, channel: number): void {
    consumer.queue.subscribe(consumer);
    this.#tellOfConsumer("consumer.created", consumer, channel, this.user.name);
  }

  /**
   * Ends a subscription, because the client has asked for that or its channel ends; the queue goes
   * too if it was to go with its last consumer. Without channels there is none but 0.
   */
  unsubscribe(consumer: Consumer, channel = 0, by = this.user.name): void {
    const queue = consumer.queue;
    queue.unsubscribe(consumer);
    this.#tellOfConsumer("consumer.deleted", consumer, channel, by);
    if (queue.autoDelete && queue.consumerCount === 0) this.#expireQueue(queue);
  }

  /** The queue has ended a subscription. */
  onCancelled(consumer: Consumer, channel: number): void {
    this.#tellOfConsumer("consumer.deleted", consumer, channel, internalUser);
  }

  #tellOfConsumer(
    type: "consumer.created" | "consumer.deleted",
    consumer: Consumer,
    channel: number,
    by: string,
  ): void {
    const { connection } = this;
    if (connection === undefined || !this.vhost.events.isHeard) return;
    this.vhost.events.tell({ type, connection, channel, consumer, by });
  }

  /** The consumer tag that a client gave, or one made for it. */
  consumerTag(given: string): string {
    return given === "" ? this.#generatedName("amq.ctag-") : plainName(given);
  }

  // Publishing

  /** The exchange to publish to. */
  exchangeToPublish(name: string): Exchange {
    const plain = plainName(name);
    this.#check("write", "exchange", plain);
    return this.#exchange(plain);
  }

  /** Refuses a routing key that the user may not write to a topic exchange. */
  checkTopicWrite(exchange: Exchange, routingKey: string): void {
    this.#checkTopic("write", exchange, routingKey);
  }

  /** Ends everything that lives only as long as its connection. */
  async close(): Promise<void> {
    const { connection } = this;
    if (connection !== undefined && !this.#isClosed && this.vhost.events.isHeard) {
      this.vhost.events.tell({ type: "connection.closed", connection });
    }
    this.#isClosed = true;
    this.#visit.leave();
    for (const queue of [...this.#exclusiveQueues]) this.#expireQueue(queue);
  }

  #owner(declaration: QueueDeclaration): QueueOwner | null {
    return declaration.exclusive ? this : null;
  }

  /** The queue goes with what it depended on. */
  #expireQueue(queue: Queue): void {
    this.#exclusiveQueues.delete(queue);
    this.vhost.expireQueue(queue);
  }

  #removeQueue(queue: Queue): Promise<number> {
    this.#exclusiveQueues.delete(queue);
    return this.vhost.deleteQueue(queue, this.user.name);
  }

  /** The names in a binding, once the user is known to be allowed to bind them. */
  #bindingNames(declaration: BindingDeclaration): { source: string; destination: string } {
    const { destinationKind, routingKey } = declaration;
    const destination = plainName(declaration.destination);
    const source = plainName(declaration.source);
    if (destinationKind === "exchange") checkNotDefaultExchange(destination);
    this.#check("write", destinationKind, destination);
    checkNotDefaultExchange(source);
    this.#check("read", "exchange", source);
    const from = this.vhost.exchange(source);
    if (from !== undefined) this.#checkTopic("read", from, routingKey);
    return { source, destination };
  }

  #exchange(name: string): Exchange {
    const exchange = this.vhost.exchange(name);
    if (exchange === undefined) throw notFound("exchange", name, this.vhost.name);
    return exchange;
  }

  #queue(name: string): Queue {
    const queue = this.vhost.queue(name);
    if (queue === undefined) throw notFound("queue", name, this.vhost.name);
    return queue;
  }

  #readableQueue(name: string): Queue {
    this.#check("read", "queue", name);
    const queue = this.#queue(name);
    this.#checkUnlocked(queue);
    return queue;
  }

  #checkUnlocked(queue: Queue): void {
    if (queue.exclusiveOwner !== null && queue.exclusiveOwner !== this) {
      throw queueLocked(queue.name, this.vhost.name);
    }
  }

  #check(permission: Permission, kind: ResourceKind, name: string): void {
    const { user, vhost } = this;
    if (!this.#authorizer.may(user, permission, vhost.name, kind, name)) {
      const shown = kind === "exchange" && name === "" ? "amq.default" : name;
      throw accessRefused(permission, kind, shown, vhost.name, user.name);
    }
  }

  #checkTopic(permission: Permission, exchange: Exchange, routingKey: string): void {
    if (exchange.type !== "topic") return;
    const { user, vhost } = this;
    if (this.#authorizer.mayUseTopic(user, permission, vhost.name, exchange.name, routingKey)) {
      return;
    }
    throw topicRefused(routingKey, exchange.name, vhost.name, user.name);
  }

  #checkExchangeArguments({ type, arguments: args }: ExchangeDeclaration): void {
    const invalid = this.vhost.topology.types.require(type).validateExchange(args);
    if (invalid !== undefined) throw preconditionFailed(invalid.explanation);
  }

  #checkExchangeType(type: string): void {
    if (!this.vhost.topology.types.has(type)) throw unknownExchangeType(type);
  }

  /** An argument that names an exchange, which must be a string. */
  #exchangeArgument(
    kind: ResourceKind,
    name: string,
    args: FieldTable,
    key: string,
  ): string | undefined {
    const value = args.get(key);
    if (value === undefined) return undefined;
    if (value.type !== "S") {
      throw preconditionFailed(
        `invalid type '${fieldTypeName(value.type)}' for arg '${key}' in ` +
          resourceText(kind, name, this.vhost.name),
      );
    }
    return value.value.toString("utf8");
  }

  #generatedName(prefix: string): string {
    return prefix + this.#random.bytes(16).toString("base64url");
  }
}

/** RabbitMQ drops line breaks from names, and refuses names that are not text. */
function plainName(name: string): string {
  if (!isWellFormed(name)) throw malformedName();
  return name.includes("\n") || name.includes("\r") ? name.replace(/[\r\n]/g, "") : name;
}

/** Bytes that are no UTF-8 are decoded to lone surrogates, which encode to nothing sensible. */
function isWellFormed(name: string): boolean {
  return !/[\ud800-\udfff]/u.test(name);
}

function checkNotDefaultExchange(name: string): void {
  if (name === "") throw defaultExchangeRefused();
}

function checkNotReserved(kind: ResourceKind, name: string): void {
  if (name.startsWith("amq.")) throw reservedName(kind, name);
}

/** An exclusive consumer wants the queue for itself, and lets nobody else in. */
function isFreeFor(queue: Queue, exclusive: boolean): boolean {
  if (exclusive && queue.singleActiveConsumer) return false;
  if (queue.consumerCount === 0) return true;
  if (exclusive) return false;
  for (const consumer of queue.consumers()) {
    if (consumer.exclusive) return false;
  }
  return true;
}
