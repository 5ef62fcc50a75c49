/**
 * npm run simulate -- kill [--rounds N] [--seed S] [--verbose]: kills the real broker under load
 * again and again, by default 20 times, and looks what is left. The data directory of a broken
 * promise is kept.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect, parseArgs } from "node:util";
import { simulateKills } from "./kill-simulation.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "20" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) },
    verbose: { type: "boolean", default: false },
  },
});
const { rounds, seed, verbose } = values;
const directory = mkdtempSync(join(tmpdir(), "haremq-kill-"));

try {
  const report = await simulateKills({
    rounds: Number(rounds),
    seed: Number(seed),
    directory,
    trace: verbose ? print : () => {},
  });
  const { kills, confirmed, acknowledged, committed, moved } = report;
  print(
    `Seed ${seed}, ${kills} kills: ${confirmed} messages confirmed, ${acknowledged} acknowledged, ` +
      `${committed} transactions committed, ${moved} dead letters; every promise was kept.`,
  );
  rmSync(directory, { recursive: true });
} catch (error) {
  print(`Seed ${seed} breaks a promise. The data directory is ${directory}.`);
  print(inspect(error));
  process.exitCode = 1;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
