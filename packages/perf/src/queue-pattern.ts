/** Queue names in sequence from a printf pattern with one %d, as --queue-pattern takes it. */

import { UsageError } from "./command-line.ts";

const queuesMax = 1_000_000;

/** `perf-%03d` from 1 to 3: perf-001, perf-002, perf-003. `%%` is a percent sign. */
export function queueNames(pattern: string, from: number, to: number): string[] {
  if (to - from >= queuesMax) throw new UsageError(`at most ${queuesMax} queues`);
  const rest = pattern.replace(/%%|%0?\d{0,4}d/g, "");
  if (rest.includes("%") || !/%0?\d{0,4}d/.test(pattern.replaceAll("%%", ""))) {
    throw new UsageError(`--queue-pattern needs one %d for the number, not "${pattern}"`);
  }
  return Array.from({ length: to - from + 1 }, (_, i) => nameOf(pattern, from + i));
}

function nameOf(pattern: string, number: number): string {
  return pattern.replace(/%%|%(0?)(\d{0,4})d/g, (match, zero: string, width: string) => {
    if (match === "%%") return "%";
    return String(number).padStart(Number(width), zero === "0" ? "0" : " ");
  });
}
