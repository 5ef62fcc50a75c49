// Carries out what the command line asks for: prepares the targets, runs every scenario on all of
// them in turn, reports. tools/bench.mjs calls it and hands in how to get our own broker.

import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { BenchError, defaultTargets, helpText, parseCommandLine } from "./command-line.mjs";
import { buildGenerator, Generator } from "./generator.mjs";
import { describeMachine } from "./machine.mjs";
import { procedures } from "./procedures.mjs";
import { formatReport } from "./report.mjs";
import { defaultScenarios, scenarios } from "./scenarios.mjs";
import { beginMarker, formatTable, replaceBlock } from "./table.mjs";
import { Target } from "./target.mjs";

// Between two runs: what the last one left, sockets and garbage, should not weigh on the next.
const pauseMs = 500;

/**
 * Resolves to the exit code: 0, 1 when a run failed, 2 for a mistake. `describeOwn(label)` resolves
 * to the description of a target that is this checkout's broker.
 */
export async function runBench(argv, environment, describeOwn) {
  try {
    const plan = parseCommandLine(argv);
    if (plan.help) {
      process.stdout.write(helpText);
      return 0;
    }
    return await carryOut(plan, environment, describeOwn);
  } catch (error) {
    if (!(error instanceof BenchError)) throw error;
    process.stderr.write(`bench: ${error.message}\n`);
    return 2;
  }
}

async function carryOut(plan, environment, describeOwn) {
  const documents = plan.write.map(readDocument);
  const descriptions = plan.targets.length > 0 ? plan.targets : defaultTargets(environment);
  const generator = new Generator(await buildGenerator());
  const targets = [];
  for (const each of descriptions) {
    targets.push(new Target(each.port === "own" ? await describeOwn(each.label) : each));
  }
  const abandon = () => {
    generator.kill();
    for (const target of targets) target.kill();
    process.exit(130);
  };
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, abandon);

  const say = (text) => (plan.table ? process.stderr : process.stdout).write(`${text}\n`);
  try {
    for (const target of targets) {
      const remark = await target.prepare();
      say(`${target.label}: ${target.name} on port ${target.port}, ${remark}`);
    }
    const names = plan.scenarios.length > 0 ? plan.scenarios : defaultScenarios;
    const measured = [];
    for (const name of names) {
      measured.push(await measure(name, targets, { generator, plan, say }));
      say(formatReport(measured.at(-1)).join("\n"));
    }
    publish(plan, documents, targets, measured);
    const rows = measured.flatMap(({ results }) => results.flatMap((each) => each.rows));
    return rows.length > 0 && rows.every((row) => row.failed === undefined) ? 0 : 1;
  } finally {
    for (const target of targets) await target.close();
  }
}

/** A B A B ...: see helpText. */
async function measure(name, targets, { generator, plan, say }) {
  const scenario = scenarios[name];
  const results = targets.map(({ label }) => ({ label, rows: [] }));
  for (const { label, lacks } of targets.map((target) => lacking(target, scenario))) {
    if (lacks.length > 0) say(`${label}: ${name} needs ${lacks.map((each) => `${each}=`).join()}`);
  }
  const reps = scenario.once ? 1 : plan.reps;
  for (let rep = 0; rep < reps; rep++) {
    for (const [index, target] of targets.entries()) {
      if (lacking(target, scenario).lacks.length > 0) continue;
      const row =
        scenario.kind === "load"
          ? await generator.load(target, name, loadOptions(scenario, plan))
          : await procedures[scenario.kind]({ name, scenario, target, generator });
      row.target = target.label;
      results[index].rows.push(row);
      if (plan.json !== undefined) appendFileSync(plan.json, `${JSON.stringify(row)}\n`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
  return { name, scenario, results };
}

function lacking(target, scenario) {
  return { label: target.label, lacks: target.missing(scenario.needs ?? []) };
}

function loadOptions(scenario, plan) {
  return `${scenario.load} --time ${plan.secs} --warmup ${plan.warm}`;
}

function readDocument(path) {
  let text;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new BenchError(`cannot read ${path} (${error.code})`);
  }
  if (replaceBlock(text, "") === undefined) throw new BenchError(`${path} has no ${beginMarker}`);
  return { path, text };
}

function publish(plan, documents, targets, measured) {
  if (!plan.table && documents.length === 0) return;
  const conditions = {
    date: new Date().toISOString().slice(0, 10),
    machine: describeMachine(),
    reps: plan.reps,
    secs: plan.secs,
    warm: plan.warm,
  };
  const table = formatTable(targets, measured, conditions);
  if (plan.table) process.stdout.write(`${table}\n`);
  for (const { path, text } of documents) writeFileSync(path, replaceBlock(text, table));
}
