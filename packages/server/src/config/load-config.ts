/**
 * From settings, `key = value` pairs in RabbitMQ's words, to one BrokerConfig. Called by the
 * command line and by whoever embeds the broker with settings of their own. The order of settings
 * does not matter, except that the last one of the same key wins.
 */

import type { AuthMechanism, BrokerConfig } from "./broker-config.ts";
import { defaultConfig } from "./broker-config.ts";
import { ConfigError } from "./config-error.ts";
import type { Draft } from "./config-keys.ts";
import { configKeys } from "./config-keys.ts";
import { inertKeys } from "./inert-keys.ts";
import { matchKey, nearestKey, splitKey } from "./setting-key.ts";
import { quote } from "./value-parsers.ts";

export type Setting = readonly [key: string, value: string];

export interface LoadedConfig {
  readonly config: BrokerConfig;
  /** Keys that were accepted and change nothing; to be logged once. */
  readonly inertKeys: readonly string[];
  /** Whatever else the one who wrote the settings should know. */
  readonly warnings: readonly string[];
}

/** Throws ConfigError for an unknown key or a bad value. */
export function loadConfig(settings: Iterable<Setting>, version: string): LoadedConfig {
  const draft = newDraft(version);
  const inert = new Set<string>();
  for (const [key, value] of settings) {
    if (!applySetting(draft, key.trim(), value.trim())) inert.add(key.trim());
  }
  finishDraft(draft);
  return { config: draft.config, inertKeys: [...inert], warnings: draft.warnings };
}

function newDraft(version: string): Draft {
  return {
    config: defaultConfig(version),
    listeners: undefined,
    loopbackUsers: undefined,
    userTags: undefined,
    mechanisms: undefined,
    relativeWatermark: undefined,
    absoluteWatermarkBytes: undefined,
    logLevels: new Map(),
    warnings: [],
  };
}

/** False when the key is known to RabbitMQ and means nothing here. */
function applySetting(draft: Draft, key: string, value: string): boolean {
  const words = splitKey(key);
  for (const { pattern, apply } of configKeys) {
    const stars = matchKey(pattern, words);
    if (stars === undefined) continue;
    try {
      apply(draft, value, stars[0] ?? "");
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new ConfigError(`bad value for ${key}: ${error.message}`);
    }
    return true;
  }
  if (inertKeys.some((pattern) => matchKey(pattern, words) !== undefined)) return false;
  const nearest = nearestKey(key, [...configKeys.map(({ pattern }) => pattern), ...inertKeys]);
  throw new ConfigError(`unknown configuration key ${quote(key)}, the nearest known is ${nearest}`);
}

function finishDraft(draft: Draft): void {
  const { config } = draft;
  if (draft.listeners !== undefined) {
    config.listeners = [...(draft.listeners?.values() ?? [])];
  }
  if (draft.loopbackUsers !== undefined) {
    config.access.loopbackUsers = namesSetTrue(draft.loopbackUsers);
  }
  if (draft.userTags !== undefined) config.access.defaultUserTags = namesSetTrue(draft.userTags);
  if (draft.mechanisms !== undefined) {
    config.access.mechanisms = supportedMechanisms([...draft.mechanisms.values()], draft.warnings);
  }
  for (const name of ["log.console.level", "log.default.level", "log.level"]) {
    const level = draft.logLevels.get(name);
    if (level === undefined) continue;
    config.log.level = level;
    break;
  }
  finishWatermark(draft);
}

function finishWatermark(draft: Draft): void {
  const { relativeWatermark: relative, absoluteWatermarkBytes: absoluteBytes } = draft;
  if (relative !== undefined) draft.config.memory.highWatermark = { relative };
  if (absoluteBytes === undefined) return;
  draft.config.memory.highWatermark = { absoluteBytes };
  if (relative !== undefined) {
    draft.warnings.push(
      "both vm_memory_high_watermark.absolute and .relative are set, the absolute one is used",
    );
  }
}

function namesSetTrue(settings: ReadonlyMap<string, boolean> | null): string[] {
  return [...(settings ?? [])].filter(([, isSet]) => isSet).map(([name]) => name);
}

/** Mechanisms of RabbitMQ's plugins and of 4.x that we do not offer. */
const otherMechanisms: readonly string[] = ["ANONYMOUS", "EXTERNAL", "RABBIT-CR-DEMO"];

function supportedMechanisms(names: readonly string[], warnings: string[]): AuthMechanism[] {
  const supported = new Set<AuthMechanism>();
  for (const name of names) {
    if (name === "PLAIN" || name === "AMQPLAIN") supported.add(name);
    else if (otherMechanisms.includes(name)) {
      warnings.push(`the authentication mechanism ${name} is not offered by this broker`);
    } else throw new ConfigError(`unknown authentication mechanism ${quote(name)}`);
  }
  if (supported.size > 0) return [...supported];
  throw new ConfigError("auth_mechanisms leaves neither PLAIN nor AMQPLAIN: nobody could log in");
}
