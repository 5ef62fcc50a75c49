// From the rows of repeated runs to medians, and from two medians to a comparison. Pure.

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return undefined;
  if (sorted.length % 2 === 1) return sorted[Math.floor(middle)];
  return (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The median of every figure over the runs that succeeded, and two sums: `lost`, the messages that
 * were expected and never consumed (negative: consumed more than once), and `failures`, the reasons
 * of the others. Undefined figures stay out. `medians` is undefined when no run succeeded.
 */
export function summarize(rows) {
  const good = rows.filter((row) => row.failed === undefined);
  const failures = rows.filter((row) => row.failed !== undefined).map((row) => row.failed);
  if (good.length === 0) return { medians: undefined, lost: 0, failures };
  const names = Object.keys(good[0]).filter((name) => typeof good[0][name] === "number");
  const medians = Object.fromEntries(
    names.map((name) => [name, median(good.map((row) => row[name]).filter(Number.isFinite))]),
  );
  const lost = good.reduce((sum, row) => sum + ((row.expected ?? 0) - (row.consumed ?? 0)), 0);
  return { medians, lost, failures };
}

/**
 * How `first` stands against `other`: rateRatio and cpuRatio both larger than 1 when first is
 * better. Undefined where one of the two was not measured.
 */
export function compare(first, other) {
  return {
    rateRatio: quotient(first?.con_s, other?.con_s),
    cpuRatio: quotient(other?.cpu_us_per_con, first?.cpu_us_per_con),
  };
}

function quotient(dividend, divisor) {
  return dividend > 0 && divisor > 0 ? dividend / divisor : undefined;
}

/**
 * Whether a goal (see scenarios.mjs) is reached: true, false, or undefined when a part of it was
 * not measured and no other part is missed. `comparison` is with RabbitMQ 3.10, or undefined.
 */
export function judgeGoal(goal, medians, comparison) {
  const parts = [
    atLeast(goal.rateRatio, comparison?.rateRatio),
    atLeast(goal.cpuRatio, comparison?.cpuRatio),
    atLeast(goal.rate, medians?.con_s),
    atMost(goal.kibPerConnection, known(medians?.kib_per_conn)),
    atMost(goal.startS, medians?.start_s),
    atMost(goal.idleMb, known(medians?.rss_idle_mb)),
    atMost(goal.residentMb, known(medians?.rss_max_mb)),
    atLeast(goal.publishRate, medians?.publish_s),
    atMost(goal.restartS, medians?.restart_s),
    atMost(goal.restartS, medians?.crash_restart_s),
    atLeast(goal.drainRate, medians?.drain_s),
  ].filter((part) => part !== "none");
  if (parts.includes(false)) return false;
  return parts.includes(undefined) ? undefined : true;
}

function atLeast(bound, figure) {
  if (bound === undefined) return "none";
  return figure === undefined ? undefined : figure >= bound;
}

function atMost(bound, figure) {
  if (bound === undefined) return "none";
  return figure === undefined ? undefined : figure <= bound;
}

/** Memory of a process that nobody could look at is reported as 0, which is not a measurement. */
function known(figure) {
  return figure > 0 ? figure : undefined;
}
