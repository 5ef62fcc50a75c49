/**
 * The methods that change topology: exchange.* and queue.*. Each is carried out by the session and
 * answered once that has been done; the connection takes no further frame from its client before.
 */

import {
  ConnectionError,
  DirectReplies,
  noPreviouslyDeclaredQueue,
  notFound,
  replyQueueName,
} from "@haremq/broker";
import {
  type ExchangeBind,
  type ExchangeDeclare,
  type ExchangeDelete,
  encodeExchangeBindOk,
  encodeExchangeDeclareOk,
  encodeExchangeDeleteOk,
  encodeExchangeUnbindOk,
  encodeQueueBindOk,
  encodeQueueDeclareOk,
  encodeQueueDeleteOk,
  encodeQueuePurgeOk,
  encodeQueueUnbindOk,
  type Method,
  MethodId,
  type QueueBind,
  type QueueDeclare,
  type QueueDelete,
  type QueuePurge,
  type QueueUnbind,
} from "@haremq/wire";
import type { AmqpChannel } from "./amqp-channel.ts";

export function handleTopologyMethod(channel: AmqpChannel, method: Method): Promise<void> {
  switch (method.id) {
    case MethodId.ExchangeDeclare:
      return declareExchange(channel, method.args);
    case MethodId.ExchangeDelete:
      return deleteExchange(channel, method.args);
    case MethodId.ExchangeBind:
      return bindExchange(channel, method.args, true);
    case MethodId.ExchangeUnbind:
      return bindExchange(channel, method.args, false);
    case MethodId.QueueDeclare:
      return declareQueue(channel, method.args);
    case MethodId.QueueBind:
      return bindQueue(channel, method.args);
    case MethodId.QueueUnbind:
      return unbindQueue(channel, method.args);
    case MethodId.QueuePurge:
      return purgeQueue(channel, method.args);
    case MethodId.QueueDelete:
      return deleteQueue(channel, method.args);
    default:
      throw new ConnectionError("COMMAND_INVALID", "unimplemented method");
  }
}

// Exchanges

async function declareExchange(channel: AmqpChannel, args: ExchangeDeclare): Promise<void> {
  if (args.passive) await channel.session.checkExchange(args.exchange);
  else await channel.session.declareExchange({ ...args, name: args.exchange });
  if (!args.nowait) encodeExchangeDeclareOk(channel.host.output, channel.number);
}

async function deleteExchange(channel: AmqpChannel, args: ExchangeDelete): Promise<void> {
  await channel.session.deleteExchange(args.exchange, args.ifUnused);
  if (!args.nowait) encodeExchangeDeleteOk(channel.host.output, channel.number);
}

async function bindExchange(
  channel: AmqpChannel,
  args: ExchangeBind,
  isBind: boolean,
): Promise<void> {
  const declaration = { ...args, destinationKind: "exchange" as const };
  if (isBind) await channel.session.bind(declaration);
  else await channel.session.unbind(declaration);
  if (args.nowait) return;
  const encodeOk = isBind ? encodeExchangeBindOk : encodeExchangeUnbindOk;
  encodeOk(channel.host.output, channel.number);
}

// Queues

/** An empty name stands for the queue that was last declared on the channel. */
export function queueName(channel: AmqpChannel, name: string): string {
  if (name !== "") return name;
  if (channel.lastQueue === "") throw noPreviouslyDeclaredQueue();
  return channel.lastQueue;
}

async function declareQueue(channel: AmqpChannel, args: QueueDeclare): Promise<void> {
  const { session, directReplies, host, number } = channel;
  if (isReplyName(args.queue)) {
    // Declaring a reply address asks whether its requester is still there.
    if (args.queue !== replyQueueName && directReplies.find(args.queue) === undefined) {
      throw notFound("queue", args.queue, session.vhost.name);
    }
    if (args.nowait) return;
    encodeQueueDeclareOk(host.output, number, {
      queue: args.queue,
      messageCount: 0,
      consumerCount: 1,
    });
    return;
  }
  const queue = args.passive
    ? await session.checkQueue(args.queue)
    : await session.declareQueue({ ...args, name: args.queue });
  channel.lastQueue = queue.name;
  if (args.nowait) return;
  encodeQueueDeclareOk(host.output, number, {
    queue: queue.name,
    messageCount: queue.readyCount,
    consumerCount: queue.consumerCount,
  });
}

function isReplyName(name: string): boolean {
  return name === replyQueueName || DirectReplies.isAddress(name);
}

async function bindQueue(channel: AmqpChannel, args: QueueBind): Promise<void> {
  const destination = queueName(channel, args.queue);
  await channel.session.bind({
    source: args.exchange,
    destinationKind: "queue",
    destination,
    // Without a queue's name an empty key stands for that name, too.
    routingKey: args.queue === "" && args.routingKey === "" ? destination : args.routingKey,
    arguments: args.arguments,
  });
  if (!args.nowait) encodeQueueBindOk(channel.host.output, channel.number);
}

async function unbindQueue(channel: AmqpChannel, args: QueueUnbind): Promise<void> {
  const destination = queueName(channel, args.queue);
  await channel.session.unbind({
    source: args.exchange,
    destinationKind: "queue",
    destination,
    routingKey: args.queue === "" && args.routingKey === "" ? destination : args.routingKey,
    arguments: args.arguments,
  });
  encodeQueueUnbindOk(channel.host.output, channel.number);
}

async function purgeQueue(channel: AmqpChannel, args: QueuePurge): Promise<void> {
  const messageCount = await channel.session.purgeQueue(queueName(channel, args.queue));
  if (!args.nowait) encodeQueuePurgeOk(channel.host.output, channel.number, { messageCount });
}

async function deleteQueue(channel: AmqpChannel, args: QueueDelete): Promise<void> {
  const name = queueName(channel, args.queue);
  const isReply = name === replyQueueName || channel.directReplies.find(name) !== undefined;
  const messageCount = isReply
    ? 0
    : await channel.session.deleteQueue(name, args.ifUnused, args.ifEmpty);
  if (!args.nowait) encodeQueueDeleteOk(channel.host.output, channel.number, { messageCount });
}
