/**
 * The haremq-perf command: joins `run` to the process. An interrupt ends the test and prints its
 * summary; a second one ends the process.
 */

import { run } from "./run.ts";

const stops: (() => void)[] = [];
process.once("SIGINT", () => {
  for (const stop of stops) stop();
});

process.exitCode = await run(process.argv.slice(2), {
  print: (text) => process.stdout.write(text),
  printError: (text) => process.stderr.write(text),
  onInterrupt: (stop) => stops.push(stop),
});
