/**
 * How long ago the deliveries of one channel were made, without a note for each: now and then the
 * channel marks the latest tag, and whatever has a tag up to a mark is at least as old as the mark.
 * So an age is never overstated, and understated by no more than the time between two marks.
 *
 *     tag    12            40   41                     97
 *     ───────┴─────────────┴────┴──────────────────────┴──────>
 *     time   0 s           60 s 90 s                   150 s     tag 30 is at least as old as 60 s
 *
 * The newest marks are kept as they are; of those before, every second goes whenever there are too
 * many, so that their distances grow with their ages. A DeliveryWatch owns one.
 */

/** The newest marks that stay as they are. */
export const exactMarks = 34;
const marksMax = 64;

export class DeliveryAges {
  readonly #tags: number[] = [];
  readonly #timesMs: number[] = [];

  /** Notes that no delivery beyond this tag has been made by now. */
  mark(tag: number, nowMs: number): void {
    // Without deliveries since, the last mark says more.
    if (this.#tags.at(-1) === tag) return;
    this.#tags.push(tag);
    this.#timesMs.push(nowMs);
    if (this.#tags.length > marksMax) this.#thin();
  }

  /** The highest tag that is known to have been delivered by then; 0 if none is. */
  latestBy(timeMs: number): number {
    for (let i = this.#tags.length - 1; i >= 0; i--) {
      if (this.#timesMs[i]! <= timeMs) return this.#tags[i]!;
    }
    return 0;
  }

  /** The earliest time by which the delivery is known to have been made; Infinity if none is. */
  deliveredBy(tag: number): number {
    const at = this.#tags.findIndex((marked) => marked >= tag);
    return at < 0 ? Number.POSITIVE_INFINITY : this.#timesMs[at]!;
  }

  clear(): void {
    this.#tags.length = 0;
    this.#timesMs.length = 0;
  }

  #thin(): void {
    const thinned = this.#tags.length - exactMarks;
    let kept = 0;
    for (let i = 0; i < this.#tags.length; i++) {
      if (i < thinned && i % 2 === 0) continue;
      this.#tags[kept] = this.#tags[i]!;
      this.#timesMs[kept] = this.#timesMs[i]!;
      kept++;
    }
    this.#tags.length = kept;
    this.#timesMs.length = kept;
  }
}
