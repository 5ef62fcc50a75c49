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
const normalPriorityMax = 4;

interface Level {
  readonly priority: number;
  readonly backlog: FifoBacklog;
}

export class PriorityBacklog implements Backlog {
  readonly #levelFor: (priority: number) => number;
  readonly #ageingMs: number;
  /** After so many of a level it is the turn of the next lower one. */
  readonly #turns: number;
  #taken = 0;
  readonly #memory: ByteCount | undefined;
  /** By priority. */
  readonly #levels: (Level | undefined)[] = [];
  /** The same, highest first. */
  #used: Level[] = [];
  #length = 0;
  /** Whose first message is next; undefined while there is none. */
  #first: Level | undefined;
  #keepsFacts: boolean;

  private constructor(
    levelFor: (priority: number) => number,
    ageingMs: number,
    turns: number,
    memory: ByteCount | undefined,
  ) {
    this.#memory = memory;
    this.#levelFor = levelFor;
    this.#ageingMs = ageingMs;
    this.#turns = turns;
    this.#keepsFacts = Number.isFinite(ageingMs);
  }

  /** As x-max-priority asks for it; `ageingMs` is Infinity for priorities that do not change. */
  static upTo(priorityMax: number, ageingMs: number, memory?: ByteCount): PriorityBacklog {
    const levelFor = (priority: number): number => Math.min(priority, priorityMax);
    return new PriorityBacklog(levelFor, ageingMs, Number.POSITIVE_INFINITY, memory);
  }

  /** High and normal priority as quorum queues have it: two of high for one of normal. */
  static ofTwo(memory?: ByteCount): PriorityBacklog {
    const levelFor = (priority: number): number => (priority > normalPriorityMax ? 1 : 0);
    return new PriorityBacklog(levelFor, Number.POSITIVE_INFINITY, 2, memory);
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
    const level = this.#level(this.#levelFor(priorityOf(terms)));
    const sequence = level.backlog.push(handle, terms, fact);
    this.#length++;
    this.#noteFilled(level);
    return sequence;
  }

  pass(terms: number, fact?: MessageFact): number {
    const level = this.#level(this.#levelFor(priorityOf(terms)));
    return level.backlog.pass(terms, fact);
  }

  takeFirst(): number {
    const { backlog } = this.#first!;
    const sequence = backlog.takeFirst();
    this.#length--;
    if (++this.#taken === 0) this.#findFirst();
    else if (this.#taken >= this.#turns) this.#passTurn();
    else if (backlog.length === 0) this.#findFirst();
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

  /** The next lower level that has a message is first, once. */
  #passTurn(): void {
    this.#taken = -1;
    const at = this.#used.indexOf(this.#first!);
    const lower = this.#used.find(({ backlog }, i) => i > at && backlog.length > 0);
    if (lower !== undefined) this.#first = lower;
    else this.#findFirst();
  }

  #noteFilled(level: Level): void {
    // Whose turn it is by way of exception keeps it.
    if (this.#taken < 0 && this.#first !== undefined) return;
    if (this.#first === undefined || level.priority > this.#first.priority) this.#first = level;
  }

  #findFirst(): void {
    this.#taken = 0;
    this.#first = this.#used.find(({ backlog }) => backlog.length > 0);
  }

  #levelOf(sequence: number): Level {
    return this.#level(Math.floor(sequence / levelSpan));
  }

  #level(priority: number): Level {
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
