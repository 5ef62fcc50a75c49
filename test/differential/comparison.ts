/**
 * Plays scenarios against HareMQ and against an oracle, and words the first difference.
 *
 * HareMQ is started in this process, unless HAREMQ_URL says where a broker listens.
 */

import type { TestBroker } from "@haremq/testkit";
import { HttpOperator, operatorOf } from "./operator.ts";
import type { Oracle } from "./oracles.ts";
import { play, type Transcript } from "./player.ts";
import type { Scenario } from "./scenario.ts";

const run = Date.now().toString(36).slice(-5);
let played = 0;

export interface Difference {
  /** Where the transcripts part. */
  readonly step: number;
  readonly report: string;
}

/** Plays the scenario against both brokers at once; undefined when they agree. */
export async function compare(
  broker: TestBroker,
  oracle: Oracle,
  scenario: Scenario,
): Promise<Difference | undefined> {
  const prefix = `d${run}${(played++).toString(36).padStart(4, "0")}`;
  // RabbitMQ 4 sorts the headers of a message: there, both brokers get them sorted.
  const sortHeaders = oracle.major >= 4;
  const [ours, theirs] = await Promise.all([
    play(broker.url, scenario, {
      prefix: `${prefix}h.`,
      sortHeaders,
      operator: operatorOf(broker),
    }),
    play(oracle.url, scenario, {
      prefix: `${prefix}o.`,
      sortHeaders,
      operator: new HttpOperator(oracle.url),
    }),
  ]);
  const step = firstDifference(ours, theirs);
  return step === undefined
    ? undefined
    : { step, report: wordDifference(ours, theirs, step, oracle) };
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
function wordDifference(
  ours: Transcript,
  theirs: Transcript,
  step: number,
  oracle: Oracle,
): string {
  const steps = theirs.slice(0, step + 1).map(({ step: text }, index) => `  ${index + 1}. ${text}`);
  const told = (transcript: Transcript): string[] => {
    const lines = transcript[step]?.lines ?? ["(never got here)"];
    return (lines.length > 0 ? lines : ["(nothing)"]).map((line) => `    ${line}`);
  };
  return [
    `they part at step ${step + 1}:`,
    ...steps,
    `  RabbitMQ ${oracle.version}:`,
    ...told(theirs),
    "  HareMQ:",
    ...told(ours),
  ].join("\n");
}
