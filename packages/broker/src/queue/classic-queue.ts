/**
 * The ordinary queue: first in, first out; requeued messages return to where they stood.
 *
 *     returned (heap by sequence)      ready (ring of handles, oldest first)
 *     [ 17, 18, 23 ]                   [ 40, 41, 42, ... tail - 1 ]
 *
 * Every message gets the next sequence number when it arrives. Deliveries leave from the front, so
 * whatever was delivered and comes back stands before all of `ready`: the lowest sequence is always
 * the top of `returned`, or else the front of `ready`. Sequences of `ready` need no memory: they
 * are consecutive and end at `tail`.
 *
 * Invariant: while a consumer could take a message, no message is ready, once a verb has returned.
 *
 * This is a hot file.
 */

import { FloatRing, MinHeap } from "@haremq/kernel";
import { DeliveryNote } from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import type { Consumer } from "../consumer/consumer.ts";
import { ConsumerRotation } from "../consumer/consumer-rotation.ts";
import { type MessageStore, Viewed } from "../message/message-store.ts";
import { type MessageView, unstored } from "../message/message-view.ts";
import { type EffectivePolicy, noPolicy } from "../policy/effective-policy.ts";
import type { PulledMessage, Queue, QueueCounts, QueueSpec } from "./queue.ts";

/** About a segment's worth of small messages. */
const readAheadMessages = 16_384;

export class ClassicQueue implements Queue {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusiveOwner: object | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  readonly singleActiveConsumer: boolean;
  readonly storeNumber: number;
  readonly keepsAll = false;
  readonly deliversCopies = false;
  deleted = false;
  policy = noPolicy;

  readonly #messages: MessageStore;
  readonly #ready = new FloatRing();
  readonly #returned = new MinHeap();
  /** The sequence number of the next message to arrive. */
  #tail = 0;
  /** What a restart is to know of deliveries, if the queue survives one. */
  readonly #note: DeliveryNote | undefined;
  /** The first message is being read from disk. */
  #isLoading = false;
  #unsettled = 0;
  readonly #consumers = new Set<Consumer>();
  readonly #rotation = new ConsumerRotation();
  /** With a single active consumer: the one that is served. */
  #active: Consumer | null = null;

  #published = 0;
  #delivered = 0;
  #redelivered = 0;
  #acknowledged = 0;

  constructor(spec: QueueSpec, messages: MessageStore) {
    this.name = spec.name;
    this.durable = spec.durable;
    this.exclusiveOwner = spec.exclusiveOwner;
    this.autoDelete = spec.autoDelete;
    this.arguments = spec.arguments;
    this.singleActiveConsumer = spec.arguments.get("x-single-active-consumer")?.value === true;
    this.storeNumber = spec.storeNumber ?? 0;
    this.#note = this.storeNumber === 0 ? undefined : new DeliveryNote(this.storeNumber);
    this.#messages = messages;
  }

  get readyCount(): number {
    return this.#ready.length + this.#returned.length;
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
  }

  publish(view: MessageView): void {
    this.#published++;
    if (this.#ready.length === 0 && this.#returned.length === 0) {
      const consumer = this.#rotation.next();
      if (consumer !== null) {
        this.#handOver(consumer, view);
        return;
      }
    }
    this.#ready.push(this.#messages.keep(view));
    this.#tail++;
  }

  restore(handle: number, wasDelivered: boolean): void {
    this.#messages.noteRestored();
    if (wasDelivered) this.#returned.push(this.#tail, handle, 0);
    else this.#ready.push(handle);
    this.#tail++;
  }

