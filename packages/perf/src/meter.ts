/**
 * Counts what producers and consumers do and records how long it took. Agents call `published`,
 * `received` and the like for every message; the load test takes a reading at every interval and a
 * summary in the end. Latency is recorded in the clock's units and read in the reported unit.
 *
 * This is a hot file.
 */

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

/** Latency in the reported unit. All zero when nothing was recorded. */
export interface Latency {
  readonly count: number;
  readonly min: number;
  readonly mean: number;
  readonly median: number;
  readonly p75: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface Counts {
  readonly sent: number;
  readonly confirmed: number;
  readonly nacked: number;
  readonly returned: number;
  readonly received: number;
}

/** What happened between two moments. */
export interface Reading {
  /** From the start of the test to the end of what this describes. */
  readonly elapsedSeconds: number;
  readonly counts: Counts;
  /** The same, a second. */
  readonly rates: Counts;
  readonly consumerLatency: Latency;
  readonly confirmLatency: Latency;
}

const nothing: Counts = { sent: 0, confirmed: 0, nacked: 0, returned: 0, received: 0 };

export class Meter {
  sent = 0;
  confirmed = 0;
  nacked = 0;
  returned = 0;
  received = 0;
  readonly #unitsPerReported: number;
  #startMs: number;
  #lastMs: number;
  #last: Counts = nothing;
  /** Of the current interval, and of everything before it. */
  readonly #consumer = createHistogram();
  readonly #confirm = createHistogram();
  readonly #consumerTotal = createHistogram();
  readonly #confirmTotal = createHistogram();

  constructor(unitsPerReported: number, nowMs: number) {
    this.#unitsPerReported = unitsPerReported;
    this.#startMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** The test begins now: what came before was preparation. */
  begin(nowMs: number): void {
    this.#startMs = nowMs;
    this.#lastMs = nowMs;
  }

  /** `units` that a message took from being sent to being received. */
  recordConsumerLatency(units: number): void {
    // A histogram begins at 1, and clocks have a grain: less than one unit counts as one.
    this.#consumer.record(Math.max(units, 1));
  }

  recordConfirmLatency(units: number): void {
    this.#confirm.record(Math.max(units, 1));
  }

  /** Since the last reading. */
  unreadMs(nowMs: number): number {
    return nowMs - this.#lastMs;
  }

  /** What happened since the last reading. */
  read(nowMs: number): Reading {
    const counts = this.#counts();
    const reading = this.#reading(
      difference(counts, this.#last),
      nowMs - this.#lastMs,
      nowMs,
      this.#consumer,
      this.#confirm,
    );
    this.#last = counts;
    this.#lastMs = nowMs;
    this.#settle(this.#consumer, this.#consumerTotal);
    this.#settle(this.#confirm, this.#confirmTotal);
    return reading;
  }

  /** Everything since the start. */
  summary(nowMs: number): Reading {
    this.#settle(this.#consumer, this.#consumerTotal);
    this.#settle(this.#confirm, this.#confirmTotal);
    return this.#reading(
      this.#counts(),
      nowMs - this.#startMs,
      nowMs,
      this.#consumerTotal,
      this.#confirmTotal,
    );
  }

  #counts(): Counts {
    const { sent, confirmed, nacked, returned, received } = this;
    return { sent, confirmed, nacked, returned, received };
  }

  #settle(interval: RecordableHistogram, total: RecordableHistogram): void {
    if (interval.count === 0) return;
    total.add(interval);
    interval.reset();
  }

  #reading(
    counts: Counts,
    spanMs: number,
    nowMs: number,
    consumer: RecordableHistogram,
    confirm: RecordableHistogram,
  ): Reading {
    return {
      elapsedSeconds: (nowMs - this.#startMs) / 1000,
      counts,
      rates: scale(counts, spanMs > 0 ? 1000 / spanMs : 0),
      consumerLatency: this.#latency(consumer),
      confirmLatency: this.#latency(confirm),
    };
  }

  #latency(histogram: RecordableHistogram): Latency {
    const empty = histogram.count === 0;
    const reported = (units: number): number => (empty ? 0 : units / this.#unitsPerReported);
    return {
      count: histogram.count,
      min: reported(histogram.min),
      mean: reported(histogram.mean),
      median: reported(histogram.percentile(50)),
      p75: reported(histogram.percentile(75)),
      p95: reported(histogram.percentile(95)),
      p99: reported(histogram.percentile(99)),
      p999: reported(histogram.percentile(99.9)),
      max: reported(histogram.max),
    };
  }
}

function difference(now: Counts, before: Counts): Counts {
  return {
    sent: now.sent - before.sent,
    confirmed: now.confirmed - before.confirmed,
    nacked: now.nacked - before.nacked,
    returned: now.returned - before.returned,
    received: now.received - before.received,
  };
}

function scale(counts: Counts, factor: number): Counts {
  return {
    sent: counts.sent * factor,
    confirmed: counts.confirmed * factor,
    nacked: counts.nacked * factor,
    returned: counts.returned * factor,
    received: counts.received * factor,
  };
}
