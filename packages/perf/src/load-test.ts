/**
 * A load test from the first connection to the last: connects, declares, starts consumers and then
 * producers, takes a reading at every interval, and ends by time, by count, or when it is told to.
 */

import { type Channel, type Connection, type ConnectOptions, connect } from "@haremq/client";
import { Consumer } from "./consumer.ts";
import { MessageClock } from "./message-clock.ts";
import { messageSource, readBodies } from "./message-source.ts";
import { Meter, type Reading } from "./meter.ts";
import type { PerfOptions } from "./perf-options.ts";
import { Producer } from "./producer.ts";
import { ReadGate } from "./read-gate.ts";
import { Topology } from "./topology.ts";

const slowStartDelayMs = 1000;

export interface LoadTestHooks {
  /** Called at every interval with what happened in it. */
  onReading?(reading: Reading): void;
}

export interface LoadTestResult {
  readonly summary: Reading;
  readonly startedAt: Date;
  /** What the broker says it is: product and version. */
  readonly broker: string;
}

export class LoadTest {
  readonly #options: PerfOptions;
  readonly #hooks: LoadTestHooks;
  readonly #clock: MessageClock;
  readonly #topology: Topology;
  readonly #connections: Connection[] = [];
  readonly #producers: Producer[] = [];
  readonly #consumers: Consumer[] = [];
  readonly #meter: Meter;
  /** Agents with a count that they have not reached. */
  #counting = 0;
  #ending = false;
  #end!: () => void;
  #fail!: (error: Error) => void;
  readonly #ended: Promise<void>;

  constructor(options: PerfOptions, hooks: LoadTestHooks = {}) {
    this.#options = options;
    this.#hooks = hooks;
    this.#clock = new MessageClock(options.useMillis);
    this.#topology = new Topology(options);
    this.#meter = new Meter(this.#clock.unitsPerReported, performance.now());
    this.#ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // A failure may come while nobody waits for the end yet.
    this.#ended.catch(() => {});
  }

  /** Ends the test early, as an interrupt does; `run` then resolves with what there is. */
  stop(): void {
    this.#end();
  }

