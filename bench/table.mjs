// The Markdown table for README and docs/performance.md, with everything a reader needs to know to
// believe it: which brokers, which machine, how long. Pure.

import { whole } from "./report.mjs";
import { compare, judgeGoal, summarize } from "./summary.mjs";

export const beginMarker = "<!-- bench:begin -->";
export const endMarker = "<!-- bench:end -->";

/** The goals of the project are about this one. */
const reference = /^RabbitMQ 3\.10\b/;

/**
 * targets: [{ label, name }], the first being ours. measured: see formatReport(). conditions: {
 * date, machine, reps, secs, warm }. Returns the text that belongs between the markers.
 */
export function formatTable(targets, measured, conditions) {
  const others = targets.slice(1);
  const heads = [
    "scenario",
    ...targets.map(({ name }) => name),
    ...others.map(({ name }) => `against ${name}`),
    "goal",
  ];
  const rows = measured.map((each) => formatRow(targets, each));
  return [
    formatConditions(conditions, measured),
    "",
    line(heads),
    line(heads.map((_, index) => (index === 0 ? "---" : "---:"))),
    ...rows.map(line),
  ].join("\n");
}

function line(cells) {
  return `| ${cells.join(" | ")} |`;
}

function formatRow(targets, { name, scenario, results }) {
  const summaries = results.map(({ rows }) => summarize(rows));
  const [first, ...others] = summaries;
  const comparisons = others.map((other) => compare(first.medians, other.medians));
  const at = targets.slice(1).findIndex((target) => reference.test(target.name));
  return [
    `${name}: ${scenario.title}`,
    ...summaries.map((summary) => formatCell(scenario, summary)),
    ...comparisons.map(formatComparison),
    formatGoal(scenario.goal, first.medians, comparisons[at]),
  ];
}

function formatCell(scenario, { medians, lost, failures }) {
  if (medians === undefined) return failures.length > 0 ? "failed" : "-";
  const faults = [
    when(failures.length, (count) => `${count} failed`),
    when(lost, (count) => `${whole(count)} undelivered`),
    when(-lost, (count) => `${whole(count)} too many`),
    when(medians.disorder, (count) => `${whole(count)} out of order`),
  ];
  return [...cells[scenario.kind](medians, scenario), ...faults]
    .filter((part) => part !== undefined)
    .join(", ");
}

const cells = {
  load: (medians, { steady }) => [
    `${whole(medians.con_s)}/s`,
    when(medians.cpu_us_per_con, (us) => `${us.toFixed(2)} µs CPU`),
    when(
      medians.conf_p50_us,
      (us) => `confirm ${milliseconds(us)}/${milliseconds(medians.conf_p99_us)} ms`,
    ),
    when(
      steady ? medians.e2e_p50_us : 0,
      (us) => `delivery ${milliseconds(us)}/${milliseconds(medians.e2e_p99_us)} ms`,
    ),
  ],
  idle: (medians) => [
    when(medians.kib_per_conn, (kib) => `${kib.toFixed(1)} KiB each`),
    `${whole(medians.conns_per_s)} opened/s`,
  ],
  start: (medians) => [
    `${medians.start_s.toFixed(2)} s`,
    when(medians.rss_idle_mb, (mb) => `${whole(mb)} MB`),
  ],
  backlog: (medians) => [
    `publish ${whole(medians.publish_s)}/s`,
    when(medians.rss_max_mb, (mb) => `${whole(mb)} MB at most`),
    when(medians.restart_s, (s) => `restart ${s} s, after kill -9 ${medians.crash_restart_s} s`),
    when(medians.drain_s, (rate) => `drain ${whole(rate)}/s`),
  ],
};

/** Figures that nobody could take are 0 or missing, and are left out. */
function when(figure, format) {
  return figure > 0 ? format(figure) : undefined;
}

function milliseconds(microseconds) {
  const value = microseconds / 1000;
  return value < 10 ? value.toFixed(2) : value.toFixed(0);
}

function formatComparison({ rateRatio, cpuRatio }) {
  const parts = [
    when(rateRatio, (ratio) => `${ratio.toFixed(1)}x`),
    when(cpuRatio, (ratio) => `CPU ${formatShare(ratio)}`),
  ].filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(", ") : "-";
}

/** 12 is "1/12" of the processor time, 0.5 is twice as much: "2.0x". */
function formatShare(ratio) {
  if (ratio < 1) return `${(1 / ratio).toFixed(1)}x`;
  return `1/${ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0)}`;
}

function formatGoal(goal, medians, comparison) {
  if (goal === undefined) return "";
  const parts = [
    when(goal.rateRatio, (ratio) => `${ratio}x`),
    when(goal.rate, (rate) => `${whole(rate)}/s`),
    when(goal.cpuRatio, (ratio) => `CPU 1/${ratio}`),
    when(goal.kibPerConnection, (kib) => `${kib} KiB`),
    when(goal.startS, (seconds) => `${seconds} s`),
    when(goal.idleMb, (mb) => `${mb} MB`),
    when(goal.publishRate, (rate) => `publish ${whole(rate)}/s`),
    when(goal.residentMb, (mb) => `${mb} MB`),
    when(goal.restartS, (seconds) => `restart ${seconds} s`),
    when(goal.drainRate, (rate) => `drain ${whole(rate)}/s`),
  ].filter((part) => part !== undefined);
  const verdict = judgeGoal(goal, medians, comparison);
  const word = verdict === undefined ? "" : verdict ? ": met" : ": **missed**";
  return parts.join(", ") + word;
}

function formatConditions({ date, machine, reps, secs, warm }, measured) {
  const loads = measured
    .flatMap(({ results }) => results)
    .map(({ rows }) => summarize(rows).medians?.other_cpu_pct)
    .filter((percent) => percent !== undefined);
  const runs = reps === 1 ? "One run" : `Medians of ${reps} runs`;
  const noise =
    loads.length === 0
      ? ""
      : ` Other processes took up to ${whole(Math.max(...loads))} % of one processor.`;
  return (
    `Measured on ${date}: ${machine}. ${runs} of ${secs} s after ${warm} s of warm-up; ` +
    `latencies are p50/p99.${noise}`
  );
}

/** The document with its block between the markers replaced; undefined when it has none. */
export function replaceBlock(document, block) {
  const begin = document.indexOf(beginMarker);
  const end = document.indexOf(endMarker, begin);
  if (begin < 0 || end < 0) return undefined;
  const head = document.slice(0, begin + beginMarker.length);
  return `${head}\n${block}\n${document.slice(end)}`;
}
