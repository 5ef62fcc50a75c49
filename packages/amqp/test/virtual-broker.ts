/**
 * A whole broker for the tests of this adapter: inside the test process, on a port of its own, on a
 * clock that the test turns, with a log that the test reads. Tests speak to it through
 * RawConnection, and wait for frames, for lines of the log, or for nothing at all.
 */

import assert from "node:assert/strict";
import type { Logger } from "@haremq/broker";
import { VirtualClock } from "@haremq/kernel";
import {
  addressOf,
  type BrokerAddress,
  type HandshakeOptions,
  isMethod,
  protocolHeader,
  RawConnection,
  type RawFrame,
  waitDeadlineMs,
} from "@haremq/testkit";
import { FieldTable } from "@haremq/wire";
import { type RunningBroker, startBroker } from "haremq";

export type Settings = Readonly<Record<string, string | number | boolean>>;

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly error?: Error;
}

/** Keeps every line, and lets tests wait for one. */
export class RecordedLog implements Logger {
  readonly lines: LogLine[] = [];
  #waiting: (() => void)[] = [];

  debug(message: string): void {
    this.#add("debug", message);
  }

  info(message: string): void {
    this.#add("info", message);
  }

  warn(message: string): void {
    this.#add("warn", message);
  }

  error(message: string, fields?: Readonly<Record<string, unknown>>): void {
    this.#add("error", message, fields?.error as Error | undefined);
  }

  count(pattern: RegExp): number {
    return this.lines.filter(({ message }) => pattern.test(message)).length;
  }

