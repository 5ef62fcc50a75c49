/**
 * Accepts AMQP 0-9-1 connections on one address. The composition root starts and stops it.
 */

import { createServer, type Server } from "node:net";
import type { Broker } from "@haremq/broker";
import { AmqpConnection } from "./amqp-connection.ts";
import type { ConnectionContext } from "./connection-context.ts";
import { FlushQueue } from "./flush-queue.ts";
import { ChunkPool } from "./output.ts";
import type { AmqpSettings } from "./settings.ts";

export interface ListenAddress {
  /** undefined: every interface. */
  readonly host: string | undefined;
  /** 0 for any free port. */
  readonly port: number;
}

export class AmqpListener {
  readonly #broker: Broker;
  readonly #settings: AmqpSettings;
  readonly #server: Server;
  readonly #connections = new Set<AmqpConnection>();

  constructor(broker: Broker, settings: AmqpSettings) {
    this.#broker = broker;
    this.#settings = settings;
    const context: ConnectionContext = {
      broker,
      settings,
      pool: new ChunkPool(broker.messages.memory.output),
      flushQueue: new FlushQueue(),
      onClosed: (connection) => this.#connections.delete(connection),
    };
    const { keepAlive } = settings;
    this.#server = createServer({ noDelay: true, keepAlive }, (socket) => {
      if (this.#connections.size >= settings.connectionMax) {
        broker.log.warn(`refused a connection: ${settings.connectionMax} are open, the limit`);
        socket.destroy();
        return;
      }
      this.#connections.add(new AmqpConnection(socket, context));
    });
  }

  /** Begins to listen; resolves to the port, and rejects if the address is not to be had. */
  listen(address: ListenAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      const { host, port } = address;
      const { backlog } = this.#settings;
      this.#server.listen({ ...(host === undefined ? {} : { host }), port, backlog }, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => {
          this.#broker.log.error("error on the AMQP listener", { error });
        });
        const bound = this.#server.address();
        resolve(typeof bound === "object" && bound !== null ? bound.port : port);
      });
    });
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  /**
   * Accepts nobody any more, asks every client to close, and resolves when all are gone. Clients
   * that have not answered after `graceMs` are cut off: by the broker's clock or, should that one
   * be a test's and stand still, by the machine's.
   */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    const cutOff = (): void => {
      for (const connection of this.#connections) connection.destroy();
    };
    const timer = this.#broker.clock.schedule(graceMs, cutOff);
    const lastTimer = setTimeout(cutOff, graceMs);
    await Promise.all([...this.#connections].map((connection) => connection.shutDown()));
    timer.cancel();
    clearTimeout(lastTimer);
    await closed;
  }
}
