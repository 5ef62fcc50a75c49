/** How to reach a broker: the options an application may give. Everything has a default. */

import type { ConnectionOptions as TlsOptions } from "node:tls";
import type { Clock } from "@haremq/kernel";

export type SaslMechanism = "PLAIN" | "AMQPLAIN";

export interface ConnectOptions {
  /** Default "localhost". */
  host?: string;
  /** Default 5672, with TLS 5671. */
  port?: number;
  /** Default "guest". */
  user?: string;
  /** Default "guest". */
  password?: string;
  /** Default "/". */
  vhost?: string;
  /** Which SASL mechanism to log in with. Default PLAIN. */
  mechanism?: SaslMechanism;
  /**
   * 0 disables heartbeats; left out, the broker's suggestion is taken; otherwise the smaller wins.
   */
  heartbeatSeconds?: number;
  /**
   * The largest frame, overhead included, that this side wants; 0 or left out: the broker decides.
   */
  frameMax?: number;
  /** The highest channel number that this side wants; 0 or left out: the broker decides. */
  channelMax?: number;
  /**
   * Added to, and overriding, what the client says of itself. `connection_name` is shown to
   * operators.
   */
  clientProperties?: Readonly<Record<string, unknown>>;
  /** For the socket, TLS and the AMQP handshake together. Default 60,000. */
  connectionTimeoutMs?: number;
  /** How long a closing connection waits for the broker to close too. Default 10,000. */
  closeTimeoutMs?: number;
  /** Bytes waiting for the socket above which publishing asks the caller to wait. Default 1 MiB. */
  writeHighWaterBytes?: number;
  /**
   * A message with a larger body closes the connection. Default 512 MiB, as RabbitMQ's own limit.
   */
  maxBodyBytes?: number;
  /** TLS: true for the defaults, or options for tls.connect. An amqps:// URI implies true. */
  tls?: boolean | TlsOptions;
  /** Where time comes from; tests pass a virtual clock. */
  clock?: Clock;
}
