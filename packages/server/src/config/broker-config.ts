/**
 * Everything about one broker that can be configured, parsed, checked and typed. It is made once,
 * at the edge (load-config.ts), handed to startBroker, and never changes or is read from anywhere
 * global, so that two brokers in a process can differ. Numbers without limit are Infinity. The
 * names of RabbitMQ's keys stand at each field.
 */

import type { ListenerAddress } from "./listener-address.ts";

export interface BrokerConfig {
  /** listeners.tcp.NAME, --port, --host. Empty for `listeners.tcp = none`. */
  readonly listeners: readonly ListenerAddress[];
  /** --data-dir. undefined: nothing is kept on disk. */
  readonly dataDirectory: string | undefined;
  readonly connection: ConnectionConfig;
  readonly access: AccessConfig;
  readonly memory: MemoryConfig;
  readonly disk: DiskConfig;
  readonly identity: IdentityConfig;
  readonly log: LogConfig;
  /** max_message_size */
  readonly maxMessageSizeBytes: number;
  /** event_exchange.vhost: the virtual host that has amq.rabbitmq.event; undefined for none. */
  readonly eventVhost: string | undefined;
}

export interface ConnectionConfig {
  /** heartbeat: what we suggest in connection.tune; 0 for none. */
  readonly heartbeatSeconds: number;
  /** frame_max: what we suggest in connection.tune; 0 for no limit. */
  readonly frameMaxBytes: number;
  /** initial_frame_max: the largest frame taken before connection.tune-ok. */
  readonly initialFrameMaxBytes: number;
  /** channel_max: what we suggest in connection.tune; 0 for no limit but the protocol's, 65535. */
  readonly channelMax: number;
  /** handshake_timeout: from the accepted socket to connection.open. */
  readonly handshakeTimeoutMs: number;
  /** consumer_timeout: how long a delivery may stay unsettled. */
  readonly consumerTimeoutMs: number;
  /** consumer_max_per_channel */
  readonly consumerMaxPerChannel: number;
  /** connection_max: per node */
  readonly connectionMax: number;
  /** tcp_listen_options.backlog */
  readonly backlog: number;
  /** tcp_listen_options.keepalive */
  readonly keepAlive: boolean;
}

export interface AccessConfig {
  /** default_user, default_pass, default_vhost: what a broker without data begins with. */
  readonly defaultUser: string;
  readonly defaultPassword: string;
  readonly defaultVhost: string;
  /** default_user_tags.TAG */
  readonly defaultUserTags: readonly string[];
  /** default_permissions.configure|write|read */
  readonly defaultPermissions: {
    readonly configure: string;
    readonly write: string;
    readonly read: string;
  };
  /** loopback_users.NAME: those who may only connect from this machine. */
  readonly loopbackUsers: readonly string[];
  /** auth_mechanisms.N, in the order in which connection.start offers them. */
  readonly mechanisms: readonly AuthMechanism[];
}

export type AuthMechanism = "PLAIN" | "AMQPLAIN";

export interface MemoryConfig {
  /**
   * vm_memory_high_watermark.relative or .absolute: publishers wait while more is in use. See
   * memory-limit.ts.
   */
  readonly highWatermark: { readonly relative: number } | { readonly absoluteBytes: number };
  /** vm_memory_high_watermark_paging_ratio: above this share of it messages leave memory. */
  readonly pagingRatio: number;
  /** haremq.message_memory_max: above so much they leave memory in any case. */
  readonly messageBytesMax: number;
  /** total_memory_available_override_value; undefined: what the machine or the container has. */
  readonly totalBytes: number | undefined;
}

export interface DiskConfig {
  /** disk_free_limit.absolute, or .relative to the memory there is: publishers wait below it. */
  readonly freeLimit: { readonly relative: number } | { readonly absoluteBytes: number };
  /** haremq.confirm: what a publisher confirm stands for, see docs/durability.md. */
  readonly confirmLevel: "disk" | "os";
}

/** What connection.start says about us. */
export interface IdentityConfig {
  /** product.name, product.version */
  readonly product: string;
  readonly version: string;
  /** haremq.rabbitmq_version: the RabbitMQ we claim to be where a client decides by its version. */
  readonly rabbitmqVersion: string;
  /** cluster_name; undefined: rabbit@ and the host's name. */
  readonly clusterName: string | undefined;
}

export interface LogConfig {
  /** log.console */
  readonly console: boolean;
  /** log.console.level, log.default.level, log.level, --log-level */
  readonly level: LogLevel;
  /** log.console.formatter */
  readonly format: "plaintext" | "json";
  /** log.console.stdio */
  readonly stream: "stdout" | "stderr";
  /** log.exchange.*: whether, and from which level on, it goes to amq.rabbitmq.log too. */
  readonly exchange: {
    readonly isOn: boolean;
    /** undefined: that of the console. */
    readonly level: LogLevel | undefined;
    readonly format: "plaintext" | "json";
  };
}

export type LogLevel = "debug" | "info" | "warn" | "error" | "none";

/** What a broker has that nobody configured: RabbitMQ's own defaults, where it has them. */
export function defaultConfig(version: string): BrokerConfig {
  return {
    // Loopback until somebody configures a listener.
    listeners: [{ host: "localhost", port: 5672 }],
    dataDirectory: undefined,
    connection: {
      heartbeatSeconds: 60,
      frameMaxBytes: 131072,
      initialFrameMaxBytes: 4096,
      channelMax: 2047,
      handshakeTimeoutMs: 10_000,
      consumerTimeoutMs: 1_800_000,
      consumerMaxPerChannel: 65_536,
      connectionMax: Number.POSITIVE_INFINITY,
      backlog: 1024,
      keepAlive: false,
    },
    access: {
      defaultUser: "guest",
      defaultPassword: "guest",
      defaultVhost: "/",
      defaultUserTags: ["administrator"],
      defaultPermissions: { configure: ".*", write: ".*", read: ".*" },
      loopbackUsers: ["guest"],
      mechanisms: ["PLAIN", "AMQPLAIN"],
    },
    memory: {
      highWatermark: { relative: 0.4 },
      pagingRatio: 0.5,
      // More does not make anything faster.
      messageBytesMax: 134_217_728,
      totalBytes: undefined,
    },
    disk: { freeLimit: { absoluteBytes: 50_000_000 }, confirmLevel: "disk" },
    identity: {
      product: "HareMQ",
      version,
      rabbitmqVersion: "3.13.7",
      clusterName: undefined,
    },
    log: {
      console: true,
      level: "info",
      format: "plaintext",
      stream: "stdout",
      exchange: { isOn: false, level: undefined, format: "plaintext" },
    },
    // RabbitMQ 3.x's: 4.x takes 16 MiB, and would refuse what worked before.
    maxMessageSizeBytes: 134_217_728,
    eventVhost: undefined,
  };
}
