/**
 * The calls of one channel that wait for an answer. A broker answers the methods of a channel in
 * the order they came, so the first call in the queue is the one an answer belongs to.
 */

import type { Method } from "@haremq/wire";

export type MethodArgs<Id extends Method["id"]> = Extract<Method, { id: Id }>["args"];

/** What an answer is given as: the decoded method, or a fetched message for basic.get-ok. */
interface Call {
  readonly expected: number;
  /** The other answer that fits, or 0: only basic.get has two. */
  readonly alternative: number;
  /** Runs when the answer comes, before any frame behind it is read. */
  readonly onAnswer: ((answer: unknown) => void) | undefined;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class CallQueue {
  readonly #calls: Call[] = [];

  get size(): number {
    return this.#calls.length;
  }

  /** A promise of the answer; `alternative` is a second method that answers as well. */
  wait(expected: number, alternative = 0, onAnswer?: (answer: unknown) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#calls.push({ expected, alternative, onAnswer, resolve, reject });
    });
  }

  /** Whether the first call waits for this method. */
  expects(id: number): boolean {
    const call = this.#calls[0];
    return call !== undefined && (call.expected === id || call.alternative === id);
  }

  /** Answers the first call; the caller has made sure with `expects` that the answer is its own. */
  answer(value: unknown): void {
    const call = this.#calls.shift();
    call?.onAnswer?.(value);
    call?.resolve(value);
  }

  /** Fails the calls that stand before the one that waits for `expected`. */
  failAllBefore(expected: number, error: Error): void {
    const at = this.#calls.findIndex((call) => call.expected === expected);
    for (const call of this.#calls.splice(0, Math.max(at, 0))) call.reject(error);
  }

  failAll(error: Error): void {
    for (const call of this.#calls.splice(0)) call.reject(error);
  }
}
