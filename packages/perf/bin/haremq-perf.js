#!/usr/bin/env node
// The haremq-perf command. Loads the compiled load generator; in a checkout, build it first.

import { existsSync } from "node:fs";

const compiled = new URL("../dist/main.js", import.meta.url);
if (existsSync(compiled)) {
  await import(compiled.href);
} else {
  process.stderr.write("haremq-perf: not built yet: run `npm run build` first\n");
  process.exitCode = 1;
}
