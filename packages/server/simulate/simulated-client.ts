/**
 * A client of the broker simulator: one connection with one channel, as the core sees them. It
 * publishes with confirms, consumes, settles and commits, and tells the model of all it does and of
 * all it is told.
 */

import {
  Consumer,
  type ConsumerSink,
  distribute,
  type MessageStore,
  MessageView,
  type Queue,
  RecordKind,
  type SafetyWaiter,
  type Session,
  unstored,
} from "@haremq/broker";
import { FieldTable } from "@haremq/wire";
import type { MessageModel, ModelMessage, ModelQueue, ModelTransaction } from "./message-model.ts";
import { nameOf } from "./message-model.ts";
import { demand } from "./promise-broken.ts";
import { identify, type SimulatedMessage, viewOf } from "./simulated-message.ts";

/** What the clients of one life have in common. */
export interface ClientHost {
  readonly messages: MessageStore;
  readonly model: MessageModel;
  modelOf(queue: Queue): ModelQueue;
  /** Something went wrong where nobody is called back. */
  onBroken(error: unknown): void;
}

/** A message that was delivered and is not settled. */
interface Held {
  readonly consumer: Consumer | undefined;
  readonly queue: Queue;
  readonly handle: number;
  readonly sequence: number;
  readonly message: ModelMessage;
}

export type Settlement = "acknowledge" | "reject" | "requeue";

const fetched = new MessageView();

export class SimulatedClient implements ConsumerSink, SafetyWaiter {
  readonly session: Session;
  readonly #host: ClientHost;
  readonly writable = true;
  readonly withinPrefetch = true;
  readonly consumers = new Set<Consumer>();
  #held: Held[] = [];
  readonly #unconfirmed: { messages: readonly ModelMessage[]; position: number }[] = [];
  #isClosed = false;

  constructor(session: Session, host: ClientHost) {
    this.session = session;
    this.#host = host;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  get unconfirmedCount(): number {
    return this.#unconfirmed.length;
  }

  // Publishing

  /** Publishes in confirm mode. Returns how many queues the message went to. */
  publish(message: SimulatedMessage): number {
    const { messages } = this.#host;
    const queues = this.#route(message);
    const published = this.#tellModel(message, queues);
    const level = this.session.vhost.confirmLevel;
    if (distribute(messages, queues, viewOf(message), level)) {
      this.#unconfirmed.push({ messages: published, position: messages.position });
      this.#awaitSafety();
    } else {
      for (const each of published) each.isSafe = each.isDurable;
    }
    return queues.length;
  }

  onSafer(): void {
    const level = this.session.vhost.confirmLevel;
    const safePosition = this.#host.messages.safePosition(level);
    while ((this.#unconfirmed[0]?.position ?? Number.POSITIVE_INFINITY) <= safePosition) {
      for (const message of this.#unconfirmed.shift()!.messages) {
        message.isSafe = true;
        message.isOnlyWritten = level === "os";
      }
    }
    this.#awaitSafety();
  }

  #awaitSafety(): void {
    const last = this.#unconfirmed.at(-1);
    if (last === undefined) return;
    this.#host.messages.awaitSafe(this, this.session.vhost.confirmLevel, last.position);
  }

