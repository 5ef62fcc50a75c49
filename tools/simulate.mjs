// npm run simulate -- [log | stream-log | broker | streams | deduplication]
// [--seed N | --seeds A..B | --seconds S] [--verbose]: runs a crash simulator from source: that of
// the message log, of a stream's files, of the whole broker with its queues, with its streams, or
// with publishers that repeat themselves. Without a seed it draws one and runs for a minute; a seed
// that breaks a promise is printed, and replays exactly.
//
// npm run simulate -- kill [--rounds N] [--seed S] [--verbose]: kills the real broker under load.

import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { ensureInstalled, root } from "./install.mjs";

const simulators = {
  log: ["packages/store/simulate/main.ts"],
  "stream-log": ["packages/store/simulate/main.ts", "--streams"],
  broker: ["packages/server/simulate/broker.ts"],
  streams: ["packages/server/simulate/broker.ts", "--workload=streams"],
  deduplication: ["packages/server/simulate/broker.ts", "--workload=deduplication"],
  kill: ["packages/server/simulate/kill.ts"],
};

ensureInstalled();
const [first, ...others] = process.argv.slice(2);
const isNamed = Object.hasOwn(simulators, first ?? "");
const [file, ...fixed] = simulators[isNamed ? first : "log"];
const path = join(root, file);
const options = [...fixed, ...(isNamed ? others : process.argv.slice(2))];
const flags = ["--conditions=source", "--import", "tsx"];
const { status } = spawnSync(process.execPath, [...flags, path, ...options], {
  cwd: root,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
