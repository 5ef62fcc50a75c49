/**
 * A channel: the protocol's methods as verbs that resolve with the broker's answer. Where a method
 * has no answer (publishing, acknowledging) the verb returns at once. Errors come as AmqpError with
 * the broker's reply code; they close this channel and no other.
 *
 * Publishing is bounded by the caller: `basicPublish` returns false when enough waits for the
 * socket, and `drain` is emitted when there is room again. In confirm mode `publish` gives a
 * promise instead. Bodies may be reused by the caller as soon as the call returns.
 */

import { randomBytes } from "node:crypto";
import {
  encodeBasicAck,
  encodeBasicCancel,
  encodeBasicConsume,
  encodeBasicGet,
  encodeBasicNack,
  encodeBasicQos,
  encodeBasicRecover,
  encodeBasicReject,
  encodeChannelClose,
  encodeChannelFlow,
  encodeChannelOpen,
  encodeConfirmSelect,
  encodeMethod,
  encodeTxCommit,
  encodeTxRollback,
  encodeTxSelect,
  type Method,
  MethodId,
  ReplyCode,
} from "@haremq/wire";
import type { ConfirmWaiter } from "./confirm-ledger.ts";
import { type ConsumeOptions, Consumer, type DeliveryHandler } from "./consumer.ts";
import { ClosedError } from "./errors.ts";
import { GetMessage, type PublishProperties } from "./message.ts";
import { PreparedPublish } from "./prepared-publish.ts";
import { PublishPath } from "./publish-path.ts";
import { TopologyChannel, wireTable } from "./topology-channel.ts";

export interface PublishOptions {
  /** Return the message if no queue takes it. */
  mandatory?: boolean;
}

/** A delivery tag, or the message that carries it. */
export type Acknowledgeable = number | { readonly deliveryTag: number };

export class Channel extends TopologyChannel {
  readonly #publishPath = new PublishPath(this.host, this.number);
  #confirms = false;
  #closing: Promise<void> | undefined;

  /**
   * Sends a message and returns at once. The answer is about the way to the broker, not about the
   * message: false asks the caller to wait for `drain`, though nothing was dropped. In confirm mode
   * the message counts for `waitForConfirms` and for the `ack` and `nack` events.
   */
  basicPublish(
    exchange: string,
    routingKey: string,
    body: Uint8Array | string,
    properties?: PublishProperties,
    options?: PublishOptions,
  ): boolean {
    if (this.closedBy !== undefined) throw this.closedBy;
    const mandatory = options?.mandatory ?? false;
    this.#publishPath.write(exchange, routingKey, body, properties, mandatory);
    if (this.#confirms) this.ledger.add();
    return this.#mayGoOn();
  }

  /** Encodes what many messages share, once. The properties are read now and never again. */
  prepare(
    exchange: string,
    routingKey: string,
    properties?: PublishProperties,
    options?: PublishOptions,
  ): PreparedPublish {
    const mandatory = options?.mandatory ?? false;
    return new PreparedPublish(
      this.#publishPath.prepare(exchange, routingKey, properties, mandatory),
      (template, body) => {
        if (this.closedBy !== undefined) throw this.closedBy;
        this.#publishPath.writePrepared(template, body);
        if (this.#confirms) this.ledger.add();
        return this.#mayGoOn();
      },
    );
  }

  /**
   * Sends a message in confirm mode. Resolves when the broker answers for it; rejects with
   * PublishNackedError if it does not, and with PublishReturnedError, which has the message, if it
   * was mandatory and reached no queue.
   */
  publish(
    exchange: string,
    routingKey: string,
    body: Uint8Array | string,
    properties?: PublishProperties,
    options?: PublishOptions,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.closedBy !== undefined) throw this.closedBy;
      if (!this.#confirms) throw new Error("publish needs confirm mode: call confirmSelect first");
      const mandatory = options?.mandatory ?? false;
      this.#publishPath.write(exchange, routingKey, body, properties, mandatory);
      const waiter: ConfirmWaiter = { resolve, reject, returned: undefined };
      this.ledger.addWaiter(waiter);
      if (!mandatory) return;
      const bytes = typeof body === "string" ? Buffer.from(body) : body;
      this.mandatory.add(waiter, exchange, routingKey, properties ?? {}, bytes);
      waiter.resolve = () => {
        this.mandatory.delete(waiter);
        resolve();
      };
      waiter.reject = (error) => {
        this.mandatory.delete(waiter);
        reject(error);
      };
    });
  }

  /** From now on the broker answers every publish on this channel. */
  async confirmSelect(): Promise<void> {
    this.transmit((output, channel) => encodeConfirmSelect(output, channel, { nowait: false }));
    // The broker counts what comes after the method, not what comes after its answer.
    this.#confirms = true;
    await this.calls.wait(MethodId.ConfirmSelectOk);
  }

