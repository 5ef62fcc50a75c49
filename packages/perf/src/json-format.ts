/**
 * All figures of a test as one JSON document: the settings, the totals, the averages, the latency
 * distribution, and every interval. Latency is given in `latencyUnit`.
 */

import type { LoadTestResult } from "./load-test.ts";
import type { Reading } from "./meter.ts";
import type { PerfOptions } from "./perf-options.ts";

export function jsonDocument(
  options: PerfOptions,
  result: LoadTestResult,
  intervals: readonly Reading[],
): string {
  const { summary, startedAt, broker } = result;
  const document = {
    id: options.id,
    broker,
    startedAt: startedAt.toISOString(),
    options: { ...options, uris: options.uris.map(withoutPassword) },
    latencyUnit: options.useMillis ? "ms" : "us",
    ...summary,
    intervals,
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** Results are passed around; passwords should not be. */
function withoutPassword(uri: string): string {
  return uri.replace(/^(amqps?:\/\/[^:@/]*):[^/]*@/i, "$1@");
}
