/**
 * A client of the simulation of limits: one connection with one channel, as the core sees them. It
 * publishes with confirms, consumes and settles, and tells the model of all it does and sees.
 */

import {
  Consumer,
  type ConsumerSink,
  Distributed,
  distribute,
  type MessageStore,
  MessageView,
  type Queue,
  type SafetyWaiter,
  termsOf,
  unstored,
} from "@haremq/broker";
import type { Clock } from "@haremq/kernel";
import {
  decodeProperties,
  encodeProperties,
  FieldTable,
  fieldText,
  type Properties,
  WireReader,
  WireWriter,
} from "@haremq/wire";
import type { LimitedQueue } from "./limited-queue.ts";
import type { Death, LimitedCopy, LimitsModel, Sighting } from "./limits-model.ts";
import { nameOf } from "./limits-model.ts";
import { demand } from "./promise-broken.ts";
import { identifyBody, type SimulatedMessage, viewOf } from "./simulated-message.ts";

export interface LimitedMessage extends SimulatedMessage {
  readonly priority: number;
  readonly expirationMs: number | undefined;
}

/** What the clients of one life have in common. */
export interface LimitsHost {
  readonly clock: Clock;
  readonly messages: MessageStore;
  readonly model: LimitsModel;
  limitsOf(queue: Queue): LimitedQueue;
}

interface Held {
  readonly consumer: Consumer | undefined;
  readonly queue: Queue;
  readonly handle: number;
  readonly sequence: number;
  readonly copy: LimitedCopy;
}

export type Settlement = "acknowledge" | "reject" | "requeue";

const fetched = new MessageView();
const none = Number.POSITIVE_INFINITY;

export class LimitsClient implements ConsumerSink, SafetyWaiter {
  readonly writable = true;
  readonly withinPrefetch = true;
  readonly consumers = new Set<Consumer>();
  /** What it has been delivered, oldest first. */
  readonly seen: { copy: LimitedCopy; queue: LimitedQueue }[] = [];
  readonly #host: LimitsHost;
  #held: Held[] = [];
  readonly #unconfirmed: { copies: readonly LimitedCopy[]; position: number }[] = [];
  #isClosed = false;

  constructor(host: LimitsHost) {
    this.#host = host;
  }

  get heldCount(): number {
    return this.#held.length;
  }

  get unconfirmedCount(): number {
    return this.#unconfirmed.length;
  }

  /** Publishes one message to all these queues, and waits for the confirm. */
  publish(message: LimitedMessage, queues: readonly Queue[]): void {
    const { messages, clock } = this.#host;
    messages.nowMs = clock.wallMs();
    const view = limitedView(message);
    const refusals = queues.filter((queue) => queue.isFull(view.bodyLength));
    const copies = queues.map((queue) => this.#tell(message, queue, refusals.includes(queue)));
    const outcome = distribute(messages, queues, view, "disk");
    const isRefused = (outcome & Distributed.Refused) !== 0;
    demand(isRefused === refusals.length > 0, () => `message ${message.id}: wrongly refused`);
    if ((outcome & Distributed.Stored) === 0) return;
    // A refused message is answered with a nack: the client sends it again, or gives it up.
    const safe = isRefused ? [] : copies;
    this.#unconfirmed.push({ copies: safe, position: messages.position });
    messages.awaitSafe(this, "disk", messages.position);
  }

  #tell(message: LimitedMessage, queue: Queue, isRefused: boolean): LimitedCopy {
    const { id, priority, isPersistent, expirationMs = none } = message;
    const origin = this.#host.limitsOf(queue);
    const isDropped = isRefused && origin.overflow === "reject-publish";
    const copy: LimitedCopy = {
      id,
      origin,
      priority,
      isPersistent,
      publishedAtMs: this.#host.clock.wallMs(),
      expirationMs,
      isSafe: false,
      at: origin,
      restedAt: origin,
      state: isDropped ? "refused" : "open",
      isNoted: false,
      isHeld: false,
      stays: new Map(),
    };
    this.#host.model.add(copy);
    return copy;
  }

