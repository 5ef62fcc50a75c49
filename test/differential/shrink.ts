/**
 * Shortens a failing sequence of steps: leaves out ever smaller runs of them, as long as what is left
 * still fails. Each attempt is played against real brokers, so there is a limit to them.
 */

export async function shrink<T>(
  steps: readonly T[],
  fails: (candidate: readonly T[]) => Promise<boolean>,
  attemptsMax: number,
): Promise<readonly T[]> {
  let shortest = steps;
  let attempts = 0;
  let run = Math.ceil(steps.length / 2);
  while (run >= 1) {
    let removed = false;
    for (let start = 0; start < shortest.length; ) {
      if (attempts++ >= attemptsMax) return shortest;
      const candidate = [...shortest.slice(0, start), ...shortest.slice(start + run)];
      if (await fails(candidate)) {
        shortest = candidate;
        removed = true;
      } else start += run;
    }
    if (run > 1) run = Math.ceil(run / 2);
    else if (!removed) break;
  }
  return shortest;
}
