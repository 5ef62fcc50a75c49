/** What the AMQP listener is configured with, and RabbitMQ's defaults. */

import type { ServerIdentity } from "./server-properties.ts";

export interface AmqpSettings {
  /** The largest frame that is offered to clients. */
  readonly frameMaxBytes: number;
  /** The number of channels that a connection is offered; 0 for no limit. */
  readonly channelMax: number;
  /** The heartbeat interval that is suggested to clients; 0 for none. */
  readonly heartbeatSeconds: number;
  /** How long a client may take from the first byte to connection.open. */
  readonly handshakeTimeoutMs: number;
  /** Mechanisms offered, in order. */
  readonly mechanisms: readonly string[];
  readonly identity: ServerIdentity;
}

export const defaultAmqpSettings: AmqpSettings = {
  frameMaxBytes: 131_072,
  channelMax: 2047,
  heartbeatSeconds: 60,
  handshakeTimeoutMs: 10_000,
  mechanisms: ["PLAIN", "AMQPLAIN"],
  identity: { version: "0.0.0", rabbitmqVersion: "3.13.7", clusterName: "haremq@localhost" },
};
