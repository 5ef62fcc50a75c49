/**
 * The complete settings that an amqp:// URI or an object of options resolves to, checked. `connect`
 * resolves them once; nothing behind it knows a default.
 */

import type { ConnectionOptions as TlsOptions } from "node:tls";
import type { Clock } from "@haremq/kernel";
import type { ConnectOptions, SaslMechanism } from "./connect-options.ts";
import { parseUri } from "./uri.ts";

/** 0 or `undefined` where the broker's word decides. */
export interface ConnectSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly vhost: string;
  readonly mechanism: SaslMechanism;
  readonly heartbeatSeconds: number | undefined;
  readonly frameMax: number;
  readonly channelMax: number;
  readonly clientProperties: Readonly<Record<string, unknown>>;
  readonly connectionTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly writeHighWaterBytes: number;
  readonly maxBodyBytes: number;
  readonly tls: TlsOptions | undefined;
  readonly clock: Clock | undefined;
}

/** The smallest frame-max that the protocol allows. */
const frameMin = 4096;

/** Options given beside a URI win over what the URI says. */
export function resolveOptions(
  target: string | ConnectOptions,
  extra: ConnectOptions = {},
): ConnectSettings {
  const given: ConnectOptions =
    typeof target === "string" ? { ...parseUri(target), ...extra } : { ...target, ...extra };
  const settings: ConnectSettings = {
    host: given.host ?? "localhost",
    port: given.port ?? (given.tls ? 5671 : 5672),
    user: given.user ?? "guest",
    password: given.password ?? "guest",
    vhost: given.vhost ?? "/",
    mechanism: given.mechanism ?? "PLAIN",
    heartbeatSeconds: given.heartbeatSeconds,
    frameMax: given.frameMax ?? 0,
    channelMax: given.channelMax ?? 0,
    clientProperties: given.clientProperties ?? {},
    connectionTimeoutMs: given.connectionTimeoutMs ?? 60_000,
    closeTimeoutMs: given.closeTimeoutMs ?? 10_000,
    writeHighWaterBytes: given.writeHighWaterBytes ?? 1 << 20,
    maxBodyBytes: given.maxBodyBytes ?? 512 << 20,
    tls: given.tls === true ? {} : given.tls === false ? undefined : given.tls,
    clock: given.clock,
  };
  checkRanges(settings);
  return settings;
}

function checkRanges(settings: ConnectSettings): void {
  checkInteger("port", settings.port, 1, 65_535);
  checkInteger("heartbeatSeconds", settings.heartbeatSeconds ?? 0, 0, 65_535);
  checkInteger("channelMax", settings.channelMax, 0, 65_535);
  checkInteger("frameMax", settings.frameMax, 0, 0xffff_ffff);
  if (settings.frameMax !== 0) checkInteger("frameMax", settings.frameMax, frameMin, 0xffff_ffff);
  checkInteger("connectionTimeoutMs", settings.connectionTimeoutMs, 1, 2 ** 31 - 1);
  checkInteger("closeTimeoutMs", settings.closeTimeoutMs, 1, 2 ** 31 - 1);
  checkInteger("writeHighWaterBytes", settings.writeHighWaterBytes, 1, Number.MAX_SAFE_INTEGER);
  checkInteger("maxBodyBytes", settings.maxBodyBytes, 0, Number.MAX_SAFE_INTEGER);
  if (settings.mechanism !== "PLAIN" && settings.mechanism !== "AMQPLAIN") {
    throw new RangeError(`mechanism is PLAIN or AMQPLAIN, not ${String(settings.mechanism)}`);
  }
}

function checkInteger(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} is an integer from ${min} to ${max}, not ${value}`);
  }
}
