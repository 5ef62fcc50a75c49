/**
 * The project's own files as the tidy rules see them: a path from the root, with forward slashes,
 * and the text. Rules are functions from files to complaints, so that tidy-rules.test.ts can prove
 * each on files of its own.
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

/** Folders that hold what others made, or what was made from the sources. */
const foreignFolders: ReadonlySet<string> = new Set([
  ".git",
  "coverage",
  "dist",
  "haremq-data",
  "node_modules",
]);

const textFile = /\.(ts|mjs|js|json|md|sh|html|css)$|^\.ci\/run$|^\.npmrc$/;

/** All text files of the project. */
export function readProject(): SourceFile[] {
  return listFiles("").map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

function listFiles(folder: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory() && !foreignFolders.has(entry.name)) found.push(...listFiles(path));
    else if (entry.isFile() && textFile.test(path)) found.push(path);
  }
  return found.sort();
}

export function isCode({ path }: SourceFile): boolean {
  return /\.(ts|mjs|js)$/.test(path) || path === ".ci/run";
}

export function isGenerated({ path }: SourceFile): boolean {
  return path.includes("/generated/");
}

/** Tests, contract suites, simulators, and whatever lies in a test folder. */
export function isTest({ path }: SourceFile): boolean {
  return /\.(test|contract)\.ts$|^test\/|^packages\/[^/]+\/(test|simulate)\//.test(path);
}

/** "packages/wire/src/text.ts" gives "wire"; undefined outside the packages. */
export function packageOf(path: string): string | undefined {
  return /^packages\/([^/]+)\//.exec(path)?.[1];
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** What a module imports, statically or dynamically. Imports inside comments do not count. */
export function importsOf({ text }: SourceFile): Import[] {
  const patterns = [
    /^(?:import|export)\b[^;"']*?\bfrom\s+"([^"]+)"/gm,
    /^import\s+"([^"]+)"/gm,
    /^(?!\s*(?:\*|\/\/)).*?\bimport\(\s*"([^"]+)"\s*\)/gm,
  ];
  const found = patterns.flatMap((pattern) =>
    [...text.matchAll(pattern)].map((match) => ({
      specifier: match[1] ?? "",
      line: text.slice(0, match.index).split("\n").length,
    })),
  );
  return found.sort((a, b) => a.line - b.line);
}
