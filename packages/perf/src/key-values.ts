/**
 * Reads `key=value,key=value`, as --queue-args and --message-properties take it. A value that is a
 * whole number becomes one, true and false become booleans, everything else stays text.
 */

import type { PublishProperties } from "@haremq/client";
import { UsageError } from "./command-line.ts";

type Value = string | number | boolean;

const textProperties = [
  "contentType",
  "contentEncoding",
  "correlationId",
  "replyTo",
  "expiration",
  "messageId",
  "type",
  "userId",
  "appId",
  "clusterId",
];
const octetProperties = ["deliveryMode", "priority"];

export function parseQueueArguments(text: string): Record<string, Value> {
  return Object.fromEntries(pairs(text, "--queue-args"));
}

/** The protocol's properties by name; every other key becomes a header. */
export function parseProperties(text: string): PublishProperties {
  const properties: Record<string, unknown> = {};
  const headers: Record<string, Value> = {};
  for (const [key, value] of pairs(text, "--message-properties")) {
    if (textProperties.includes(key)) properties[key] = String(value);
    else if (octetProperties.includes(key)) properties[key] = octet(key, value);
    else if (key === "timestamp") properties[key] = seconds(value);
    else headers[key] = value;
  }
  if (Object.keys(headers).length > 0) properties.headers = headers;
  return properties;
}

function pairs(text: string, option: string): [string, Value][] {
  if (text.trim() === "") return [];
  return text.split(",").map((entry) => {
    const at = entry.indexOf("=");
    if (at < 1) throw new UsageError(`${option} is a list of key=value, not "${entry}"`);
    return [entry.slice(0, at).trim(), parseValue(entry.slice(at + 1))];
  });
}

function parseValue(text: string): Value {
  if (/^-?\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  if (text === "true" || text === "false") return text === "true";
  return text;
}

function octet(key: string, value: Value): number {
  if (typeof value === "number" && value >= 0 && value <= 255) return value;
  throw new UsageError(`the property ${key} is a number from 0 to 255, not "${value}"`);
}

/** Unix time: as a number, or as an ISO 8601 date as PerfTest wants it. */
function seconds(value: Value): number {
  const time = typeof value === "number" ? value : Math.floor(Date.parse(String(value)) / 1000);
  if (!Number.isSafeInteger(time) || time < 0) {
    throw new UsageError(`the property timestamp is a time, not "${value}"`);
  }
  return time;
}
