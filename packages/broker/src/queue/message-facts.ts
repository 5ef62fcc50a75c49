/**
 * What a queue with a time to live, a limit in bytes or the like has to know of each message
 * besides its handle. Backlogs keep it by sequence number; queues without such settings have none.
 *
 *     rows, in step with the ready messages:   first .. last   (rings of expiry, bytes, arrival)
 *     loose, of messages taken out of them:    sequence -> row (until they are settled)
 *
 * This is a hot file, but only for queues that use it.
 */

import { type ByteCount, FloatRing } from "@haremq/kernel";

export interface MessageFact {
  /** Wall time, or Infinity. */
  readonly expiresAtMs: number;
  /** Of its body; NaN while nobody has looked. */
  readonly bodyBytes: number;
  /** Wall time; only where messages age. */
  readonly arrivedAtMs: number;
}

/** Of messages that came before anybody asked. */
export const unknownFact: MessageFact = {
  expiresAtMs: Number.POSITIVE_INFINITY,
  bodyBytes: Number.NaN,
  arrivedAtMs: 0,
};

export class MessageFacts {
  readonly #expiries: FloatRing;
  readonly #bytes: FloatRing;
  readonly #arrivals: FloatRing;
  readonly #loose = new Map<number, MessageFact>();
  /** The sequence number of the next row. */
  #next: number;

  constructor(nextSequence: number, memory?: ByteCount) {
    this.#expiries = new FloatRing(memory);
    this.#bytes = new FloatRing(memory);
    this.#arrivals = new FloatRing(memory);
    this.#next = nextSequence;
  }

  /** A message has become the last of the ready ones. */
  append(fact: MessageFact): void {
    this.#expiries.push(fact.expiresAtMs);
    this.#bytes.push(fact.bodyBytes);
    this.#arrivals.push(fact.arrivedAtMs);
    this.#next++;
  }

  /** A message has gone to a consumer without ever having been ready. */
  note(sequence: number, fact: MessageFact): void {
    this.#next = sequence + 1;
    this.#loose.set(sequence, fact);
  }

  /** The first ready message has been taken out, and may come back. */
  loosenFirst(): void {
    const sequence = this.#first;
    this.#loose.set(sequence, {
      expiresAtMs: this.#expiries.shift(),
      bodyBytes: this.#bytes.shift(),
      arrivedAtMs: this.#arrivals.shift(),
    });
  }

  /** The message is settled. */
  forget(sequence: number): void {
    this.#loose.delete(sequence);
  }

  expiresAtMs(sequence: number): number {
    const row = sequence - this.#first;
    if (row >= 0) return this.#expiries.at(row);
    return (this.#loose.get(sequence) ?? unknownFact).expiresAtMs;
  }

  bodyBytes(sequence: number): number {
    const row = sequence - this.#first;
    if (row >= 0) return this.#bytes.at(row);
    return (this.#loose.get(sequence) ?? unknownFact).bodyBytes;
  }

  arrivedAtMs(sequence: number): number {
    const row = sequence - this.#first;
    if (row >= 0) return this.#arrivals.at(row);
    return (this.#loose.get(sequence) ?? unknownFact).arrivedAtMs;
  }

  /** Somebody has looked how long the message is. */
  setBodyBytes(sequence: number, bodyBytes: number): void {
    const row = sequence - this.#first;
    if (row >= 0) this.#bytes.set(row, bodyBytes);
    else this.#loose.set(sequence, { ...(this.#loose.get(sequence) ?? unknownFact), bodyBytes });
  }

  clear(): void {
    this.#expiries.clear();
    this.#bytes.clear();
    this.#arrivals.clear();
    this.#loose.clear();
  }

  get #first(): number {
    return this.#next - this.#expiries.length;
  }
}