  /** Resolves when everything published so far is confirmed; rejects if any of it was nacked. */
  async waitForConfirms(): Promise<void> {
    if (this.closedBy !== undefined) throw this.closedBy;
    if (!this.#confirms) throw new Error("waitForConfirms needs confirm mode");
    await this.ledger.whenAllConfirmed();
  }

  /** In confirm mode: the delivery tag with which the broker will answer the next publish. */
  get nextPublishSeqNo(): number {
    return this.ledger.next;
  }

  /** In confirm mode: how many publishes the broker has not answered yet. */
  get unconfirmed(): number {
    return this.ledger.unanswered;
  }

  /**
   * How many unacknowledged messages the broker may send ahead: to each consumer started from now
   * on, or with `global` to all consumers of the channel together. 0 means no limit.
   */
  async basicQos(prefetchCount: number, options: { global?: boolean } = {}): Promise<void> {
    const args = { prefetchSize: 0, prefetchCount, global: options.global ?? false };
    await this.call(MethodId.BasicQosOk, (output, channel) =>
      encodeBasicQos(output, channel, args),
    );
  }

  async basicConsume(
    queue: string,
    options: ConsumeOptions,
    handler: DeliveryHandler,
  ): Promise<Consumer> {
    // Only a tag of our own tells for certain which answer, and which deliveries, are this
    // consumer's.
    const consumerTag = options.consumerTag || `amq.ctag-${randomBytes(16).toString("base64url")}`;
    const args = {
      queue,
      consumerTag,
      noLocal: options.noLocal ?? false,
      noAck: options.noAck ?? false,
      exclusive: options.exclusive ?? false,
      nowait: false,
      arguments: wireTable(options.arguments),
    };
    this.transmit((output, channel) => encodeBasicConsume(output, channel, args));
    const consumer = new Consumer(consumerTag, handler, options, (it) => this.#cancel(it));
    this.starting.set(consumerTag, () => this.consumers.set(consumerTag, consumer));
    await this.calls.wait(MethodId.BasicConsumeOk, 0, consumerTag);
    return consumer;
  }

  /** Resolves when the broker has stopped; deliveries under way still come before that. */
  async basicCancel(consumerTag: string): Promise<void> {
    this.transmit((output, channel) =>
      encodeBasicCancel(output, channel, { consumerTag, nowait: false }),
    );
    await this.calls.wait(MethodId.BasicCancelOk, 0, consumerTag);
  }

  /** Fetches one message, or undefined if the queue has none ready. */
  async basicGet(
    queue: string,
    options: { noAck?: boolean } = {},
  ): Promise<GetMessage | undefined> {
    this.transmit((output, channel) =>
      encodeBasicGet(output, channel, { queue, noAck: options.noAck ?? false }),
    );
    const answer = await this.calls.wait(MethodId.BasicGetOk, MethodId.BasicGetEmpty);
    return answer instanceof GetMessage ? answer : undefined;
  }

  /** `multiple`: this and everything before it that is not acknowledged yet. */
  ack(message: Acknowledgeable, multiple = false): void {
    if (this.closedBy !== undefined) throw this.closedBy;
    encodeBasicAck(this.output, this.number, { deliveryTag: tagOf(message), multiple });
    this.output.commit();
  }

  nack(message: Acknowledgeable, multiple = false, requeue = true): void {
    if (this.closedBy !== undefined) throw this.closedBy;
    encodeBasicNack(this.output, this.number, { deliveryTag: tagOf(message), multiple, requeue });
    this.output.commit();
  }

  reject(message: Acknowledgeable, requeue = true): void {
    if (this.closedBy !== undefined) throw this.closedBy;
    encodeBasicReject(this.output, this.number, { deliveryTag: tagOf(message), requeue });
    this.output.commit();
  }

  /** Has everything unacknowledged on this channel delivered again. */
  async recover(requeue = true): Promise<void> {
    await this.call(MethodId.BasicRecoverOk, (output, channel) =>
      encodeBasicRecover(output, channel, { requeue }),
    );
  }

  async txSelect(): Promise<void> {
    await this.call(MethodId.TxSelectOk, (output, channel) => encodeTxSelect(output, channel));
  }

  async txCommit(): Promise<void> {
    await this.call(MethodId.TxCommitOk, (output, channel) => encodeTxCommit(output, channel));
  }

  async txRollback(): Promise<void> {
    await this.call(MethodId.TxRollbackOk, (output, channel) => encodeTxRollback(output, channel));
  }

  /** Asks the broker to stop or resume deliveries; RabbitMQ knows only `true`. */
  async flow(active: boolean): Promise<void> {
    await this.call(MethodId.ChannelFlowOk, (output, channel) =>
      encodeChannelFlow(output, channel, { active }),
    );
  }

  /**
   * Sends any method and waits for nothing: for the nowait forms, whose errors close the channel,
   * and for tests of brokers. A method that the broker answers must be sent by its verb.
   */
  send(method: Method): void {
    this.transmit((output, channel) => encodeMethod(output, channel, method));
  }

  /** Ends the channel; calls made before are answered first. Harmless when it is closed already. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** For the connection, as the first thing it does with a channel. */
  async open(): Promise<void> {
    await this.call(MethodId.ChannelOpenOk, (output, channel) =>
      encodeChannelOpen(output, channel),
    );
  }

  async #close(): Promise<void> {
    if (this.closedBy !== undefined) return;
    const answer = this.call(MethodId.ChannelCloseOk, (output, channel) =>
      encodeChannelClose(output, channel, {
        replyCode: ReplyCode.ReplySuccess,
        replyText: "",
        classId: 0,
        methodId: 0,
      }),
    );
    this.closedBy = new ClosedError("channel");
    // If the connection ends first, the channel is closed as well as it can be.
    await answer.catch(() => {});
  }

  async #cancel(consumer: Consumer): Promise<void> {
    if (this.closedBy !== undefined || !this.consumers.has(consumer.consumerTag)) return;
    await this.basicCancel(consumer.consumerTag);
  }

  #mayGoOn(): boolean {
    if (!this.output.saturated && this.flowActive) return true;
    this.wantsDrain = true;
    return false;
  }
}

function tagOf(message: Acknowledgeable): number {
  return typeof message === "number" ? message : message.deliveryTag;
}
