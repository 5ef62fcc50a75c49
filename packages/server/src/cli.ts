/**
 * The command line of haremq: from arguments to a command, with every mistake reported as one line.
 * Pure; main.ts acts on the result.
 *
 * The dedicated options are short forms of settings and win over --set: --port and --host replace
 * all configured listeners by one, --log-level is log.console.level.
 */

import { parseArgs } from "node:util";
import { formatListenerAddress, parsePort } from "./config/listener-address.ts";
import type { Setting } from "./config/load-config.ts";
import { editDistance } from "./config/setting-key.ts";
import { quote } from "./config/value-parsers.ts";

export type Command =
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "inspect-store"; readonly directory: string; readonly isJson: boolean }
  | {
      readonly kind: "run";
      readonly settings: readonly Setting[];
      readonly dataDirectory: string | undefined;
      readonly pidFile: string | undefined;
    };

/** A mistake on the command line. The message is one line and complete. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

const options = {
  port: { type: "string", short: "p" },
  host: { type: "string" },
  "data-dir": { type: "string" },
  "log-level": { type: "string" },
  "pid-file": { type: "string" },
  set: { type: "string", multiple: true },
  version: { type: "boolean" },
  help: { type: "boolean", short: "h" },
} as const;

export const helpText = `Usage: haremq [OPTIONS]
       haremq store inspect DIR [--json]

HareMQ, a message broker that speaks AMQP 0-9-1 as RabbitMQ does.

  -p, --port N         listen on this port (default 5672; 0: any free one, the log names it)
      --host H         listen on this address (default: this machine only; 0.0.0.0: everywhere)
      --data-dir D     keep data in this folder (default ./haremq-data)
      --log-level L    debug, info, warning, error or none (default info)
      --pid-file F     write the process id to this file once the broker is ready
      --set KEY=VALUE  any of RabbitMQ's configuration keys, as in rabbitmq.conf; repeatable
      --version        print the version
  -h, --help           print this

  store inspect DIR    look through a data folder that no broker uses, and check every checksum:
                       exit code 0 if it is sound, 1 if it is damaged

Examples:
  haremq --port 5673 --log-level debug
  haremq --set heartbeat=30 --set vm_memory_high_watermark.relative=0.4
  haremq --set loopback_users=none --set default_user=app --set default_pass=secret
`;

/** Throws UsageError. */
export function parseCommandLine(args: readonly string[]): Command {
  if (args[0] === "store") return parseStoreCommand(args.slice(1));
  const { values, tokens } = parseArgs({
    args: [...args],
    options,
    strict: false, // Strict messages run over several lines and explain too much.
    allowPositionals: true,
    tokens: true,
  });
  for (const token of tokens) check(token);
  if (values.help === true) return { kind: "help" };
  if (values.version === true) return { kind: "version" };
  const settings = ((values.set ?? []) as string[]).map(parseSetting);
  const listener = listenerSetting(text(values.port), text(values.host));
  const level = text(values["log-level"]);
  return {
    kind: "run",
    settings: [
      ...(listener === undefined ? settings : [...settings.filter(isNotListener), listener]),
      ...(level === undefined ? [] : [["log.console.level", level] as const]),
    ],
    dataDirectory: text(values["data-dir"]),
    pidFile: text(values["pid-file"]),
  };
}

function parseStoreCommand([verb, ...rest]: readonly string[]): Command {
  if (verb === "--help" || verb === "-h") return { kind: "help" };
  if (verb !== "inspect") {
    const what =
      verb === undefined ? "store needs a command" : `unknown command store ${quote(verb)}`;
    throw new UsageError(`${what}: haremq store inspect DIR, see --help`);
  }
  const options = rest.filter((argument) => argument.startsWith("-"));
  const [directory, another] = rest.filter((argument) => !argument.startsWith("-"));
  if (options.includes("--help") || options.includes("-h")) return { kind: "help" };
  const unknown = options.find((option) => option !== "--json");
  if (unknown !== undefined) throw new UsageError(`unknown option ${unknown}, see --help`);
  if (directory === undefined || directory === "") {
    throw new UsageError("store inspect needs a folder: haremq store inspect DIR");
  }
  if (another !== undefined)
    throw new UsageError(`unexpected argument ${quote(another)}, see --help`);
  return { kind: "inspect-store", directory, isJson: options.includes("--json") };
}

type Token = NonNullable<ReturnType<typeof parseArgs>["tokens"]>[number];

function check(token: Token): void {
  if (token.kind === "option-terminator") return;
  if (token.kind === "positional") {
    throw new UsageError(`unexpected argument ${quote(token.value)}, see --help`);
  }
  const option = Object.hasOwn(options, token.name)
    ? options[token.name as keyof typeof options]
    : undefined;
  if (option === undefined) {
    throw new UsageError(`unknown option ${token.rawName}${suggestion(token.name)}, see --help`);
  }
  if (option.type === "boolean" && token.value !== undefined) {
    throw new UsageError(`${token.rawName} takes no value`);
  }
  // "--port --host x" means a forgotten value. One that begins with a dash can be given as
  // --option=-value.
  const isMissing = token.value === undefined || (!token.inlineValue && /^-./.test(token.value));
  if (option.type === "string" && (isMissing || token.value === "")) {
    throw new UsageError(`${token.rawName} needs a value`);
  }
}

function suggestion(name: string): string {
  const near = Object.keys(options).find((known) => editDistance(name, known) <= 2);
  return near === undefined || name.length < 2 ? "" : ` (did you mean --${near}?)`;
}

function parseSetting(pair: string): Setting {
  const equals = pair.indexOf("=");
  if (equals < 1) throw new UsageError(`--set ${quote(pair)} is not of the form key=value`);
  return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()];
}

function isNotListener([key]: Setting): boolean {
  return key !== "listeners.tcp" && !key.startsWith("listeners.tcp.");
}

function listenerSetting(port: string | undefined, host: string | undefined): Setting | undefined {
  if (port === undefined && host === undefined) return undefined;
  // Nothing but this machine reaches a broker that was not told where to listen.
  const plainHost = host?.replace(/^\[(.*)\]$/, "$1") ?? "localhost";
  const address = { host: plainHost, port: parsePort(port ?? "5672") };
  return ["listeners.tcp.default", formatListenerAddress(address)];
}

function text(value: string | boolean | (string | boolean)[] | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}
