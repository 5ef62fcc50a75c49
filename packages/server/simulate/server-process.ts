/**
 * The real broker as a process of its own, for the kill simulator and tests of full disks: started
 * from source on a data directory, on a port of its own choice, killed without a warning.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface ServerOptions {
  readonly directory: string;
  /** RabbitMQ's configuration keys. */
  readonly settings?: readonly string[];
  /** A command that becomes the one behind it. */
  readonly wrapper?: readonly string[];
}

const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url));
const flags = ["--conditions=source", "--import", "tsx"];

export class ServerProcess {
  readonly #child: ChildProcess;
  readonly #url: Promise<string>;
  readonly settings: readonly string[];
  readonly ended: Promise<unknown>;
  /** What it has logged. */
  readonly lines: string[] = [];

  constructor({ directory, settings = [], wrapper = [] }: ServerOptions) {
    this.settings = settings;
    const args = ["--port", "0", "--data-dir", directory];
    for (const setting of settings) args.push("--set", setting);
    const [command, ...rest] = [...wrapper, process.execPath, ...flags, bin, ...args];
    const child = spawn(command!, rest, {
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    const log = createInterface({ input: child.stdout! });
    createInterface({ input: child.stderr! }).on("line", (line) => this.lines.push(line));
    this.ended = once(child, "close");
    this.#url = new Promise((resolve, reject) => {
      log.on("line", (line) => {
        this.lines.push(line);
        const port = /ready for AMQP 0-9-1 at \S+:(\d+)/.exec(line)?.[1];
        if (port !== undefined) resolve(`amqp://guest:guest@127.0.0.1:${port}`);
      });
      void this.ended.then(() => reject(new Error(`no start:\n${this.lines.join("\n")}`)));
    });
    this.#url.catch(() => {});
  }

  get pid(): number {
    return this.#child.pid!;
  }

  /** Where it listens, once it does. Rejects if it ends before. */
  get url(): Promise<string> {
    return this.#url;
  }

  /** Resolves when nothing of the process is left. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.ended;
  }

  /** What it has complained about, other than its clients. */
  get errors(): string[] {
    const isError = (line: string): boolean => /\[error\] (?!error on AMQP connection)/.test(line);
    return this.lines.filter(isError);
  }
}
