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

/** What a queue may be asked besides to keep messages; Infinity where there is no limit. */
export interface NaiveTerms {
  readonly ttlMs: number;
  readonly lengthMax: number;
  readonly bytesMax: number;
  readonly overflow: "drop-head" | "reject-publish" | "reject-publish-dlx";
  readonly priorityMax: number;
  readonly deliveryLimit: number;
  readonly expiresAnywhere: boolean;
}

export const noNaiveTerms: NaiveTerms = {
  ttlMs: Number.POSITIVE_INFINITY,
  lengthMax: Number.POSITIVE_INFINITY,
  bytesMax: Number.POSITIVE_INFINITY,
  overflow: "drop-head",
  priorityMax: 0,
  deliveryLimit: Number.POSITIVE_INFINITY,
  expiresAnywhere: false,
};

export interface NaiveMessage {
  readonly body: string;
  readonly position: number;
  readonly level: number;
  readonly expiresAtMs: number;
  returns: number;
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
  /** "reason:body" of each message that has died, oldest first. */
  deaths: string[] = [];
  nowMs = 0;
  readonly #events: string[];
  readonly #terms: NaiveTerms;
  #active: NaiveConsumer | undefined;

  constructor(
    name: string,
    singleActiveConsumer: boolean,
    events: string[],
    terms: NaiveTerms = noNaiveTerms,
  ) {
    this.name = name;
    this.singleActiveConsumer = singleActiveConsumer;
    this.#events = events;
    this.#terms = terms;
  }

  /** Returns false if it does not want the message. */
  publish(body: string, priority = 0, expirationMs = Number.POSITIVE_INFINITY): boolean {
    const { ttlMs, overflow, priorityMax } = this.#terms;
    const position = this.counts.published++;
    if (overflow !== "drop-head" && this.#hasTooMany(body)) {
      if (overflow === "reject-publish-dlx") this.deaths.push(`maxlen:${body}`);
      return false;
    }
    const level = Math.min(priority, priorityMax);
    const expiresAtMs = this.nowMs + Math.min(ttlMs, expirationMs);
    const message = { body, position, level, expiresAtMs, returns: 0, redelivered: false };
    this.#dropExpired();
    // If others stand before it, either nobody can take them, or they were requeued and it waits
    // with them to be served. Whoever is there takes it, however short its time.
    const consumer = this.ready.length === 0 ? this.#nextConsumer() : undefined;
    if (consumer !== undefined) this.#deliver(message, consumer);
    else this.#keep(message);
    this.#dropTooMany();
    return true;
  }

  /** Time passes. */
  advance(ms: number): void {
    this.nowMs += ms;
    this.#dropExpired();
  }

  #keep(message: NaiveMessage): void {
    this.ready.push(message);
    this.ready.sort((a, b) => b.level - a.level || a.position - b.position);
  }

  #hasTooMany(next?: string): boolean {
    const { lengthMax, bytesMax } = this.#terms;
    const bodies = this.ready.map(({ body }) => body);
    if (next !== undefined) bodies.push(next);
    return bodies.length > lengthMax || bodies.join("").length > bytesMax;
  }

  #dropTooMany(): void {
    if (this.#terms.overflow !== "drop-head") return;
    while (this.ready.length > 0 && this.#hasTooMany()) this.#die("maxlen", this.ready.shift()!);
  }

  #dropExpired(): void {
    const isOver = ({ expiresAtMs }: NaiveMessage): boolean => expiresAtMs <= this.nowMs;
    while (this.ready.length > 0 && isOver(this.ready[0]!)) {
      this.#die("expired", this.ready.shift()!);
    }
    if (!this.#terms.expiresAnywhere) return;
    for (const message of this.ready.filter(isOver)) this.#die("expired", message);
    this.ready = this.ready.filter((message) => !isOver(message));
  }

  #die(reason: string, { body }: NaiveMessage): void {
    this.deaths.push(`${reason}:${body}`);
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
    this.#dropTooMany();
    for (;;) {
      this.#dropExpired();
      if (this.ready.length === 0) return;
      const consumer = this.#nextConsumer();
      if (consumer === undefined) return;
      this.#deliver(this.ready.shift()!, consumer);
    }
  }

  get(noAck: boolean): NaiveMessage | undefined {
    this.#dropExpired();
    const message = this.ready.shift();
    if (message !== undefined) {
      this.#noteDelivered(message);
      if (!noAck) this.unsettled.push({ message, consumer: null });
    }
    this.#dropExpired();
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
    if (this.deleted) return;
    if (settlement === "reject") this.#die("rejected", message);
    if (settlement !== "requeue") return;
    this.awaitsServe = true;
    message.redelivered = true;
    message.returns++;
    if (message.returns > this.#terms.deliveryLimit) this.#die("delivery_limit", message);
    else this.#keep(message);
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
