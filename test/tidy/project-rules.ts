/**
 * Tidy rules that look at all files together: what nobody uses, links that lead nowhere, traces of
 * a machine.
 */

import { posix } from "node:path";
import type { SourceFile } from "./source-files.ts";
import { isCode } from "./source-files.ts";

/**
 * Code that neither a package's index.ts, nor a command, nor a test leads to. A file leads to
 * another by naming it in a string: relative to itself, or from the root, as the tools do when they
 * start one another.
 */
export function deadFiles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const waiting = files.filter(({ path }) => isEntry(path)).map(({ path }) => path);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const file = byPath.get(path);
    if (file === undefined || reached.has(path)) continue;
    reached.add(path);
    for (const [, name = ""] of file.text.matchAll(/["'`\s]([\w./-]+\.(?:ts|mjs|js))\b/g)) {
      waiting.push(name, posix.join(posix.dirname(path), name));
      // A command's wrapper names the compiled file.
      waiting.push(
        posix.join(posix.dirname(path), name.replace("dist/", "src/").replace(/js$/, "ts")),
      );
    }
  }
  return files
    .filter((file) => isCode(file) && !file.path.endsWith(".d.ts") && !reached.has(file.path))
    .map(({ path }) => `${path} is used by nothing`);
}

function isEntry(path: string): boolean {
  return (
    /^packages\/[^/]+\/src\/index\.ts$|\.test\.ts$|^(.*\/)?package\.json$/.test(path) ||
    /^packages\/[^/]+\/bin\/|^\.ci\/run$|^bench\/[^/]+$|^examples\//.test(path)
  );
}

/** Links in documents to files and headings of this project that do not exist. */
export function brokenLinks(
  files: readonly SourceFile[],
  exists: (path: string) => boolean,
): string[] {
  const headings = new Map<string, Set<string>>();
  for (const file of files) {
    if (file.path.endsWith(".md")) headings.set(file.path, anchorsOf(file.text));
  }
  return files
    .filter(({ path }) => path.endsWith(".md"))
    .flatMap((file) =>
      linksOf(file.text).flatMap((link) => {
        const [name = "", anchor] = link.split("#");
        const target =
          name === "" ? file.path : posix.join(posix.dirname(file.path), decodeURI(name));
        if (!exists(target)) return [`${file.path} links to ${link}, which does not exist`];
        const known = headings.get(target);
        if (anchor === undefined || anchor === "" || known === undefined) return [];
        return known.has(anchor) ? [] : [`${file.path} links to ${link}: there is no such heading`];
      }),
    );
}

function linksOf(markdown: string): string[] {
  const prose = withoutCode(markdown);
  const links = [...prose.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g)];
  const references = [...prose.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm)];
  return [...links, ...references]
    .map((match) => match[1] ?? "")
    .filter((link) => !/^[a-z][a-z0-9+.-]*:/i.test(link));
}

/**
 * The names that headings get on the usual forges: small letters, spaces to dashes, punctuation
 * gone.
 */
function anchorsOf(markdown: string): Set<string> {
  const anchors = new Set<string>();
  const counts = new Map<string, number>();
  for (const [, heading = ""] of withoutCode(markdown).matchAll(/^#{1,6}\s+(.*?)\s*#*$/gm)) {
    const text = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = text.replaceAll(/[^\p{L}\p{N}\s_-]/gu, "").replaceAll(/\s/g, "-");
    const count = counts.get(anchor) ?? 0;
    counts.set(anchor, count + 1);
    anchors.add(count === 0 ? anchor : `${anchor}-${count}`);
  }
  return anchors;
}

function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, "").replaceAll(/`([^`\n]*)`/g, "$1");
}

/** Where packages came from is the business of whoever installs, not of the project. */
export function registryHosts(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => /(^|\/)(\.npmrc|package(-lock)?\.json)$/.test(path))
    .flatMap((file) =>
      file.text.split("\n").flatMap((line, index) => {
        const names = /"resolved":\s*"[a-z+]+:|^\s*(@[\w-]+:)?registry\s*=|_auth|"publishConfig"/i;
        return names.test(line) ? [`${file.path}:${index + 1} names a registry`] : [];
      }),
    );
}

interface LockEntry {
  readonly version?: string;
  readonly link?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/**
 * Dependencies that package-lock.json does not resolve. "npm ci" refuses such a file, and npm
 * leaves them out itself when it was run where the packages of other platforms are not to be had.
 */
export function lockGaps(lockFile: SourceFile): string[] {
  const { packages } = JSON.parse(lockFile.text) as {
    packages: Readonly<Record<string, LockEntry>>;
  };
  return Object.entries(packages).flatMap(([path, entry]) => {
    const wanted = Object.keys({ ...entry.dependencies, ...entry.optionalDependencies });
    return wanted
      .filter((name) => !placesFor(path, name).some((place) => place in packages))
      .map((name) => `${lockFile.path} has no entry for ${name}, which ${path || "we"} may need`);
  });
}

/**
 * Where Node looks for a package that is required from `path`: in its own folder, then further up.
 */
function placesFor(path: string, name: string): string[] {
  const places = [`node_modules/${name}`];
  for (let inner = path; inner !== ""; inner = inner.replace(/\/?(node_modules\/)?[^/]+$/, "")) {
    places.push(`${inner}/node_modules/${name}`);
  }
  return places;
}
