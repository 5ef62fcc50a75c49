// The report in the terminal: one block a scenario, one line a target, and how the first target
// compares with the others. Pure.

import { compare, summarize } from "./summary.mjs";

const labelColumns = 10;

/**
 * measured: { name, scenario, results: [{ label, rows }] }, in the order of the targets. Returns
 * lines.
 */
export function formatReport({ name, scenario, results }) {
  const lines = [`== ${name}: ${scenario.title}`];
  const summaries = results.map(({ label, rows }) => ({ label, rows, ...summarize(rows) }));
  for (const summary of summaries) {
    const head = `  ${summary.label.padEnd(labelColumns)} `;
    for (const failure of summary.failures) lines.push(`${head}FAILED: ${failure}`);
    if (summary.medians === undefined) continue;
    if (scenario.kind === "load") lines.push(head + formatLoad(summary));
    else for (const row of summary.rows) lines.push(head + formatRow(row));
  }
  if (scenario.kind === "load") lines.push(...formatComparisons(summaries));
  return lines;
}

function formatLoad({ medians, lost }) {
  const parts = [
    `published/s ${whole(medians.pub_s).padStart(9)}`,
    `consumed/s ${whole(medians.con_s).padStart(9)}`,
    `CPU-us/msg ${cpuText(medians.cpu_us_per_con).padStart(7)}`,
    `confirm p50/p99 us ${whole(medians.conf_p50_us)}/${whole(medians.conf_p99_us)}`,
    `end-to-end p50/p99 us ${whole(medians.e2e_p50_us)}/${whole(medians.e2e_p99_us)}`,
    `rss ${medians.rss_max_mb > 0 ? `${whole(medians.rss_max_mb)} MB` : "-"}`,
    `undelivered ${lost}`,
    `out of order ${medians.disorder}`,
    `other load ${whole(medians.other_cpu_pct)} %`,
  ];
  return parts.join("  ");
}

function formatRow(row) {
  return Object.entries(row)
    .filter(([key, value]) => key !== "label" && key !== "target" && value !== undefined)
    .map(([key, value]) => `${key} ${typeof value === "number" ? trimmed(value) : value}`)
    .join("  ");
}

function formatComparisons([first, ...others]) {
  return others
    .filter((other) => first.medians !== undefined && other.medians !== undefined)
    .map((other) => {
      const { rateRatio, cpuRatio } = compare(first.medians, other.medians);
      const rate = rateRatio === undefined ? "-" : `x${rateRatio.toFixed(2)}`;
      const cpu = cpuRatio === undefined ? "-" : `x${(1 / cpuRatio).toFixed(3)}`;
      return `  ${first.label} / ${other.label}: consumed ${rate}  CPU per message ${cpu}`;
    });
}

export function whole(number) {
  return Math.round(number).toLocaleString("en-US");
}

/** 0 microseconds means that nobody could look at the process. */
function cpuText(microseconds) {
  return microseconds > 0 ? microseconds.toFixed(2) : "-";
}

function trimmed(number) {
  return number.toLocaleString("en-US", { maximumFractionDigits: 2 });
}
