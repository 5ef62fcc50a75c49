/**
 * Runs cases of the fuzzer against a broker in this process, and looks after each at everything
 * that must not have happened: a broken or late message of the watchdog, a fault of ours in the
 * log, an error that nobody caught, a connection that neither answers nor ends, and anything left
 * behind.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VirtualClock } from "@haremq/kernel";
import { OutputWatch } from "../output-watch.ts";
import { turnsUntil, VirtualBroker } from "../virtual-broker.ts";
import type { FuzzCase } from "./fuzz-case.ts";
import { FuzzClient } from "./fuzz-client.ts";
import { Watchdog, watchdogQueue } from "./watchdog.ts";

/** What one output may hold at most: see output.ts, and one frame or message more. */
const outputBytesMax = 8 * 1024 * 1024 + 1024 * 1024;
/** More than any frame, so that whatever the broker still waits for is there. */
const filler = Buffer.alloc(140_000);
/** How long a login is refused without a word. */
const refusalMs = 3000;
/** A slab of the log, and what it takes to know of the records in it. */
const memoryBytesMax = 1024 * 1024 + 128 * 1024;

export class FuzzRun {
  readonly #broker: VirtualBroker;
  readonly #watchdog: Watchdog;
  readonly #dataDirectory: string | undefined;
  readonly #outputs = new OutputWatch();
  readonly #uncaught: string[] = [];
  readonly #predeclared: ReadonlySet<string>;
  #loggedLines = 0;
  readonly #onUncaught = (error: unknown): void => {
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#uncaught.push(text);
  };

  private constructor(
    broker: VirtualBroker,
    watchdog: Watchdog,
    dataDirectory: string | undefined,
  ) {
    this.#broker = broker;
    this.#dataDirectory = dataDirectory;
    this.#watchdog = watchdog;
    this.#predeclared = new Set([...broker.vhost.topology.exchanges()].map(({ name }) => name));
    process.on("uncaughtException", this.#onUncaught);
    process.on("unhandledRejection", this.#onUncaught);
  }

  /** With `isDurable` what clients declare and send may be kept on disk, in a folder of its own. */
  static async start(isDurable = false): Promise<FuzzRun> {
    const directory = isDurable ? mkdtempSync(join(tmpdir(), "haremq-fuzz-")) : undefined;
    const broker = await VirtualBroker.start({}, new VirtualClock(), directory);
    return new FuzzRun(broker, await Watchdog.start(broker.address), directory);
  }

  get watchedMessages(): number {
    return this.#watchdog.published;
  }

  /** Runs the steps of a case that are in `kept`; returns what was wrong, if anything. */
  async run(
    fuzzCase: FuzzCase,
    kept: ReadonlySet<number> | undefined,
  ): Promise<string | undefined> {
    const clients: FuzzClient[] = [];
    for (let count = 0; count < fuzzCase.connections; count++) {
      clients.push(new FuzzClient(await this.#broker.connect()));
    }
    for (const [index, step] of fuzzCase.steps.entries()) {
      if (kept !== undefined && !kept.has(index)) continue;
      clients[step.connection]!.take(step);
      if (step.kind === "turn") {
        for (const client of clients) client.flush();
        await this.#broker.turn();
      } else if (step.kind === "wait") {
        this.#broker.clock.advance(step.ms);
      }
    }
    const failure = (await this.#endAll(clients)) ?? (await this.#lookAround());
    this.#watchdog.resume();
    return failure;
  }

  async stop(): Promise<void> {
    process.off("uncaughtException", this.#onUncaught);
    process.off("unhandledRejection", this.#onUncaught);
    this.#outputs.stop();
    this.#watchdog.close();
    await this.#broker.stop();
    if (this.#dataDirectory !== undefined) rmSync(this.#dataDirectory, { recursive: true });
  }

  /** Sees every connection to its end, one way or the other. */
  async #endAll(clients: readonly FuzzClient[]): Promise<string | undefined> {
    let failure: string | undefined;
    for (const [index, client] of clients.entries()) {
      client.close();
      await this.#broker.turn();
      if (!client.isAnswered) client.sendBytes(filler);
      if (!client.isAnswered) await this.#broker.turn();
      if (!client.isAnswered) this.#broker.clock.advance(refusalMs);
      if (!(await client.answered())) failure ??= `connection ${index} neither answers nor ends`;
    }
    for (const client of clients) client.destroy();
    // Who is made to wait for a refusal is not even seen to leave before that.
    this.#broker.clock.advance(refusalMs);
    return failure;
  }

  async #lookAround(): Promise<string | undefined> {
    const { running, vhost, broker, clock } = this.#broker;
    await this.#watchdog.round();
    await this.#watchdog.rest();
    if (this.#watchdog.failure !== undefined) return `watchdog: ${this.#watchdog.failure}`;
    if (this.#uncaught.length > 0) return `uncaught: ${this.#uncaught.join("\n")}`;
    await turnsUntil(() => running.connectionCount === 1);
    if (running.connectionCount !== 1) return `${running.connectionCount - 1} connections left`;
    const fault = this.#loggedFault();
    if (fault !== undefined) return `logged: ${fault}`;
    for (const queue of [...vhost.topology.queues()]) {
      // Whatever its name: a flipped bit makes new ones.
      if (queue.name === watchdogQueue) continue;
      if (queue.exclusiveOwner !== null) return `exclusive queue ${queue.name} left`;
      if (queue.consumerCount > 0) return `${queue.consumerCount} consumers of ${queue.name} left`;
      if (queue.unsettledCount !== 0) return `${queue.unsettledCount} unsettled on ${queue.name}`;
      vhost.deleteQueue(queue);
    }
    for (const exchange of [...vhost.topology.exchanges()]) {
      if (!this.#predeclared.has(exchange.name)) vhost.deleteExchange(exchange);
    }
    const { liveMessages, usedBytes, memory } = broker.messages;
    if (liveMessages !== 0) return `${liveMessages} messages left`;
    const heldBytes = memory.received.bytes;
    if (heldBytes !== 0) return `${heldBytes} bytes held for messages under way`;
    // On disk the log has memory and timers of its own, which come and go with its segments.
    const isInMemory = this.#dataDirectory === undefined;
    const leftBytes = usedBytes - memory.output.bytes;
    if (isInMemory && leftBytes > memoryBytesMax) return `${leftBytes} bytes of memory left`;
    // The watchdog's channel looks once more whether it has settled what it was delivered.
    if (isInMemory && clock.pending > 1) return `${clock.pending} timers left`;
    if (this.#outputs.mostBytes > outputBytesMax) return `${this.#outputs.mostBytes} bytes unsent`;
    return undefined;
  }

  /** The first fault of our own that has been logged since the last look. */
  #loggedFault(): string | undefined {
    const { lines } = this.#broker.log;
    const found = lines.find(({ error }) => error !== undefined);
    lines.length = this.#loggedLines;
    return found === undefined ? undefined : `${found.message}\n${found.error?.stack}`;
  }
}
