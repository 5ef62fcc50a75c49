/**
 * The server's Logger: drops what is below the configured level, formats the rest and hands it to a
 * LogWriter. Made once by main.ts and passed to whoever has something to say.
 */

import type { LogExchange, LogFields, Logger } from "@haremq/broker";
import type { LogConfig, LogLevel } from "./config/broker-config.ts";
import type { LogLineLevel } from "./log-format.ts";
import { formatJson, formatPlainText } from "./log-format.ts";
import { LogWriter } from "./log-writer.ts";

export interface ServerLog extends Logger {
  /** Resolves when all that was logged so far has been written; for an orderly end. */
  drained(): Promise<void>;
  /** Writes what is waiting; for a sudden end. */
  flushSync(): void;
}

const rank = { debug: 0, info: 1, warn: 2, error: 3, none: 4 } as const;

/** What goes to the exchange for the log, for whoever logs to wherever else. */
export function createExchangeLog(
  { level, exchange }: LogConfig,
  target: Pick<LogExchange, "write">,
  now: () => Date = () => new Date(),
): Logger {
  const isJson = exchange.format === "json";
  const format = isJson ? formatJson : formatPlainText;
  const contentType = isJson ? "application/json" : "text/plain";
  return loggerFrom(exchange.level ?? level, (lineLevel, message, fields) => {
    const text = format(now(), lineLevel, message, fields);
    // RabbitMQ's word, as in the line.
    target.write({ level: lineLevel === "warn" ? "warning" : lineLevel, text, contentType });
  });
}

/** Both get everything. */
export function teeLog(one: Logger, other: Logger): Logger {
  const both = (level: LogLineLevel) => (message: string, fields?: LogFields) => {
    one[level](message, fields);
    other[level](message, fields);
  };
  return { debug: both("debug"), info: both("info"), warn: both("warn"), error: both("error") };
}

function loggerFrom(
  lowest: LogLevel,
  write: (level: LogLineLevel, message: string, fields: LogFields) => void,
): Logger {
  const at = (level: LogLineLevel) => {
    if (rank[level] < rank[lowest]) return () => {};
    return (message: string, fields: LogFields = {}) => write(level, message, fields);
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

export function createLog(
  config: LogConfig,
  writer: Pick<LogWriter, "write" | "drained" | "flushSync"> = new LogWriter(
    config.stream === "stdout" ? 1 : 2,
  ),
  now: () => Date = () => new Date(),
): ServerLog {
  const format = config.format === "json" ? formatJson : formatPlainText;
  const logger = loggerFrom(config.console ? config.level : "none", (level, message, fields) => {
    writer.write(format(now(), level, message, fields));
  });
  return {
    ...logger,
    drained: () => writer.drained(),
    flushSync: () => writer.flushSync(),
  };
}
