// Compiles the load generator (ampload/*.c) when its sources have changed, and runs it. The binary
// stays outside the checkout, in a folder of this user's among the temporary files, named after a
// hash of the sources: nothing stale is ever run, and two checkouts do not disturb each other.

import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { BenchError } from "./command-line.mjs";

const sourceFolder = fileURLToPath(new URL("ampload", import.meta.url));
const compilerOptions = ["-O2", "-pthread"];
const runLimitMs = 3_900_000;

/** The path of the compiled generator. */
export async function buildGenerator(compiler = process.env.CC ?? "cc") {
  const names = readdirSync(sourceFolder)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const hash = createHash("sha256").update([compiler, ...compilerOptions].join(" "));
  for (const name of names) hash.update(readFileSync(join(sourceFolder, name)));
  const folder = join(tmpdir(), `haremq-bench-${userInfo().username}`);
  const binary = join(folder, `ampload-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(binary)) return binary;

  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const sources = names.filter((name) => name.endsWith(".c"));
  const partial = `${binary}.${process.pid}`;
  const args = [...compilerOptions, "-o", partial, ...sources];
  const { error, stderr } = await run(compiler, args, { cwd: sourceFolder });
  if (error?.code === "ENOENT") {
    throw new BenchError(
      `the load generator is written in C and ${compiler} was not found: install a C compiler ` +
        "(on Debian: apt-get install gcc libc6-dev), or name one in CC",
    );
  }
  if (error !== null) {
    const reason = stderr.split("\n").find((line) => line.includes("error")) ?? error.message;
    throw new BenchError(`${compiler} cannot compile the load generator: ${reason}`);
  }
  renameSync(partial, binary);
  return binary;
}

export class Generator {
  #binary;
  #abort = new AbortController();

  constructor(binary) {
    this.#binary = binary;
  }

  /** One run against a target: the generator's result, or { failed: reason }. */
  async load(target, label, options) {
    const command = ["--port", `${target.port}`, "--pid", `${target.pid}`, "--label", label];
    const { error, stdout, stderr } = await run(this.#binary, [...command, ...options.split(" ")], {
      timeout: runLimitMs,
      signal: this.#abort.signal,
    });
    if (error === null) return JSON.parse(stdout);
    return { label, failed: stderr.trim().split("\n").at(-1) || error.message };
  }

  /** How many messages the queue of a backlog holds; 0 when it cannot be asked. */
  async depth(target, prefix) {
    const args = ["--port", `${target.port}`, "--prefix", prefix, "--depth"];
    const { error, stdout } = await run(this.#binary, args);
    return error === null ? Number(stdout) : 0;
  }

  /** Ends a run at once, when this process is about to end. */
  kill() {
    this.#abort.abort();
  }
}

function run(file, args, options = {}) {
  return new Promise((resolve) => {
    execFile(file, args, options, (error, stdout, stderr) => resolve({ error, stdout, stderr }));
  });
}
