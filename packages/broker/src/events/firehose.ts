/**
 * The firehose: copies of all messages that are published to a virtual host, and of all that are
 * delivered from it, for whoever binds a queue to its exchange `amq.rabbitmq.trace`. Adapters give
 * it each message while it is on (see VirtualHost.firehose), and look no further while it is off.
 *
 *     publish.EXCHANGE   when a message has been routed, wherever to
 *     deliver.QUEUE      when a message goes to a consumer, or is pulled
 *
 * A copy has the message's body; its headers tell of the message, in RabbitMQ's order and types.
 * Copies themselves are not copied again.
 */

import {
  type FieldEntry,
  FieldTable,
  type FieldValue,
  type Properties,
  textField,
} from "@haremq/wire";
import { decodeBlindCopies } from "../message/blind-copies.ts";
import { addressOf, carbonCopiesIn, propertiesOf } from "../message/message-address.ts";
import type { MessageView } from "../message/message-view.ts";
import type { VirtualHost } from "../vhost/virtual-host.ts";
import type { InternalPublisher } from "./internal-publisher.ts";

export const traceExchange = "amq.rabbitmq.trace";

/** Where a message came from, or goes to. */
export interface TracedChannel {
  readonly connectionName: string;
  readonly number: number;
  readonly userName: string;
}

/** Names of RabbitMQ's properties, in the order in which it lists them here. */
const tracedProperties = [
  ["cluster_id", "clusterId"],
  ["app_id", "appId"],
  ["user_id", "userId"],
  ["type", "type"],
  ["timestamp", "timestamp"],
  ["message_id", "messageId"],
  ["expiration", "expiration"],
  ["reply_to", "replyTo"],
  ["correlation_id", "correlationId"],
  ["priority", "priority"],
  ["delivery_mode", "deliveryMode"],
  ["headers", "headers"],
  ["content_encoding", "contentEncoding"],
  ["content_type", "contentType"],
] as const satisfies readonly (readonly [string, keyof Properties])[];

const int32Max = 2 ** 31 - 1;
const routingKeyBytesMax = 255;

export class Firehose {
  readonly #vhost: VirtualHost;
  readonly #publisher: InternalPublisher;
  readonly #node: string;

  constructor(vhost: VirtualHost, publisher: InternalPublisher, node: string) {
    this.#vhost = vhost;
    this.#publisher = publisher;
    this.#node = node;
  }

  /** A message has come, and was routed to the queues with these names. */
  onPublish(
    view: MessageView,
    routingKeys: readonly string[],
    queues: readonly string[],
    channel: TracedChannel,
  ): void {
    if (!this.#isHeard) return;
    const { exchange } = addressOf(view);
    const entries = this.#describe(view, exchange, routingKeys);
    this.#addChannel(entries, channel);
    entries.push({ name: "routed_queues", value: texts(queues) });
    this.#publish(`publish.${exchange}`, entries, view);
  }

  /** A message leaves a queue. */
  onDeliver(view: MessageView, queue: string, redelivered: boolean, channel: TracedChannel): void {
    if (!this.#isHeard) return;
    const { exchange, routingKey } = addressOf(view);
    if (exchange === traceExchange) return;
    const openly = carbonCopiesIn(propertiesOf(view).headers);
    const routingKeys = [routingKey, ...openly, ...decodeBlindCopies(view.blindCopies)];
    const entries = this.#describe(view, exchange, routingKeys);
    entries.push({ name: "redelivered", value: integer(redelivered ? 1 : 0) });
    this.#addChannel(entries, channel);
    this.#publish(`deliver.${queue}`, entries, view);
  }

  get #isHeard(): boolean {
    const exchange = this.#vhost.exchange(traceExchange);
    return exchange !== undefined && this.#vhost.topology.isSource(exchange);
  }

  #describe(view: MessageView, exchange: string, routingKeys: readonly string[]): FieldEntry[] {
    return [
      { name: "exchange_name", value: textField(exchange) },
      { name: "routing_keys", value: texts(routingKeys) },
      { name: "properties", value: { type: "F", value: propertyTable(propertiesOf(view)) } },
      { name: "node", value: textField(this.#node) },
    ];
  }

  #addChannel(entries: FieldEntry[], channel: TracedChannel): void {
    entries.push(
      { name: "vhost", value: textField(this.#vhost.name) },
      { name: "connection", value: textField(channel.connectionName) },
      { name: "channel", value: integer(channel.number) },
      { name: "user", value: textField(channel.userName) },
    );
  }

  #publish(key: string, entries: FieldEntry[], view: MessageView): void {
    const { body, bodyStart, bodyLength } = view;
    this.#publisher.publish({
      vhost: this.#vhost,
      exchange: traceExchange,
      routingKey: shortened(key),
      properties: { headers: new FieldTable(entries) },
      // The view is only valid now.
      body: Buffer.from(body.subarray(bodyStart, bodyStart + bodyLength)),
    });
  }
}

function propertyTable(properties: Properties): FieldTable {
  const table = new FieldTable();
  for (const [name, property] of tracedProperties) {
    const value = properties[property];
    if (value === undefined) continue;
    table.entries.push({ name, value: propertyField(value) });
  }
  return table;
}

function propertyField(value: NonNullable<Properties[keyof Properties]>): FieldValue {
  if (value instanceof FieldTable) return { type: "F", value };
  return typeof value === "string" ? textField(value) : integer(value);
}

/** RabbitMQ writes timestamps into 32 bits even when they do not fit. */
function integer(value: number | bigint): FieldValue {
  if (value <= int32Max) return { type: "I", value: Number(value) };
  return { type: "l", value: BigInt.asIntN(64, BigInt(value)) };
}

function texts(values: readonly string[]): FieldValue {
  return { type: "A", value: values.map((value) => textField(value)) };
}

/** A name may take all the room that a key has. */
function shortened(key: string): string {
  let text = key;
  while (Buffer.byteLength(text) > routingKeyBytesMax) text = text.slice(0, -1);
  return text;
}
