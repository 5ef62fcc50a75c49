/** From settings to a configuration: every key has its effect, every mistake its message. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { BrokerConfig } from "./broker-config.ts";
import { defaultConfig } from "./broker-config.ts";
import { ConfigError } from "./config-error.ts";
import { configKeys } from "./config-keys.ts";
import { inertKeys } from "./inert-keys.ts";
import { loadConfig } from "./load-config.ts";
import { matchKey, splitKey } from "./setting-key.ts";

function load(...lines: string[]) {
  const settings = lines.map((line) => {
    const equals = line.indexOf("=");
    return [line.slice(0, equals), line.slice(equals + 1)] as const;
  });
  return loadConfig(settings, "0.1.0");
}

function mistake(...lines: string[]): string {
  try {
    load(...lines);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  return assert.fail(`accepted: ${lines.join(", ")}`);
}

/** One line for every effective key, and where its value has to appear. */
const effects: readonly (readonly [string, (config: BrokerConfig) => unknown, unknown])[] = [
  ["listeners.tcp=none", (config) => config.listeners, []],
  ["listeners.tcp.x=::1:7", (config) => config.listeners, [{ host: "::1", port: 7 }]],
  ["tcp_listen_options.backlog=5", (config) => config.connection.backlog, 5],
  ["tcp_listen_options.keepalive=true", (config) => config.connection.keepAlive, true],
  ["heartbeat=0", (config) => config.connection.heartbeatSeconds, 0],
  ["frame_max=8192", (config) => config.connection.frameMaxBytes, 8192],
  ["frame_max=0", (config) => config.connection.frameMaxBytes, 0],
  ["initial_frame_max=16k", (config) => config.connection.initialFrameMaxBytes, 16384],
  ["channel_max=0", (config) => config.connection.channelMax, 0],
  ["handshake_timeout=500", (config) => config.connection.handshakeTimeoutMs, 500],
  ["consumer_timeout=60000", (config) => config.connection.consumerTimeoutMs, 60_000],
  ["consumer_timeout=undefined", (c) => c.connection.consumerTimeoutMs, Number.POSITIVE_INFINITY],
  ["consumer_max_per_channel=3", (config) => config.connection.consumerMaxPerChannel, 3],
  ["connection_max=0", (config) => config.connection.connectionMax, 0],
  ["connection_max=infinity", (config) => config.connection.connectionMax, Infinity],
  ["log.exchange=true", (config) => config.log.exchange.isOn, true],
  ["log.exchange.level=critical", (config) => config.log.exchange.level, "error"],
  ["log.exchange.formatter=json", (config) => config.log.exchange.format, "json"],
  ["event_exchange.vhost=ops", (config) => config.eventVhost, "ops"],
  ["max_message_size=1MB", (config) => config.maxMessageSizeBytes, 1_000_000],
  ["default_user=ann", (config) => config.access.defaultUser, "ann"],
  ["default_pass=a=b", (config) => config.access.defaultPassword, "a=b"],
  ["default_pass=", (config) => config.access.defaultPassword, ""],
  ["default_vhost=v", (config) => config.access.defaultVhost, "v"],
  ["default_user_tags.monitoring=true", (c) => c.access.defaultUserTags, ["monitoring"]],
  ["default_permissions.configure=^a", (c) => c.access.defaultPermissions.configure, "^a"],
  ["default_permissions.write=^b", (c) => c.access.defaultPermissions.write, "^b"],
  ["default_permissions.read=^c", (c) => c.access.defaultPermissions.read, "^c"],
  ["loopback_users=none", (config) => config.access.loopbackUsers, []],
  ["loopback_users.guest=false", (config) => config.access.loopbackUsers, []],
  ["loopback_users.a\\.b=true", (config) => config.access.loopbackUsers, ["a.b"]],
  ["auth_mechanisms.1=AMQPLAIN", (config) => config.access.mechanisms, ["AMQPLAIN"]],
  ["vm_memory_high_watermark.relative=0.4", watermark, { relative: 0.4 }],
  ["disk_free_limit.relative=1.5", (config) => config.disk.freeLimit, { relative: 1.5 }],
  ["disk_free_limit.absolute=2GB", (config) => config.disk.freeLimit, { absoluteBytes: 2e9 }],
  ["haremq.confirm=os", (config) => config.disk.confirmLevel, "os"],
  ["vm_memory_high_watermark.absolute=2GiB", watermark, { absoluteBytes: 2 ** 31 }],
  ["vm_memory_high_watermark_paging_ratio=0.75", (c) => c.memory.pagingRatio, 0.75],
  ["haremq.message_memory_max=1GiB", (c) => c.memory.messageBytesMax, 2 ** 30],
  ["total_memory_available_override_value=1G", (c) => c.memory.totalBytes, 2 ** 30],
  ["log.console=false", (config) => config.log.console, false],
  ["log.console.formatter=json", (config) => config.log.format, "json"],
  ["log.console.stdio=stderr", (config) => config.log.stream, "stderr"],
  ["log.level=debug", (config) => config.log.level, "debug"],
  ["log.default.level=notice", (config) => config.log.level, "warn"],
  ["log.console.level=critical", (config) => config.log.level, "error"],
  ["cluster_name=c", (config) => config.identity.clusterName, "c"],
  ["product.name=P", (config) => config.identity.product, "P"],
  ["product.version=9", (config) => config.identity.version, "9"],
  ["haremq.rabbitmq_version=4.0.5", (config) => config.identity.rabbitmqVersion, "4.0.5"],
];

