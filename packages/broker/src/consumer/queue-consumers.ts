/**
 * The consumers of one queue: who there is, who is served next, and with a single active consumer
 * who that is. Queues own one each. This is a hot file.
 */

import type { Consumer } from "./consumer.ts";
import { ConsumerRotation } from "./consumer-rotation.ts";

export class QueueConsumers implements Iterable<Consumer> {
  readonly #isSingle: boolean;
  readonly #all = new Set<Consumer>();
  readonly #rotation = new ConsumerRotation();
  /** With a single active consumer: the one that is served. */
  #active: Consumer | null = null;

  constructor(isSingle: boolean) {
    this.#isSingle = isSingle;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The one that is served, of a queue with a single active consumer. */
  get active(): Consumer | null {
    return this.#active;
  }

  [Symbol.iterator](): Iterator<Consumer> {
    return this.#all[Symbol.iterator]();
  }

  /** Whose turn it is, or null when none can take a message. */
  next(): Consumer | null {
    return this.#rotation.next();
  }

  add(consumer: Consumer): void {
    this.#all.add(consumer);
    if (this.#isSingle) {
      if (this.#active !== null) return;
      this.#active = consumer;
    }
    this.#rotation.add(consumer);
  }

  /** False if it was none. */
  remove(consumer: Consumer): boolean {
    if (!this.#all.delete(consumer)) return false;
    consumer.parked = false;
    this.#rotation.remove(consumer);
    if (this.#active !== consumer) return true;
    this.#active = this.#successor();
    if (this.#active !== null) this.#rotation.add(this.#active);
    return true;
  }

  /** Puts a parked consumer back into the rotation. */
  rejoin(consumer: Consumer): void {
    if (!consumer.parked) return;
    consumer.parked = false;
    if (this.#all.has(consumer)) this.#rotation.add(consumer);
  }

  /** Takes all out, and tells them. */
  cancelAll(): void {
    const consumers = [...this.#all];
    this.#all.clear();
    for (const consumer of consumers) {
      this.#rotation.remove(consumer);
      consumer.parked = false;
      consumer.sink.cancelled(consumer);
    }
  }

  /** Who takes over as the single active consumer: of the highest priority, the first to come. */
  #successor(): Consumer | null {
    let successor: Consumer | null = null;
    for (const consumer of this.#all) {
      if (successor === null || consumer.priority > successor.priority) successor = consumer;
    }
    return successor;
  }
}
