/**
 * How a log line looks. Pure; called by log.ts for every line that is written.
 *
 *   2026-11-20 14:54:13.123 [info] accepted a connection peer=127.0.0.1:40312
 *
 * or, as JSON,
 *
 *   {"time":"2026-11-20T14:54:13.123Z","level":"info","message":"...","peer":"..."}
 *
 * Times in text are the machine's local ones, in JSON UTC. Invariants: a line end in what is logged
 * cannot begin a line that looks like one of ours, other control characters are escaped, and
 * passwords do not come through.
 */

import { inspect } from "node:util";
import type { LogFields } from "@haremq/broker";
import type { LogLevel } from "./config/broker-config.ts";

export type LogLineLevel = Exclude<LogLevel, "none">;

export type LogFormat = (
  date: Date,
  level: LogLineLevel,
  message: string,
  fields: LogFields,
) => string;

/** Longer texts are cut: what clients send may be megabytes. */
const textLimit = 4096;

export const formatPlainText: LogFormat = (date, level, message, fields) => {
  // RabbitMQ's word, so that filters written for its log go on working.
  const word = level === "warn" ? "warning" : level;
  let line = `${localTime(date)} [${word}] ${clean(message)}`;
  let stack = "";
  for (const [name, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    if (value instanceof Error) stack += indented(value);
    else line += ` ${name}=${plainValue(name, value)}`;
  }
  return `${line}\n${stack}`;
};

export const formatJson: LogFormat = (date, level, message, fields) => {
  const record: Record<string, unknown> = {
    time: date.toISOString(),
    level: level === "warn" ? "warning" : level,
    message: hideCredentials(shorten(message)),
  };
  for (const [name, value] of Object.entries(fields)) {
    // A field may not pass for the line's own time, level or message.
    record[name in record ? `${name}_` : name] = isSecret(name) ? hidden : jsonValue(value);
  }
  return `${jsonText(record)}\n`;
};

const hidden = "***";

function isSecret(name: string): boolean {
  return /pass(word|wd|phrase)?$|secret|token|authori[sz]ation|^response$/i.test(name);
}

/**
 * amqp://user:password@host, as in reported addresses, and password: 'x', as in an object printed
 * whole.
 */
function hideCredentials(text: string): string {
  return text
    .replaceAll(/(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/@]*@/gi, `$1:${hidden}@`)
    .replaceAll(
      /(\w*(?:password|passwd|secret|token)["']?\s*[:=]\s*)("[^"]*"|'[^']*'|[^\s,}]+)/gi,
      `$1${hidden}`,
    );
}

function plainValue(name: string, value: unknown): string {
  if (isSecret(name)) return hidden;
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const text =
    typeof value === "string" ? value : inspect(value, { depth: 3, breakLength: Infinity });
  return /^[\w./:@-]+$/.test(text) && text.length <= textLimit
    ? hideCredentials(text)
    : jsonText(hideCredentials(shorten(text)));
}

function jsonValue(value: unknown): unknown {
  if (value instanceof Error) return hideCredentials(shorten(inspect(value)));
  if (typeof value === "string") return hideCredentials(shorten(value));
  if (typeof value === "number" || typeof value === "boolean" || value === null) return value;
  return value === undefined ? undefined : hideCredentials(shorten(inspect(value, { depth: 3 })));
}

/** On lines of their own, set in by two spaces, which no line of ours is. */
function indented(error: Error): string {
  const lines = shorten(inspect(error)).split(/\r\n|[\n\r\u2028\u2029]/);
  return lines.map((line) => `  ${clean(line)}\n`).join("");
}

function clean(text: string): string {
  return escapeControls(hideCredentials(shorten(text)));
}

/**
 * JSON as it may stand in a line: JSON.stringify leaves some characters that terminals obey as they
 * are.
 */
function jsonText(value: unknown): string {
  return escapeControls(JSON.stringify(value));
}

/** Line ends and whatever else a terminal obeys, as JavaScript and JSON write them. */
function escapeControls(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, (character) => {
    if (character === "\n") return "\\n";
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

function shorten(text: string): string {
  return text.length > textLimit ? `${text.slice(0, textLimit)}...` : text;
}

function localTime(date: Date): string {
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return `${day} ${time}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

function pad(value: number): string {
  return String(value).padStart(2, "0");
}