  /** The first line that matches, as soon as there is one. */
  async waitFor(pattern: RegExp): Promise<LogLine> {
    const deadline = Date.now() + waitDeadlineMs;
    for (;;) {
      const found = this.lines.find(({ message }) => pattern.test(message));
      if (found !== undefined) return found;
      const leftMs = deadline - Date.now();
      if (leftMs <= 0) assert.fail(`never logged ${pattern}: ${JSON.stringify(this.lines)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#waiting.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #add(level: string, message: string, error?: Error): void {
    this.lines.push({ level, message, ...(error === undefined ? {} : { error }) });
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

export class VirtualBroker {
  readonly clock: VirtualClock;
  readonly log: RecordedLog;
  readonly running: RunningBroker;
  readonly address: BrokerAddress;
  readonly #connections: RawConnection[] = [];

  private constructor(running: RunningBroker, clock: VirtualClock, log: RecordedLog) {
    this.running = running;
    this.clock = clock;
    this.log = log;
    this.address = addressOf(running.url);
  }

  static async start(
    settings: Settings = {},
    clock: VirtualClock = new VirtualClock(),
    dataDirectory?: string,
  ): Promise<VirtualBroker> {
    const logger = new RecordedLog();
    const running = await startBroker({ port: 0, clock, logger, settings, dataDirectory });
    return new VirtualBroker(running, clock, logger);
  }

  get broker() {
    return this.running.broker;
  }

  /** The virtual host that everybody uses here. */
  get vhost() {
    const vhost = this.broker.vhost("/");
    assert.ok(vhost !== undefined);
    return vhost;
  }

  /** A TCP connection on which nothing has been said. */
  async connect(): Promise<RawConnection> {
    const connection = await RawConnection.connect(this.address);
    this.#connections.push(connection);
    return connection;
  }

  /** A connection through the handshake, with channels opened. */
  async open(options: HandshakeOptions = {}, channels: readonly number[] = [1]) {
    const connection = await this.connect();
    await connection.handshake(options);
    for (const channel of channels) await connection.openChannel(channel);
    return connection;
  }

  /**
   * Lets everything that is under way between the broker and its clients arrive: a whole
   * connection's life takes longer than that.
   */
  async settle(): Promise<void> {
    const connection = await RawConnection.open(this.address);
    await connection.openChannel(1);
    await connection.close();
  }

  /** Waits until no more than these many sockets are left. */
  async connectionsLeft(count: number): Promise<void> {
    await turnsUntil(() => this.running.connectionCount <= count);
    assert.equal(this.running.connectionCount, count);
  }

  /** Lets the event loop turn a few times, so that what was sent before is read by itself. */
  async turn(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate);
  }

  /** Ends all connections that were made here. */
  async closeConnections(): Promise<void> {
    await Promise.all(this.#connections.map((connection) => connection.close()));
  }

  async stop(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    const stopped = this.running.stop();
    // Whoever has not agreed by now is a client that a failed test has left behind.
    this.clock.advance(60_000);
    await stopped;
  }
}

/** Lets the event loop turn until the condition holds, for what no event tells of. */
export async function turnsUntil(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + waitDeadlineMs;
  while (!condition() && Date.now() < deadline) await new Promise(setImmediate);
}

/** Runs the work against a broker of its own. */
export async function withBroker(
  work: (broker: VirtualBroker) => Promise<void>,
  settings: Settings = {},
): Promise<void> {
  const broker = await VirtualBroker.start(settings);
  try {
    await work(broker);
  } finally {
    await broker.stop();
  }
}

export interface StartOk {
  mechanism?: string;
  response?: Buffer | string;
  locale?: string;
  capabilities?: Readonly<Record<string, boolean>>;
}

/** Says hello and answers connection.start. */
export async function startOk(connection: RawConnection, options: StartOk = {}): Promise<void> {
  const { mechanism = "PLAIN", response = "\0guest\0guest", locale = "en_US" } = options;
  connection.sendBytes(protocolHeader);
  await connection.waitForMethod("connection.start");
  connection.send(0, "connection.start-ok", {
    clientProperties: FieldTable.from({
      capabilities: options.capabilities ?? { authentication_failure_close: true },
    }),
    mechanism,
    response: Buffer.from(response),
    locale,
  });
}

/** `504 CHANNEL_ERROR - expected 'channel.open' (50.10)`, of the connection.close that comes. */
export async function connectionClose(connection: RawConnection, from = 0): Promise<string> {
  const frame = await connection.waitFor(
    (candidate) => isMethod(candidate, "connection.close"),
    from,
  );
  return closeText(frame);
}

/** The same of a channel.close. */
export async function channelClose(connection: RawConnection, channel = 1, from = 0) {
  const frame = await connection.waitFor(
    (candidate) => candidate.channel === channel && isMethod(candidate, "channel.close"),
    from,
  );
  return closeText(frame);
}

function closeText(frame: RawFrame): string {
  const { method } = frame;
  assert.ok(method?.name === "connection.close" || method?.name === "channel.close");
  const { replyCode, replyText, classId, methodId } = method.args;
  return `${replyCode} ${replyText} (${classId}.${methodId})`;
}

/** Waits until the broker has done everything that was sent on the channel before. */
export async function roundTrip(connection: RawConnection, channel = 1): Promise<void> {
  const from = connection.frames.length;
  // Of all methods the one with the least effect.
  connection.send(channel, "channel.flow", { active: true });
  await connection.waitFor(
    (frame) => frame.channel === channel && isMethod(frame, "channel.flow-ok"),
    from,
  );
}

/** Opens a channel whose number was in use before. */
export async function reopenChannel(connection: RawConnection, channel = 1): Promise<void> {
  const from = connection.frames.length;
  connection.send(channel, "channel.open");
  await connection.waitFor(
    (frame) => frame.channel === channel && isMethod(frame, "channel.open-ok"),
    from,
  );
}

/** Waits until the connection's end has arrived. */
export async function ended(connection: RawConnection): Promise<void> {
  assert.ok(await connection.waitUntil(() => connection.ended !== undefined), "still open");
}

/** Names what has come since, content included: `basic.deliver`, `header 3`, `body abc`. */
export function trace(connection: RawConnection, from = 0, channel?: number): string[] {
  return connection.frames
    .slice(from)
    .filter((frame) => channel === undefined || frame.channel === channel)
    .map((frame) => {
      if (frame.method !== undefined) return frame.method.name;
      if (frame.header !== undefined) return `header ${frame.header.bodySize}`;
      return frame.type === 3 ? `body ${frame.payload}` : `type ${frame.type}`;
    });
}
