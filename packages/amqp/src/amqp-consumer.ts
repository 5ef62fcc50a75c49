/**
 * A consumer of a channel: what the core knows of it, and the bytes that each of its deliveries
 * begins with. Made by basic.consume, and by basic.get for the deliveries that a client pulls.
 */

import { Consumer, type ConsumerOptions, type ConsumerSink, type Queue } from "@haremq/broker";
import { FieldTable } from "@haremq/wire";
import { deliveryPrefix } from "./deliver-path.ts";

export class AmqpConsumer extends Consumer {
  readonly prefix: Buffer;
  /** Whether its channel will wake it at the end of the current input. */
  isWakeScheduled = false;
  /** Whether its channel's delivery watch knows that it has deliveries. */
  isWatched = false;
  /** It stands for a channel that pulls from a queue, and is no subscription. */
  readonly isPull: boolean;

  constructor(
    queue: Queue,
    sink: ConsumerSink,
    channel: number,
    options: ConsumerOptions,
    isPull = false,
  ) {
    super(queue, sink, options);
    this.isPull = isPull;
    this.prefix = deliveryPrefix(channel, options.tag);
  }

  /** The owner of deliveries that a channel gets with basic.get. */
  static forPull(queue: Queue, sink: ConsumerSink, channel: number): AmqpConsumer {
    const options = {
      tag: "",
      noAck: false,
      exclusive: false,
      priority: 0,
      prefetch: 0,
      arguments: new FieldTable(),
    };
    return new AmqpConsumer(queue, sink, channel, options, true);
  }
}
