/**
 * What a channel needs of its connection. The connection implements it; channels know no more.
 */

import type { Broker, ChannelError, Session } from "@haremq/broker";
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
  readonly name: string;
  readonly broker: Broker;
  readonly session: Session;
  readonly output: Output;
  readonly frameMax: number;
  /** Whether the client wants to be told when the broker cancels a consumer. */
  readonly wantsCancelNotification: boolean;
  /** How long deliveries may stay unsettled where nothing else is said. */
  readonly consumerTimeoutMs: number;
  /** Call `emitPending` before the next flush. */
  emitLater(channel: WaitingChannel): void;
  /** Call `wakeWaiting` when the output is writable again. */
  awaitDrain(channel: WaitingChannel): void;
  /** Wake the consumer, which has regained credit, at the end of the current input. */
  wakeLater(consumer: AmqpConsumer): void;
  /**
   * Closes the channel, for an error that no method has made. Does nothing and returns false while
   * a method is being carried out that has yet to be answered.
   */
  failChannel(channel: number, error: ChannelError): boolean;
  /** A message came from this client. */
  onPublish(): void;
}
