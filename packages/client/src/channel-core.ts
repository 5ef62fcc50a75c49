/**
 * The life of a channel and the frames that come for it: answers to calls, deliveries, returned
 * messages, confirms, and the broker's own requests. Channel, which extends this, has the verbs.
 *
 *     open --close()--> closing --close-ok--> closed
 *       \----channel.close from the broker, connection gone----/
 *
 * Invariants:
 * - When the channel closes, everything that waits on it is rejected with one and the same error,
 *   and so is every later call. `close` is emitted exactly once.
 * - Deliveries for a consumer begin only after consume-ok made it known, and end before its
 *   cancellation is reported.
 */

import { EventEmitter } from "node:events";
import {
  decodeMethod,
  encodeBasicCancelOk,
  encodeChannelCloseOk,
  encodeChannelFlowOk,
  type Method,
  MethodId,
  methodName,
  ReplyCode,
} from "@haremq/wire";
import { type Call, CallQueue, type MethodArgs } from "./call-queue.ts";
import type { ChannelHost } from "./channel-host.ts";
import { ConfirmLedger } from "./confirm-ledger.ts";
import type { Consumer } from "./consumer.ts";
import { ContentReceiver } from "./content-receiver.ts";
import { DeliveryDecoder } from "./delivery-decoder.ts";
import { AmqpError, ClosedError } from "./errors.ts";
import type { FrameOutput } from "./frame-output.ts";
import { MandatoryWatch } from "./mandatory-watch.ts";
import { Delivery, GetMessage, ReturnedMessage } from "./message.ts";
import { ProtocolFault } from "./protocol-fault.ts";

export interface ChannelEvents {
  /** Once, with the reason unless the application closed the channel. */
  close: [error: Error | undefined];
  /** Before `close`, if the broker or the network closed the channel and somebody listens. */
  error: [error: Error];
  /** A mandatory message came back; in confirm mode its ack is still to come. */
  return: [message: ReturnedMessage];
  ack: [deliveryTag: number, multiple: boolean];
  nack: [deliveryTag: number, multiple: boolean];
  /** The broker ended a consumer. */
  cancel: [consumerTag: string];
  /** The broker asked to stop (false) or go on (true) publishing. */
  flow: [active: boolean];
  /** After a publish returned false: publishing may go on. */
  drain: [];
}

type Incoming = Delivery | GetMessage | ReturnedMessage;

export abstract class ChannelCore extends EventEmitter<ChannelEvents> {
  readonly number: number;
  protected readonly host: ChannelHost;
  protected readonly output: FrameOutput;
  protected readonly calls = new CallQueue();
  protected readonly ledger = new ConfirmLedger();
  protected readonly mandatory = new MandatoryWatch();
  protected readonly consumers = new Map<string, Consumer>();
  /** Why the channel takes no more calls; undefined while it is open. */
  protected closedBy: Error | undefined;
  protected flowActive = true;
  /** A publish returned false and the application waits for `drain`. */
  protected wantsDrain = false;
  readonly #receiver: ContentReceiver<Incoming>;
  readonly #decoder = new DeliveryDecoder();
  /** Waits for the message of a basic.get whose get-ok has come. */
  #fetching: Call | undefined;
  /** Called when consume-ok has come, before any delivery behind it. */
  protected readonly starting = new Map<string, () => void>();
  /** The consumer of the current delivery, kept because the next one is likely the same. */
  #consumer: Consumer | undefined;
  #released = false;

  constructor(host: ChannelHost, number: number) {
    super();
    this.number = number;
    this.host = host;
    this.output = host.output;
    this.#receiver = new ContentReceiver(host.maxBodyBytes, (message) => this.#onMessage(message));
  }

  get isOpen(): boolean {
    return this.closedBy === undefined;
  }

  // From here on: called by the connection.

