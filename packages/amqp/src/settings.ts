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
  /** How long deliveries may stay unsettled, unless consumer or queue say otherwise. */
  readonly consumerTimeoutMs: number;
  /** The largest frame that is taken before connection.tune-ok. */
  readonly initialFrameMaxBytes: number;
  /** Connections of the listener; more are refused. */
  readonly connectionMax: number;
  /** Connections that may wait to be accepted. */
  readonly backlog: number;
  /** Whether the operating system probes silent connections. */
  readonly keepAlive: boolean;
  /** Mechanisms offered, in order. */
  readonly mechanisms: readonly string[];
  readonly identity: ServerIdentity;
}

export const defaultAmqpSettings: AmqpSettings = {
  frameMaxBytes: 131_072,
  channelMax: 2047,
  heartbeatSeconds: 60,
  handshakeTimeoutMs: 10_000,
  consumerTimeoutMs: 1_800_000,
  initialFrameMaxBytes: 4096,
  connectionMax: Number.POSITIVE_INFINITY,
  backlog: 1024,
  keepAlive: false,
  mechanisms: ["PLAIN", "AMQPLAIN"],
  identity: {
    product: "HareMQ",
    version: "0.0.0",
    rabbitmqVersion: "3.13.7",
    clusterName: "haremq@localhost",
  },
};