  subscribe(consumer: Consumer): void {
    this.#consumers.add(consumer);
    if (this.singleActiveConsumer) {
      if (this.#active !== null) return;
      this.#active = consumer;
    }
    this.#rotation.add(consumer);
    this.serve();
  }

  unsubscribe(consumer: Consumer): void {
    if (!this.#consumers.delete(consumer)) return;
    consumer.parked = false;
    this.#rotation.remove(consumer);
    if (this.#active !== consumer) return;
    this.#active = this.#successor();
    if (this.#active === null) return;
    this.#rotation.add(this.#active);
    this.serve();
  }

  rejoin(consumer: Consumer): void {
    if (!consumer.parked) return;
    consumer.parked = false;
    if (this.#consumers.has(consumer)) this.#rotation.add(consumer);
  }

  wake(consumer: Consumer): void {
    if (!consumer.parked) return;
    this.rejoin(consumer);
    this.serve();
  }

  serve(): void {
    const messages = this.#messages;
    const view = messages.scratch;
    while (this.#returned.length > 0 || this.#ready.length > 0) {
      const consumer = this.#rotation.next();
      if (consumer === null) return;
      const isReturned = this.#returned.length > 0;
      const handle = isReturned ? this.#returned.peekValue() : this.#ready.peek();
      const viewed = messages.view(handle, view);
      if (viewed === Viewed.Away) {
        this.#load(handle);
        return;
      }
      const sequence = this.#takeFirst();
      if (viewed === Viewed.Damaged) this.#settle(handle);
      else this.#deliverStored(consumer, view, handle, sequence, isReturned);
    }
  }

  prepareGet(): Promise<void> | undefined {
    if (this.readyCount === 0) return undefined;
    const first = this.#returned.length > 0 ? this.#returned.peekValue() : this.#ready.peek();
    return this.#messages.isResident(first) ? undefined : this.#messages.load(first);
  }

  get(noAck: boolean, view: MessageView): PulledMessage | undefined {
    if (this.readyCount === 0) return undefined;
    const redelivered = this.#returned.length > 0;
    const handle = redelivered ? this.#returned.peekValue() : this.#ready.peek();
    const viewed = this.#messages.view(handle, view);
    if (viewed === Viewed.Away) return undefined;
    const sequence = this.#takeFirst();
    if (viewed === Viewed.Damaged) {
      this.#settle(handle);
      return this.get(noAck, view);
    }
    this.#delivered++;
    if (redelivered) this.#redelivered++;
    if (noAck) this.#settle(handle);
    else {
      this.#unsettled++;
      if (this.#note !== undefined && !redelivered) {
        this.#messages.noteDelivered(this.#note, handle);
      }
    }
    return { handle, sequence, redelivered, remaining: this.readyCount };
  }

  acknowledge(handle: number, _sequence: number): void {
    this.#unsettled--;
    this.#acknowledged++;
    this.#settle(handle);
  }

  requeue(handle: number, sequence: number): void {
    this.#unsettled--;
    if (this.deleted) this.#messages.release(handle);
    else this.#returned.push(sequence, handle, 0);
  }

  reject(handle: number, _sequence: number): void {
    this.#unsettled--;
    this.#settle(handle);
  }

  purge(): number {
    const count = this.readyCount;
    while (this.#returned.length > 0) {
      this.#settle(this.#returned.peekValue());
      this.#returned.pop();
    }
    while (this.#ready.length > 0) this.#settle(this.#ready.shift());
    return count;
  }

  close(): number {
    this.deleted = true;
    const consumers = [...this.#consumers];
    this.#consumers.clear();
    for (const consumer of consumers) {
      this.#rotation.remove(consumer);
      consumer.parked = false;
      consumer.sink.cancelled(consumer);
    }
    return this.purge();
  }

  /** Who takes over as the single active consumer: of the highest priority, the first to come. */
  #successor(): Consumer | null {
    let successor: Consumer | null = null;
    for (const consumer of this.#consumers) {
      if (successor === null || consumer.priority > successor.priority) successor = consumer;
    }
    return successor;
  }

  /** Gives a message that has just arrived straight to a consumer. */
  #handOver(consumer: Consumer, view: MessageView): void {
    this.#delivered++;
    const sequence = this.#tail++;
    if (consumer.noAck) {
      consumer.sink.deliver(consumer, view, unstored, sequence, false);
      if (view.handle !== unstored && this.storeNumber !== 0)
        this.#settle(this.#messages.keep(view));
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
    if (consumer.noAck) {
      consumer.sink.deliver(consumer, view, unstored, sequence, redelivered);
      this.#settle(handle);
      return;
    }
    this.#unsettled++;
    if (this.#note !== undefined && !redelivered) {
      this.#messages.noteDelivered(this.#note, handle);
    }
    consumer.spendCredit();
    consumer.sink.deliver(consumer, view, handle, sequence, redelivered);
  }

  /** Takes the first ready message out; returns its sequence number. */
  #takeFirst(): number {
    if (this.#returned.length > 0) {
      const sequence = this.#returned.peekKey();
      this.#returned.pop();
      return sequence;
    }
    const sequence = this.#tail - this.#ready.length;
    this.#ready.shift();
    return sequence;
  }

  /** This queue has no more claim on the message. Of a deleted queue nobody remembers any. */
  #settle(handle: number): void {
    if (this.storeNumber === 0 || this.deleted) this.#messages.release(handle);
    else this.#messages.settle(handle, this.storeNumber);
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
    if (this.#ready.length === 0) return;
    const handle = this.#ready.at(Math.min(readAheadMessages, this.#ready.length - 1));
    if (!this.#messages.isResident(handle)) this.#messages.load(handle).catch(() => undefined);
  }
}
