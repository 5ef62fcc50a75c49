/**
 * npm run simulate -- log|stream-log [--seed N | --seeds A..B | --seconds S] [--verbose]: runs a
 * crash simulator of the store, by default for a minute from a random seed on: that of the message
 * log, or with --streams that of a stream's files. A seed that breaks a promise is printed with
 * what happened before, and replays exactly with --seed.
 */

import { inspect, parseArgs } from "node:util";
import { simulateLog } from "./log-simulation.ts";
import { simulateStream } from "./stream-simulation.ts";

const tailLines = 60;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string" },
    seconds: { type: "string", default: "60" },
    verbose: { type: "boolean", default: false },
    streams: { type: "boolean", default: false },
  },
});
const name = values.streams ? "stream-log" : "log";

let current = 0;
let lines: string[] = [];
process.on("unhandledRejection", (error) => fail(error));
// A promise that never settles leaves the process with nothing to do.
process.on("beforeExit", () => fail(new Error("nothing goes on any more")));

const [first, last] = rangeOf(values.seed, values.seeds);
const endsAtMs =
  last === undefined ? performance.now() + Number(values.seconds) * 1000 : Number.POSITIVE_INFINITY;
const totals = new Map<string, number>();
for (current = first; current <= (last ?? Number.MAX_SAFE_INTEGER); current++) {
  if (performance.now() > endsAtMs) break;
  lines = [];
  try {
    const report = await (values.streams ? simulateStream : simulateLog)(current, trace);
    for (const [what, count] of Object.entries(report)) {
      totals.set(what, (totals.get(what) ?? 0) + count);
    }
  } catch (error) {
    fail(error);
  }
}
const counts = Array.from(totals, ([what, count]) => `${count} ${what}`).join(", ");
print(`Seeds ${first}..${current - 1}: ${counts}; every promise was kept.`);
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
  print(
    `\nSeed ${current} breaks a promise. Again: npm run simulate -- ${name} --seed ${current}\n`,
  );
  print(inspect(error));
  process.exit(1);
}
