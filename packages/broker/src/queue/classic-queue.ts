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
import type { FieldTable } from "@haremq/wire";
import type { Consumer } from "../consumer/consumer.ts";
import { ConsumerRotation } from "../consumer/consumer-rotation.ts";
import type { MessageStore } from "../message/message-store.ts";
import { type MessageView, unstored } from "../message/message-view.ts";
import type { PulledMessage, Queue, QueueCounts, QueueSpec } from "./queue.ts";

export class ClassicQueue implements Queue {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusiveOwner: object | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  readonly singleActiveConsumer: boolean;
  deleted = false;

  readonly #messages: MessageStore;
  readonly #ready = new FloatRing();
  readonly #returned = new MinHeap();
  /** The sequence number of the next message to arrive. */
  #tail = 0;
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

  wake(consumer: Consumer): void {
    if (!consumer.parked) return;
    consumer.parked = false;
    if (!this.#consumers.has(consumer)) return;
    this.#rotation.add(consumer);
    this.serve();
  }

  serve(): void {
    const view = this.#messages.scratch;
    while (this.#returned.length > 0 || this.#ready.length > 0) {
      const consumer = this.#rotation.next();
      if (consumer === null) return;
      if (this.#returned.length > 0) {
        const handle = this.#returned.peekValue();
        const sequence = this.#returned.peekKey();
        this.#returned.pop();
        this.#deliverStored(consumer, view, handle, sequence, true);
      } else {
        const sequence = this.#tail - this.#ready.length;
        this.#deliverStored(consumer, view, this.#ready.shift(), sequence, false);
      }
    }
  }

  get(noAck: boolean, view: MessageView): PulledMessage | undefined {
    if (this.readyCount === 0) return undefined;
    const redelivered = this.#returned.length > 0;
    let handle: number;
    let sequence: number;
    if (redelivered) {
      handle = this.#returned.peekValue();
      sequence = this.#returned.peekKey();
      this.#returned.pop();
    } else {
      sequence = this.#tail - this.#ready.length;
      handle = this.#ready.shift();
    }
    this.#messages.view(handle, view);
    this.#delivered++;
    if (redelivered) this.#redelivered++;
    if (noAck) this.#messages.release(handle);
    else this.#unsettled++;
    return { handle, sequence, redelivered, remaining: this.readyCount };
  }

  acknowledge(handle: number, _sequence: number): void {
    this.#unsettled--;
    this.#acknowledged++;
    this.#messages.release(handle);
  }

  requeue(handle: number, sequence: number): void {
    this.#unsettled--;
    if (this.deleted) this.#messages.release(handle);
    else this.#returned.push(sequence, handle, 0);
  }

  reject(handle: number, _sequence: number): void {
    this.#unsettled--;
    this.#messages.release(handle);
  }

  purge(): number {
    const count = this.readyCount;
    while (this.#returned.length > 0) {
      this.#messages.release(this.#returned.peekValue());
      this.#returned.pop();
    }
    while (this.#ready.length > 0) this.#messages.release(this.#ready.shift());
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
      return;
    }
    const handle = this.#messages.keep(view);
    this.#unsettled++;
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
    this.#messages.view(handle, view);
    this.#delivered++;
    if (redelivered) this.#redelivered++;
    if (consumer.noAck) {
      consumer.sink.deliver(consumer, view, unstored, sequence, redelivered);
      this.#messages.release(handle);
      return;
    }
    this.#unsettled++;
    consumer.spendCredit();
    consumer.sink.deliver(consumer, view, handle, sequence, redelivered);
  }
}
