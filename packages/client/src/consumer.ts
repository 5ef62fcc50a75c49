/** A consumer of a channel, as the application sees it: made by basicConsume, ended by `cancel`. */

import type { Delivery, Table } from "./message.ts";

/**
 * Called for every message, in order, from within the receive path: it should return soon. What it
 * throws becomes an uncaught exception, like anything thrown in an event listener.
 */
export type DeliveryHandler = (delivery: Delivery) => void;

export interface ConsumeOptions {
  /** A random one when this is left out. */
  consumerTag?: string;
  /** Automatic acknowledgement: the broker forgets a message as soon as it has sent it. */
  noAck?: boolean;
  exclusive?: boolean;
  /** Part of the protocol; RabbitMQ ignores it. */
  noLocal?: boolean;
  arguments?: Table;
  /** Called once if the broker ends the consumer, for instance because its queue was deleted. */
  onCancel?: () => void;
  /**
   * Saves the copy of each body: `delivery.body` is then only valid until the handler returns, and
   * a handler that keeps it must copy it.
   */
  borrowBody?: boolean;
}

export class Consumer {
  readonly consumerTag: string;
  readonly handler: DeliveryHandler;
  readonly borrowBody: boolean;
  readonly onCancel: (() => void) | undefined;
  readonly #cancel: (consumer: Consumer) => Promise<void>;

  constructor(
    consumerTag: string,
    handler: DeliveryHandler,
    options: ConsumeOptions,
    cancel: (consumer: Consumer) => Promise<void>,
  ) {
    this.consumerTag = consumerTag;
    this.handler = handler;
    this.borrowBody = options.borrowBody ?? false;
    this.onCancel = options.onCancel;
    this.#cancel = cancel;
  }

  /** Resolves when the broker has stopped; no delivery is handed on after that. */
  cancel(): Promise<void> {
    return this.#cancel(this);
  }
}
