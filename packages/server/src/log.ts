/**
 * The server's Logger: drops what is below the configured level, formats the rest and hands it to a
 * LogWriter. Made once by main.ts and passed to whoever has something to say.
 */

import type { LogFields, Logger } from "@haremq/broker";
import type { LogConfig } from "./config/broker-config.ts";
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

export function createLog(
  config: LogConfig,
  writer: Pick<LogWriter, "write" | "drained" | "flushSync"> = new LogWriter(
    config.stream === "stdout" ? 1 : 2,
  ),
  now: () => Date = () => new Date(),
): ServerLog {
  const format = config.format === "json" ? formatJson : formatPlainText;
  const lowest = config.console ? rank[config.level] : rank.none;
  const at = (level: LogLineLevel) => {
    if (rank[level] < lowest) return () => {};
    return (message: string, fields: LogFields = {}) => {
      writer.write(format(now(), level, message, fields));
    };
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    drained: () => writer.drained(),
    flushSync: () => writer.flushSync(),
  };
}
