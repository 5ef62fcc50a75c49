/**
 * Finds the steps of a failing case that matter, by leaving out ever smaller runs of them as long
 * as the case still fails. Every try gets a broker of its own, for the last one may be broken.
 */

import type { FuzzCase } from "./fuzz-case.ts";

const triesMax = 300;

/** Whether the case still fails with these steps only. */
export type Fails = (kept: ReadonlySet<number>) => Promise<boolean>;

export async function minimise(
  fuzzCase: FuzzCase,
  all: readonly number[],
  fails: Fails,
): Promise<readonly number[]> {
  let kept = [...all];
  let tries = 0;
  for (let length = Math.ceil(kept.length / 2); length >= 1; length = Math.floor(length / 2)) {
    for (let start = 0; start < kept.length && tries < triesMax; ) {
      const without = [...kept.slice(0, start), ...kept.slice(start + length)];
      tries++;
      if (without.length > 0 && (await fails(new Set(without)))) kept = without;
      else start += length;
    }
  }
  return kept.filter((index) => index < fuzzCase.steps.length);
}
