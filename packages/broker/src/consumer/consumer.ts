/**
 * One subscription to a queue, and the contract of whoever receives its deliveries. Adapters make
 * consumers (and may extend them with what their protocol needs on each delivery); queues serve
 * them through a ConsumerRotation. This is a hot file.
 */

import type { FieldTable } from "@haremq/wire";
import type { MessageView } from "../message/message-view.ts";
import type { Queue } from "../queue/queue.ts";

/** The credit of a consumer that is not limited. */
export const unlimitedCredit = 0x3fffffff;

/** What an adapter implements to receive: in AMQP 0-9-1, a channel. */
export interface ConsumerSink {
  /** False while the connection's output is full. The sink wakes its parked consumers later. */
  readonly writable: boolean;
  /** False while a limit shared by the sink's consumers is reached. */
  readonly withinPrefetch: boolean;
  /**
   * Sends one message. The view is only valid during the call. `handle` is `unstored` for a
   * consumer that does not acknowledge; otherwise the sink owes the queue a settlement of (handle,
   * sequence).
   */
  deliver(
    consumer: Consumer,
    view: MessageView,
    handle: number,
    sequence: number,
    redelivered: boolean,
  ): void;
  /** The consumer was passed over for want of credit or room; wake it with `queue.wake`. */
  park(consumer: Consumer): void;
  /** The queue is gone or has dropped the consumer. */
  cancelled(consumer: Consumer): void;
}

export interface ConsumerOptions {
  readonly tag: string;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  /** Higher is served first. */
  readonly priority: number;
  /** Deliveries that may be unsettled at a time; 0 for no limit. */
  readonly prefetch: number;
  readonly arguments: FieldTable;
}

export class Consumer {
  readonly tag: string;
  readonly queue: Queue;
  readonly sink: ConsumerSink;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly priority: number;
  readonly prefetch: number;
  readonly arguments: FieldTable;
  /** How many more messages it may be sent before it settles one. */
  credit: number;
  /** Unsettled deliveries. */
  unsettled = 0;
  /** Out of its queue's rotation until its sink wakes it. */
  parked = false;
  /** Links of the rotation it is in; both null outside of one. */
  next: Consumer | null = null;
  previous: Consumer | null = null;

  constructor(queue: Queue, sink: ConsumerSink, options: ConsumerOptions) {
    this.queue = queue;
    this.sink = sink;
    this.tag = options.tag;
    this.noAck = options.noAck;
    this.exclusive = options.exclusive;
    this.priority = options.priority;
    this.prefetch = options.prefetch;
    this.arguments = options.arguments;
    this.credit = options.noAck || options.prefetch === 0 ? unlimitedCredit : options.prefetch;
  }

  /** Whether it can be sent a message right now. */
  get canTake(): boolean {
    return this.credit > 0 && this.sink.writable && this.sink.withinPrefetch;
  }

  /** One delivery more is unsettled. */
  spendCredit(): void {
    this.unsettled++;
    if (this.credit !== unlimitedCredit) this.credit--;
  }

  /** One delivery less is unsettled. */
  regainCredit(): void {
    this.unsettled--;
    if (this.credit !== unlimitedCredit) this.credit++;
  }
}
