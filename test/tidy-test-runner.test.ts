/**
 * The test runner cannot take a failure for a success: what tools/test.mjs makes of test files that
 * fail, skip, hang, break while loading or end their process, in a process for each as in real use.
 */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { runTestProcess } from "../tools/test-process.mjs";
import { formatFailure, formatRun, formatTotals, judge } from "../tools/test-report.mjs";

const folder = mkdtempSync(join(tmpdir(), "haremq-runner-"));
after(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, "package.json"), '{ "type": "module" }');

const patient = { totalMs: 120_000, exitMs: 120_000 };
let runs = 0;

/** Runs test files with these texts in one process and judges it. */
async function verdictOn(texts: readonly string[], options = {}) {
  const { limits = patient, forbidSkips = false } = options as {
    limits?: typeof patient;
    forbidSkips?: boolean;
  };
  const number = runs++;
  const files = texts.map((text, index) => {
    const path = join(folder, `case-${number}-${index}.test.ts`);
    writeFileSync(path, `import { describe, it } from "node:test";\n${text}\n`);
    return path;
  });
  const run = await runTestProcess(files, join(folder, `${number}.jsonl`), limits);
  const verdict = judge(run, { forbidSkips });
  const failures = verdict.failures.map((failure: object) => formatFailure(verdict, failure));
  return {
    counts: [verdict.passed, verdict.failures.length, verdict.skips.length],
    text: [formatRun(verdict), ...failures].join("\n"),
  };
}

describe("the test runner", () => {
  it("counts tests, not the suites around them", async () => {
    const { counts, text } = await verdictOn([
      'describe("a", () => describe("b", () => { it("c", () => {}); it("d", () => {}); }));',
    ]);
    assert.deepEqual(counts, [2, 0, 0]);
    assert.match(text, /^ok .*2 passed/);
  });

  it("shows a failure in full, with the suites around it and what was printed", async () => {
    const { counts, text } = await verdictOn([
      `describe("a", () => { it("b", () => { console.log("seen"); throw new Error("bad"); }); });
       it("c", async (t) => { await t.test("d", () => { throw new Error("worse"); }); });`,
    ]);
    assert.deepEqual(counts, [0, 2, 0]);
    assert.match(text, /FAILED a > b\n/);
    assert.match(text, /Error: bad\n +at .*case-.*\.test\.ts:2/);
    assert.match(text, /FAILED c > d\n[\s\S]*Error: worse/);
    assert.match(text, /output of .*:\n +seen/);
  });

  it("fails for a suite that breaks before its tests", async () => {
    const { counts } = await verdictOn(['describe("a", () => { throw new Error("bad"); });']);
    assert.deepEqual(counts, [0, 1, 0]);
  });

  it("shows why a test was skipped, and can forbid it", async () => {
    const texts = ['it("a", () => {}); it("b", { skip: "needs a moon" }, () => {}); it.todo("c");'];
    const allowed = await verdictOn(texts);
    assert.deepEqual(allowed.counts, [1, 0, 2]);
    assert.match(allowed.text, /skipped: b: needs a moon\n/);
    const forbidden = await verdictOn(texts, { forbidSkips: true });
    assert.deepEqual(forbidden.counts, [1, 2, 2]);
  });

  it("fails for a file that cannot be loaded, alone or among others", async () => {
    const broken = 'import "./nothing.ts";';
    const alone = await verdictOn([broken]);
    assert.deepEqual(alone.counts, [0, 1, 0]);
    assert.match(alone.text, /Cannot find module/);
    const among = await verdictOn(['it("a", () => {});', broken, 'it("b", () => {});']);
    assert.deepEqual(among.counts, [2, 1, 0]);
    assert.match(among.text, /can be loaded/);
  });

  it("fails for a file without a test, alone or among others", async () => {
    assert.deepEqual((await verdictOn([""])).counts, [0, 1, 0]);
    const { counts, text } = await verdictOn(['it("a", () => {});', ""]);
    assert.deepEqual(counts, [1, 1, 0]);
    assert.match(text, /no test in: .*-1\.test\.ts/);
  });

  it("knows whose tests a shared suite runs", async () => {
    writeFileSync(
      join(folder, "shared.contract.ts"),
      `import { it } from "node:test";
       export const holds = (ok: boolean) => it("holds", () => { if (!ok) throw new Error(); });`,
    );
    const holds = (ok: boolean) => `import { holds } from "./shared.contract.ts";\nholds(${ok});`;
    const { counts, text } = await verdictOn([holds(true), holds(false)]);
    assert.deepEqual(counts, [1, 1, 0]);
    assert.match(text, /FAILED holds\n {2}in .*-1\.test\.ts\n/);
  });

  it("fails for a process that ends itself, however politely", async () => {
    for (const code of [0, 1]) {
      const { counts, text } = await verdictOn([
        `it("a", () => {}); it("b", () => process.exit(${code})); it("c", () => {});`,
      ]);
      assert.equal(counts[1], 1, text);
    }
  });

  it("fails for an error after the test it came from", async () => {
    const { counts, text } = await verdictOn([
      'it("a", () => { setImmediate(() => { throw new Error("late"); }); });',
    ]);
    assert.equal(counts[1], 1);
    assert.match(text, /late/);
  });

  it("names one culprit when a promise is never settled", async () => {
    const { counts, text } = await verdictOn([
      'it("a", () => new Promise(() => {})); it("b", () => {});',
    ]);
    assert.deepEqual(counts, [0, 2, 0]);
    assert.match(
      text,
      /FAILED a\n[\s\S]*never ended[\s\S]*FAILED b\n[\s\S]*an earlier one never ended/,
    );
  });

  it("kills what hangs, in a test or after the last", async () => {
    const inTest = await verdictOn(
      ['it("a", async () => { setInterval(() => {}, 1000); await new Promise(() => {}); });'],
      { limits: { totalMs: 3000, exitMs: 120_000 } },
    );
    assert.equal(inTest.counts[1], 1);
    assert.match(inTest.text, /hung: killed after/);
    const afterLast = await verdictOn(['it("a", () => { setInterval(() => {}, 1000); });'], {
      limits: { totalMs: 120_000, exitMs: 100 },
    });
    assert.deepEqual(afterLast.counts, [1, 1, 0]);
    assert.match(afterLast.text, /kept the process alive/);
  });

  it("ends with the counts on one line", () => {
    assert.equal(formatTotals(3, 0, 0), "3 passed, 0 failed");
    assert.equal(formatTotals(3, 1, 2), "3 passed, 1 failed, 2 skipped");
  });
});
