/**
 * How RabbitMQ writes values of JSON into its error texts: as Erlang terms. A term that does not
 * fit into a line is broken into several as Erlang does it where that is a list of pairs.
 */

import { erlangTerm } from "../vhost/field-text.ts";
import type { JsonValue } from "./json-value.ts";

/** The longest line that is not broken. */
const lineMax = 78;
/** What nests deeper is not shown. */
const nestingMax = 20;

export function jsonTerm(value: JsonValue, depth = 0): string {
  if (depth > nestingMax) return "...";
  switch (typeof value) {
    case "string":
      return erlangTerm({ type: "x", value: Buffer.from(value) });
    case "number":
      return Number.isInteger(value) ? BigInt(value).toString() : erlangTerm({ type: "d", value });
    case "boolean":
      return String(value);
    default:
      if (value === null) return "null";
      return isList(value) ? listTerm(value, depth) : mapTerm(value, depth);
  }
}

/** Keys with their values, as a list of pairs. */
export function pairsTerm(pairs: readonly (readonly [key: string, value: JsonValue])[]): string {
  const terms = pairs.map(([key, value]) => `{${jsonTerm(key)},${jsonTerm(value)}}`);
  const line = `[${terms.join()}]`;
  return line.length <= lineMax ? line : `[${terms.join(",\n ")}]`;
}

/** Erlang takes a list of small integers for a text. */
function listTerm(items: readonly JsonValue[], depth: number): string {
  const isText = items.length > 0 && items.every((item) => isPrintable(item));
  if (!isText) return `[${items.map((item) => jsonTerm(item, depth + 1)).join()}]`;
  return jsonTerm(String.fromCharCode(...(items as number[]))).slice(2, -2);
}

function isPrintable(item: JsonValue): boolean {
  if (!Number.isInteger(item)) return false;
  const code = item as number;
  return (code >= 0x20 && code < 0x7f) || (code >= 0x08 && code <= 0x0d) || code === 0x1b;
}

function mapTerm(map: { readonly [name: string]: JsonValue }, depth: number): string {
  const names = Object.keys(map).sort();
  const pairs = names.map((name) => `${jsonTerm(name)} => ${jsonTerm(map[name]!, depth + 1)}`);
  return `#{${pairs.join()}}`;
}

function isList(value: object): value is readonly JsonValue[] {
  return Array.isArray(value);
}
