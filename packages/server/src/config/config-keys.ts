/**
 * The settings that have an effect: for every key what values it takes and where they go. Used by
 * load-config.ts only. A new setting is one row here and one field in broker-config.ts.
 *
 * The rows write into a draft. What is spread over many keys (listeners, users, mechanisms) is
 * gathered there by name, because the first of them replaces the default as a whole, as in
 * RabbitMQ; finishDraft() puts it together.
 */

import type { BrokerConfig, LogLevel } from "./broker-config.ts";
import { ConfigError } from "./config-error.ts";
import type { ListenerAddress } from "./listener-address.ts";
import { parseListenerAddress } from "./listener-address.ts";
import type { ValueParser } from "./value-parsers.ts";
import {
  boolean,
  integer,
  integerOrInfinity,
  nonEmptyText,
  oneOf,
  ratio,
  size,
  text,
} from "./value-parsers.ts";

type Writable<T> = T extends readonly unknown[] | string | number | boolean | undefined
  ? T
  : { -readonly [Key in keyof T]: Writable<T[Key]> };

export interface Draft {
  readonly config: Writable<BrokerConfig>;
  /** Each undefined until a key of its kind is set; null for "none". */
  listeners: Map<string, ListenerAddress> | null | undefined;
  loopbackUsers: Map<string, boolean> | null | undefined;
  userTags: Map<string, boolean> | undefined;
  mechanisms: Map<string, string> | undefined;
  relativeWatermark: number | undefined;
  absoluteWatermarkBytes: number | undefined;
  readonly logLevels: Map<string, LogLevel>;
  /** For the log: settings that were understood and cannot be followed. */
  readonly warnings: string[];
}

export interface ConfigKey {
  /** As in setting-key.ts. */
  readonly pattern: string;
  /**
   * `name` is the word that the pattern's star stands for. Throws ConfigError, without naming the
   * key.
   */
  readonly apply: (draft: Draft, value: string, name: string) => void;
}

function key<T>(
  pattern: string,
  parse: ValueParser<T>,
  assign: (draft: Draft, value: T, name: string) => void,
): ConfigKey {
  return { pattern, apply: (draft, value, name) => assign(draft, parse(value), name) };
}

/** Numbers up to this fit every field of the protocol and every timer. */
const int31 = 2 ** 31 - 1;

const logLevel: ValueParser<LogLevel> = (value) => {
  const word = oneOf(
    ...(["debug", "info", "notice", "warning", "warn"] as const),
    ...(["error", "critical", "alert", "emergency", "none"] as const),
  )(value);
  if (word === "notice" || word === "warning") return "warn";
  // We have nothing worse than an error, and someone who asks for the worst only does not want
  // silence.
  return word === "critical" || word === "alert" || word === "emergency" ? "error" : word;
};

const listenerKeys: readonly ConfigKey[] = [
  key("listeners.tcp", oneOf("none"), (draft) => {
    draft.listeners = null;
  }),
  key("listeners.tcp.*", parseListenerAddress, (draft, address, name) => {
    draft.listeners ??= new Map();
    draft.listeners.set(name, address);
  }),
  key("tcp_listen_options.backlog", integer(1, 65535), ({ config }, value) => {
    config.connection.backlog = value;
  }),
  key("tcp_listen_options.keepalive", boolean, ({ config }, value) => {
    config.connection.keepAlive = value;
  }),
];

const connectionKeys: readonly ConfigKey[] = [
  key("heartbeat", integer(0, 65535), ({ config }, value) => {
    config.connection.heartbeatSeconds = value;
  }),
  key("frame_max", frameSize, ({ config }, value) => {
    config.connection.frameMaxBytes = value;
  }),
  key("initial_frame_max", size(4096, int31), ({ config }, value) => {
    config.connection.initialFrameMaxBytes = value;
  }),
  key("channel_max", integer(0, 65535), ({ config }, value) => {
    config.connection.channelMax = value;
  }),
  key("handshake_timeout", integer(1, int31), ({ config }, value) => {
    config.connection.handshakeTimeoutMs = value;
  }),
  key("consumer_timeout", consumerTimeout, ({ config }, value) => {
    config.connection.consumerTimeoutMs = value;
  }),
  key("consumer_max_per_channel", integerOrInfinity(1), ({ config }, value) => {
    config.connection.consumerMaxPerChannel = value;
  }),
  key("connection_max", integerOrInfinity(0), ({ config }, value) => {
    config.connection.connectionMax = value;
  }),
  key("max_message_size", size(1, 536_870_912), ({ config }, value) => {
    config.maxMessageSizeBytes = value;
  }),
];

const accessKeys: readonly ConfigKey[] = [
  key("default_user", nonEmptyText, ({ config }, value) => {
    config.access.defaultUser = value;
  }),
  key("default_pass", text, ({ config }, value) => {
    config.access.defaultPassword = value;
  }),
  key("default_vhost", nonEmptyText, ({ config }, value) => {
    config.access.defaultVhost = value;
  }),
  key("default_user_tags.*", boolean, (draft, value, name) => {
    draft.userTags ??= new Map();
    draft.userTags.set(name, value);
  }),
  key("default_permissions.configure", pattern, ({ config }, value) => {
    config.access.defaultPermissions.configure = value;
  }),
  key("default_permissions.write", pattern, ({ config }, value) => {
    config.access.defaultPermissions.write = value;
  }),
  key("default_permissions.read", pattern, ({ config }, value) => {
    config.access.defaultPermissions.read = value;
  }),
  key("loopback_users", oneOf("none"), (draft) => {
    draft.loopbackUsers = null;
  }),
  key("loopback_users.*", boolean, (draft, value, name) => {
    draft.loopbackUsers ??= new Map();
    draft.loopbackUsers.set(name, value);
  }),
  key("auth_mechanisms.*", nonEmptyText, (draft, value, name) => {
    draft.mechanisms ??= new Map();
    draft.mechanisms.set(name, value);
  }),
];

