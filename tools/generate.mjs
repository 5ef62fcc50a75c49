// npm run generate: rewrites packages/wire/src/generated from packages/wire/src/protocol. With
// --check it writes nothing, names the files that differ, and exits 1 if any does.

import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ensureInstalled, root } from "./install.mjs";

ensureInstalled();
const { register } = await import("tsx/esm/api");
register();
const { generate } = await import("../packages/wire/generator/generate.ts");

const check = process.argv.includes("--check");
const folder = join(root, "packages/wire/src/generated");
mkdirSync(folder, { recursive: true });
const files = generate();

for (const [name, source] of files) {
  const path = join(folder, name);
  if (existsSync(path) && readFileSync(path, "utf8") === source) continue;
  report(name);
  if (!check) writeFileSync(path, source);
}
for (const name of readdirSync(folder)) {
  if (files.has(name)) continue;
  report(`${name} (no longer generated)`);
  if (!check) rmSync(join(folder, name));
}

function report(name) {
  console.log(`${check ? "outdated" : "written"}: packages/wire/src/generated/${name}`);
  if (check) process.exitCode = 1;
}
