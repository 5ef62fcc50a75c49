/**
 * Plays scenarios against HareMQ and against the oracle, and words the first difference.
 *
 * The oracle is a RabbitMQ whose address stands in HAREMQ_ORACLE (amqp://guest:guest@host:port).
 * HareMQ is started in this process, unless HAREMQ_URL says where a broker listens.
 */

import { play, type Transcript } from "./player.ts";
import type { Scenario } from "./scenario.ts";

export const oracleUrl: string | undefined = process.env.HAREMQ_ORACLE || undefined;

/** The reason to skip, or false. */
export const skipWithoutOracle: string | false =
  oracleUrl === undefined
    ? "HAREMQ_ORACLE names no RabbitMQ to compare with (amqp://guest:guest@127.0.0.1:5672)"
    : false;

const run = Date.now().toString(36).slice(-5);
let played = 0;

export interface Difference {
  /** Where the transcripts part. */
  readonly step: number;
  readonly report: string;
}

/** Plays the scenario against both brokers at once; undefined when they agree. */
export async function compare(
  url: string,
  oracle: string,
  scenario: Scenario,
): Promise<Difference | undefined> {
  const prefix = `d${run}${(played++).toString(36).padStart(4, "0")}`;
  const [ours, theirs] = await Promise.all([
    play(url, scenario, `${prefix}h.`),
    play(oracle, scenario, `${prefix}o.`),
  ]);
  const step = firstDifference(ours, theirs);
  return step === undefined ? undefined : { step, report: wordDifference(ours, theirs, step) };
}

/** The index of the first step with different lines. */
export function firstDifference(ours: Transcript, theirs: Transcript): number | undefined {
  const length = Math.max(ours.length, theirs.length);
  for (let index = 0; index < length; index++) {
    if (ours[index]?.lines.join("\n") !== theirs[index]?.lines.join("\n")) return index;
  }
  return undefined;
}

/** The steps up to the difference, and what each broker made of the last of them. */
function wordDifference(ours: Transcript, theirs: Transcript, step: number): string {
  const steps = theirs.slice(0, step + 1).map(({ step: text }, index) => `  ${index + 1}. ${text}`);
  const told = (transcript: Transcript): string[] => {
    const lines = transcript[step]?.lines ?? ["(never got here)"];
    return (lines.length > 0 ? lines : ["(nothing)"]).map((line) => `    ${line}`);
  };
  return [
    `they part at step ${step + 1}:`,
    ...steps,
    "  RabbitMQ:",
    ...told(theirs),
    "  HareMQ:",
    ...told(ours),
  ].join("\n");
}
