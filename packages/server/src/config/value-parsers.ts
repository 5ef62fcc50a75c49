/**
 * From the text after `key =` to a typed value. Each parser takes the text, already trimmed, and
 * returns the value or throws a ConfigError that says what would have been right; the caller puts
 * the key in front. The accepted spellings are those of RabbitMQ's configuration schema.
 */

import { ConfigError } from "./config-error.ts";

export type ValueParser<T> = (text: string) => T;

export function integer(min: number, max: number): ValueParser<number> {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${quote(text)} is not a whole number from ${min} to ${max}`);
  };
}

/** A whole number from `min` up, or the word infinity for no limit, which becomes Infinity. */
export function integerOrInfinity(min: number): ValueParser<number> {
  return (text) => {
    if (text === "infinity") return Number.POSITIVE_INFINITY;
    const value = /^\+?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= Number.MAX_SAFE_INTEGER) return value;
    throw new ConfigError(`${quote(text)} is neither a whole number from ${min} nor "infinity"`);
  };
}

/**
 * A number above 0. RabbitMQ allows a memory watermark of 0 (block every publisher) and above 1
 * too.
 */
export function ratio(min: number, max: number): ValueParser<number> {
  return (text) => {
    const value = /^\+?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${quote(text)} is not a number from ${min} to ${max}`);
  };
}

export function boolean(text: string): boolean {
  if (text === "true" || text === "on") return true;
  if (text === "false" || text === "off") return false;
  throw new ConfigError(`${quote(text)} is neither true nor false`);
}

export function oneOf<const T extends string>(...words: readonly T[]): ValueParser<T> {
  return (text) => {
    const word = words.find((each) => each === text);
    if (word !== undefined) return word;
    throw new ConfigError(`${quote(text)} is not one of ${words.join(", ")}`);
  };
}

export function text(value: string): string {
  return value;
}

export function nonEmptyText(value: string): string {
  if (value === "") throw new ConfigError("the value is empty");
  return value;
}

/**
 * As RabbitMQ has it: a lone letter or one with "i" is a power of 1024, one with a plain "B" a
 * power of 1000.
 */
const unitExponents: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3, t: 4, p: 5 };

/**
 * An information unit: 500MB, 500MiB, 10G, 1024M, 10000000000. Not for fractions, as in RabbitMQ.
 */
export function size(min: number, max: number): ValueParser<number> {
  return (text) => {
    const match = /^(\d+) ?(?:([kmgtp])(i?b?))?$/i.exec(text);
    if (match === null) {
      throw new ConfigError(`${quote(text)} is not a size such as 500MB, 512MiB, 2G or 1073741824`);
    }
    const [, digits = "", letter = "", rest = ""] = match;
    const base = rest.toLowerCase() === "b" ? 1000 : 1024;
    const value = Number(digits) * base ** (unitExponents[letter.toLowerCase()] ?? 0);
    if (value >= min && value <= max) return value;
    throw new ConfigError(`${quote(text)} is not a size from ${min} to ${max} bytes`);
  };
}

/** Puts text into a message as one line, whatever is in it, and cuts what is too long to read. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}...` : value);
}
