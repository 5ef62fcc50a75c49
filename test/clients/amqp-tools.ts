/**
 * Runs the command line tools of Debian's amqp-tools package, which are built on rabbitmq-c. They
 * are started asynchronously because the broker may live in this very process.
 */
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { within, withResolvers } from "./deadline.ts";
import type { TestBed } from "./test-bed.ts";

export type Tool =
  | "amqp-publish"
  | "amqp-get"
  | "amqp-consume"
  | "amqp-declare-queue"
  | "amqp-delete-queue";

export interface ToolRun {
  exitCode: number | null;
  stdout: Buffer;
  stderr: string;
}

/** The reason to skip, or false when all tools are on the PATH. */
export function skipWithoutTools(): string | false {
  const tools: Tool[] = [
    "amqp-publish",
    "amqp-get",
    "amqp-consume",
    "amqp-declare-queue",
    "amqp-delete-queue",
  ];
  const missing = tools.filter((tool) => !isOnPath(tool));
  return missing.length === 0 ? false : `not installed: ${missing.join(", ")} (apt: amqp-tools)`;
}

function isOnPath(tool: Tool): boolean {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.some((folder) => {
    try {
      accessSync(join(folder, tool), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Starts a tool against the bed's broker; for those that run until something happens. */
export function startTool(
  bed: TestBed,
  tool: Tool,
  args: readonly string[],
): ChildProcessWithoutNullStreams {
  const { host, port, username, password, vhost } = bed.broker;
  const server = [`--server=${host}`, `--port=${port}`, `--vhost=${vhost}`];
  const login = [`--username=${username}`, `--password=${password}`];
  // A process group of its own, so that what amqp-consume starts can be ended with it.
  const child = spawn(tool, [...server, ...login, ...args], { stdio: "pipe", detached: true });
  bed.defer(() => killTool(child));
  return child;
}

/** Ends a tool and the commands it started, as abruptly as can be; or finds it ended already. */
export function killTool(child: ChildProcessWithoutNullStreams): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Runs a tool to its end, with `input` on its standard input. */
export async function runTool(
  bed: TestBed,
  tool: Tool,
  args: readonly string[],
  input: string | Buffer = "",
): Promise<ToolRun> {
  const child = startTool(bed, tool, args);
  const ended = collect(child);
  // A tool that fails at once does not read what it is given.
  child.stdin.on("error", () => {});
  child.stdin.end(input);
  return within(ended, `${tool} to end`, 10_000);
}

/** Everything a tool says until it ends. */
export function collect(child: ChildProcessWithoutNullStreams): Promise<ToolRun> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  const { promise, resolve, reject } = withResolvers<ToolRun>();
  child.on("error", reject);
  child.on("close", (exitCode) => {
    resolve({
      exitCode,
      stdout: Buffer.concat(stdout),
      stderr: Buffer.concat(stderr).toString(),
    });
  });
  return promise;
}
