/** What all connections of a listener share. The listener makes it, connections use it. */

import type { Broker } from "@haremq/broker";
import type { AmqpConnection } from "./amqp-connection.ts";
import type { FlushQueue } from "./flush-queue.ts";
import type { ChunkPool } from "./output.ts";
import type { AmqpSettings } from "./settings.ts";

export interface ConnectionContext {
  readonly broker: Broker;
  readonly settings: AmqpSettings;
  readonly pool: ChunkPool;
  readonly flushQueue: FlushQueue;
  /** The connection has ended, for whatever reason. */
  onClosed(connection: AmqpConnection): void;
}
