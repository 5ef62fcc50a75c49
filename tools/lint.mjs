// npm run lint: everything that can be known about the code without running the product: format and
// lint rules (Biome), types of sources and tests (TypeScript), and the project's own rules on
// lengths, headers, import directions and dead files (test/tidy.test.ts). "npm run lint -- --fix"
// lets Biome correct what it can.

import { spawnSync } from "node:child_process";
import { ensureInstalled, root } from "./install.mjs";

ensureInstalled();
const fix = process.argv.includes("--fix") ? ["--write"] : [];
const steps = [
  ["node_modules/@biomejs/biome/bin/biome", "check", "--error-on-warnings", ...fix, "."],
  ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"],
  ["tools/test.mjs", "test/tidy.test.ts"],
];
for (const [script, ...args] of steps) {
  const result = spawnSync(process.execPath, [script, ...args], { cwd: root, stdio: "inherit" });
  if (result.status !== 0) process.exitCode = 1;
}
