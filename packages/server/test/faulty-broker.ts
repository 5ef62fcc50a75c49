/**
 * A whole broker on a disk that fails when a test says so: real sockets and clients, a virtual
 * clock, and the disk, metadata included, in memory. It can be killed, and the power can be cut.
 */

import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { AmqpListener, defaultAmqpSettings } from "@haremq/amqp";
import {
  Broker,
  BrokerData,
  type ConfirmLevel,
  InternalDatabase,
  silentLogger,
  type VirtualHost,
  type VirtualHostSettings,
} from "@haremq/broker";
import { type Channel, type Connection, connect } from "@haremq/client";
import { SeededRandom, VirtualClock } from "@haremq/kernel";
import { type DiskScheduler, FaultyDisk, PromptScheduler } from "@haremq/store";
import { SimulatedMetadata } from "../simulate/simulated-metadata.ts";

export interface FaultyBrokerOptions {
  readonly capacityBytes?: number;
  readonly diskFreeBytesMin?: number;
  readonly segmentBytes?: number;
  readonly memoryBytes?: number;
  readonly memoryBytesMax?: number;
  readonly scheduler?: DiskScheduler;
  readonly confirm?: ConfirmLevel;
}

const dataDirectory = "/data";
/** How often the broker looks at free space, and more than it waits to try a failed write again. */
export const checkMs = 5000;

export class FaultyBroker {
  readonly #options: FaultyBrokerOptions;
  readonly #random = new SeededRandom(1);
  disk: FaultyDisk;
  metadata: SimulatedMetadata;
  clock = new VirtualClock();
  #broker: Broker | undefined;
  #users: InternalDatabase | undefined;
  #listener: AmqpListener | undefined;
  #port = 0;
  #connections: Connection[] = [];

  private constructor(options: FaultyBrokerOptions) {
    this.#options = options;
    const random = this.#random;
    const { capacityBytes, scheduler = new PromptScheduler() } = options;
    this.disk = new FaultyDisk({ random, scheduler, ...(capacityBytes && { capacityBytes }) });
    this.metadata = new SimulatedMetadata({ random, scheduler: new PromptScheduler() });
  }

  static async start(t: TestContext, options: FaultyBrokerOptions = {}): Promise<FaultyBroker> {
    const broker = new FaultyBroker(options);
    t.after(() => broker.#end());
    // Whoever makes the data directory makes it safe, too.
    await broker.disk.makeDirectory(dataDirectory);
    await broker.disk.syncDirectory("/");
    await broker.#start();
    return broker;
  }

  get broker(): Broker {
    return this.#broker ?? assert.fail("no broker");
  }

  async #start(): Promise<void> {
    const { segmentBytes = 64 * 1024, memoryBytes = 2 ** 30, diskFreeBytesMin = 0 } = this.#options;
    const { memoryBytesMax = Number.POSITIVE_INFINITY, confirm } = this.#options;
    const random = this.#random;
    const data = await BrokerData.open({
      disk: this.disk,
      metadata: this.metadata,
      directory: dataDirectory,
      clock: this.clock,
      memoryBytes,
      logSizes: { segmentBytes, transientSegmentBytes: 4096, roundBytes: segmentBytes },
      log: silentLogger,
    });
    const users = new InternalDatabase([], random);
    await users.addUser("guest", "guest", []);
    this.#users = users;
    this.#broker = new Broker({
      clock: this.clock,
      random,
      authenticator: users,
      authorizer: users,
      limits: {
        messageBytesMax: 2 ** 27,
        channelConsumersMax: 0,
        memoryBytesMax,
        diskFreeBytesMin,
      },
      log: silentLogger,
      data,
      confirm,
    });
    await this.#broker.ready();
    await this.#broker.createVhost("/");
    for (const { name } of this.#broker.vhosts()) await this.#admit(name);
    this.#listener = new AmqpListener(this.#broker, {
      ...defaultAmqpSettings,
      heartbeatSeconds: 0,
    });
    this.#port = await this.#listener.listen({ host: "127.0.0.1", port: 0 });
  }

  #admit(vhost: string): Promise<void> {
    return this.#users!.setPermissions("guest", vhost, {
      configure: ".*",
      write: ".*",
      read: ".*",
    });
  }

  async addVhost(name: string, settings: VirtualHostSettings): Promise<VirtualHost> {
    const vhost = await this.broker.createVhost(name, settings);
    await this.#admit(name);
    return vhost;
  }

  async connect(vhost = "/"): Promise<Connection> {
    const connection = await connect({ host: "127.0.0.1", port: this.#port, vhost });
    connection.on("error", () => {});
    this.#connections.push(connection);
    return connection;
  }

  /** A channel of a connection of its own. */
  async open(vhost = "/"): Promise<Channel> {
    const channel = await (await this.connect(vhost)).openChannel();
    channel.on("error", () => {});
    return channel;
  }

  /** Lets time pass, and everything happen that can then. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
  }

  /** Lets time pass until the promise is settled. */
  async passUntil<T>(promise: Promise<T>): Promise<T> {
    let isSettled = false;
    const settle = (): void => {
      isSettled = true;
    };
    promise.then(settle, settle);
    await this.#passWhile(() => !isSettled);
    return promise;
  }

  /** Lets time pass until publishers have to wait. Those are told who still publish after that. */
  passUntilAlarm(): Promise<void> {
    return this.#passWhile(() => this.broker.alarms.active.size === 0);
  }

  /** Time is what the clock of the broker says: however slow the machine, an hour is plenty. */
  async #passWhile(isWaiting: () => boolean): Promise<void> {
    const endMs = this.clock.nowMs() + 3_600_000;
    while (isWaiting()) {
      if (this.clock.nowMs() > endMs) throw new Error("the broker's hour has passed in vain");
      await this.pass(100);
    }
  }

  /** The end of the process, or of the power, and a start on what is left. */
  async crash(powerLoss: boolean): Promise<void> {
    this.disk = this.disk.crash({ powerLoss });
    this.metadata = await this.metadata.crash();
    // Nothing of the old process ever gets an answer from its disk again, so nobody waits for it.
    void this.#end();
    this.clock = new VirtualClock(this.clock.wallMs());
    await this.#start();
  }

  async #end(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    this.#connections = [];
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.close(0);
  }
}

/** The next time that the broker tells a connection to wait, and why. */
export function blocked(connection: Connection): Promise<string> {
  return new Promise((resolve) => connection.once("blocked", resolve));
}

export function unblocked(connection: Connection): Promise<void> {
  return new Promise((resolve) => connection.once("unblocked", resolve));
}

/** What is confirmed of so many messages, which are published at once. */
export class PublishedMessages {
  readonly bodies: readonly string[];
  readonly confirmed = new Set<string>();
  readonly allConfirmed: Promise<unknown>;

  constructor(channel: Channel, queue: string, count: number, bytes: number) {
    this.bodies = Array.from({ length: count }, (_, n) => String(n).padEnd(bytes, "."));
    const publish = async (body: string): Promise<void> => {
      await channel.publish("", queue, body, { deliveryMode: 2 });
      this.confirmed.add(body);
    };
    this.allConfirmed = Promise.all(this.bodies.map(publish));
    this.allConfirmed.catch(() => {});
  }
}
