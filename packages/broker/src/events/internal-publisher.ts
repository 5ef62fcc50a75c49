/**
 * Publishes what the broker itself has to say, about events, its log and traced messages, to
 * exchanges that clients may bind queues to.
 *
 * Such a message may come up anywhere: while another is being routed, or delivered, or a queue is
 * being deleted. So it is published when all that is done, before the event loop goes on. What
 * waits until then has a limit, beyond which messages are dropped: nobody is confirmed anything.
 */

import type { Clock } from "@haremq/kernel";
import { RecordKind } from "@haremq/store";
import { encodeProperties, type Properties, WireWriter } from "@haremq/wire";
import { type MessageStore, propertiesBytesMax } from "../message/message-store.ts";
import { MessageView, persistentMode, unstored } from "../message/message-view.ts";
import { distribute, tellArrival } from "../queue/distribute.ts";
import type { VirtualHost } from "../vhost/virtual-host.ts";
import type { Logger } from "./logger.ts";

export interface InternalMessage {
  readonly vhost: VirtualHost;
  /** One that does not exist takes nothing. */
  readonly exchange: string;
  readonly routingKey: string;
  readonly properties: Properties;
  readonly body: Uint8Array;
}

const waitingBytesMax = 64 * 1024 * 1024;
/** What a message without a body takes, about. */
const messageBytes = 1024;

export class InternalPublisher {
  readonly #messages: MessageStore;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #writer = new WireWriter(1024);
  readonly #view = new MessageView();
  #waiting: InternalMessage[] = [];
  #waitingBytes = 0;
  #dropped = 0;
  #isPublishing = false;

  constructor(messages: MessageStore, clock: Clock, log: Logger) {
    this.#messages = messages;
    this.#clock = clock;
    this.#log = log;
  }

  /** True while messages are being published, so that what is said about that is no message. */
  get isPublishing(): boolean {
    return this.#isPublishing;
  }

  /** Takes a message whose body nobody changes any more. */
  publish(message: InternalMessage): void {
    if (this.#waitingBytes > waitingBytesMax) {
      this.#dropped++;
      return;
    }
    if (this.#waiting.length === 0) queueMicrotask(() => this.#publishAll());
    this.#waiting.push(message);
    this.#waitingBytes += messageBytes + message.body.length;
  }

  #publishAll(): void {
    const messages = this.#waiting;
    const dropped = this.#dropped;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#dropped = 0;
    this.#messages.nowMs = this.#clock.wallMs();
    this.#isPublishing = true;
    for (const message of messages) {
      try {
        this.#publishNow(message);
      } catch (error) {
        this.#log.error(`cannot publish to exchange '${message.exchange}'`, { error });
      }
    }
    if (dropped > 0) this.#log.warn(`dropped ${dropped} messages of the broker's own: too many`);
    this.#isPublishing = false;
  }

  #publishNow({ vhost, exchange: name, routingKey, properties, body }: InternalMessage): void {
    const exchange = vhost.exchange(name);
    if (exchange === undefined) return;
    const view = this.#view;
    const writer = this.#writer;
    writer.shortString(name);
    writer.shortString(routingKey);
    view.address = writer.take();
    view.addressLength = view.address.length;
    encodeProperties(writer, properties);
    view.properties = writer.take();
    view.propertiesLength = view.properties.length;
    if (view.propertiesLength > propertiesBytesMax) return;
    view.body = Buffer.from(body.buffer, body.byteOffset, body.length);
    view.bodyLength = body.length;
    view.isPersistent = properties.deliveryMode === persistentMode;
    view.handle = unstored;
    const message = { routingKeys: [routingKey], headers: properties.headers, view };
    const { queues, keepers, receipts, isRouted } = vhost.topology.pass(exchange, message);
    const { Message } = RecordKind;
    const outcome = distribute(this.#messages, queues, view, vhost.confirmLevel, Message, keepers);
    if (isRouted) tellArrival(receipts, outcome);
  }
}
