// Runs test files in a process of their own and gathers what happened there. Called by
// tools/test.mjs.
//
// The child writes its events to a file (see test-reporter.mjs) and its output is kept, to be shown
// only when something failed. The child leads a process group of its own, so that a hung test is
// killed together with whatever it has started.

import { spawn } from "node:child_process";
import { readFileSync, rmSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./install.mjs";

const outputLimitBytes = 1024 * 1024;
const living = new Set();

// The children lead their own process groups, so a Ctrl-C in the terminal does not reach them by
// itself.
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    for (const child of living) killGroup(child);
    process.exit(1);
  });
}

/**
 * Resolves, never rejects, to { files, events, output, code, signal, durationMs, hung: undefined |
 * "time" | "exit" }. limits.totalMs is how long the process may take, limits.exitMs how long it may
 * live on after its last test.
 */
export async function runTestProcess(files, eventsPath, limits) {
  const startedAt = performance.now();
  rmSync(eventsPath, { force: true });
  const child = spawn(process.execPath, [...nodeOptions(eventsPath), ...entry(files)], {
    cwd: root,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    env: childEnvironment(),
  });
  living.add(child);
  const output = keepOutput(child);
  const watch = watchForHang(child, eventsPath, limits);
  const ended = await new Promise((resolve) => {
    child.once("error", (error) => resolve({ code: null, signal: null, spawnError: error }));
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  living.delete(child);
  watch.stop();
  if (ended.spawnError) output.push(Buffer.from(`cannot start: ${ended.spawnError.message}\n`));
  return {
    files,
    events: readEvents(eventsPath),
    output: Buffer.concat(output).toString("utf8"),
    code: ended.code,
    signal: ended.signal,
    durationMs: performance.now() - startedAt,
    hung: watch.hung,
  };
}

function nodeOptions(eventsPath) {
  return [
    "--conditions=source",
    "--import",
    "tsx",
    `--test-reporter=${pathToFileURL(join(root, "tools/test-reporter.mjs")).href}`,
    `--test-reporter-destination=${eventsPath}`,
  ];
}

function entry(files) {
  const paths = files.map((file) => resolve(root, file));
  return paths.length === 1 ? paths : [join(root, "tools/unit-tests.mjs"), ...paths];
}

function childEnvironment() {
  const environment = { ...process.env };
  // Set when we were started by a node:test process; it would change the reporter.
  delete environment.NODE_TEST_CONTEXT;
  return environment;
}

/**
 * Keeps the last megabyte of what the child prints, standard output and error in their order of
 * arrival.
 */
function keepOutput(child) {
  const chunks = [];
  let bytes = 0;
  const keep = (chunk) => {
    chunks.push(chunk);
    bytes += chunk.length;
    while (bytes > outputLimitBytes && chunks.length > 1) bytes -= chunks.shift().length;
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  return chunks;
}

/**
 * Kills the process when it takes too long, or when nothing but an open handle keeps it after its
 * last test.
 */
function watchForHang(child, eventsPath, limits) {
  const startedAt = performance.now();
  const watch = { hung: undefined, stop: () => clearInterval(timer) };
  const kill = (reason) => {
    watch.hung = reason;
    clearInterval(timer);
    killGroup(child);
  };
  const timer = setInterval(() => {
    if (performance.now() - startedAt > limits.totalMs) return kill("time");
    const quietMs = Date.now() - modifiedAt(eventsPath);
    if (quietMs > limits.exitMs && runningTests(readEvents(eventsPath)).length === 0) kill("exit");
  }, 1000);
  return watch;
}

function killGroup(child) {
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    child.kill("SIGKILL"); // no process groups on this platform
  }
}

function modifiedAt(path) {
  try {
    const { mtimeMs, size } = statSync(path);
    return size === 0 ? Number.POSITIVE_INFINITY : mtimeMs;
  } catch {
    return Number.POSITIVE_INFINITY; // nothing has been reported yet
  }
}

/** The tests that have started and not ended, outermost first. */
export function runningTests(events) {
  const running = [];
  for (const event of events) {
    if (event.event === "start") running.push(event);
    if (event.event !== "end") continue;
    const index = running.findLastIndex(
      (started) => started.name === event.name && started.nesting === event.nesting,
    );
    if (index >= 0) running.splice(index, 1);
  }
  return running;
}

/** Reads the events written so far. A last line that was cut short by a kill is left out. */
function readEvents(path) {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}
