/**
 * What startBroker() takes, and how it becomes a BrokerConfig. Embedders give a port and perhaps
 * some of RabbitMQ's settings; the haremq command gives a whole configuration that it has read
 * already.
 */

import type { Logger } from "@haremq/broker";
import type { Clock } from "@haremq/kernel";
import type { BrokerConfig } from "./config/broker-config.ts";
import { defaultConfig } from "./config/broker-config.ts";
import { ConfigError } from "./config/config-error.ts";
import type { LoadedConfig } from "./config/load-config.ts";
import { loadConfig } from "./config/load-config.ts";
import { version } from "./version.ts";

export interface StartOptions {
  /** The AMQP port; 0 picks a free one. Default 5672. Replaces listeners among the settings. */
  readonly port?: number | undefined;
  /**
   * The address to listen on. An embedded broker is by default only reachable from its own machine.
   */
  readonly host?: string | undefined;
  /** Where data is kept. Without it everything is gone when the broker stops. */
  readonly dataDirectory?: string | undefined;
  /**
   * RabbitMQ's configuration keys, as in rabbitmq.conf: { heartbeat: 30, loopback_users: "none" }.
   */
  readonly settings?: Readonly<Record<string, string | number | boolean>> | undefined;
  /** A configuration that is complete already; then none of the options above may be given. */
  readonly config?: BrokerConfig | undefined;
  /** Default: none, an embedded broker is silent. */
  readonly logger?: Logger | undefined;
  /** Default: the machine's. Tests pass a virtual one and turn its hands. */
  readonly clock?: Clock | undefined;
}

const optionNames: ReadonlySet<string> = new Set([
  ..."port host dataDirectory settings config logger clock".split(" "),
]);

/** Throws ConfigError for options that cannot be. */
export function resolveOptions(options: StartOptions): LoadedConfig {
  const unknown = Object.keys(options).find((name) => !optionNames.has(name));
  if (unknown !== undefined) throw new ConfigError(`startBroker has no option "${unknown}"`);
  const { port, host, dataDirectory, settings, config } = options;
  if (config !== undefined) {
    if (port !== undefined || host !== undefined || dataDirectory !== undefined || settings) {
      throw new ConfigError("startBroker takes either a config or single options, not both");
    }
    return { config, inertKeys: [], warnings: [] };
  }
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65535)) {
    throw new ConfigError(`the port ${port} is not a whole number from 0 to 65535`);
  }
  const pairs = Object.entries(settings ?? {}).map(([key, value]) => [key, String(value)] as const);
  const loaded = loadConfig(pairs, version);
  const hasListeners = pairs.some(([key]) => /^listeners\.tcp(\.|$)/.test(key.trim()));
  const keepsListeners = hasListeners && port === undefined && host === undefined;
  const defaultPort = defaultConfig(version).listeners[0]?.port ?? 0;
  return {
    ...loaded,
    config: {
      ...loaded.config,
      dataDirectory,
      listeners: keepsListeners
        ? loaded.config.listeners
        : [{ host: host ?? "127.0.0.1", port: port ?? defaultPort }],
    },
  };
}
