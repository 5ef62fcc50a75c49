/** What operators may know of the messages that a broker keeps on disk, for Broker.storeStats(). */

import type { DurableLog, LogCounters, LogStats } from "@haremq/store";

/** Of all values since the start. */
export interface Distribution {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export interface StoreStats extends LogStats {
  /** Why nothing becomes durable at the moment. */
  readonly fault: Error | undefined;
  /** How long a group took to be written and synced. */
  readonly flushMicroseconds: Distribution;
  /** How many bytes went together. */
  readonly flushBytes: Distribution;
  readonly faults: number;
  readonly compactions: number;
  /** Segments read from disk again, and those that left memory. */
  readonly loads: number;
  readonly evictions: number;
  /** Records that were found damaged when they were read, and are lost. */
  readonly damagedRecords: number;
}

type Histogram = LogCounters["flushBytes"];

export function storeStatsOf({ log, files }: DurableLog): StoreStats {
  const { counters, fault } = files;
  const { faults, compactions, loads, evictions, damagedRecords } = counters;
  return {
    ...log.stats,
    fault,
    flushMicroseconds: distributionOf(counters.flushMicroseconds),
    flushBytes: distributionOf(counters.flushBytes),
    faults,
    compactions,
    loads,
    evictions,
    damagedRecords,
  };
}

/** All zero without a value, where a histogram of Node's has none to tell. */
function distributionOf(histogram: Histogram): Distribution {
  const { count } = histogram;
  const at = (percentile: number): number => (count === 0 ? 0 : histogram.percentile(percentile));
  return {
    count,
    mean: count === 0 ? 0 : histogram.mean,
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: count === 0 ? 0 : histogram.max,
  };
}
