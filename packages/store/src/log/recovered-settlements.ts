/** Settlements that recovery has read: which queues have settled which records of a segment. */

import { headWords, userWord } from "./record.ts";

export class Settled {
  /** Most records have one target, so most units have one number here. */
  readonly #queues = new Map<number, number | number[]>();
  /** How far queues have delivered, as far as the segment's own sidecar says. */
  readonly delivered = new Map<number, number>();
  /** The last record of each queue that has been delivered, as later segments say. */
  readonly marked = new Map<number, number>();

  /** How often records came back, by unit and queue. */
  readonly #returns = new Map<string, number>();

  addReturn(unit: number, queue: number): void {
    const key = `${unit} ${queue}`;
    this.#returns.set(key, (this.#returns.get(key) ?? 0) + 1);
  }

  returnsOf(unit: number, queue: number): number {
    return this.#returns.size === 0 ? 0 : (this.#returns.get(`${unit} ${queue}`) ?? 0);
  }

  get isEmpty(): boolean {
    return this.#queues.size === 0;
  }

  add(unit: number, queue: number): void {
    const known = this.#queues.get(unit);
    if (known === undefined) this.#queues.set(unit, queue);
    else if (typeof known === "number") this.#queues.set(unit, [known, queue]);
    else known.push(queue);
  }

  has(unit: number, queue: number): boolean {
    const known = this.#queues.get(unit);
    if (known === undefined) return false;
    return typeof known === "number" ? known === queue : known.includes(queue);
  }
}

/**
 * Settlements that were made in a group with messages: pairs of unit and queue, by segment number.
 */
export class GroupedSettlements {
  readonly #pairs = new Map<number, number[]>();

  /** Takes those of a record of kind Settlements. */
  addRecord(words: Int32Array, word: number): void {
    const count = words[word + userWord]!;
    const start = word + headWords;
    for (let i = start; i < start + count * 3; i += 3) {
      const segment = words[i]!;
      let pairs = this.#pairs.get(segment);
      if (pairs === undefined) {
        pairs = [];
        this.#pairs.set(segment, pairs);
      }
      pairs.push(words[i + 1]!, words[i + 2]!);
    }
  }

  pairsOf(segmentNumber: number): readonly number[] {
    return this.#pairs.get(segmentNumber) ?? [];
  }
}