  #route({ exchange, routingKey }: SimulatedMessage): readonly Queue[] {
    const { topology } = this.session.vhost;
    return topology.route(this.session.exchangeToPublish(exchange), routingKey).queues;
  }

  #tellModel(
    { id, isPersistent }: SimulatedMessage,
    queues: readonly Queue[],
    transaction?: ModelTransaction,
  ): ModelMessage[] {
    const { model } = this.#host;
    return queues.map((queue) =>
      model.publish(id, this.#host.modelOf(queue), isPersistent, transaction),
    );
  }

  // Consuming

  subscribe(queue: Queue, noAck: boolean, prefetch: number): void {
    const options = { tag: "", noAck, exclusive: false, priority: 0, prefetch };
    const consumer = new Consumer(queue, this, { ...options, arguments: new FieldTable() });
    this.consumers.add(consumer);
    queue.subscribe(consumer);
  }

  unsubscribe(consumer: Consumer): void {
    this.consumers.delete(consumer);
    this.session.unsubscribe(consumer);
  }

  deliver(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    const message = this.#receive(consumer.queue, view, redelivered);
    if (handle === unstored) this.#host.model.settle(message);
    else this.#hold({ consumer, queue: consumer.queue, handle, sequence, message });
  }

  park(): void {}

  cancelled(consumer: Consumer): void {
    this.consumers.delete(consumer);
  }

  /** basic.get, which may have to wait for the disk. */
  async get(queue: Queue, noAck: boolean): Promise<void> {
    await queue.prepareGet();
    if (this.#isClosed || queue.deleted) return;
    const pulled = queue.get(noAck, fetched);
    if (pulled === undefined) return;
    const { handle, sequence, redelivered } = pulled;
    const message = this.#receive(queue, fetched, redelivered);
    if (noAck) this.#host.model.settle(message);
    else this.#hold({ consumer: undefined, queue, handle, sequence, message });
  }

  #receive(queue: Queue, view: MessageView, redelivered: boolean): ModelMessage {
    const id = identify(view);
    const message = this.#host.modelOf(queue).messages.get(id);
    demand(message !== undefined, () => `message ${id} was never in ${queue.name}`);
    demand(message.state === "open", () => `${nameOf(message)} was settled and is delivered`);
    demand(!message.isHeld, () => `${nameOf(message)} is delivered twice`);
    const isRight = message.isMarked === redelivered;
    demand(isRight, () => `${nameOf(message)} is marked ${redelivered}, not ${message.isMarked}`);
    message.wasDelivered = true;
    message.isMarked = true;
    return message;
  }

  #hold(held: Held): void {
    held.message.isHeld = true;
    this.#held.push(held);
  }

  // Settling

  settle(settlement: Settlement, index: number): void {
    const [held] = this.#held.splice(index, 1);
    if (held !== undefined) this.#settle(settlement, held);
    if (settlement === "requeue") held?.queue.serve();
  }

  #settle(settlement: Settlement, held: Held, transaction?: ModelTransaction): void {
    const { consumer, queue, handle, sequence, message } = held;
    message.isHeld = false;
    if (settlement === "requeue" && !queue.deleted) queue.requeue(handle, sequence);
    else {
      this.#host.model.settle(message, transaction);
      queue[settlement](handle, sequence);
    }
    if (consumer === undefined) return;
    consumer.regainCredit();
    if (consumer.parked) queue.wake(consumer);
  }

  /** What an adapter does at the commit of a transaction. */
  commit(publishes: readonly SimulatedMessage[], settled: number, settlement: Settlement): void {
    const { messages, model } = this.#host;
    const level = this.session.vhost.confirmLevel;
    const routed = publishes.map((message) => ({ message, queues: this.#route(message) }));
    const holds = this.#held.splice(0, settlement === "requeue" ? 0 : settled);
    const durable = holds.filter(({ queue }) => queue.storeNumber !== 0);
    const stored = routed.flatMap(({ message, queues }) => {
      const targets = queues.filter(({ storeNumber }) => storeNumber !== 0).length;
      return message.isPersistent && targets > 0 ? [{ message, targets }] : [];
    });
    const isGroup = stored.length + durable.length > 0;
    const transaction = isGroup ? model.beginTransaction() : undefined;
    if (isGroup) {
      const bytes = stored.reduce((sum, { message }) => sum + sizeOf(message), 0);
      const targets = stored.reduce((sum, each) => sum + each.targets, 0);
      messages.beginGroup(stored.length, targets, bytes, durable.length);
    }
    const kind = isGroup ? RecordKind.Grouped : RecordKind.Message;
    const published = routed.map(({ message, queues }) => {
      const told = this.#tellModel(message, queues, transaction);
      distribute(messages, queues, viewOf(message), level, kind);
      return told;
    });
    if (isGroup) {
      const numbers = durable.map(({ queue }) => queue.storeNumber);
      messages.endGroup(
        durable.map(({ handle }) => handle),
        numbers,
        level,
      );
    }
    for (const held of holds) this.#settle(settlement, held, transaction);
    const answer = (): void => {
      const isOnlyWritten = level === "os";
      if (transaction !== undefined)
        Object.assign(transaction, { isAnswered: true, isOnlyWritten });
      for (const message of published.flat()) {
        message.isSafe = message.isDurable;
        message.isOnlyWritten = isOnlyWritten;
      }
    };
    const untilSafe = isGroup ? messages.untilSafe(level) : undefined;
    if (untilSafe === undefined) answer();
    else void untilSafe.then(answer).catch((error) => this.#host.onBroken(error));
  }

  /** The connection ends: what it has not settled goes back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    const held = this.#held;
    this.#held = [];
    const queues = new Set(held.map(({ queue }) => queue));
    for (const { queue, handle, sequence, message } of held) {
      message.isHeld = false;
      if (queue.deleted) this.#host.model.settle(message);
      queue.requeue(handle, sequence);
    }
    for (const consumer of [...this.consumers]) this.unsubscribe(consumer);
    for (const queue of queues) if (!queue.deleted) queue.serve();
    await this.session.close();
  }
}

function sizeOf(message: SimulatedMessage): number {
  const { addressLength, propertiesLength, bodyLength } = viewOf(message);
  return addressLength + propertiesLength + bodyLength;
}