function watermark(config: BrokerConfig): unknown {
  return config.memory.highWatermark;
}

describe("loadConfig", () => {
  it("gives the defaults for nothing", () => {
    assert.deepEqual(load(), { config: defaultConfig("0.1.0"), inertKeys: [], warnings: [] });
  });

  it("gives every effective key its effect", () => {
    for (const [line, read, expected] of effects) {
      const { config, inertKeys } = load(line);
      assert.deepEqual(read(config), expected, line);
      assert.deepEqual(inertKeys, [], line);
    }
  });

  it("has a case for every effective key above", () => {
    const tried = effects.map(([line]) => splitKey(line.slice(0, line.indexOf("="))));
    for (const { pattern } of configKeys) {
      assert.ok(
        tried.some((words) => matchKey(pattern, words) !== undefined),
        pattern,
      );
    }
  });

  it("takes the last of a key set twice, and trims", () => {
    const config = load(" heartbeat = 10 ", "heartbeat=20").config;
    assert.equal(config.connection.heartbeatSeconds, 20);
  });

  it("lets the first listener, user or mechanism replace the default as a whole", () => {
    const { config } = load(
      "listeners.tcp.a=1",
      "listeners.tcp.b=127.0.0.1:2",
      "loopback_users.ann=true",
      "loopback_users.bob=false",
      "auth_mechanisms.1=AMQPLAIN",
      "auth_mechanisms.2=PLAIN",
    );
    assert.deepEqual(config.listeners, [
      { host: undefined, port: 1 },
      { host: "127.0.0.1", port: 2 },
    ]);
    assert.deepEqual(config.access.loopbackUsers, ["ann"]);
    assert.deepEqual(config.access.mechanisms, ["AMQPLAIN", "PLAIN"]);
  });

  it("prefers the console's own log level, whatever the order", () => {
    assert.equal(load("log.console.level=error", "log.level=debug").config.log.level, "error");
  });

  it("prefers the absolute watermark and says so", () => {
    const lines = ["vm_memory_high_watermark.absolute=1G", "vm_memory_high_watermark.relative=0.5"];
    const { config, warnings } = load(...lines);
    assert.deepEqual(config.memory.highWatermark, { absoluteBytes: 2 ** 30 });
    assert.equal(warnings.length, 1);
  });

  it("accepts keys that mean nothing here, once each, whatever their value", () => {
    const lines = ["hipe_compile=true", "hipe_compile=?", "management.tcp.port=x"];
    assert.deepEqual(load(...lines).inertKeys, ["hipe_compile", "management.tcp.port"]);
  });

  it("names the nearest key for an unknown one", () => {
    assert.equal(
      mistake("heartbeet=1"),
      'unknown configuration key "heartbeet", the nearest known is heartbeat',
    );
    assert.match(mistake("listener.tcp.x=1"), /nearest known is listeners\.tcp\.x$/);
    assert.match(mistake("a\nb=1"), /^unknown configuration key "a\\nb"/);
  });

  it("names key and value for a bad value", () => {
    assert.equal(
      mistake("heartbeat=soon"),
      'bad value for heartbeat: "soon" is not a whole number from 0 to 65535',
    );
    const bad = ["frame_max=4095", "max_message_size=513MiB", "log.level=loud", "cluster_name="];
    for (const line of [...bad, "default_permissions.read=(", "haremq.rabbitmq_version=3"]) {
      assert.match(mistake(line), /^bad value for /, line);
    }
  });

  it("skips mechanisms that others offer, unless none is left, and refuses invented ones", () => {
    const { config, warnings } = load("auth_mechanisms.1=EXTERNAL", "auth_mechanisms.2=PLAIN");
    assert.deepEqual(config.access.mechanisms, ["PLAIN"]);
    assert.equal(warnings.length, 1);
    assert.match(mistake("auth_mechanisms.1=EXTERNAL"), /nobody could log in/);
    assert.match(mistake("auth_mechanisms.1=PLANE"), /unknown authentication mechanism "PLANE"/);
  });

  it("lists no key as both effective and without effect", () => {
    for (const { pattern } of configKeys) {
      assert.ok(!inertKeys.includes(pattern), pattern);
    }
  });
});
