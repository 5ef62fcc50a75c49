/**
 * The verbs of a channel that shape the topology: declaring, binding, purging and deleting
 * exchanges and queues. Channel extends this with the verbs that move messages.
 *
 * Options have the protocol's names and are false when left out. An empty queue name means what it
 * means in the protocol: in queueDeclare a name that the broker makes up, elsewhere the queue that
 * was declared last on this channel.
 */

import {
  encodeExchangeBind,
  encodeExchangeDeclare,
  encodeExchangeDelete,
  encodeExchangeUnbind,
  encodeQueueBind,
  encodeQueueDeclare,
  encodeQueueDelete,
  encodeQueuePurge,
  encodeQueueUnbind,
  FieldTable,
  MethodId,
  type QueueDeclareOk,
  type QueueDeleteOk,
  type QueuePurgeOk,
} from "@haremq/wire";
import { ChannelCore } from "./channel-core.ts";
import type { Table } from "./message.ts";

export interface ExchangeDeclareOptions {
  passive?: boolean;
  durable?: boolean;
  autoDelete?: boolean;
  internal?: boolean;
  arguments?: Table;
}

export interface QueueDeclareOptions {
  passive?: boolean;
  durable?: boolean;
  exclusive?: boolean;
  autoDelete?: boolean;
  arguments?: Table;
}

export abstract class TopologyChannel extends ChannelCore {
  async exchangeDeclare(
    exchange: string,
    type = "direct",
    options: ExchangeDeclareOptions = {},
  ): Promise<void> {
    const args = {
      exchange,
      type,
      passive: options.passive ?? false,
      durable: options.durable ?? false,
      autoDelete: options.autoDelete ?? false,
      internal: options.internal ?? false,
      nowait: false,
      arguments: wireTable(options.arguments),
    };
    await this.call(MethodId.ExchangeDeclareOk, (output, channel) =>
      encodeExchangeDeclare(output, channel, args),
    );
  }

  async exchangeDelete(exchange: string, options: { ifUnused?: boolean } = {}): Promise<void> {
    const args = { exchange, ifUnused: options.ifUnused ?? false, nowait: false };
    await this.call(MethodId.ExchangeDeleteOk, (output, channel) =>
      encodeExchangeDelete(output, channel, args),
    );
  }

  /** Messages flow from `source` to `destination`. */
  async exchangeBind(
    destination: string,
    source: string,
    routingKey = "",
    bindingArguments: Table = {},
  ): Promise<void> {
    const args = {
      destination,
      source,
      routingKey,
      nowait: false,
      arguments: wireTable(bindingArguments),
    };
    await this.call(MethodId.ExchangeBindOk, (output, channel) =>
      encodeExchangeBind(output, channel, args),
    );
  }

  async exchangeUnbind(
    destination: string,
    source: string,
    routingKey = "",
    bindingArguments: Table = {},
  ): Promise<void> {
    const args = {
      destination,
      source,
      routingKey,
      nowait: false,
      arguments: wireTable(bindingArguments),
    };
    await this.call(MethodId.ExchangeUnbindOk, (output, channel) =>
      encodeExchangeUnbind(output, channel, args),
    );
  }

  /** Resolves with the queue's name, its ready messages and its consumers. */
  queueDeclare(queue = "", options: QueueDeclareOptions = {}): Promise<QueueDeclareOk> {
    const args = {
      queue,
      passive: options.passive ?? false,
      durable: options.durable ?? false,
      exclusive: options.exclusive ?? false,
      autoDelete: options.autoDelete ?? false,
      nowait: false,
      arguments: wireTable(options.arguments),
    };
    return this.call(MethodId.QueueDeclareOk, (output, channel) =>
      encodeQueueDeclare(output, channel, args),
    );
  }

  /** Resolves with the number of messages deleted. */
  queueDelete(
    queue: string,
    options: { ifUnused?: boolean; ifEmpty?: boolean } = {},
  ): Promise<QueueDeleteOk> {
    const args = {
      queue,
      ifUnused: options.ifUnused ?? false,
      ifEmpty: options.ifEmpty ?? false,
      nowait: false,
    };
    return this.call(MethodId.QueueDeleteOk, (output, channel) =>
      encodeQueueDelete(output, channel, args),
    );
  }

  async queueBind(
    queue: string,
    exchange: string,
    routingKey = "",
    bindingArguments: Table = {},
  ): Promise<void> {
    const args = {
      queue,
      exchange,
      routingKey,
      nowait: false,
      arguments: wireTable(bindingArguments),
    };
    await this.call(MethodId.QueueBindOk, (output, channel) =>
      encodeQueueBind(output, channel, args),
    );
  }

  async queueUnbind(
    queue: string,
    exchange: string,
    routingKey = "",
    bindingArguments: Table = {},
  ): Promise<void> {
    const args = { queue, exchange, routingKey, arguments: wireTable(bindingArguments) };
    await this.call(MethodId.QueueUnbindOk, (output, channel) =>
      encodeQueueUnbind(output, channel, args),
    );
  }

  /** Resolves with the number of ready messages removed. */
  queuePurge(queue: string): Promise<QueuePurgeOk> {
    return this.call(MethodId.QueuePurgeOk, (output, channel) =>
      encodeQueuePurge(output, channel, { queue, nowait: false }),
    );
  }
}

/** A plain object becomes a table of wire values; a table is taken as it is. */
export function wireTable(table: Table | undefined): FieldTable {
  if (table === undefined) return new FieldTable();
  return table instanceof FieldTable ? table : FieldTable.from(table);
}
