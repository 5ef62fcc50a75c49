/**
 * The project's rules about itself, checked on every file: lengths, headers, leftovers, import
 * directions, dead files, links, generated code. tidy-rules.test.ts proves that each rule can fail.
 * "npm run lint" runs both.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { importDirections, manifestDirections, undeclaredImports } from "./tidy/direction-rules.ts";
import { brokenLinks, deadFiles, lockGaps, registryHosts } from "./tidy/project-rules.ts";
import { readProject, root } from "./tidy/source-files.ts";
import {
  consoleCalls,
  fileLengths,
  focusedTests,
  globalHooks,
  headerComments,
  leftoverMarkers,
  lineLengths,
} from "./tidy/text-rules.ts";

const files = readProject();

function none(complaints: readonly string[]): void {
  if (complaints.length > 0) assert.fail(`\n${complaints.join("\n")}`);
}

function node(...args: string[]): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: "utf8",
  });
  if (status !== 0) assert.fail(`\n${stdout}${stderr}`);
}

describe("tidy", () => {
  it("finds the project's files", () => {
    assert.ok(files.length > 50);
    assert.ok(files.some(({ path }) => path === "packages/wire/src/index.ts"));
  });

  it("has lines that fit", () => none(files.flatMap(lineLengths)));
  it("has files that can be read in one sitting", () => none(files.flatMap(fileLengths)));
  it("says at the top of each file what it is", () => none(files.flatMap(headerComments)));
  it("has no leftover markers", () => none(files.flatMap(leftoverMarkers)));
  it("writes nothing to the console from libraries", () => none(files.flatMap(consoleCalls)));
  it("has no focused tests", () => none(files.flatMap(focusedTests)));
  it("has no hooks that would reach other files' tests", () => none(files.flatMap(globalHooks)));
  it("imports only in the allowed directions", () => none(files.flatMap(importDirections)));
  it("depends only in the allowed directions, on exact versions", () =>
    none(manifestDirections(files)));
  it("declares what it imports", () => none(undeclaredImports(files)));
  it("has no dead files", () => none(deadFiles(files)));
  it("has no broken links", () => none(brokenLinks(files, (path) => existsSync(join(root, path)))));
  it("names no registry", () => none(registryHosts(files)));
  it("can be installed by npm ci", () => {
    const lockFile = files.find(({ path }) => path === "package-lock.json");
    none(lockGaps(lockFile ?? assert.fail("no package-lock.json")));
  });

  it("has functions that fit a screen", () => {
    node(
      "node_modules/@biomejs/biome/bin/biome",
      "lint",
      "--only=complexity/noExcessiveLinesPerFunction",
      "--diagnostic-level=error",
      ".",
    );
  });

  it("has generated code that is up to date", () => node("tools/generate.mjs", "--check"));
});
