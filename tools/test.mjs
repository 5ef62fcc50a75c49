// npm test [-- PATTERN...]: runs every test of the project from source, without a build, or those
// whose path contains one of the patterns.
//
//   unit tests         packages/*/src/**/*.test.ts                 all in one process
//   integration tests  packages/*/test/*.test.ts, test/*.test.ts   a process each, two at a time
//
// The last line is always "N passed, N failed" (", N skipped" when there are any). The exit code is
// not 0 when a test failed, when there was no test at all, when a file could not be loaded or had
// no test in it, when a process ended badly, and when one hung. HAREMQ_FORBID_SKIPS=1 makes a
// skipped test a failed one (CI sets it). HAREMQ_TEST_TIMEOUT_S is how long one process may take
// (default 600), HAREMQ_TEST_JOBS how many run at once.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { ensureInstalled, root } from "./install.mjs";
import { runTestProcess } from "./test-process.mjs";
import { formatFailure, formatRun, formatTotals, judge } from "./test-report.mjs";

const jobs = Number(process.env.HAREMQ_TEST_JOBS ?? Math.min(2, availableParallelism()));
const limits = {
  totalMs: Number(process.env.HAREMQ_TEST_TIMEOUT_S ?? 600) * 1000,
  exitMs: 60_000,
};

process.exitCode = await main(process.argv.slice(2));

async function main(patterns) {
  ensureInstalled();
  const files = findTests().filter(
    (file) => patterns.length === 0 || patterns.some((pattern) => file.includes(pattern)),
  );
  const unit = files.filter((file) => /^packages\/[^/]+\/src\//.test(file));
  const batches = files.filter((file) => !unit.includes(file)).map((file) => [file]);
  if (unit.length > 0) batches.unshift(unit);

  const scratch = mkdtempSync(join(tmpdir(), "haremq-test-"));
  const verdicts = [];
  await inParallel(batches, jobs, async (batch, index) => {
    const run = await runTestProcess(batch, join(scratch, `${index}.jsonl`), limits);
    const verdict = judge(run, { forbidSkips: process.env.HAREMQ_FORBID_SKIPS === "1" });
    verdicts.push(verdict);
    print(formatRun(verdict));
  });
  rmSync(scratch, { recursive: true, force: true });

  for (const verdict of verdicts) {
    for (const failure of verdict.failures) print(formatFailure(verdict, failure));
  }
  if (files.length === 0) print(`No test file matches ${patterns.join(" ")}.`);
  const passed = sum(verdicts, (verdict) => verdict.passed);
  const failed = sum(verdicts, (verdict) => verdict.failures.length);
  const skipped = sum(verdicts, (verdict) => verdict.skips.length);
  print(formatTotals(passed, failed, skipped));
  return failed > 0 || passed === 0 ? 1 : 0;
}

/** Every test file, as a path from the root with forward slashes, in a stable order. */
function findTests() {
  const folders = ["test"];
  for (const name of readdirSync(join(root, "packages"))) {
    folders.push(`packages/${name}/src`, `packages/${name}/test`);
  }
  const found = folders.flatMap((folder) => {
    const entries = readdirOrNothing(join(root, folder), { recursive: folder.endsWith("/src") });
    return entries
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => join(root, folder, name));
  });
  return found.map((path) => relative(root, path).split(sep).join("/")).sort();
}

function readdirOrNothing(path, options) {
  try {
    return readdirSync(path, options);
  } catch (error) {
    if (error.code === "ENOENT") return [];
    throw error;
  }
}

async function inParallel(items, width, work) {
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next++;
      await work(items[index], index);
    }
  };
  await Promise.all(Array.from({ length: Math.max(1, width) }, lane));
}

function sum(items, count) {
  return items.reduce((total, item) => total + count(item), 0);
}

function print(text) {
  process.stdout.write(`${text}\n`);
}