  onSafer(): void {
    const { messages } = this.#host;
    const safePosition = messages.safePosition("disk");
    while ((this.#unconfirmed[0]?.position ?? none) <= safePosition) {
      for (const copy of this.#unconfirmed.shift()!.copies) copy.isSafe = true;
    }
    const last = this.#unconfirmed.at(-1);
    if (last !== undefined) messages.awaitSafe(this, "disk", last.position);
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
    consumer.queue.unsubscribe(consumer);
  }

  deliver(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void {
    const { queue } = consumer;
    this.#receive({ consumer, queue, handle, sequence }, view, redelivered);
  }

  park(): void {}

  cancelled(consumer: Consumer): void {
    this.consumers.delete(consumer);
  }

  /** basic.get, which may have to wait for the disk. */
  async get(queue: Queue, noAck: boolean): Promise<void> {
    await queue.prepareGet();
    if (this.#isClosed) return;
    const pulled = queue.get(noAck, fetched);
    if (pulled === undefined) return;
    const { sequence, redelivered } = pulled;
    const handle = noAck ? unstored : pulled.handle;
    this.#receive({ consumer: undefined, queue, handle, sequence }, fetched, redelivered);
  }

  #receive(delivery: Omit<Held, "copy">, view: MessageView, redelivered: boolean): void {
    const { model, clock } = this.#host;
    const queue = this.#host.limitsOf(delivery.queue);
    const copy = model.see(sightingOf(view), queue, clock.wallMs());
    model.onDelivered(copy, queue, redelivered);
    judgeCount(copy, returnsTold(view), model.stayOf(copy, queue));
    this.seen.push({ copy, queue });
    if (delivery.handle === unstored) {
      copy.state = "settled";
    } else {
      copy.isHeld = true;
      this.#held.push({ ...delivery, copy });
    }
  }

  // Settling

  settle(settlement: Settlement, index: number): void {
    const [held] = this.#held.splice(index, 1);
    if (held === undefined) return;
    const { consumer, queue, handle, sequence, copy } = held;
    copy.isHeld = false;
    this.#note(settlement, held);
    queue[settlement](handle, sequence);
    if (settlement === "requeue") queue.serve();
    if (consumer === undefined) return;
    consumer.regainCredit();
    if (consumer.parked) queue.wake(consumer);
  }

  #note(settlement: Settlement, { queue, copy }: Held): void {
    const stay = this.#host.model.stayOf(copy, this.#host.limitsOf(queue));
    if (settlement === "acknowledge") copy.state = "settled";
    else if (settlement === "reject") stay.rejections++;
    else stay.returns++;
  }

  /** The connection ends: what it has not settled goes back. */
  close(): void {
    this.#isClosed = true;
    const queues = new Set(this.#held.map(({ queue }) => queue));
    for (const consumer of [...this.consumers]) this.unsubscribe(consumer);
    for (const held of this.#held) {
      held.copy.isHeld = false;
      this.#note("requeue", held);
      held.queue.requeue(held.handle, held.sequence);
    }
    this.#held = [];
    for (const queue of queues) queue.serve();
  }
}

/** The message as an adapter hands it to the core. */
function limitedView(message: LimitedMessage): MessageView {
  const { priority, expirationMs, isPersistent } = message;
  const view = viewOf(message);
  const writer = new WireWriter(64);
  const expires = expirationMs !== undefined && { expiration: String(expirationMs) };
  encodeProperties(writer, { deliveryMode: isPersistent ? 2 : 1, priority, ...expires });
  view.properties = writer.take();
  view.propertiesLength = view.properties.length;
  view.terms = termsOf(priority, expirationMs);
  return view;
}

/** Which message it is, and what has become of it on its way here. */
export function sightingOf(view: MessageView): Sighting {
  const { body, bodyStart, bodyLength } = view;
  const id = identifyBody(body.subarray(bodyStart, bodyStart + bodyLength));
  const field = propertiesOf(view).headers?.get("x-death");
  const entries = field?.type === "A" ? field.value : [];
  const deaths = entries.map((entry): Death => {
    const table = entry.value as FieldTable;
    const count = Number(table.get("count")?.value);
    demand(count === 1, () => `message ${id} has died ${count} times alike`);
    return { queue: fieldText(table.get("queue"))!, reason: fieldText(table.get("reason"))! };
  });
  return { id, deaths: deaths.reverse() };
}

/** How often a message says that it has come back. */
function returnsTold(view: MessageView): number {
  return Number(propertiesOf(view).headers?.get("x-delivery-count")?.value ?? 0);
}

function judgeCount(
  copy: LimitedCopy,
  told: number,
  stay: { readonly returns: number; readonly rejections: number },
): void {
  const most = stay.returns + stay.rejections;
  demand(told <= most, () => `${nameOf(copy)} has come back ${most} times, and says ${told}`);
}

function propertiesOf({ properties, propertiesStart, propertiesLength }: MessageView): Properties {
  const end = propertiesStart + propertiesLength;
  return decodeProperties(new WireReader(properties, propertiesStart, end));
}
