/** One line of comma-separated values an interval, with PerfTest's columns. */

import type { LineFormat } from "./line-format.ts";
import type { Latency, Reading } from "./meter.ts";
import type { PerfOptions } from "./perf-options.ts";

export function csvHeader(options: PerfOptions): string {
  const unit = options.useMillis ? "ms" : "µs";
  const latencies = ["consumer", "confirm"].flatMap((whose) =>
    ["min", "median", "75th p.", "95th p.", "99th p."].map(
      (figure) => `${figure} ${whose} latency (${unit})`,
    ),
  );
  const rates = ["published", "returned", "confirmed", "nacked", "received"];
  return ["id", "time (s)", ...rates.map((name) => `${name} (msg/s)`), ...latencies].join(",");
}

export function csvLine(options: PerfOptions, shown: LineFormat, reading: Reading): string {
  const { rates, elapsedSeconds, consumerLatency, confirmLatency } = reading;
  const rate = (value: number, isShown: boolean): string => (isShown ? value.toFixed(1) : "");
  const produces = options.producers > 0;
  return [
    options.id,
    elapsedSeconds.toFixed(3),
    rate(rates.sent, produces),
    rate(rates.returned, produces && options.mandatory),
    rate(rates.confirmed, shown.showsConfirmLatency),
    rate(rates.nacked, shown.showsConfirmLatency),
    rate(rates.received, options.consumers > 0),
    ...latencyColumns(consumerLatency, shown.showsConsumerLatency),
    ...latencyColumns(confirmLatency, shown.showsConfirmLatency),
  ].join(",");
}

function latencyColumns({ min, median, p75, p95, p99 }: Latency, isShown: boolean): string[] {
  return [min, median, p75, p95, p99].map((value) => (isShown ? `${Math.floor(value)}` : ""));
}
