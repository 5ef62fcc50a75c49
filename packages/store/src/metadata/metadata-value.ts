/**
 * Metadata values as JSON text: readable by people and by every language, and as stable as JSON.
 * What JSON has no word for is an object that no plain object can turn into:
 *
 *   Uint8Array             {"$bytes":"base64"}
 *   {"$name": 1}           {"$$name":1}           names that begin with $ get one more
 *
 * JSON.stringify writes lone surrogates as escapes, so every string comes back as it was. Memory
 * and disk implementations both go through this, so that they cannot differ in what they take.
 */

import { MetadataError } from "./metadata-error.ts";
import type { MetadataValue } from "./metadata-store.ts";

/** In characters of text. Larger things belong into the message log. */
export const valueTextMax = 64 * 2 ** 20;

/** Deep enough for anything that is configured by people, and far from the end of the stack. */
const nestingMax = 100;

/** Throws a MetadataError for what the contract does not list, naming the place. */
export function encodeValue(value: MetadataValue): string {
  const text = JSON.stringify(toJson(value, "value", 0));
  if (text.length <= valueTextMax) return text;
  throw new MetadataError("bad-value", `A metadata value takes ${text.length} characters`);
}

export function decodeValue(text: string): MetadataValue {
  const json: unknown = JSON.parse(text);
  // Most values have no such names, and then the parsed tree is the value.
  return text.includes('"$') ? fromJson(json) : json;
}

function toJson(value: unknown, path: string, depth: number): unknown {
  if (depth > nestingMax) throw new MetadataError("bad-value", "A metadata value nests too deep");
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number" && Number.isFinite(value)) return value;
  if (value instanceof Uint8Array) {
    const { buffer, byteOffset, byteLength } = value;
    return { $bytes: Buffer.from(buffer, byteOffset, byteLength).toString("base64") };
  }
  if (Array.isArray(value)) {
    // Array.from visits holes too, so that they are refused like undefined.
    return Array.from(value, (item, index) => toJson(item, `${path}[${index}]`, depth + 1));
  }
  if (isPlainObject(value)) {
    const entries = Object.entries(value).map(([name, item]) => [
      name.startsWith("$") ? `$${name}` : name,
      toJson(item, `${path}.${name}`, depth + 1),
    ]);
    return Object.fromEntries(entries);
  }
  const kind = typeof value === "object" ? (value.constructor?.name ?? "object") : String(value);
  throw new MetadataError("bad-value", `${path} cannot be kept as metadata: ${kind.slice(0, 60)}`);
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function fromJson(json: unknown): MetadataValue {
  if (typeof json !== "object" || json === null) return json;
  if (Array.isArray(json)) return json.map(fromJson);
  const entries = Object.entries(json);
  const [first] = entries;
  if (entries.length === 1 && first?.[0] === "$bytes") {
    return new Uint8Array(Buffer.from(first[1] as string, "base64"));
  }
  return Object.fromEntries(
    entries.map(([name, item]) => [name.startsWith("$$") ? name.slice(1) : name, fromJson(item)]),
  );
}
