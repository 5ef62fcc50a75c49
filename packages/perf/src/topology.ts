/**
 * The exchange, queues and bindings of a load test, and who uses which: PerfTest's rules.
 *
 * - Queues of a pattern are declared once, are bound with their own name, and are given to
 *   producers and consumers in turn.
 * - Named queues are shared by all consumers. Without a name each consumer declares one of its own,
 *   so that each gets a copy of every message.
 * - Exclusive queues are declared on the connections that consume from them.
 */

import { randomUUID } from "node:crypto";
import { AmqpError, type Channel, type Connection } from "@haremq/client";
import type { PerfOptions } from "./perf-options.ts";

const notFound = 404;

export class Topology {
  readonly #options: PerfOptions;
  readonly #sharedKey: string;

  constructor(options: PerfOptions) {
    this.#options = options;
    this.#sharedKey = options.routingKey ?? randomUUID();
  }

  /** What does not belong to a single consumer. */
  async declareShared(connection: Connection): Promise<void> {
    await this.#declareExchange(connection);
    const { exclusive, queues, queuePattern, consumers } = this.#options;
    if (exclusive || queues.length === 0) return;
    if (queuePattern || consumers === 0) await this.#declareQueues(connection, queues, 0);
  }

  /** The queues of the consumer channel with that index, declared if they are its own. */
  async queuesOf(connection: Connection, index: number): Promise<readonly string[]> {
    const { queues, queuePattern, exclusive } = this.#options;
    if (!queuePattern) return this.#declareQueues(connection, queues, index);
    const own = [queues[index % queues.length] as string];
    return exclusive ? this.#declareQueues(connection, own, index) : own;
  }

  /** Where the producer channel with that index sends. */
  routingKeyOf(index: number): string {
    const { queues, queuePattern, exchange, routingKey } = this.#options;
    if (queuePattern) return queues[index % queues.length] as string;
    // The default exchange routes by queue name, to which a random key is no match.
    if (exchange === "" && routingKey === undefined && queues.length > 0) {
      return queues[index % queues.length] as string;
    }
    return this.#sharedKey;
  }

  async #declareExchange(connection: Connection): Promise<void> {
    const { exchange, exchangeType, predeclared } = this.#options;
    if (exchange === "") return;
    const exists = (channel: Channel): Promise<unknown> =>
      channel.exchangeDeclare(exchange, exchangeType, { passive: true });
    // The broker has these, and nobody may declare what begins with amq.
    if (exchange.startsWith("amq.") || (predeclared && (await found(connection, exists)))) return;
    const channel = await connection.openChannel();
    await channel.exchangeDeclare(exchange, exchangeType);
    await channel.close();
  }

  async #declareQueues(
    connection: Connection,
    queues: readonly string[],
    index: number,
  ): Promise<readonly string[]> {
    const { predeclared } = this.#options;
    const wanted = queues.length === 0 && !predeclared ? [""] : queues;
    const channel = await connection.openChannel();
    const names = await Promise.all(
      wanted.map((queue) => this.#declareQueue(connection, channel, queue, index)),
    );
    await channel.close();
    return names;
  }

  async #declareQueue(
    connection: Connection,
    channel: Channel,
    wanted: string,
    index: number,
  ): Promise<string> {
    const { predeclared, persistent, exclusive, autoDelete, queueArguments } = this.#options;
    const { exchange, bindQueues, queuePattern } = this.#options;
    let queue = wanted;
    const exists = (probe: Channel): Promise<unknown> =>
      probe.queueDeclare(wanted, { passive: true });
    if (!predeclared || wanted === "" || !(await found(connection, exists))) {
      const declared = await channel.queueDeclare(wanted, {
        durable: persistent,
        exclusive,
        autoDelete,
        arguments: queueArguments,
      });
      queue = declared.queue;
    }
    if (bindQueues && exchange !== "") {
      await channel.queueBind(queue, exchange, queuePattern ? wanted : this.routingKeyOf(index));
    }
    return queue;
  }
}

/** Whether a passive declaration succeeds; its failure costs a channel. */
async function found(
  connection: Connection,
  declare: (channel: Channel) => Promise<unknown>,
): Promise<boolean> {
  const channel = await connection.openChannel();
  try {
    await declare(channel);
    await channel.close();
    return true;
  } catch (error) {
    if (error instanceof AmqpError && error.replyCode === notFound) return false;
    throw error;
  }
}
