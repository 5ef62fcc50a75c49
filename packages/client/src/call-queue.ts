/**
 * The calls of one channel that wait for an answer.
 *
 * An answer belongs to the first call that waits for that method. The calls need not be answered in
 * the order they were made: RabbitMQ leaves consume-ok and cancel-ok to the queue, so that they may
 * come after the answers to later calls, and even in another order than their own. Those two are
 * told apart by their consumer tag.
 */

import type { Method } from "@haremq/wire";

export type MethodArgs<Id extends Method["id"]> = Extract<Method, { id: Id }>["args"];

export interface Call {
  readonly expected: number;
  /** The other answer that fits, or 0: only basic.get has two. */
  readonly alternative: number;
  /** The consumer tag that the answer must have, where answers have one. */
  readonly consumerTag: string | undefined;
  resolve(answer: unknown): void;
  reject(error: Error): void;
}

export class CallQueue {
  readonly #calls: Call[] = [];

  /** A promise of the answer; `alternative` is a second method that answers as well. */
  wait(expected: number, alternative = 0, consumerTag?: string): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#calls.push({ expected, alternative, consumerTag, resolve, reject });
    });
  }

  /** Takes out the call that this method answers, or undefined if nobody asked for it. */
  take(id: number, consumerTag?: string): Call | undefined {
    const at = this.#calls.findIndex(
      (call) =>
        (call.expected === id || call.alternative === id) && call.consumerTag === consumerTag,
    );
    return at === -1 ? undefined : this.#calls.splice(at, 1)[0];
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
