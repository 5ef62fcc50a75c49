/**
 * The consumers of one queue that may be served, in turn: of those with the highest priority, the
 * one that has waited longest. A consumer found without credit or room leaves the rotation ("is
 * parked") until its sink wakes it, so that a thousand idle consumers cost the next message
 * nothing.
 *
 *     level, priority 10:   head -> c1 <-> c4 <-> c1 ...       (a ring; head is next to be served)
 *     level, priority 0:    head -> c2 <-> c3 <-> c2 ...
 *
 * Clients may use any number of priorities, so the levels are a heap with the highest on top: to
 * find who is next takes one look, to park or wake the only consumer of a level a logarithm.
 *
 * Called by queues only. This is a hot file.
 */

import type { Consumer } from "./consumer.ts";

interface Level {
  readonly priority: number;
  /** Null only in the spare level. */
  head: Consumer | null;
  /** Its place in the heap. */
  place: number;
}

export class ConsumerRotation {
  /** A binary heap; none of the levels is empty. */
  readonly #heap: Level[] = [];
  /** The levels of the heap, and the spare one. */
  readonly #byPriority = new Map<number, Level>();
  /** The level that emptied last: to park and wake a lone consumer makes no garbage. */
  #spare: Level | null = null;

  /** How many priorities the consumers in the rotation have. */
  get levelCount(): number {
    return this.#heap.length;
  }

  /** Adds a consumer behind all others of its priority. */
  add(consumer: Consumer): void {
    const level = this.#levelOf(consumer.priority);
    const head = level.head;
    if (head === null) {
      consumer.next = consumer;
      consumer.previous = consumer;
      level.head = consumer;
      return;
    }
    const last = head.previous!;
    consumer.next = head;
    consumer.previous = last;
    last.next = consumer;
    head.previous = consumer;
  }

  /** Takes a consumer out; no effect when it is not in. */
  remove(consumer: Consumer): void {
    if (consumer.next === null) return;
    const level = this.#byPriority.get(consumer.priority);
    if (level !== undefined) this.#unlink(level, consumer);
  }

  /** The consumer whose turn it is, or null when none can take a message. */
  next(): Consumer | null {
    const heap = this.#heap;
    while (heap.length > 0) {
      const level = heap[0]!;
      const consumer = level.head!;
      if (consumer.canTake) {
        level.head = consumer.next;
        return consumer;
      }
      this.#unlink(level, consumer);
      consumer.parked = true;
      consumer.sink.park(consumer);
    }
    return null;
  }

  #unlink(level: Level, consumer: Consumer): void {
    const following = consumer.next!;
    if (following === consumer) {
      this.#dropLevel(level);
    } else {
      const preceding = consumer.previous!;
      preceding.next = following;
      following.previous = preceding;
      if (level.head === consumer) level.head = following;
    }
    consumer.next = null;
    consumer.previous = null;
  }

  #levelOf(priority: number): Level {
    const top = this.#heap[0];
    if (top !== undefined && top.priority === priority) return top;
    const spare = this.#spare;
    if (spare !== null && spare.priority === priority) {
      this.#spare = null;
      return this.#insert(spare);
    }
    const found = this.#byPriority.get(priority);
    if (found !== undefined) return found;
    const level = { priority, head: null, place: 0 };
    this.#byPriority.set(priority, level);
    return this.#insert(level);
  }

  #insert(level: Level): Level {
    this.#heap.push(level);
    this.#rise(level, this.#heap.length - 1);
    return level;
  }

  #dropLevel(level: Level): void {
    level.head = null;
    if (this.#spare !== null) this.#byPriority.delete(this.#spare.priority);
    this.#spare = level;
    const last = this.#heap.pop()!;
    if (last === level) return;
    // The last one fills the gap, and goes from there where it belongs.
    if (last.priority > level.priority) this.#rise(last, level.place);
    else this.#sink(last, level.place);
  }

  #rise(level: Level, from: number): void {
    const heap = this.#heap;
    let place = from;
    while (place > 0) {
      const above = (place - 1) >> 1;
      const parent = heap[above]!;
      if (parent.priority > level.priority) break;
      this.#put(parent, place);
      place = above;
    }
    this.#put(level, place);
  }

  #sink(level: Level, from: number): void {
    const heap = this.#heap;
    let place = from;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && heap[below + 1]!.priority > heap[below]!.priority) below++;
      const child = heap[below]!;
      if (child.priority < level.priority) break;
      this.#put(child, place);
      place = below;
    }
    this.#put(level, place);
  }

  #put(level: Level, place: number): void {
    this.#heap[place] = level;
    level.place = place;
  }
}
