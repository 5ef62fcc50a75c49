// npm run build: compiles every package to its dist folder. tools/start.mjs calls buildWhenStale()
// for the broker alone, which costs some milliseconds when nothing has changed: it compares a
// fingerprint of the sources (paths, sizes and modification times) with the one kept from the last
// build that succeeded.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ensureInstalled, root } from "./install.mjs";

const isMain = process.argv[1] === fileURLToPath(import.meta.url);
if (isMain) {
  ensureInstalled();
  process.exitCode = build(readdirSync(join(root, "packages")).filter(hasSources));
}

/**
 * Builds the package in packages/`name` and those it refers to, if any of their sources has
 * changed.
 */
export function buildWhenStale(name) {
  const stampPath = join(root, "packages", name, "dist", ".fingerprint");
  const names = [...withReferences(name)];
  const fingerprint = fingerprintOf(names);
  const isBuilt = names.every((each) => existsSync(join(root, "packages", each, "dist/index.js")));
  if (isBuilt && existsSync(stampPath) && readFileSync(stampPath, "utf8") === fingerprint) return;
  process.stderr.write("Building HareMQ ...\n");
  const code = build([name]);
  if (code !== 0) process.exit(code);
  mkdirSync(dirname(stampPath), { recursive: true });
  writeFileSync(stampPath, fingerprint);
}

function build(names) {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const projects = names.map((name) => join(root, "packages", name));
  const result = spawnSync(process.execPath, [compiler, "-b", ...projects], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  return result.status ?? 1;
}

function hasSources(name) {
  return existsSync(join(root, "packages", name, "src/index.ts"));
}

/** The package and all it depends on, by the references in their tsconfig.json. */
function withReferences(name, seen = new Set()) {
  if (seen.has(name)) return seen;
  seen.add(name);
  const config = JSON.parse(readFileSync(join(root, "packages", name, "tsconfig.json"), "utf8"));
  for (const { path } of config.references ?? []) withReferences(path.replace("../", ""), seen);
  return seen;
}

function fingerprintOf(names) {
  const hash = createHash("sha256");
  const add = (path) => {
    const { size, mtimeMs } = statSync(path);
    hash.update(`${path} ${size} ${mtimeMs}\n`);
  };
  add(join(root, "tsconfig.base.json"));
  for (const name of names) {
    const folder = join(root, "packages", name);
    add(join(folder, "package.json"));
    add(join(folder, "tsconfig.json"));
    for (const file of readdirSync(join(folder, "src"), { recursive: true }).sort()) {
      if (file.endsWith(".ts") && !/\.(test|contract)\.ts$/.test(file))
        add(join(folder, "src", file));
    }
  }
  return hash.digest("hex");
}
