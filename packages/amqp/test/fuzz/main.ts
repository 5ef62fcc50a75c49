/**
 * npm run fuzz [-- --seconds N] [--durable] [--seed S] [--keep 1,4,9]: fuzzes the broker until the
 * time is over or a case fails, with --durable one that keeps data on disk. A failing case is
 * printed with the command that shows it again, reduced to the steps that matter.
 */

import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";
import { describeStep, makeCase } from "./fuzz-case.ts";
import { FuzzRun } from "./fuzz-run.ts";
import { minimise } from "./minimise.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "60" },
    seed: { type: "string" },
    keep: { type: "string" },
    durable: { type: "boolean", default: false },
  },
});

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Runs one case on a broker of its own. */
async function runAlone(seed: number, kept?: ReadonlySet<number>): Promise<string | undefined> {
  const run = await FuzzRun.start(values.durable);
  try {
    return await run.run(makeCase(seed), kept);
  } finally {
    await run.stop();
  }
}

async function report(seed: number, failure: string, kept?: readonly number[]): Promise<void> {
  const fuzzCase = makeCase(seed);
  say(`seed ${seed} fails: ${failure}`);
  const all = kept ?? [...fuzzCase.steps.keys()];
  if ((await runAlone(seed, new Set(all))) === undefined) {
    say("It does not fail on a broker of its own: an earlier case must have prepared it.");
    return;
  }
  const needed = await minimise(
    fuzzCase,
    all,
    async (few) => (await runAlone(seed, few)) !== undefined,
  );
  const durable = values.durable ? "--durable " : "";
  say(`npm run fuzz -- ${durable}--seed ${seed} --keep ${needed.join(",")}`);
  for (const index of needed) say(`  ${index}. ${describeStep(fuzzCase.steps[index]!)}`);
}

/** Cases with seeds from the first on, on one broker, until the time is over. */
async function runMany(first: number, seconds: number): Promise<boolean> {
  const run = await FuzzRun.start(values.durable);
  const end = performance.now() + seconds * 1000;
  let seed = first;
  try {
    for (; performance.now() < end; seed++) {
      const failure = await run.run(makeCase(seed), undefined);
      if (failure === undefined) continue;
      await report(seed, failure);
      return false;
    }
    const mebibytes = Math.round(process.memoryUsage().rss / 2 ** 20);
    say(
      `${seed - first} cases from seed ${first} on, ${run.watchedMessages} messages watched, ` +
        `nothing found (RSS ${mebibytes} MiB).`,
    );
    return true;
  } finally {
    await run.stop();
  }
}

async function main(): Promise<boolean> {
  if (values.keep !== undefined || values.seed !== undefined) {
    const seed = Number(values.seed);
    const kept = values.keep?.split(",").map(Number);
    const failure = await runAlone(seed, kept === undefined ? undefined : new Set(kept));
    if (failure === undefined) say(`seed ${seed} does not fail`);
    else await report(seed, failure, kept);
    return failure === undefined;
  }
  return runMany(randomInt(2 ** 31), Number(values.seconds));
}

process.exitCode = (await main()) ? 0 : 1;
