/** The door of the load generator, for programs that run load tests of their own. */

export { LoadTest, type LoadTestHooks, type LoadTestResult } from "./load-test.ts";
export type { Counts, Latency, Reading } from "./meter.ts";
export { defaultOptions, type PerfOptions } from "./perf-options.ts";
export { run, type Surroundings } from "./run.ts";
