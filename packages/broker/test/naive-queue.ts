/**
 * The queue as one would explain it: plain lists of objects, searched and sorted for every message.
 * Property tests run it beside real queues. What consumers would see is written to `events`.
 */

export interface NaiveSink {
  writable: boolean;
  /** Deliveries that its acknowledging consumers together may have unsettled; 0 for no limit. */
  limit: number;
  unsettled: number;
}

export interface NaiveConsumer {
  readonly tag: string;
  readonly sink: NaiveSink;
  readonly noAck: boolean;
  readonly priority: number;
  readonly prefetch: number;
  unsettled: number;
  parked: boolean;
}

export interface NaiveMessage {
  readonly body: string;
  readonly position: number;
  redelivered: boolean;
}

export interface NaiveDelivery {
  readonly message: NaiveMessage;
  /** Null for a message that was pulled. */
  readonly consumer: NaiveConsumer | null;
}

export class NaiveQueue {
  readonly name: string;
  readonly singleActiveConsumer: boolean;
  deleted = false;
  /** In the order in which they arrived, wherever they have been since. */
  ready: NaiveMessage[] = [];
  unsettled: NaiveDelivery[] = [];
  /** In the order in which they came. */
  consumers: NaiveConsumer[] = [];
  /** Those who may be served, the one that has waited longest first. */
  waiting: NaiveConsumer[] = [];
  counts = { published: 0, delivered: 0, redelivered: 0, acknowledged: 0 };
  /** Something was requeued, and may be taken only once the queue is told to serve. */
  awaitsServe = false;
  readonly #events: string[];
  #active: NaiveConsumer | undefined;

  constructor(name: string, singleActiveConsumer: boolean, events: string[]) {
    this.name = name;
    this.singleActiveConsumer = singleActiveConsumer;
    this.#events = events;
  }

  publish(body: string): void {
    const position = this.counts.published++;
    this.ready.push({ body, position, redelivered: false });
    // If others stand before it, either nobody can take them, or they were requeued and it waits
    // with them to be served.
    if (this.ready.length === 1) this.serve();
  }

  subscribe(consumer: NaiveConsumer): void {
    this.consumers.push(consumer);
    if (this.singleActiveConsumer) {
      if (this.#active !== undefined) return;
      this.#active = consumer;
    }
    this.waiting.push(consumer);
    this.serve();
  }

  unsubscribe(consumer: NaiveConsumer): void {
    if (!this.consumers.includes(consumer)) return;
    this.consumers = without(this.consumers, consumer);
    this.waiting = without(this.waiting, consumer);
    consumer.parked = false;
    if (this.#active !== consumer) return;
    this.#active = byPriority(this.consumers)[0];
    if (this.#active === undefined) return;
    this.waiting.push(this.#active);
    this.serve();
  }

  wake(consumer: NaiveConsumer): void {
    if (!consumer.parked) return;
    consumer.parked = false;
    this.waiting.push(consumer);
    this.serve();
  }

  serve(): void {
    this.awaitsServe = false;
    while (this.ready.length > 0) {
      const consumer = this.#nextConsumer();
      if (consumer === undefined) return;
      this.#deliver(this.ready.shift()!, consumer);
    }
  }

  get(noAck: boolean): NaiveMessage | undefined {
    const message = this.ready.shift();
    if (message !== undefined) {
      this.#noteDelivered(message);
      if (!noAck) this.unsettled.push({ message, consumer: null });
    }
    return message;
  }

  settle(settlement: "acknowledge" | "reject" | "requeue", delivery: NaiveDelivery): void {
    this.unsettled = without(this.unsettled, delivery);
    const { message, consumer } = delivery;
    if (consumer !== null) {
      consumer.unsettled--;
      consumer.sink.unsettled--;
    }
    if (settlement === "acknowledge") this.counts.acknowledged++;
    if (settlement !== "requeue" || this.deleted) return;
    message.redelivered = true;
    this.awaitsServe = true;
    this.ready.push(message);
    this.ready.sort((a, b) => a.position - b.position);
  }

  purge(): number {
    return this.ready.splice(0).length;
  }

  close(): number {
    this.deleted = true;
    const consumers = this.consumers;
    this.consumers = [];
    this.waiting = [];
    for (const consumer of consumers) {
      consumer.parked = false;
      this.#events.push(`${this.name} cancels ${consumer.tag}`);
    }
    return this.purge();
  }

  /** Of those with the highest priority that can take a message, the one that waits longest. */
  #nextConsumer(): NaiveConsumer | undefined {
    for (const consumer of byPriority(this.waiting)) {
      this.waiting = without(this.waiting, consumer);
      if (canTake(consumer)) {
        this.waiting.push(consumer);
        return consumer;
      }
      consumer.parked = true;
      this.#events.push(`${this.name} parks ${consumer.tag}`);
    }
    return undefined;
  }

  #deliver(message: NaiveMessage, consumer: NaiveConsumer): void {
    const star = message.redelivered ? "*" : "";
    this.#events.push(`${this.name} sends ${consumer.tag} ${message.body}${star}`);
    this.#noteDelivered(message);
    if (consumer.noAck) return;
    this.unsettled.push({ message, consumer });
    consumer.unsettled++;
    consumer.sink.unsettled++;
  }

  #noteDelivered(message: NaiveMessage): void {
    this.counts.delivered++;
    if (message.redelivered) this.counts.redelivered++;
  }
}

export function canTake({ sink, noAck, prefetch, unsettled }: NaiveConsumer): boolean {
  if (!sink.writable) return false;
  const isWithinLimit = sink.limit === 0 || sink.unsettled < sink.limit;
  return isWithinLimit && (noAck || prefetch === 0 || unsettled < prefetch);
}

/** Sorting keeps the order among equals. */
function byPriority(consumers: readonly NaiveConsumer[]): NaiveConsumer[] {
  return [...consumers].sort((a, b) => b.priority - a.priority);
}

function without<T>(list: readonly T[], element: T): T[] {
  return list.filter((each) => each !== element);
}
