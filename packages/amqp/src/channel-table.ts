/**
 * The channels of one connection by number: those that are open, and the numbers of those that the
 * broker has closed and whose client has not confirmed it yet. This is a hot file.
 */

import type { AmqpChannel } from "./amqp-channel.ts";

export class ChannelTable {
  readonly #open = new Map<number, AmqpChannel>();
  #closing: Set<number> | undefined;
  /** Frames mostly come in runs for one channel. */
  #last: AmqpChannel | undefined;

  /** The open channel with this number. */
  find(number: number): AmqpChannel | undefined {
    const last = this.#last;
    if (last !== undefined && last.number === number) return last;
    const found = this.#open.get(number);
    if (found !== undefined) this.#last = found;
    return found;
  }

  /** How many numbers are taken. */
  get size(): number {
    return this.#open.size + (this.#closing?.size ?? 0);
  }

  add(channel: AmqpChannel): void {
    this.#open.set(channel.number, channel);
  }

  isClosing(number: number): boolean {
    return this.#closing?.has(number) === true;
  }

  /** Ends a channel. If the broker ended it, its number is taken until the client agrees. */
  close(channel: AmqpChannel, awaitsClient: boolean): void {
    this.#open.delete(channel.number);
    if (this.#last === channel) this.#last = undefined;
    if (awaitsClient) {
      this.#closing ??= new Set();
      this.#closing.add(channel.number);
    }
    channel.close();
  }

  /** The client has agreed to the end of a channel. */
  free(number: number): void {
    this.#closing?.delete(number);
  }

  /** Ends every channel, whatever goes wrong with one of them. */
  closeAll(onFailure: (error: unknown) => void): void {
    const channels = [...this.#open.values()];
    this.#open.clear();
    this.#closing = undefined;
    this.#last = undefined;
    // First of all none takes deliveries any more: what one gives back another would take and lose.
    for (const channel of channels) channel.stopDelivering();
    for (const channel of channels) {
      try {
        channel.close();
      } catch (error) {
        onFailure(error);
      }
    }
  }
}
