/**
 * npm run simulate -- broker|streams|deduplication [--seed N | --seeds A..B | --seconds S]
 * [--verbose]: runs a crash simulator of the broker, by default for a minute from a random seed on:
 * those of its queues and of their limits, that of its streams or of what it knows of duplicates. A
 * seed that breaks a promise is printed with what happened before, and replays exactly with --seed.
 */

import { inspect, parseArgs } from "node:util";
import { simulateBroker } from "./broker-simulation.ts";
import { simulateDeduplication } from "./deduplication-simulation.ts";
import { simulateLimits } from "./limits-simulation.ts";
import { simulateStreams } from "./stream-simulation.ts";

const tailLines = 60;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    seconds: { type: "string", default: "60" },
    verbose: { type: "boolean", default: false },
    workload: { type: "string", default: "broker" },
  },
});
const simulators = {
  broker: [simulateBroker, simulateLimits],
  streams: [simulateStreams],
  deduplication: [simulateDeduplication],
};
const name = values.workload as keyof typeof simulators;

let current = 0;
let lines: string[] = [];
process.on("unhandledRejection", (error) => fail(error));
// A promise that never settles leaves the process with nothing to do.
process.on("beforeExit", () => fail(new Error("nothing goes on any more")));

const [first, last] = rangeOf(values.seed, values.seeds);
const endsAtMs =
  last === undefined ? performance.now() + Number(values.seconds) * 1000 : Number.POSITIVE_INFINITY;
const totals = { messages: 0, crashes: 0, faults: 0 };
for (current = first; current <= (last ?? Number.MAX_SAFE_INTEGER); current++) {
  if (performance.now() > endsAtMs) break;
  lines = [];
  try {
    for (const simulate of simulators[name]) {
      const report = await simulate(current, trace);
      totals.messages += report.messages;
      totals.crashes += report.crashes;
      totals.faults += report.faults;
    }
  } catch (error) {
    fail(error);
  }
}
print(
  `Seeds ${first}..${current - 1}: ${totals.messages} messages, ${totals.crashes} crashes, ` +
    `${totals.faults} faults; every promise was kept.`,
);
process.exit(0);

function rangeOf(
  seed: string | undefined,
  seeds: string | undefined,
): [number, number | undefined] {
  if (seed !== undefined) return [Number(seed), Number(seed)];
  if (seeds === undefined) return [Math.floor(Math.random() * 1e9), undefined];
  const [from = "", to = ""] = seeds.split("..");
  return [Number(from), Number(to)];
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function trace(line: string): void {
  lines.push(line);
  if (lines.length > tailLines) lines.shift();
  if (values.verbose) print(line);
}

function fail(error: unknown): never {
  if (!values.verbose) for (const line of lines) print(line);
  const again = `npm run simulate -- ${name} --seed ${current}`;
  print(`\nSeed ${current} breaks a promise. Again: ${again}\n`);
  print(inspect(error));
  process.exit(1);
}
