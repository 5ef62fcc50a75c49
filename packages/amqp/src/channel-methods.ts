/**
 * The methods of a channel other than basic.publish and basic.ack: consumers, settlements,
 * confirms, transactions. Those that change topology are in `topology-methods.ts`. A method that
 * returns a promise holds up its connection until that is settled.
 */

import {
  consumerPriority,
  consumerTagReused,
  notImplemented,
  preconditionFailed,
  replyQueueName,
  resourceText,
  tooManyConsumers,
} from "@haremq/broker";
import {
  type BasicCancel,
  type BasicConsume,
  type BasicGet,
  type BasicQos,
  type ConfirmSelect,
  encodeAccessRequestOk,
  encodeBasicCancelOk,
  encodeBasicConsumeOk,
  encodeBasicQosOk,
  encodeBasicRecoverOk,
  encodeChannelFlowOk,
  encodeConfirmSelectOk,
  encodeTxCommitOk,
  encodeTxRollbackOk,
  encodeTxSelectOk,
  type Method,
  MethodId,
} from "@haremq/wire";
import type { AmqpChannel } from "./amqp-channel.ts";
import { AmqpConsumer } from "./amqp-consumer.ts";
import { handleTopologyMethod, queueName } from "./topology-methods.ts";

/** Carries out one method; throws, or rejects with, what the client is to be told. */
export function handleMethod(channel: AmqpChannel, method: Method): Promise<void> | undefined {
  const out = channel.host.output;
  const { number } = channel;
  switch (method.id) {
    case MethodId.BasicQos:
      setPrefetch(channel, method.args);
      return undefined;
    case MethodId.BasicConsume:
      consume(channel, method.args);
      return undefined;
    case MethodId.BasicCancel:
      cancel(channel, method.args);
      return undefined;
    case MethodId.BasicGet:
      return get(channel, method.args);
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
      return channel.commit(() => encodeTxCommitOk(out, number));
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
      return handleTopologyMethod(channel, method);
  }
}

function get(channel: AmqpChannel, args: BasicGet): Promise<void> | undefined {
  const queue = channel.session.queueToGet(queueName(channel, args.queue));
  const loading = queue.prepareGet();
  if (loading !== undefined) return loading.then(() => channel.get(queue, args.noAck));
  channel.get(queue, args.noAck);
  return undefined;
}

// Consumers

function setPrefetch(channel: AmqpChannel, args: BasicQos): void {
  if (args.prefetchSize !== 0) throw notImplemented(`prefetch_size!=0 (${args.prefetchSize})`);
  encodeBasicQosOk(channel.host.output, channel.number);
  // A limit for each consumer to come lifts the one for all together, as in RabbitMQ.
  channel.setSharedPrefetch(args.global ? args.prefetchCount : 0);
  if (!args.global) channel.prefetch = args.prefetchCount;
}

function consume(channel: AmqpChannel, args: BasicConsume): void {
  const { session, host, consumers } = channel;
  const given = args.consumerTag;
  if (consumers.has(given)) throw consumerTagReused(given);
  const max = host.broker.limits.channelConsumersMax;
  if (max > 0 && consumers.size >= max) throw tooManyConsumers(max);
  const name = queueName(channel, args.queue);
  if (name === replyQueueName) {
    consumeReplies(channel, args);
    return;
  }
  const { prefetch } = channel;
  const queue = session.queueToConsume(name, { ...args, tag: given, prefetch });
  if (channel.hasSharedPrefetch && queue.keepsAll) {
    const resource = resourceText("queue", name, session.vhost.name);
    throw notImplemented(`${resource} does not support global qos`);
  }
  const tag = session.consumerTag(given);
  const consumer = new AmqpConsumer(queue, channel, channel.number, {
    tag,
    noAck: args.noAck,
    exclusive: args.exclusive,
    priority: consumerPriority(args.arguments),
    prefetch,
    arguments: args.arguments,
  });
  consumers.set(tag, consumer);
  channel.emitCancellations();
  if (!args.nowait) encodeBasicConsumeOk(host.output, channel.number, { consumerTag: tag });
  session.subscribe(consumer, channel.number);
}

/** A requester of direct replies: a consumer without a queue, one a channel. */
function consumeReplies(channel: AmqpChannel, args: BasicConsume): void {
  if (!args.noAck) throw preconditionFailed("reply consumer cannot acknowledge");
  if (channel.replyTag !== undefined) {
    throw preconditionFailed("reply consumer already set");
  }
  const tag = channel.session.consumerTag(args.consumerTag);
  channel.takeReplies(tag);
  if (!args.nowait) {
    encodeBasicConsumeOk(channel.host.output, channel.number, { consumerTag: tag });
  }
}

function cancel(channel: AmqpChannel, args: BasicCancel): void {
  const { consumerTag } = args;
  // Answered first: another consumer of this channel may take over and be served at once.
  if (!args.nowait) {
    encodeBasicCancelOk(channel.host.output, channel.number, { consumerTag });
  }
  const consumer = channel.consumers.get(consumerTag);
  if (consumer !== undefined) {
    channel.dropConsumer(consumer);
    channel.session.unsubscribe(consumer, channel.number);
  } else if (consumerTag === channel.replyTag) {
    channel.refuseReplies();
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
