/**
 * What a channel needs of its connection. The connection implements it; channels know no more.
 */

import type { Broker, Session } from "@haremq/broker";
import type { AmqpConsumer } from "./amqp-consumer.ts";
import type { Output } from "./output.ts";

/** A channel, as far as its connection calls it back. */
export interface WaitingChannel {
  /** Writes the confirms and cancellations that have gathered since the last flush. */
  emitPending(): void;
  /** The output is writable again. */
  wakeWaiting(): void;
}

export interface ChannelHost {
  readonly broker: Broker;
  readonly session: Session;
  readonly output: Output;
  readonly frameMax: number;
  /** Whether the client wants to be told when the broker cancels a consumer. */
  readonly wantsCancelNotification: boolean;
  /** Call `emitPending` before the next flush. */
  emitLater(channel: WaitingChannel): void;
  /** Call `wakeWaiting` when the output is writable again. */
  awaitDrain(channel: WaitingChannel): void;
  /** Wake the consumer, which has regained credit, at the end of the current input. */
  wakeLater(consumer: AmqpConsumer): void;
  /** A message came from this client. */
  onPublish(): void;
}
