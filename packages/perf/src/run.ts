/**
 * The haremq-perf command, without the process: reads a command line, runs the load test, prints,
 * and says what the exit code is. main.ts joins it to the process, tests call it directly.
 *
 * Exit codes: 0 when the test ran, 1 when it failed, 2 when the command line was wrong.
 */

import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { CommandLine, UsageError } from "./command-line.ts";
import { csvHeader, csvLine } from "./csv-format.ts";
import { jsonDocument } from "./json-format.ts";
import { LineFormat } from "./line-format.ts";
import { LoadTest } from "./load-test.ts";
import { stampBytes } from "./message-clock.ts";
import { carriesTime } from "./message-source.ts";
import type { Reading } from "./meter.ts";
import { helpText } from "./option-table.ts";
import { type ParsedOptions, type PerfOptions, parseOptions } from "./perf-options.ts";

/** What the command needs of its surroundings. */
export interface Surroundings {
  print(text: string): void;
  printError(text: string): void;
  /** Calls back when the user wants the test to end now. */
  onInterrupt(stop: () => void): void;
}

export async function run(argv: readonly string[], around: Surroundings): Promise<number> {
  let parsed: ParsedOptions;
  try {
    const line = new CommandLine(argv);
    if (line.has("help")) {
      around.print(helpText());
      return 0;
    }
    if (line.has("version")) {
      around.print(`haremq-perf ${version()} (Node.js ${process.version})\n`);
      return 0;
    }
    parsed = parseOptions(line, new Date());
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    around.printError(`haremq-perf: ${error.message} (--help shows all options)\n`);
    return 2;
  }
  for (const note of parsed.notes) around.printError(`haremq-perf: note: ${note}\n`);
  try {
    await runTest(parsed.options, around);
    return 0;
  } catch (error) {
    around.printError(`haremq-perf: ${(error as Error).message}\n`);
    return 1;
  }
}

async function runTest(options: PerfOptions, around: Surroundings): Promise<void> {
  const format = new LineFormat(options);
  // With the JSON on standard output nothing else may be there.
  const print = (text: string): void =>
    options.jsonFile === "" ? around.printError(`${text}\n`) : around.print(`${text}\n`);
  if (options.consumers > 0 && !carriesTime(options)) {
    const { id, sizeBytes } = options;
    print(`id: ${id}, no consumer latency: ${sizeBytes} B hold no time, ${stampBytes} B do`);
  }
  const csv = options.csvFile === undefined ? undefined : openSync(options.csvFile, "w");
  if (csv !== undefined) writeSync(csv, `${csvHeader(options)}\n`);
  const intervals: Reading[] = [];
  try {
    const test = new LoadTest(options, {
      onReading: (reading) => {
        print(format.line(reading));
        if (csv !== undefined) writeSync(csv, `${csvLine(options, format, reading)}\n`);
        if (options.jsonFile !== undefined) intervals.push(reading);
      },
    });
    around.onInterrupt(() => test.stop());
    const result = await test.run();
    for (const line of format.summary(result.summary)) print(line);
    if (options.jsonFile === undefined) return;
    const document = jsonDocument(options, result, intervals);
    if (options.jsonFile === "") around.print(document);
    else writeFileSync(options.jsonFile, document);
  } finally {
    if (csv !== undefined) closeSync(csv);
  }
}

function version(): string {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}