const memoryKeys: readonly ConfigKey[] = [
  // 0 blocks every publisher; above 1 there is more than the machine has, which RabbitMQ accepts
  // too.
  key("vm_memory_high_watermark.relative", ratio(0, 100), (draft, value) => {
    draft.relativeWatermark = value;
  }),
  key("vm_memory_high_watermark.absolute", size(0, Number.MAX_SAFE_INTEGER), (draft, value) => {
    draft.absoluteWatermarkBytes = value;
  }),
  key("vm_memory_high_watermark_paging_ratio", ratio(0, 1), ({ config }, value) => {
    config.memory.pagingRatio = value;
  }),
  // Two segments of the message log: the one being filled and one being read.
  key("haremq.message_memory_max", size(2 ** 25, Number.MAX_SAFE_INTEGER), ({ config }, value) => {
    config.memory.messageBytesMax = value;
  }),
  key(
    "total_memory_available_override_value",
    size(1, Number.MAX_SAFE_INTEGER),
    ({ config }, value) => {
      config.memory.totalBytes = value;
    },
  ),
];

const diskKeys: readonly ConfigKey[] = [
  key("disk_free_limit.relative", ratio(0, 100), ({ config }, value) => {
    config.disk.freeLimit = { relative: value };
  }),
  key("disk_free_limit.absolute", size(0, Number.MAX_SAFE_INTEGER), ({ config }, value) => {
    config.disk.freeLimit = { absoluteBytes: value };
  }),
  key("haremq.confirm", oneOf("disk", "os"), ({ config }, value) => {
    config.disk.confirmLevel = value;
  }),
];

const logKeys: readonly ConfigKey[] = [
  key("log.console", boolean, ({ config }, value) => {
    config.log.console = value;
  }),
  key("log.console.formatter", oneOf("plaintext", "json"), ({ config }, value) => {
    config.log.format = value;
  }),
  key("log.console.stdio", oneOf("stdout", "stderr"), ({ config }, value) => {
    config.log.stream = value;
  }),
  key("log.exchange", boolean, ({ config }, value) => {
    config.log.exchange.isOn = value;
  }),
  key("log.exchange.formatter", oneOf("plaintext", "json"), ({ config }, value) => {
    config.log.exchange.format = value;
  }),
  key("log.exchange.level", logLevel, ({ config }, value) => {
    config.log.exchange.level = value;
  }),
  key("log.level", logLevel, setLogLevel("log.level")),
  key("log.default.level", logLevel, setLogLevel("log.default.level")),
  key("log.console.level", logLevel, setLogLevel("log.console.level")),
];

const eventKeys: readonly ConfigKey[] = [
  key("event_exchange.vhost", nonEmptyText, ({ config }, value) => {
    config.eventVhost = value;
  }),
];

const identityKeys: readonly ConfigKey[] = [
  key("cluster_name", nonEmptyText, ({ config }, value) => {
    config.identity.clusterName = value;
  }),
  key("product.name", nonEmptyText, ({ config }, value) => {
    config.identity.product = value;
  }),
  key("product.version", nonEmptyText, ({ config }, value) => {
    config.identity.version = value;
  }),
  key("haremq.rabbitmq_version", rabbitmqVersion, ({ config }, value) => {
    config.identity.rabbitmqVersion = value;
  }),
];

export const configKeys: readonly ConfigKey[] = [
  ...listenerKeys,
  ...connectionKeys,
  ...accessKeys,
  ...memoryKeys,
  ...diskKeys,
  ...logKeys,
  ...eventKeys,
  ...identityKeys,
];

/** 0 is no limit. Otherwise no less than every client has to accept (protocol, 2.3.5 and 4.2.3). */
function frameSize(value: string): number {
  return value === "0" ? 0 : size(4096, int31)(value);
}

function pattern(value: string): string {
  try {
    new RegExp(value, "u");
    return value;
  } catch (error) {
    throw new ConfigError(`not a regular expression: ${(error as Error).message}`);
  }
}

/** Never is `undefined` in RabbitMQ's advanced configuration, and 0 or infinity to most people. */
function consumerTimeout(value: string): number {
  const isNever = value === "undefined" || value === "0";
  return isNever ? Number.POSITIVE_INFINITY : integerOrInfinity(1)(value);
}

/** Clients compare it, so it must be the three numbers that they expect. */
function rabbitmqVersion(value: string): string {
  if (/^\d+\.\d+\.\d+([-+][\w.+-]+)?$/.test(value)) return value;
  throw new ConfigError(`"${value}" is not a version such as 3.13.7`);
}

function setLogLevel(name: string): (draft: Draft, value: LogLevel) => void {
  return (draft, value) => {
    draft.logLevels.set(name, value);
  };
}
