/**
 * What a consumer callback puts its deliveries into, and a test takes them out of, in order.
 * Taking waits for arrivals, bounded; what was not taken stays visible in `unread`, so that a test
 * can end by asserting that nothing more came.
 */
import { eventDeadlineMs, within, withResolvers } from "./deadline.ts";

export class Mailbox<T> {
  readonly unread: T[] = [];
  #arrival = withResolvers<void>();

  /** Bound, so that it can be handed to a client as its callback. */
  readonly put = (item: T): void => {
    this.unread.push(item);
    const arrived = this.#arrival;
    this.#arrival = withResolvers<void>();
    arrived.resolve();
  };

  async take(count: number, deadlineMs: number = eventDeadlineMs): Promise<T[]> {
    const enough = (async () => {
      while (this.unread.length < count) await this.#arrival.promise;
    })();
    await within(enough, `${count} items`, deadlineMs).catch((error: Error) => {
      throw new Error(`${error.message}; ${this.unread.length} arrived`);
    });
    return this.unread.splice(0, count);
  }

  async next(deadlineMs: number = eventDeadlineMs): Promise<T> {
    const [item] = await this.take(1, deadlineMs);
    return item as T;
  }
}
