/**
 * What the channels of one connection have put off: until the current input has been read, until
 * the next flush, until the output has room again. Each list is empty most of the time, and its
 * work is proportional to what was put on it. This is a hot file.
 */

import type { AmqpConsumer } from "./amqp-consumer.ts";
import type { WaitingChannel } from "./channel-host.ts";

export class PendingWork {
  #toWake: AmqpConsumer[] = [];
  #toEmit: WaitingChannel[] = [];
  #awaitingRoom: Set<WaitingChannel> | undefined;

  /** The consumer has regained credit; acknowledgements that follow may give it more. */
  wakeLater(consumer: AmqpConsumer): void {
    consumer.isWakeScheduled = true;
    this.#toWake.push(consumer);
  }

  emitLater(channel: WaitingChannel): void {
    this.#toEmit.push(channel);
  }

  awaitRoom(channel: WaitingChannel): void {
    this.#awaitingRoom ??= new Set();
    this.#awaitingRoom.add(channel);
  }

  onInputRead(): void {
    if (this.#toWake.length === 0) return;
    const consumers = this.#toWake;
    this.#toWake = [];
    for (let i = 0; i < consumers.length; i++) {
      const consumer = consumers[i]!;
      consumer.isWakeScheduled = false;
      consumer.queue.wake(consumer);
    }
  }

  onFlush(): void {
    if (this.#toEmit.length === 0) return;
    const channels = this.#toEmit;
    this.#toEmit = [];
    for (let i = 0; i < channels.length; i++) channels[i]!.emitPending();
  }

  onRoom(): void {
    const channels = this.#awaitingRoom;
    this.#awaitingRoom = undefined;
    if (channels === undefined) return;
    for (const channel of channels) channel.wakeWaiting();
  }

  /** The channels are gone. */
  clear(): void {
    this.#toWake = [];
    this.#toEmit = [];
    this.#awaitingRoom = undefined;
  }
}
