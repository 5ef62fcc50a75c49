/**
 * The life of the haremq process: command line, configuration, log, broker, pid file, signals, end.
 * Called by bin.ts. Everything that belongs to the process as such is here, so that the broker
 * itself can be embedded.
 *
 *   exit code 0   stopped by SIGTERM or SIGINT, every client told
 *             1   could not start, or could not stop in order
 *             2   a mistake on the command line or in a setting
 *       128 + n   a second signal n came while stopping
 *
 * `haremq store inspect` starts no broker: 0 for a sound data directory, 1 for a damaged one, 2 for
 * one that cannot be looked at.
 *
 * An error that nobody caught is logged with its stack and does not end the process: one
 * connection's bad luck must not take the others' messages.
 */

import { resolve } from "node:path";
import type { Logger } from "@haremq/broker";
import { DataDirectoryError } from "@haremq/store";
import type { Command } from "./cli.ts";
import { helpText, parseCommandLine, UsageError } from "./cli.ts";
import type { BrokerConfig } from "./config/broker-config.ts";
import { ConfigError } from "./config/config-error.ts";
import type { LoadedConfig } from "./config/load-config.ts";
import { loadConfig } from "./config/load-config.ts";
import { printInspection } from "./inspect-store.ts";
import { createLog, type ServerLog } from "./log.ts";
import { removePidFile, writePidFile } from "./pid-file.ts";
import { version } from "./version.ts";

/** What of a running broker the process needs. */
export interface StoppableBroker {
  /** Where clients connect; it names the port that was picked for --port 0. */
  readonly url: string;
  /** Tells every client, closes everything. Called once. */
  stop(): Promise<void>;
}

export type Start = (options: {
  readonly config: BrokerConfig;
  readonly logger: Logger;
}) => Promise<StoppableBroker>;

/** What of node's `process` is used; tests pass their own. */
export interface HostProcess {
  readonly pid: number;
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
  on(event: string, listener: (argument: unknown) => void): unknown;
  /** Ends the process. */
  exit(code: number): void;
  /** Has the process end with this code once everything is printed. */
  endWith(code: number): void;
  /** Milliseconds since the process began. */
  uptimeMs(): number;
}

/** Where the haremq command keeps its data unless told otherwise. */
const defaultDataDirectory = "haremq-data";

const realHost: HostProcess = {
  pid: process.pid,
  stdout: process.stdout,
  stderr: process.stderr,
  on: (event, listener) => process.on(event, listener),
  exit: (code) => process.exit(code),
  endWith: (code) => {
    process.exitCode = code;
  },
  uptimeMs: () => performance.now(),
};

/** Resolves when the broker runs, or when the process is to end. */
export async function main(
  args: readonly string[],
  start: Start,
  host: HostProcess = realHost,
  makeLog: (config: BrokerConfig["log"]) => ServerLog = createLog,
): Promise<void> {
  let command: Command;
  let loaded: LoadedConfig;
  try {
    command = parseCommandLine(args);
    if (command.kind === "help") return void host.stdout.write(helpText);
    if (command.kind === "version") return void host.stdout.write(`${version}\n`);
    if (command.kind === "inspect-store") return host.endWith(await printInspection(command, host));
    loaded = loadConfig(command.settings, version);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof ConfigError)) throw error;
    host.stderr.write(`haremq: ${error.message}\n`);
    return host.exit(2);
  }
  const { dataDirectory, pidFile } = command;
  const config: BrokerConfig = {
    ...loaded.config,
    dataDirectory: resolve(dataDirectory ?? defaultDataDirectory),
  };
  await run({ ...loaded, config }, pidFile, start, host, makeLog(config.log));
}

async function run(
  { config, inertKeys, warnings }: LoadedConfig,
  pidFile: string | undefined,
  start: Start,
  host: HostProcess,
  log: ServerLog,
): Promise<void> {
  catchEverything(host, log);
  log.info(`starting HareMQ ${version} on Node ${process.version}, pid ${host.pid}`);
  for (const warning of warnings) log.warn(warning);
  if (inertKeys.length > 0) {
    log.info(`these settings are accepted and have no effect: ${inertKeys.join(", ")}`);
  }
  const started = start({ config, logger: log });
  stopOnSignal(host, log, started, pidFile);
  try {
    const { url } = await started;
    if (pidFile !== undefined) writePidFile(pidFile, host.pid);
    log.info(`ready for AMQP 0-9-1 at ${url} after ${Math.round(host.uptimeMs())} ms`);
  } catch (error) {
    log.error(`cannot start: ${(error as Error).message}`, reasonWorthAStack(error));
    log.flushSync();
    host.exit(1);
  }
}

/** What the operator can mend (a port in use, a folder without permission) needs no stack. */
function reasonWorthAStack(error: unknown): { error?: unknown } {
  const isOperating = error instanceof Error && "syscall" in error;
  const isExplained = error instanceof ConfigError || error instanceof DataDirectoryError;
  return isOperating || isExplained ? {} : { error };
}

function catchEverything(host: HostProcess, log: Logger): void {
  host.on("uncaughtException", (error) => {
    log.error("an error was not caught; the broker goes on", { error });
  });
  host.on("unhandledRejection", (error) => {
    log.error("a rejected promise was not caught; the broker goes on", { error });
  });
}

/** How long the end of the process waits for the last log lines to be taken. */
const drainMs = 1000;

const signals = { SIGINT: 2, SIGTERM: 15 } as const;

function stopOnSignal(
  host: HostProcess,
  log: ServerLog,
  started: Promise<StoppableBroker>,
  pidFile: string | undefined,
): void {
  let isStopping = false;
  const onSignal = async (name: keyof typeof signals) => {
    if (isStopping) {
      log.warn(`${name} while stopping: ending at once`);
      log.flushSync();
      return host.exit(128 + signals[name]);
    }
    isStopping = true;
    log.info(`${name} received, stopping; once more ends at once`);
    let code = 0;
    try {
      const broker = await started.catch(() => undefined); // run() reports why it could not start
      if (broker === undefined) return;
      await broker.stop();
      log.info("stopped");
    } catch (error) {
      log.error("could not stop in order", { error });
      code = 1;
    }
    if (pidFile !== undefined) removePidFile(pidFile, host.pid);
    // Whoever should read the log may have stopped reading: that must not keep the process.
    const timer = setTimeout(() => host.exit(code), drainMs);
    await log.drained();
    clearTimeout(timer);
    host.exit(code);
  };
  for (const name of Object.keys(signals) as (keyof typeof signals)[]) {
    host.on(name, () => void onSignal(name));
  }
  // A closed terminal or a log rotator must not end a broker. RabbitMQ ignores it as well.
  host.on("SIGHUP", () => log.info("SIGHUP received and ignored"));
}
