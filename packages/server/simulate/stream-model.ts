/**
 * What a broker promises of its streams, and a judge of whether it has kept it:
 * - What was confirmed, or committed, is in the stream for good, unless retention has removed it.
 * - An offset has one message, whoever reads it, before and after every crash.
 * - Messages stand in the order in which they were published; none is there twice, and what was
 *   lost in a crash never comes back.
 * - A transaction is there as a whole or not at all.
 * - Where a consumer goes on is never behind what its tag has left unsettled.
 */

import { demand } from "./promise-broken.ts";

export interface StreamTransaction {
  readonly messages: StreamMessage[];
  isAnswered: boolean;
}

/** A message in one stream. */
export interface StreamMessage {
  readonly id: number;
  readonly stream: ModelStream;
  readonly transaction: StreamTransaction | undefined;
  /** It has to survive. */
  isSafe: boolean;
}

export interface SeenMessage {
  readonly offset: number;
  readonly id: number;
}

export class ModelStream {
  readonly name: string;
  readonly number: number;
  /** What was published and may be there, in order. */
  #messages: StreamMessage[] = [];
  readonly #byId = new Map<number, StreamMessage>();
  /** What somebody has seen, by offset. */
  readonly #seen = new Map<number, number>();
  /** What stands before has been removed. */
  #firstOffset = 0;
  /** By tag: everything up to here is settled. */
  readonly #reached = new Map<string, number>();
  /** Tags of which the broker may have forgotten some of that. */
  readonly #uncertain = new Set<string>();

  constructor(name: string, number: number) {
    this.name = name;
    this.number = number;
  }

  publish(id: number, transaction?: StreamTransaction): StreamMessage {
    const message = { id, stream: this, transaction, isSafe: false };
    this.#messages.push(message);
    this.#byId.set(id, message);
    transaction?.messages.push(message);
    return message;
  }

  /** Somebody reads the message at that offset. */
  see({ offset, id }: SeenMessage): void {
    const name = `message ${id} at ${offset} of ${this.name}`;
    demand(this.#byId.has(id), () => `${name} was never there`);
    const before = this.#seen.get(offset);
    demand(before === undefined || before === id, () => `${name} was message ${before}`);
    this.#seen.set(offset, id);
  }

  /** Everything that is there was read, in this order. */
  judge(found: readonly SeenMessage[], firstOffset: number, isAfterCrash: boolean): void {
    const name = `stream ${this.name} (${this.number})`;
    // What was removed last may come back over a power loss.
    const isRight = isAfterCrash || firstOffset >= this.#firstOffset;
    demand(isRight, () => `${name} begins at ${firstOffset} again`);
    this.#firstOffset = firstOffset;
    for (const [i, { offset }] of found.entries()) {
      demand(offset === firstOffset + i, () => `${name} has ${offset} at ${firstOffset + i}`);
    }
    for (const seen of found) this.see(seen);
    const present = new Map(found.map(({ id, offset }) => [id, offset]));
    demand(present.size === found.length, () => `${name} has a message twice`);
    this.#judgeOrder(present, name);
    if (isAfterCrash) this.#forgetLost(present);
    else {
      const lacks = this.#messages.filter(({ id }) => !present.has(id) && !this.#isRemoved(id));
      demand(lacks.length === 0, () => `${name} lacks ${lacks.map(({ id }) => id)}`);
    }
  }

  #judgeOrder(present: ReadonlyMap<number, number>, name: string): void {
    let last = -1;
    for (const { id, isSafe, transaction } of this.#messages) {
      const offset = present.get(id);
      if (offset === undefined) {
        const mustBe = isSafe || transaction?.isAnswered === true;
        demand(!mustBe || this.#isRemoved(id), () => `message ${id} is lost from ${name}`);
        const others = transaction?.messages.filter((each) => present.has(each.id)) ?? [];
        const isWhole = others.length === 0 || this.#isRemoved(id);
        demand(isWhole, () => `message ${id} is not there, but ${others.map((each) => each.id)}`);
      } else {
        demand(offset > last, () => `message ${id} has left its place in ${name}`);
        last = offset;
      }
    }
  }

  /** Whether retention may have removed it. */
  #isRemoved(id: number): boolean {
    if (this.#firstOffset === 0) return false;
    const first = this.#seen.get(this.#firstOffset);
    const at = this.#messages.findIndex((each) => each.id === id);
    const end = this.#messages.findIndex((each) => each.id === first);
    return end < 0 || at < end;
  }

  #forgetLost(present: ReadonlyMap<number, number>): void {
    const isThere = ({ id }: StreamMessage): boolean => present.has(id) || this.#isRemoved(id);
    const lost = this.#messages.filter((message) => !isThere(message));
    this.#messages = this.#messages.filter(isThere);
    for (const { id } of lost) {
      this.#byId.delete(id);
      const seenAt = [...this.#seen].find(([, seen]) => seen === id);
      demand(seenAt === undefined, () => `message ${id} was seen at ${seenAt?.[0]} and is lost`);
    }
    for (const message of this.#messages) message.isSafe = true;
  }

  /** Forgets what has been removed for good, which is everything that no power loss brings back. */
  forgetRemoved(): void {
    const first = this.#seen.get(this.#firstOffset);
    const at = this.#messages.findIndex(({ id }) => id === first);
    for (const { id } of this.#messages.splice(0, Math.max(0, at))) this.#byId.delete(id);
    for (const offset of this.#seen.keys()) {
      if (offset < this.#firstOffset) this.#seen.delete(offset);
    }
  }

  /** Everything is as safe as it will ever be. */
  onRest(): void {
    for (const message of this.#messages) message.isSafe = true;
  }

  /** A consumer of that tag is through with everything up to this offset. */
  noteReached(tag: string, offset: number): void {
    this.#reached.set(tag, Math.max(offset, this.#reached.get(tag) ?? -1));
  }

  /**
   * A consumer of that tag, which would begin with the first message, begins here. `firstOffset` is
   * that of the first message now.
   */
  judgeStart(tag: string, offset: number, firstOffset: number): void {
    const next = (this.#reached.get(tag) ?? -1) + 1;
    // What follows may have been removed, and more since.
    const isBehindRemoved = offset > next && offset <= firstOffset;
    const isForgotten = offset < next && this.#uncertain.has(tag);
    const isRight = offset === next || isBehindRemoved || isForgotten;
    demand(isRight, () => `${tag} goes on at ${offset} of ${this.name}, not at ${next}`);
    this.#uncertain.delete(tag);
    this.#reached.set(tag, offset - 1);
  }

  /** What was settled in the last moments may be forgotten. */
  onCrash(): void {
    for (const tag of this.#reached.keys()) this.#uncertain.add(tag);
  }
}