  onMethodFrame(buffer: Buffer, start: number, end: number): void {
    const id = buffer.readUInt32BE(start);
    if (this.#receiver.busy) throw unexpected(id);
    if (id === MethodId.BasicDeliver) {
      this.#onDeliver(this.#decoder.decode(buffer, start, end));
      return;
    }
    this.host.reader.reset(buffer, start, end);
    this.#onMethod(decodeMethod(this.host.reader));
  }

  onHeaderFrame(buffer: Buffer, start: number, end: number): void {
    if (!this.#receiver.header(buffer, start, end)) {
      throw new ProtocolFault(ReplyCode.UnexpectedFrame, "unexpected content header");
    }
  }

  onBodyPiece(buffer: Buffer, start: number, end: number): void {
    if (!this.#receiver.body(buffer, start, end)) {
      throw new ProtocolFault(ReplyCode.UnexpectedFrame, "unexpected content body");
    }
  }

  onDrain(): void {
    if (!this.wantsDrain || !this.flowActive) return;
    this.wantsDrain = false;
    this.emit("drain");
  }

  /** The channel is over: `error` for everything that waits, `reason` for the `close` event. */
  finish(error: Error, reason: Error | undefined): void {
    if (this.#released) return;
    this.#released = true;
    this.closedBy ??= error;
    this.#receiver.reset();
    this.consumers.clear();
    this.#consumer = undefined;
    this.starting.clear();
    this.#fetching?.reject(error);
    this.calls.failAll(error);
    this.ledger.failAll(error);
    if (reason !== undefined && this.listenerCount("error") > 0) this.emit("error", reason);
    this.emit("close", reason);
  }

  // From here on: for the verbs.

  /** Sends one method and waits for its answer. `encode` writes exactly one frame. */
  protected async call<Id extends Method["id"]>(
    expected: Id,
    encode: (output: FrameOutput, channel: number) => void,
  ): Promise<MethodArgs<Id>> {
    this.transmit(encode);
    return (await this.calls.wait(expected)) as MethodArgs<Id>;
  }

  /** Sends one method; nothing of it is sent if it cannot be encoded or exceeds frame-max. */
  protected transmit(encode: (output: FrameOutput, channel: number) => void): void {
    if (this.closedBy !== undefined) throw this.closedBy;
    const before = this.output.offset;
    encode(this.output, this.number);
    const frameBytes = this.output.offset - before;
    if (frameBytes > this.host.frameMax) {
      this.output.offset = before;
      throw new RangeError(`a method of ${frameBytes} bytes (frame-max is ${this.host.frameMax})`);
    }
    this.output.commit();
  }

  #onMethod(method: Method): void {
    switch (method.id) {
      case MethodId.BasicAck:
      case MethodId.BasicNack:
        this.#onConfirm(
          method.id === MethodId.BasicAck,
          method.args.deliveryTag,
          method.args.multiple,
        );
        break;
      case MethodId.BasicReturn: {
        const { replyCode, replyText, exchange, routingKey } = method.args;
        this.#receiver.begin(
          new ReturnedMessage(replyCode, replyText, exchange, routingKey),
          false,
        );
        break;
      }
      case MethodId.BasicGetOk: {
        this.#fetching = this.#take(method.id);
        const { deliveryTag, redelivered, exchange, routingKey, messageCount } = method.args;
        this.#receiver.begin(
          new GetMessage(deliveryTag, redelivered, exchange, routingKey, messageCount),
          false,
        );
        break;
      }
      case MethodId.BasicCancel:
        this.#onCancel(method.args.consumerTag, method.args.nowait);
        break;
      case MethodId.ChannelFlow:
        this.#onFlow(method.args.active);
        break;
      case MethodId.ChannelClose:
        this.#onClose(method.args);
        break;
      case MethodId.BasicConsumeOk: {
        const { consumerTag } = method.args;
        const call = this.#take(method.id, consumerTag);
        this.starting.get(consumerTag)?.();
        this.starting.delete(consumerTag);
        call.resolve(method.args);
        break;
      }
      case MethodId.BasicCancelOk: {
        const call = this.#take(method.id, method.args.consumerTag);
        this.#dropConsumer(method.args.consumerTag);
        call.resolve(method.args);
        break;
      }
      case MethodId.ChannelCloseOk:
        this.#take(method.id).resolve(method.args);
        this.#onCloseOk();
        break;
      default:
        this.#take(method.id).resolve(method.args);
    }
  }

  /** The call that an answer is for; an answer nobody asked for breaks the protocol. */
  #take(id: number, consumerTag?: string): Call {
    const call = this.calls.take(id, consumerTag);
    if (call === undefined) throw unexpected(id);
    return call;
  }

  #onDeliver(delivery: Delivery): void {
    let consumer = this.#consumer;
    if (consumer === undefined || consumer.consumerTag !== delivery.consumerTag) {
      consumer = this.consumers.get(delivery.consumerTag);
      this.#consumer = consumer;
    }
    this.#receiver.begin(delivery, consumer?.borrowBody ?? false);
  }

  #onMessage(message: Incoming): void {
    if (message instanceof Delivery) {
      // A consumer that was cancelled, or a channel being closed, may still get what was under way.
      if (this.closedBy !== undefined || this.#consumer === undefined) return;
      try {
        this.#consumer.handler(message);
      } catch (error) {
        rethrowLater(error);
      }
    } else if (message instanceof ReturnedMessage) {
      this.mandatory.onReturn(message);
      this.emit("return", message);
    } else {
      this.#fetching?.resolve(message);
      this.#fetching = undefined;
    }
  }

  #onConfirm(acked: boolean, deliveryTag: number, multiple: boolean): void {
    this.ledger.settle(deliveryTag, multiple, acked);
    this.emit(acked ? "ack" : "nack", deliveryTag, multiple);
  }

  #onCancel(consumerTag: string, nowait: boolean): void {
    const consumer = this.consumers.get(consumerTag);
    if (!nowait && this.closedBy === undefined) {
      encodeBasicCancelOk(this.output, this.number, { consumerTag });
      this.output.commit();
    }
    if (consumer === undefined) return;
    this.#dropConsumer(consumerTag);
    consumer.onCancel?.();
    this.emit("cancel", consumerTag);
  }

  #dropConsumer(consumerTag: string): void {
    this.consumers.delete(consumerTag);
    this.#consumer = undefined;
  }

  #onFlow(active: boolean): void {
    this.flowActive = active;
    if (this.closedBy === undefined) {
      encodeChannelFlowOk(this.output, this.number, { active });
      this.output.commit();
    }
    this.emit("flow", active);
    if (active && !this.output.saturated) this.onDrain();
  }

  /** The broker closes the channel. If we were closing it too, our close-ok comes all the same. */
  #onClose(args: MethodArgs<typeof MethodId.ChannelClose>): void {
    encodeChannelCloseOk(this.output, this.number);
    this.output.commit();
    const { replyCode, replyText, classId, methodId } = args;
    const error = new AmqpError("channel", replyCode, replyText, classId, methodId);
    if (this.closedBy !== undefined) {
      this.calls.failAllBefore(MethodId.ChannelCloseOk, error);
      return;
    }
    this.closedBy = error;
    this.host.releaseChannel(this.number);
    this.finish(error, error);
  }

  #onCloseOk(): void {
    this.host.releaseChannel(this.number);
    this.finish(new ClosedError("channel"), undefined);
  }
}

function unexpected(id: number): ProtocolFault {
  return new ProtocolFault(ReplyCode.CommandInvalid, `unexpected method ${methodName(id)}`);
}

/** What an application's handler throws is the application's affair, not the protocol's. */
function rethrowLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}
