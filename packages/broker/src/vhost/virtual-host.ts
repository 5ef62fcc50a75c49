/**
 * One virtual host: its exchanges, bindings and queues, and what happens to the rest when one of
 * them goes. It checks no permission and knows no connection: sessions do, on top of it.
 */

import type { FieldTable } from "@haremq/wire";
import { FieldTable as Table } from "@haremq/wire";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import { Topology } from "../exchange/topology.ts";
import type { MessageStore } from "../message/message-store.ts";
import { ClassicQueue } from "../queue/classic-queue.ts";
import type { Queue, QueueSpec } from "../queue/queue.ts";

const predeclared: readonly (readonly [name: string, type: string, internal: boolean])[] = [
  ["amq.direct", "direct", false],
  ["amq.fanout", "fanout", false],
  ["amq.topic", "topic", false],
  ["amq.headers", "headers", false],
  ["amq.match", "headers", false],
  ["amq.rabbitmq.trace", "topic", true],
];

export class VirtualHost {
  readonly name: string;
  readonly topology = new Topology<Queue>();
  readonly #messages: MessageStore;

  constructor(name: string, messages: MessageStore) {
    this.name = name;
    this.#messages = messages;
    for (const [exchange, type, internal] of predeclared) {
      this.topology.addExchange({
        name: exchange,
        type,
        internal,
        durable: true,
        autoDelete: false,
        arguments: new Table(),
      });
    }
  }

  exchange(name: string): Exchange | undefined {
    return this.topology.exchange(name);
  }

  queue(name: string): Queue | undefined {
    return this.topology.queue(name);
  }

  createExchange(spec: ExchangeSpec): Exchange {
    return this.topology.addExchange(spec);
  }

  deleteExchange(exchange: Exchange): void {
    this.topology.removeExchange(exchange);
  }

  createQueue(spec: QueueSpec): Queue {
    const queue = new ClassicQueue(spec, this.#messages);
    this.topology.addQueue(queue);
    return queue;
  }

  /** Removes the queue, its bindings and its messages, and cancels its consumers. */
  deleteQueue(queue: Queue): number {
    if (queue.deleted) return 0;
    // Out of the routes first, so that nothing is published to a queue that is closing.
    this.topology.removeQueue(queue);
    return queue.close();
  }

  bind(
    source: Exchange,
    destination: Exchange | Queue,
    routingKey: string,
    args: FieldTable,
  ): void {
    this.topology.bind(source, destination, routingKey, args);
  }

  unbind(
    source: Exchange,
    destination: Exchange | Queue,
    routingKey: string,
    args: FieldTable,
  ): void {
    this.topology.unbind(source, destination, routingKey, args);
  }

  /** Removes every queue; the virtual host is not used afterwards. */
  close(): void {
    for (const queue of [...this.topology.queues()]) this.deleteQueue(queue);
  }
}
