// A broker under measurement: one that runs already, one that a command starts, or one that runs
// and may be restarted by a command. Whoever was not running before is stopped at the end.

import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync, unlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BenchError, splitCommand } from "./command-line.mjs";
import { awaitHandshake, productOf, shakeHands } from "./handshake.mjs";
import {
  findListener,
  hasProcessFigures,
  peakResidentMb,
  processName,
  residentMb,
} from "./process-tree.mjs";

const startLimitMs = 180_000;
const stopLimitMs = 120_000;
const pollMs = 20;

/** Listeners that hold a port on behalf of a broker that is somewhere else, as in a container. */
const forwarders = /^(docker-proxy|rootlessport|slirp4netns|pasta|kubectl|ssh|sshd)/;

export class Target {
  #description;
  #pid; // of what we have started or found
  #child; // while it lives
  #isOurs = false; // was not running before, so it does not run after
  /** Product and version as the broker names itself. */
  product;

  /** A description as parseTarget() makes it. */
  constructor(description) {
    this.#description = description;
    this.#pid = description.pid;
  }

  get label() {
    return this.#description.label;
  }

  get port() {
    return this.#description.port;
  }

  get dataFolder() {
    return this.#description.data;
  }

  /** The name for headings. */
  get name() {
    return this.product ?? this.label;
  }

  /** Of the scenario's needs, those that the target was not given. */
  missing(needs) {
    return needs.filter((need) => this.#description[need] === undefined);
  }

  /** The broker's process, or 0. */
  get pid() {
    const { pidfile } = this.#description;
    if (pidfile === undefined) return this.#pid ?? 0;
    const pid = Number(readPidFile(pidfile, this.label));
    if (!Number.isInteger(pid) || pid < 1) throw new BenchError(`${pidfile} holds no process id`);
    return pid;
  }

  get residentMb() {
    return this.pid === 0 ? undefined : residentMb(this.pid);
  }

  /** The most since its processes began. */
  get peakResidentMb() {
    return this.pid === 0 ? undefined : peakResidentMb(this.pid);
  }

  /** Makes sure that the broker runs, and finds out what it is. Returns a remark for the report. */
  async prepare() {
    let start = await shakeHands(this.port);
    if (start === undefined && this.#description.start !== undefined) {
      this.#isOurs = true;
      await this.start();
      start = await shakeHands(this.port);
    } else if (start === undefined) {
      throw new BenchError(`${this.label}: no AMQP broker answers on port ${this.port}`);
    }
    this.product = start === undefined ? undefined : productOf(start);
    return this.#findProcess();
  }

  #findProcess() {
    if (!hasProcessFigures) return "no CPU and memory figures: they come from Linux's /proc";
    if (this.pid !== 0) return `process ${this.pid} (${processName(this.pid) || "gone"})`;
    const listener = findListener(this.port);
    const advice = "give pid= or pidfile= for CPU and memory figures";
    if (listener === undefined) return `its process is not to be seen: ${advice}`;
    const name = processName(listener);
    if (forwarders.test(name)) return `only ${name} listens here: ${advice}`;
    this.#pid = listener;
    return `process ${listener} (${name}), found by its port`;
  }

  /** Starts the broker and returns how many seconds it took to answer a handshake. */
  async start() {
    if ((await shakeHands(this.port)) !== undefined) {
      throw new BenchError(
        `${this.label}: something answers on port ${this.port} although the broker is stopped: ` +
          "give pid= or pidfile= of the broker itself",
      );
    }
    const { start: command } = this.#description;
    const [file, ...args] = typeof command === "string" ? splitCommand(command) : command;
    const errorFile = openNameless();
    const beganMs = performance.now();
    // A session of its own, so that a Ctrl-C reaches us and not the broker while it is measured.
    const child = spawn(file, args, { detached: true, stdio: ["ignore", "ignore", errorFile] });
    let failure;
    const onEnd = (reason) => {
      failure ??= reason;
      if (this.#child === child) this.#child = undefined;
    };
    child.on("error", (error) => onEnd(error.message));
    child.on("exit", (code, signal) => onEnd(`ended with ${signal ?? code}`));
    this.#child = child;
    this.#pid = child.pid;
    const isOver = () => failure !== undefined || performance.now() - beganMs > startLimitMs;
    const answer = await awaitHandshake(this.port, isOver);
    const readyMs = performance.now();
    const lastLine = answer === undefined ? readAll(errorFile).trim().split("\n").at(-1) : "";
    closeSync(errorFile);
    if (answer !== undefined) return (readyMs - beganMs) / 1000;
    const reason = failure ?? `no AMQP handshake within ${startLimitMs / 1000} s`;
    throw new BenchError(`${this.label} did not start: ${reason}${lastLine && `: ${lastLine}`}`);
  }

  /** Sends the signal and waits until the process is gone. */
  async stop(signal) {
    const { pid } = this;
    if (pid === 0) throw new BenchError(`${this.label}: no process to stop: give pid= or pidfile=`);
    if (!sendSignal(pid, signal)) return;
    const beganMs = performance.now();
    while (sendSignal(pid, 0)) {
      if (performance.now() - beganMs > stopLimitMs) {
        throw new BenchError(`${this.label}: process ${pid} did not stop`);
      }
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  async restart() {
    await this.stop("SIGTERM");
    return this.start();
  }

  /** Leaves things as they were found. */
  async close() {
    const child = this.#child;
    if (child === undefined) return;
    if (!this.#isOurs) return child.unref();
    const limit = setTimeout(() => this.kill(), stopLimitMs);
    const hasEnded = new Promise((resolve) => child.on("exit", resolve));
    sendSignal(-child.pid, "SIGTERM"); // the group, because a script may stand before the broker
    await hasEnded;
    clearTimeout(limit);
  }

  /** The same in a hurry, when this process is about to end. */
  kill() {
    if (this.#isOurs && this.#child !== undefined) sendSignal(-this.#child.pid, "SIGKILL");
  }
}

/**
 * A file for what the broker says on stderr. It has no name any more, because a broker that keeps
 * running after us may go on writing into it: a pipe would break then.
 */
function openNameless() {
  const path = join(tmpdir(), `haremq-bench-${process.pid}-${performance.now()}.log`);
  const file = openSync(path, "wx+", 0o600);
  unlinkSync(path);
  return file;
}

/** readFileSync() would go on from where the broker, which shares the position, stopped. */
function readAll(file) {
  const buffer = Buffer.alloc(65536);
  return buffer.toString("utf8", 0, readSync(file, buffer, 0, buffer.length, 0));
}

/** False when there is no such process; signal 0 only asks. */
function sendSignal(pid, signal) {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (error.code === "ESRCH") return false;
    throw new BenchError(`cannot signal process ${pid} (${error.code})`);
  }
}

function readPidFile(path, label) {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new BenchError(`${label}: cannot read ${path} (${error.code})`);
  }
}
