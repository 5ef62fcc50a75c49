/**
 * The methods of a channel other than basic.publish and basic.ack: decoded, checked by the session,
 * answered. Methods that change topology return a promise, and the connection takes no further frame
 * from its client until it is settled.
 */

import {
  ChannelError,
  ConnectionError,
  checkConsumerArguments,
  consumerPriority,
  consumerTagReused,
  DirectReplies,
  noPreviouslyDeclaredQueue,
  notFound,
  notImplemented,
  preconditionFailed,
  replyQueueName,
  tooManyConsumers,
} from "@haremq/broker";
import {
  type BasicCancel,
  type BasicConsume,
  type BasicQos,
  type ConfirmSelect,
  type ExchangeBind,
  type ExchangeDeclare,
  type ExchangeDelete,
  encodeAccessRequestOk,
  encodeBasicCancelOk,
  encodeBasicConsumeOk,
  encodeBasicQosOk,
  encodeBasicRecoverOk,
  encodeChannelFlowOk,
  encodeConfirmSelectOk,
  encodeExchangeBindOk,
  encodeExchangeDeclareOk,
  encodeExchangeDeleteOk,
  encodeExchangeUnbindOk,
  encodeQueueBindOk,
  encodeQueueDeclareOk,
  encodeQueueDeleteOk,
  encodeQueuePurgeOk,
  encodeQueueUnbindOk,
  encodeTxCommitOk,
  encodeTxRollbackOk,
  encodeTxSelectOk,
  type Method,
  MethodId,
  type QueueBind,
  type QueueDeclare,
  type QueueDelete,
  type QueuePurge,
  type QueueUnbind,
} from "@haremq/wire";
import type { AmqpChannel } from "./amqp-channel.ts";
import { AmqpConsumer } from "./amqp-consumer.ts";

/** Carries out one method; throws, or rejects with, what the client is to be told. */
export function handleMethod(channel: AmqpChannel, method: Method): Promise<void> | undefined {
  const out = channel.host.output;
  const { number } = channel;
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
    case MethodId.BasicQos:
      setPrefetch(channel, method.args);
      return undefined;
    case MethodId.BasicConsume:
      consume(channel, method.args);
      return undefined;
    case MethodId.BasicCancel:
      cancel(channel, method.args);
      return undefined;
    case MethodId.BasicGet: {
      const queue = channel.session.queueToGet(queueName(channel, method.args.queue));
      channel.get(queue, method.args.noAck);
      return undefined;
    }
    case MethodId.BasicNack: {
      const { deliveryTag, multiple, requeue } = method.args;
      channel.settle(requeue ? "requeue" : "reject", deliveryTag, multiple);
      return undefined;
    }
    case MethodId.BasicReject: {
      const { deliveryTag, requeue } = method.args;
      channel.settle(requeue ? "requeue" : "reject", deliveryTag, false);
      return undefined;
    }
    case MethodId.BasicRecoverAsync:
      if (!method.args.requeue) throw notImplemented("requeue=false");
      channel.recover();
      return undefined;
    case MethodId.BasicRecover:
      if (!method.args.requeue) throw notImplemented("requeue=false");
      // Answered first: what goes back may be delivered again at once.
      encodeBasicRecoverOk(out, number);
      channel.recover();
      return undefined;
    case MethodId.ConfirmSelect:
      selectConfirms(channel, method.args);
      return undefined;
    case MethodId.TxSelect:
      if (channel.mode === "confirm") {
        throw preconditionFailed("cannot switch from confirm to tx mode");
      }
      channel.beginTransactions();
      encodeTxSelectOk(out, number);
      return undefined;
    case MethodId.TxCommit:
      checkTransactional(channel);
      channel.commit();
      encodeTxCommitOk(out, number);
      return undefined;
    case MethodId.TxRollback:
      checkTransactional(channel);
      channel.rollback();
      encodeTxRollbackOk(out, number);
      return undefined;
    case MethodId.ChannelFlow:
      if (!method.args.active) throw notImplemented("active=false");
      encodeChannelFlowOk(out, number, { active: true });
      return undefined;
    case MethodId.AccessRequest:
      // Access tickets are a relic: every request is granted the same one.
      encodeAccessRequestOk(out, number, { ticket: 1 });
      return undefined;
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
function queueName(channel: AmqpChannel, name: string): string {
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

// Consumers

function setPrefetch(channel: AmqpChannel, args: BasicQos): void {
  if (args.prefetchSize !== 0) throw notImplemented(`prefetch_size!=0 (${args.prefetchSize})`);
  encodeBasicQosOk(channel.host.output, channel.number);
  if (args.global) channel.setSharedPrefetch(args.prefetchCount);
  else channel.prefetch = args.prefetchCount;
}

function consume(channel: AmqpChannel, args: BasicConsume): void {
  const { session, host, consumers } = channel;
  const given = args.consumerTag;
  if (consumers.has(given) || (given !== "" && given === channel.replyTag)) {
    throw consumerTagReused(given);
  }
  const max = host.broker.limits.channelConsumersMax;
  if (max > 0 && consumers.size >= max) throw tooManyConsumers(max);
  const name = queueName(channel, args.queue);
  if (name === replyQueueName) {
    consumeReplies(channel, args);
    return;
  }
  const queue = session.queueToConsume(name, args.exclusive, args.arguments);
  const priority = consumerPriority(args.arguments);
  const tag = session.consumerTag(given);
  const consumer = new AmqpConsumer(queue, channel, channel.number, {
    tag,
    noAck: args.noAck,
    exclusive: args.exclusive,
    priority: consumerPriority(args.arguments),
    prefetch: channel.prefetch,
    arguments: args.arguments,
  });
  consumers.set(tag, consumer);
  channel.emitCancellations();
  if (!args.nowait) encodeBasicConsumeOk(host.output, channel.number, { consumerTag: tag });
  queue.subscribe(consumer);
}

/** A requester of direct replies: a consumer without a queue, one a channel. */
function consumeReplies(channel: AmqpChannel, args: BasicConsume): void {
  if (!args.noAck) throw preconditionFailed("reply consumer cannot acknowledge");
  if (channel.replyTag !== undefined) {
    throw new ChannelError("PRECONDITION_FAILED", "reply consumer already set");
  }
  const tag = channel.session.consumerTag(args.consumerTag);
  channel.takeReplies(tag);
  if (!args.nowait) {
    encodeBasicConsumeOk(channel.host.output, channel.number, { consumerTag: tag });
  }
}

function cancel(channel: AmqpChannel, args: BasicCancel): void {
  const { consumerTag } = args;
  const consumer = channel.consumers.get(consumerTag);
  if (consumer !== undefined) {
    channel.dropConsumer(consumer);
    channel.session.unsubscribe(consumer);
  } else if (consumerTag === channel.replyTag) {
    channel.refuseReplies();
  }
  if (!args.nowait) {
    encodeBasicCancelOk(channel.host.output, channel.number, { consumerTag });
  }
}

// Confirms and transactions

function selectConfirms(channel: AmqpChannel, args: ConfirmSelect): void {
  if (channel.mode === "tx") throw preconditionFailed("cannot switch from tx to confirm mode");
  channel.mode = "confirm";
  if (!args.nowait) encodeConfirmSelectOk(channel.host.output, channel.number);
}

function checkTransactional(channel: AmqpChannel): void {
  if (channel.mode !== "tx") throw preconditionFailed("channel is not transactional");
}
