// Makes sure node_modules holds what package-lock.json asks for. Called first by every other tool,
// so that a fresh clone needs no preparation. Plain Node built-ins only, because nothing else may
// be there yet.
//
// npm keeps a lock file of its own inside node_modules that says what it has really installed. When
// that one is newer nothing is to be done; when it is older the two are compared entry by entry, so
// that a mere touch of package-lock.json (a git checkout, say) does not cost an install.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * Installs when needed. Ends the process with npm's exit code when npm fails: nothing can go on
 * without.
 */
export function ensureInstalled() {
  if (isInstalled(join(root, "package-lock.json"), join(root, "node_modules/.package-lock.json")))
    return;
  process.stderr.write("Installing dependencies (npm ci) ...\n");
  const code = runNpm(["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]);
  if (code !== 0) process.exit(code);
}

/**
 * True when everything that `wantedPath` (package-lock.json) lists is what `presentPath` says is
 * installed.
 */
export function isInstalled(wantedPath, presentPath) {
  if (!existsSync(presentPath)) return false;
  if (statSync(presentPath).mtimeMs >= statSync(wantedPath).mtimeMs) return true;
  const wanted = JSON.parse(readFileSync(wantedPath, "utf8")).packages;
  const present = JSON.parse(readFileSync(presentPath, "utf8")).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (!path.startsWith("node_modules/") || entry.link) return true; // the workspaces themselves
    const found = present[path];
    if (found === undefined) return entry.optional === true; // meant for another platform
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function runNpm(args) {
  // Inside "npm start" npm says where it lives; a direct "node tools/start.mjs" finds it on the
  // PATH.
  const script = process.env.npm_execpath;
  const options = { cwd: root, stdio: ["ignore", 2, 2] };
  const result = script?.endsWith(".js")
    ? spawnSync(process.execPath, [script, ...args], options)
    : spawnSync("npm", args, { ...options, shell: process.platform === "win32" });
  if (result.error) process.stderr.write(`cannot run npm: ${result.error.message}\n`);
  return result.status ?? 1;
}
