/**
 * The messages an application receives, by the way they come: pushed to a consumer, fetched with
 * basic.get, or returned to the publisher.
 *
 * A body is a copy that may be kept, unless the consumer asked to borrow it (see ConsumeOptions).
 * The fields are the protocol's own.
 */

import type { FieldTable, Properties } from "@haremq/wire";

/** Arguments and headers: a plain object, or a FieldTable where the exact wire types matter. */
export type Table = FieldTable | Readonly<Record<string, unknown>>;

/** The properties of a message to publish. */
export type PublishProperties = Omit<Properties, "headers"> & { headers?: Table };

const noBody = Buffer.alloc(0);

/** What every message has, filled in when its content header and body have come. */
abstract class Message {
  readonly exchange: string;
  readonly routingKey: string;
  properties: Properties = {};
  body: Buffer = noBody;

  constructor(exchange: string, routingKey: string) {
    this.exchange = exchange;
    this.routingKey = routingKey;
  }
}

export type { Message };

/** A message pushed to a consumer. */
export class Delivery extends Message {
  readonly consumerTag: string;
  readonly deliveryTag: number;
  readonly redelivered: boolean;

  constructor(
    consumerTag: string,
    deliveryTag: number,
    redelivered: boolean,
    exchange: string,
    routingKey: string,
  ) {
    super(exchange, routingKey);
    this.consumerTag = consumerTag;
    this.deliveryTag = deliveryTag;
    this.redelivered = redelivered;
  }
}

/** A message fetched with basic.get. */
export class GetMessage extends Message {
  readonly deliveryTag: number;
  readonly redelivered: boolean;
  /** The messages still ready in the queue. */
  readonly messageCount: number;

  constructor(
    deliveryTag: number,
    redelivered: boolean,
    exchange: string,
    routingKey: string,
    messageCount: number,
  ) {
    super(exchange, routingKey);
    this.deliveryTag = deliveryTag;
    this.redelivered = redelivered;
    this.messageCount = messageCount;
  }
}

/** A mandatory message that no queue took. */
export class ReturnedMessage extends Message {
  readonly replyCode: number;
  readonly replyText: string;

  constructor(replyCode: number, replyText: string, exchange: string, routingKey: string) {
    super(exchange, routingKey);
    this.replyCode = replyCode;
    this.replyText = replyText;
  }
}
