/**
 * Highest priority first, and first in, first out within a priority. Each priority that is used has
 * a FifoBacklog of its own; sequence numbers say which:
 *
 *     sequence = priority x 2^44 + number within the priority
 *
 * With ageing, waiting for one period counts as much as one priority more, so that whatever waits
 * comes to its turn.
 */

import type { ByteCount } from "@haremq/kernel";
import { priorityOf } from "../message/message-terms.ts";
import type { Backlog } from "./backlog.ts";
import { FifoBacklog } from "./fifo-backlog.ts";
import type { MessageFact } from "./message-facts.ts";

const levelSpan = 2 ** 44;

interface Level {
  readonly priority: number;
  readonly backlog: FifoBacklog;
}

export class PriorityBacklog implements Backlog {
  readonly #priorityMax: number;
  readonly #ageingMs: number;
  readonly #memory: ByteCount | undefined;
  /** By priority. */
  readonly #levels: (Level | undefined)[] = [];
  /** The same, highest first. */
  #used: Level[] = [];
  #length = 0;
  /** Whose first message is next; undefined while there is none. */
  #first: Level | undefined;
  #keepsFacts: boolean;

  /** `ageingMs` is Infinity for priorities that do not change. */
  constructor(priorityMax: number, ageingMs: number, memory?: ByteCount) {
    this.#memory = memory;
    this.#priorityMax = priorityMax;
    this.#ageingMs = ageingMs;
    this.#keepsFacts = Number.isFinite(ageingMs);
  }

  get length(): number {
    return this.#length;
  }

  get bodyBytes(): number {
    let bytes = 0;
    for (const { backlog } of this.#used) bytes += backlog.bodyBytes;
    return bytes;
  }

  get keepsFacts(): boolean {
    return this.#keepsFacts;
  }

  get firstHandle(): number {
    return this.#first!.backlog.firstHandle;
  }

  get firstSequence(): number {
    return this.#first!.backlog.firstSequence;
  }

  get firstWasReturned(): boolean {
    return this.#first!.backlog.firstWasReturned;
  }

  push(handle: number, terms: number, fact?: MessageFact): number {
    const level = this.#levelFor(Math.min(priorityOf(terms), this.#priorityMax));
    const sequence = level.backlog.push(handle, terms, fact);
    this.#length++;
    this.#noteFilled(level);
    return sequence;
  }

  pass(terms: number, fact?: MessageFact): number {
    const level = this.#levelFor(Math.min(priorityOf(terms), this.#priorityMax));
    return level.backlog.pass(terms, fact);
  }

  takeFirst(): number {
    const { backlog } = this.#first!;
    const sequence = backlog.takeFirst();
    this.#length--;
    if (backlog.length === 0) this.#findFirst();
    return sequence;
  }

  putBack(sequence: number, handle: number): void {
    const level = this.#levelOf(sequence);
    level.backlog.putBack(sequence, handle);
    this.#length++;
    this.#noteFilled(level);
  }

  settled(sequence: number): void {
    this.#levelOf(sequence).backlog.settled(sequence);
  }

  handleAhead(count: number): number {
    return this.#first!.backlog.handleAhead(count);
  }

  forEach(visit: (sequence: number, handle: number) => void): void {
    for (const { backlog } of this.#used) backlog.forEach(visit);
  }

  keepFacts(): void {
    this.#keepsFacts = true;
    for (const { backlog } of this.#used) backlog.keepFacts();
  }

  fact(sequence: number): MessageFact {
    return this.#levelOf(sequence).backlog.fact(sequence);
  }

  isReady(sequence: number): boolean {
    return this.#levelOf(sequence).backlog.isReady(sequence);
  }

  setBodyBytes(sequence: number, bodyBytes: number): void {
    this.#levelOf(sequence).backlog.setBodyBytes(sequence, bodyBytes);
  }

  nextExpiryMs(): number {
    return this.#first === undefined
      ? Number.POSITIVE_INFINITY
      : this.#first.backlog.nextExpiryMs();
  }

  remove(sequence: number): number | undefined {
    const level = this.#levelOf(sequence);
    const handle = level.backlog.remove(sequence);
    if (handle === undefined) return undefined;
    this.#length--;
    if (level === this.#first && level.backlog.length === 0) this.#findFirst();
    return handle;
  }

  refreshFirst(nowMs: number): void {
    if (this.#length === 0 || !Number.isFinite(this.#ageingMs)) return;
    let best = Number.NEGATIVE_INFINITY;
    for (const level of this.#used) {
      const { backlog, priority } = level;
      if (backlog.length === 0) continue;
      const waitedMs = nowMs - backlog.fact(backlog.firstSequence).arrivedAtMs;
      const rank = priority + Math.floor(waitedMs / this.#ageingMs);
      if (rank <= best) continue;
      best = rank;
      this.#first = level;
    }
  }

  #noteFilled(level: Level): void {
    if (this.#first === undefined || level.priority > this.#first.priority) this.#first = level;
  }

  #findFirst(): void {
    this.#first = this.#used.find(({ backlog }) => backlog.length > 0);
  }

  #levelOf(sequence: number): Level {
    return this.#levelFor(Math.floor(sequence / levelSpan));
  }

  #levelFor(priority: number): Level {
    return this.#levels[priority] ?? this.#addLevel(priority);
  }

  #addLevel(priority: number): Level {
    const backlog = new FifoBacklog(this.#memory, priority * levelSpan);
    if (this.#keepsFacts) backlog.keepFacts();
    const level = { priority, backlog };
    this.#levels[priority] = level;
    this.#used = [...this.#used, level].sort((a, b) => b.priority - a.priority);
    return level;
  }
}
