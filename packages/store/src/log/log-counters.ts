/** What the log counts while it writes, for operators. */

import { createHistogram, type RecordableHistogram } from "node:perf_hooks";

export class LogCounters {
  /** How long a write and sync took, in microseconds. */
  readonly flushMicroseconds: RecordableHistogram = createHistogram();
  /** How many bytes went together. */
  readonly flushBytes: RecordableHistogram = createHistogram();
  faults = 0;
  loads = 0;
  evictions = 0;
  compactions = 0;
  /** Records that were found damaged, and are lost. */
  damagedRecords = 0;

  onFlush(bytes: number, durationMs: number): void {
    this.flushMicroseconds.record(Math.max(1, Math.round(durationMs * 1000)));
    this.flushBytes.record(bytes);
  }
}
