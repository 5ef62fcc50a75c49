// Turns what a test process did into numbers and text. Called by tools/test.mjs; pure, so that
// test/tidy-test-runner.test.ts can prove that a failure cannot pass for a success.

import { relative, resolve } from "node:path";
import { root } from "./install.mjs";
import { runningTests } from "./test-process.mjs";

/**
 * Counts one process: { files, durationMs, output, passed, failures, skips }. A failure is { name,
 * place, text }, a skip { name, reason }. Everything that is wrong is a failure, counted once.
 */
export function judge(run, { forbidSkips }) {
  const verdict = { ...run, passed: 0, failures: [], skips: [] };
  const filesWithTests = new Set();
  for (const { test, path, file } of withPaths(run)) {
    filesWithTests.add(file);
    judgeTest(test, { name: path.join(" > "), place: file }, verdict, forbidSkips);
  }
  judgeProcess(run, verdict, filesWithTests);
  return verdict;
}

function judgeTest(test, where, verdict, forbidSkips) {
  const reason = skipReason(test);
  if (reason !== undefined) {
    verdict.skips.push({ name: where.name, reason });
    if (forbidSkips) verdict.failures.push({ ...where, text: `skipped: ${reason}` });
  } else if (!test.passed) {
    // A test that failed only because a test inside it did adds nothing to know.
    if (test.failureType === "subtestsFailed") return;
    verdict.failures.push({ ...where, text: explain(test, verdict) });
  } else if (!test.suite) {
    verdict.passed++;
  }
}

/**
 * One promise that is never settled makes node:test give up all tests after it; only the first is
 * the culprit.
 */
function explain(test, verdict) {
  if (test.failureType !== "cancelledByParent") return test.error ?? "failed";
  const culprit = `never ended: ${test.error}`;
  return verdict.failures.some((failure) => failure.text === culprit)
    ? "given up, because an earlier one never ended"
    : culprit;
}

function judgeProcess(run, verdict, filesWithTests) {
  const fail = (text) => verdict.failures.push({ name: title(run.files), place: "", text });
  const seconds = Math.round(run.durationMs / 1000);
  const running = runningTests(run.events).map((test) => test.name);
  if (run.hung === "time") {
    fail(`hung: killed after ${seconds} s, still running: ${running.join(" > ") || "no test"}`);
  } else if (run.hung === "exit") {
    fail("hung: all tests had ended, but a timer, socket or child process kept the process alive");
  } else if (run.signal !== null) {
    fail(`the process was ended by ${run.signal} during: ${running.join(" > ") || "no test"}`);
  } else if (run.code !== 0 && verdict.failures.length === 0) {
    const notes = run.events.filter((event) => event.event === "note" && !isCount(event.message));
    const text = [`the process ended with exit code ${run.code} although no test failed`];
    fail([...text, ...notes.map((note) => note.message)].join("\n"));
  } else if (run.code === 0 && !run.events.some((event) => isCount(event.message))) {
    fail("the process ended before node:test had finished: something called process.exit()");
  } else {
    const silent = run.files.filter((file) => !filesWithTests.has(toPath(file)));
    if (verdict.failures.length === 0 && silent.length > 0)
      fail(`no test in: ${silent.join(", ")}`);
  }
}

/** node:test ends every complete run with notes such as "tests 12" and "duration_ms 34.5". */
function isCount(message) {
  return /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/.test(message ?? "");
}

/**
 * The ended tests, each with its file and the names of the suites around it. Events of a suite come
 * after those inside it.
 */
function withPaths(run) {
  const waiting = []; // results whose surrounding suites have not ended yet
  const done = [];
  let file = run.files.length === 1 ? toPath(run.files[0]) : undefined;
  for (const event of run.events) {
    if (event.event === "file") file = toPath(event.path);
    if (event.event !== "end") continue;
    for (const inner of waiting) {
      if (inner.depth > event.nesting) {
        inner.path.unshift(event.name);
        inner.depth = event.nesting;
      }
    }
    const entry = { test: event, file, path: [event.name], depth: event.nesting };
    waiting.push(entry);
    done.push(entry);
    if (event.nesting === 0) waiting.length = 0;
  }
  return done;
}

function skipReason(test) {
  if (test.skip !== undefined && test.skip !== false) {
    return test.skip === true || test.skip === "" ? "no reason given" : test.skip;
  }
  if (test.todo !== undefined && test.todo !== false) return `not written yet (${test.todo})`;
  return undefined;
}

function toPath(file) {
  return relative(root, resolve(root, file)).replaceAll("\\", "/");
}

function title(files) {
  return files.length === 1 ? files[0] : `unit tests (${files.length} files)`;
}

/** One line for a process, and one for every skipped test, with its reason. */
export function formatRun(verdict) {
  const mark = verdict.failures.length > 0 ? "FAILED" : "ok    ";
  const parts = [`${verdict.passed} passed`];
  if (verdict.failures.length > 0) parts.push(`${verdict.failures.length} failed`);
  if (verdict.skips.length > 0) parts.push(`${verdict.skips.length} skipped`);
  const seconds = (verdict.durationMs / 1000).toFixed(1);
  const lines = [`${mark} ${title(verdict.files)}: ${parts.join(", ")} (${seconds} s)`];
  for (const skip of verdict.skips) lines.push(`       skipped: ${skip.name}: ${skip.reason}`);
  return lines.join("\n");
}

/**
 * A failure in full. The output of the process follows its last failure, where it is not repeated
 * for each.
 */
export function formatFailure(verdict, failure) {
  const lines = ["", `FAILED ${failure.name}`];
  if (failure.place !== "") lines.push(`  in ${failure.place}`);
  lines.push(indent(failure.text));
  const isLast = verdict.failures.at(-1) === failure;
  if (isLast && verdict.output.trim() !== "") {
    lines.push(`  output of ${title(verdict.files)}:`, indent(verdict.output.trimEnd()));
  }
  return lines.join("\n");
}

export function formatTotals(passed, failed, skipped) {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}

function indent(text) {
  return text.replaceAll(/^/gm, "    ");
}
