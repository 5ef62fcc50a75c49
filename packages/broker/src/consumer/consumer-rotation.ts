/**
 * The consumers of one queue that may be served, in turn: of those with the highest priority, the
 * one that has waited longest. A consumer found without credit or room leaves the rotation ("is
 * parked") until its sink wakes it, so that a thousand idle consumers cost the next message
 * nothing.
 *
 *     level, priority 10:   head -> c1 <-> c4 <-> c1 ...       (a ring; head is next to be served)
 *     level, priority 0:    head -> c2 <-> c3 <-> c2 ...
 *
 * Called by queues only. This is a hot file.
 */

import type { Consumer } from "./consumer.ts";

interface Level {
  priority: number;
  head: Consumer | null;
}

export class ConsumerRotation {
  /** Highest priority first, and none of them empty: clients may use any number of priorities. */
  readonly #levels: Level[] = [];
  /** The level that emptied last, for the next one: parking and waking make no garbage. */
  #spare: Level | null = null;

  /** How many priorities the consumers in the rotation have. */
  get levelCount(): number {
    return this.#levels.length;
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
    for (const level of this.#levels) {
      if (level.priority === consumer.priority) {
        this.#unlink(level, consumer);
        return;
      }
    }
  }

  /** The consumer whose turn it is, or null when none can take a message. */
  next(): Consumer | null {
    const levels = this.#levels;
    while (levels.length > 0) {
      const level = levels[0]!;
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

  #dropLevel(level: Level): void {
    const levels = this.#levels;
    if (levels.length === 1) levels.pop();
    else levels.splice(levels.indexOf(level), 1);
    level.head = null;
    this.#spare = level;
  }

  #levelOf(priority: number): Level {
    const levels = this.#levels;
    let i = 0;
    while (i < levels.length && levels[i]!.priority > priority) i++;
    const found = levels[i];
    if (found !== undefined && found.priority === priority) return found;
    const level = this.#spare ?? { priority, head: null };
    this.#spare = null;
    level.priority = priority;
    if (i === levels.length) levels.push(level);
    else levels.splice(i, 0, level);
    return level;
  }
}
