/**
 * Shortens a failing sequence: leaves out ever smaller runs of it, the last ones first, as long as
 * what is left still fails. Each attempt is played against real brokers, so there is a limit to
 * them.
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
    for (let end = shortest.length; end > 0; end -= run) {
      if (attempts++ >= attemptsMax) return shortest;
      const candidate = [...shortest.slice(0, Math.max(0, end - run)), ...shortest.slice(end)];
      if (await fails(candidate)) {
        shortest = candidate;
        removed = true;
      }
    }
    if (run > 1) run = Math.ceil(run / 2);
    else if (!removed) break;
  }
  return shortest;
}
