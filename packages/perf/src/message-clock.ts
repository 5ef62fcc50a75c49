/**
 * The time of sending inside a message, from which its latency is known when it arrives. The layout
 * is PerfTest's, so that either tool understands the other's messages:
 *
 *     0               4                               12
 *     +---------------+-------------------------------+---------------+
 *     | sequence u32  | time of sending u64           | padding       |
 *     +---------------+-------------------------------+---------------+
 *
 * Times are nanoseconds of the machine's monotonic clock, which all its processes share, or with
 * --use-millis milliseconds of wall time, which synchronised machines share.
 */

export const stampBytes = 12;
const twoTo32 = 0x1_0000_0000;
/** A stamp of another kind, or of another machine, would be off by far more than this. */
const latencyMaxNs = 3600e9;

export class MessageClock {
  readonly unit: "µs" | "ms";
  /** How many of the clock's units one of the reported units has. */
  readonly unitsPerReported: number;
  readonly unitsPerSecond: number;
  readonly #useMillis: boolean;
  /** What to add to performance.now(), which begins with the process. */
  readonly #originNs: number;

  constructor(useMillis: boolean) {
    this.#useMillis = useMillis;
    this.unit = useMillis ? "ms" : "µs";
    this.unitsPerReported = useMillis ? 1 : 1000;
    this.unitsPerSecond = useMillis ? 1000 : 1e9;
    this.#originNs = Number(process.hrtime.bigint()) - performance.now() * 1e6;
  }

  now(): number {
    return this.#useMillis ? Date.now() : Math.floor(this.#originNs + performance.now() * 1e6);
  }

  /** The units between then and now, at least 0; undefined if that time cannot be meant. */
  since(time: number): number | undefined {
    const elapsed = this.now() - time;
    const tooLong = this.#useMillis ? latencyMaxNs / 1e6 : latencyMaxNs;
    if (elapsed > tooLong || elapsed < -tooLong) return undefined;
    return Math.max(elapsed, 0);
  }
}

export function writeStamp(body: Buffer, sequence: number, time: number): void {
  body.writeUInt32BE(sequence >>> 0, 0);
  body.writeUInt32BE(Math.floor(time / twoTo32), 4);
  body.writeUInt32BE(time % twoTo32, 8);
}

/** The time in the body, or undefined if it is too short for one. */
export function readStamp(body: Buffer): number | undefined {
  if (body.length < stampBytes) return undefined;
  return body.readUInt32BE(4) * twoTo32 + body.readUInt32BE(8);
}
