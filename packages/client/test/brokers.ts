/**
 * The brokers that the client's integration tests talk to. Without configuration that is HareMQ,
 * started inside the test process; HAREMQ_TEST_URL names another one instead, and HAREMQ_ORACLE one
 * or several (with commas in between) that the same tests run against in addition.
 *
 * A test gets a Bench: connections that are closed in the end, and names of its own that are
 * deleted.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import type { EventEmitter } from "node:events";
import { after, before, describe } from "node:test";
import { type Channel, type Connection, type ConnectOptions, connect } from "@haremq/client";

/** Far above what a working broker needs: it tells "works" from "never happens". */
const deadlineMs = 20_000;
const run = randomUUID().slice(0, 8);
let named = 0;

interface RunningBroker {
  readonly url: string;
  stop(): Promise<void>;
}

export interface BrokerTests {
  /** A test body that is given a bench, which is cleared whatever happens. */
  scenario(body: (bench: Bench) => Promise<void>): () => Promise<void>;
}

/** Registers the same tests for every broker there is. */
export function onEveryBroker(suite: string, register: (tests: BrokerTests) => void): void {
  const external = process.env.HAREMQ_TEST_URL || undefined;
  const oracles = (process.env.HAREMQ_ORACLE ?? "").split(",").filter((url) => url !== "");
  describe(`${suite} on ${external ?? "HareMQ"}`, () => onBroker(external, register));
  for (const url of oracles) describe(`${suite} on ${url}`, () => onBroker(url, register));
}

function onBroker(url: string | undefined, register: (tests: BrokerTests) => void): void {
  let broker: RunningBroker | undefined;
  before(async () => {
    broker = await start(url);
  });
  after(() => broker?.stop());
  register({
    scenario: (body) => async () => {
      const bench = new Bench((broker as RunningBroker).url);
      try {
        await inTime(body(bench));
      } finally {
        await inTime(bench.clear());
      }
    },
  });
}

async function inTime(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done in ${deadlineMs} ms`)), deadlineMs);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function start(url: string | undefined): Promise<RunningBroker> {
  if (url !== undefined) return { url, stop: async () => {} };
  const { startBroker } = await import("haremq");
  return startBroker({ port: 0 });
}

export class Bench {
  readonly url: string;
  readonly #connections: Connection[] = [];
  readonly #queues: string[] = [];
  readonly #exchanges: string[] = [];

  constructor(url: string) {
    this.url = url;
  }

  async connect(options: ConnectOptions = {}): Promise<Connection> {
    const connection = await connect(this.url, options);
    this.#connections.push(connection);
    return connection;
  }

  async channel(options: ConnectOptions = {}): Promise<Channel> {
    return (await this.connect(options)).openChannel();
  }

  queueName(): string {
    const name = `haremq-client-test.${run}.q${named++}`;
    this.#queues.push(name);
    return name;
  }

  exchangeName(): string {
    const name = `haremq-client-test.${run}.x${named++}`;
    this.#exchanges.push(name);
    return name;
  }

  /** A new queue of that test's own. */
  async queue(channel: Channel, args: Record<string, unknown> = {}): Promise<string> {
    return (await channel.queueDeclare(this.queueName(), { arguments: args })).queue;
  }

  async clear(): Promise<void> {
    for (const connection of this.#connections) await connection.close();
    const connection = await connect(this.url);
    const channel = await connection.openChannel();
    for (const queue of this.#queues) await channel.queueDelete(queue);
    for (const exchange of this.#exchanges) await channel.exchangeDelete(exchange);
    await connection.close();
  }
}

/** The first `count` deliveries of a consumer, and a handler to give to it. */
export function collector<T>(count: number): { handler: (item: T) => void; all: Promise<T[]> } {
  const items: T[] = [];
  let resolve!: (items: T[]) => void;
  const all = new Promise<T[]>((onResolve) => {
    resolve = onResolve;
  });
  const handler = (item: T): void => {
    items.push(item);
    if (items.length === count) resolve(items);
    if (items.length > count) assert.fail(`more than ${count} items came`);
  };
  return { handler, all };
}

/** The first argument of the next event of that name. */
export function next<T>(emitter: Connection | Channel, name: string): Promise<T> {
  // Not events.once, which rejects when `error` is emitted before the event it waits for.
  return new Promise((resolve) => (emitter as EventEmitter).once(name, resolve));
}
