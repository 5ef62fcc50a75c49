/**
 * A broker for tests of durability: inside the test process, with a real data directory, which can
 * be stopped and started again. Tests speak to it as a client, and compare what it has before and
 * after.
 */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Logger, Session } from "@haremq/broker";
import { type Channel, connect, type GetMessage } from "@haremq/client";
import { type FieldTable, WireWriter } from "@haremq/wire";
import { type RunningBroker, type StartOptions, startBroker } from "haremq";

export type Settings = NonNullable<StartOptions["settings"]>;

export class DurableBroker {
  readonly directory: string;
  #settings: Settings;
  #running: RunningBroker | undefined;
  /** What it has logged as warnings and errors, over all its lives. */
  readonly complaints: string[] = [];

  private constructor(directory: string, settings: Settings) {
    this.directory = directory;
    this.#settings = settings;
  }

  /** Starts one on a new directory; the end of the test takes both away. */
  static async start(t: TestContext, settings: Settings = {}): Promise<DurableBroker> {
    const broker = new DurableBroker(scratchFolder(t), settings);
    t.after(() => broker.stop());
    await broker.start();
    return broker;
  }

  get running(): RunningBroker {
    return this.#running ?? assert.fail("the broker is stopped");
  }

  get vhost(): Session["vhost"] {
    return this.running.broker.vhost("/") ?? assert.fail("no virtual host");
  }

  async start(settings: Settings = this.#settings): Promise<void> {
    this.#settings = settings;
    this.#running = await startBroker({
      port: 0,
      dataDirectory: this.directory,
      settings,
      logger: this.#logger(),
    });
  }

  async stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.stop();
  }

  async restart(settings: Settings = this.#settings): Promise<void> {
    await this.stop();
    await this.start(settings);
  }

  /** Does the work on a channel of a connection of its own, which is closed when it is done. */
  async onChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const connection = await connect(this.running.url);
    try {
      return await work(await connection.openChannel());
    } finally {
      await connection.close();
    }
  }

  /** The same in confirm mode; whatever was published is confirmed when the work is done. */
  confirmed<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    return this.onChannel(async (channel) => {
      await channel.confirmSelect();
      const result = await work(channel);
      await channel.waitForConfirms();
      return result;
    });
  }

  /** Takes all ready messages out of a queue, acknowledged. */
  drain(queue: string): Promise<GetMessage[]> {
    return this.onChannel((channel) => drain(channel, queue));
  }

  #logger(): Logger {
    const complain = (message: string): void => {
      this.complaints.push(message);
    };
    return { debug: () => {}, info: () => {}, warn: complain, error: complain };
  }
}

export const persistent = { deliveryMode: 2 } as const;

/** A new directory that the end of the test removes. */
export function scratchFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "haremq-durable-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function drain(channel: Channel, queue: string): Promise<GetMessage[]> {
  const found: GetMessage[] = [];
  for (;;) {
    const message = await channel.basicGet(queue, { noAck: true });
    if (message === undefined) return found;
    found.push(message);
  }
}

/** `a*` for a redelivered message with the body a. */
export function marked({ body, redelivered }: GetMessage): string {
  return `${body}${redelivered ? "*" : ""}`;
}

/** Everything declared in a virtual host, one line each, with arguments as the octets they are. */
export function topologyOf(vhost: Session["vhost"]): string[] {
  const { topology } = vhost;
  const lines: string[] = [];
  for (const exchange of topology.exchanges()) {
    const { name, type, durable, autoDelete, internal } = exchange;
    const flags = JSON.stringify({ durable, autoDelete, internal });
    lines.push(`exchange ${name} ${type} ${flags} ${octets(exchange.arguments)}`);
    if (name === "") continue;
    for (const { destination, destinationKind, routingKey, ...rest } of topology.bindingsFrom(
      exchange,
    )) {
      const to = `${destinationKind} ${destination.name}`;
      lines.push(`binding ${name} -> ${to} by ${routingKey} ${octets(rest.arguments)}`);
    }
  }
  for (const queue of topology.queues()) {
    const { name, durable, autoDelete, exclusiveOwner } = queue;
    const flags = JSON.stringify({ durable, autoDelete, exclusive: exclusiveOwner !== null });
    lines.push(`queue ${name} ${flags} ${octets(queue.arguments)}`);
  }
  return lines.sort();
}

function octets(table: FieldTable): string {
  const writer = new WireWriter();
  writer.table(table);
  return writer.take().toString("hex");
}
