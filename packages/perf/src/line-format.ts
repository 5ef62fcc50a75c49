/**
 * The lines a user reads while the test runs and in the end, in PerfTest's format, so that what
 * reads PerfTest's lines reads these.
 */

import { carriesTime } from "./message-source.ts";
import type { Latency, Reading } from "./meter.ts";
import type { PerfOptions } from "./perf-options.ts";

const percentiles = "min/median/75th/95th/99th";
const extremes = "min/avg/max";

/** Which figures there are to show. */
export class LineFormat {
  readonly #options: PerfOptions;
  readonly #unit: string;
  readonly #header: string;

  constructor(options: PerfOptions) {
    this.#options = options;
    this.#unit = options.useMillis ? "ms" : "µs";
    this.#header = options.legacyMetrics ? extremes : percentiles;
  }

  get showsConsumerLatency(): boolean {
    return this.#options.consumers > 0 && carriesTime(this.#options);
  }

  get showsConfirmLatency(): boolean {
    return this.#options.producers > 0 && this.#options.confirmWindow !== undefined;
  }

  /** The line for one interval. */
  line(reading: Reading): string {
    const { id, producers, consumers, mandatory } = this.#options;
    const { rates, elapsedSeconds } = reading;
    const parts = [`id: ${id}`, `time ${elapsedSeconds.toFixed(3)} s`];
    if (producers > 0) parts.push(`sent: ${formatRate(rates.sent)}`);
    if (mandatory) parts.push(`returned: ${formatRate(rates.returned)}`);
    if (this.showsConfirmLatency) {
      parts.push(`confirmed: ${formatRate(rates.confirmed)}`);
      parts.push(`nacked: ${formatRate(rates.nacked)}`);
    }
    if (consumers > 0) parts.push(`received: ${formatRate(rates.received)}`);
    const latencies = [];
    if (this.showsConsumerLatency) {
      latencies.push(`consumer latency: ${this.#latency(reading.consumerLatency)}`);
    }
    if (this.showsConfirmLatency) {
      latencies.push(`confirm latency: ${this.#latency(reading.confirmLatency)}`);
    }
    if (latencies.length > 0) parts.push(`${this.#header} ${latencies.join(", ")}`);
    return parts.join(", ");
  }

  /** The lines for the whole test. */
  summary(summary: Reading): string[] {
    const begin = `id: ${this.#options.id}, `;
    const lines = [
      `${begin}sending rate avg: ${formatRate(summary.rates.sent)}`,
      `${begin}receiving rate avg: ${formatRate(summary.rates.received)}`,
    ];
    if (this.showsConsumerLatency) {
      const latency = this.#latency(summary.consumerLatency);
      lines.push(`${begin}consumer latency ${this.#header} ${latency}`);
    }
    if (this.showsConfirmLatency) {
      const latency = this.#latency(summary.confirmLatency);
      lines.push(`${begin}confirm latency ${this.#header} ${latency}`);
    }
    return lines;
  }

  #latency({ min, mean, median, p75, p95, p99, max }: Latency): string {
    const figures = this.#options.legacyMetrics ? [min, mean, max] : [min, median, p75, p95, p99];
    return `${figures.map(Math.floor).join("/")} ${this.#unit}`;
  }
}

/** Small rates need digits, large ones do not. */
export function formatRate(rate: number): string {
  if (rate === 0 || rate >= 10) return `${Math.floor(rate)} msg/s`;
  return `${rate.toFixed(rate < 1 ? 2 : 1)} msg/s`;
}