  async run(): Promise<LoadTestResult> {
    const timers: NodeJS.Timeout[] = [];
    try {
      const setup = await this.#connect("configuration", 0);
      await this.#topology.declareShared(setup);
      await this.#createConsumers();
      await this.#createProducers();
      const startedAt = new Date();
      this.#meter.begin(performance.now());
      const { intervalSeconds, timeLimitSeconds } = this.#options;
      timers.push(setInterval(() => this.#onInterval(), intervalSeconds * 1000));
      if (timeLimitSeconds !== undefined) {
        timers.push(setTimeout(() => this.#end(), timeLimitSeconds * 1000));
      }
      await this.#startAgents(timers);
      await this.#ended;
      const endMs = performance.now();
      if (this.#meter.unreadMs(endMs) >= intervalSeconds * 500) this.#report(endMs);
      const summary = this.#meter.summary(endMs);
      return { summary, startedAt, broker: describeBroker(setup) };
    } finally {
      this.#ending = true;
      for (const timer of timers) clearTimeout(timer);
      for (const agent of [...this.#producers, ...this.#consumers]) agent.stop();
      await this.#disconnect();
    }
  }

  async #createConsumers(): Promise<void> {
    const { consumers, consumerChannels, consumerMessages } = this.#options;
    for (let i = 0, index = 0; i < consumers; i++) {
      const connection = await this.#connect(`consumer-${i}`, i);
      const gate = new ReadGate(connection);
      for (let j = 0; j < consumerChannels; j++, index++) {
        const queues = await this.#topology.queuesOf(connection, index);
        const channel = await this.#openChannel(connection);
        const hooks = this.#agentHooks(consumerMessages);
        this.#consumers.push(
          new Consumer(gate, channel, this.#options, queues, this.#clock, this.#meter, hooks),
        );
      }
    }
  }

  async #createProducers(): Promise<void> {
    const { producers, producerChannels, producerMessages } = this.#options;
    const bodies = readBodies(this.#options);
    for (let i = 0, index = 0; i < producers; i++) {
      const connection = await this.#connect(`producer-${i}`, i);
      for (let j = 0; j < producerChannels; j++, index++) {
        const channel = await this.#openChannel(connection);
        const producer = new Producer(
          channel,
          this.#options,
          this.#topology.routingKeyOf(index),
          messageSource(this.#options, bodies, this.#clock),
          this.#clock,
          this.#meter,
          this.#agentHooks(producerMessages),
        );
        await producer.prepare();
        this.#producers.push(producer);
      }
    }
  }

  /** Consumers first, so that nothing piles up before the first of them is there. */
  async #startAgents(timers: NodeJS.Timeout[]): Promise<void> {
    const { slowStart, startDelaySecondsMax } = this.#options;
    for (const [i, consumer] of this.#consumers.entries()) {
      if (slowStart && i > 0 && (await this.#endsWithin(slowStartDelayMs, timers))) return;
      await consumer.start();
    }
    for (const producer of this.#producers) {
      const delayMs = Math.random() * startDelaySecondsMax * 1000;
      if (delayMs > 0) timers.push(setTimeout(() => producer.start(), delayMs));
      else producer.start();
    }
  }

  /** Waits, and returns whether the test came to its end meanwhile. */
  #endsWithin(delayMs: number, timers: NodeJS.Timeout[]): Promise<boolean> {
    const delay = new Promise<boolean>((resolve) => {
      timers.push(setTimeout(resolve, delayMs, false));
    });
    return Promise.race([delay, this.#ended.then(() => true)]);
  }

  /** The test ends when every agent with a count has reached it. */
  #agentHooks(count: number | undefined) {
    if (count !== undefined) this.#counting++;
    return {
      onDone: () => {
        this.#counting--;
        if (this.#counting === 0) this.#end();
      },
      onError: (error: Error) => this.#onError(error),
    };
  }

  #onInterval(): void {
    this.#report(performance.now());
    const { confirmTimeoutSeconds } = this.#options;
    const timeout = confirmTimeoutSeconds * this.#clock.unitsPerSecond;
    if (this.#producers.some((producer) => producer.unconfirmedFor > timeout)) {
      this.#onError(new Error(`no confirm within ${confirmTimeoutSeconds} s`));
    }
  }

  #report(nowMs: number): void {
    this.#hooks.onReading?.(this.#meter.read(nowMs));
  }

  #onError(error: Error): void {
    if (!this.#ending) this.#fail(error);
  }

  async #connect(name: string, index: number): Promise<Connection> {
    const { id, uris, heartbeatSeconds, frameMax } = this.#options;
    const options: ConnectOptions = {
      clientProperties: { connection_name: `${id} ${name}` },
      ...(heartbeatSeconds === undefined ? {} : { heartbeatSeconds }),
      ...(frameMax === 0 ? {} : { frameMax }),
    };
    const connection = await connect(uris[index % uris.length] as string, options);
    connection.on("error", (error) => this.#onError(error));
    this.#connections.push(connection);
    return connection;
  }

  async #openChannel(connection: Connection): Promise<Channel> {
    const channel = await connection.openChannel();
    channel.on("error", (error) => this.#onError(error));
    return channel;
  }

  async #disconnect(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#options.shutdownTimeoutSeconds * 1000);
    });
    await Promise.race([Promise.all(this.#connections.map((each) => each.close())), late]);
    clearTimeout(timer);
    for (const connection of this.#connections) connection.destroy();
  }
}

function describeBroker(connection: Connection): string {
  const { product, version } = connection.serverProperties.toObject();
  return `${product ?? "unknown"} ${version ?? ""}`.trim();
}
