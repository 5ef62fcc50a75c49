/**
 * How large the log's pieces are. Tests and simulations make them small, nobody else has a reason
 * to.
 */

export interface LogSizes {
  /** A segment of durable records, in memory and on disk. */
  readonly segmentBytes: number;
  /** Transient records come and go: small segments stay in the processor's cache. */
  readonly transientSegmentBytes: number;
  /** The most that one round writes at once, so that no group waits long for its checksums. */
  readonly roundBytes: number;
}

export const defaultSizes: LogSizes = {
  segmentBytes: 16 * 1024 * 1024,
  transientSegmentBytes: 1024 * 1024,
  roundBytes: 2 * 1024 * 1024,
};
