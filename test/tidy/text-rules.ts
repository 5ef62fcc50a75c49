/**
 * Tidy rules that look at one file at a time. Each returns complaints, "path:line what is wrong",
 * none when all is well. What a formatter or a lint rule can see is Biome's; these are the rest.
 */

import type { SourceFile } from "./source-files.ts";
import { isCode, isGenerated, isTest } from "./source-files.ts";

const columnsMax = 100;
const linesMax = 700;

/**
 * Lines fit a screen cut in two. The formatter breaks code where it can and leaves texts whole, so
 * a line of code with a text in it may be longer, and so may one with an address.
 */
export function lineLengths(file: SourceFile): string[] {
  if (!isCode(file) || isGenerated(file)) return [];
  return eachLine(file, (line) => {
    const columns = [...line].length;
    if (columns <= columnsMax || line.includes("https://")) return undefined;
    const isComment = /^\s*(\/\/|\/?\*)/.test(line);
    if (!isComment && /["'`]/.test(line)) return undefined;
    return `is ${columns} columns wide, more than ${columnsMax}`;
  });
}

/** A file that has grown beyond this holds more than the one noun it is named after. */
export function fileLengths(file: SourceFile): string[] {
  if (!isCode(file) || isGenerated(file)) return [];
  const lines = file.text.trimEnd().split("\n").length;
  return lines > linesMax ? [`${file.path} has ${lines} lines, more than ${linesMax}`] : [];
}

/** The first thing in a file says what it is for, in a sentence at least. */
export function headerComments(file: SourceFile): string[] {
  if (!isCode(file)) return [];
  const text = file.text.replace(/^#!.*\n/, "");
  const comment = /^(?:\/\*[\s\S]*?\*\/|(?:(?:\/\/|#).*\n)+)/.exec(text)?.[0] ?? "";
  const words = comment.match(/\p{L}[\p{L}'-]*/gu) ?? [];
  return words.length >= 5 ? [] : [`${file.path} does not begin with a comment on what it is`];
}

// In pieces, so that this file does not complain about itself.
const marker = new RegExp(
  `\\b(${["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"].join("|")})\\b`,
);

/** What is to be done stands in an issue, not in the code, where nobody finds it. */
export function leftoverMarkers(file: SourceFile): string[] {
  return eachLine(file, (line) => {
    const found = marker.exec(line)?.[0];
    return found === undefined ? undefined : `has a leftover ${found}`;
  });
}

/**
 * Packages speak through the logger they are given. perf is a command whose product is what it
 * prints.
 */
export function consoleCalls(file: SourceFile): string[] {
  const isLibrary = /^packages\/(?!perf\/)[^/]+\/src\//.test(file.path);
  if (!isLibrary || isTest(file) || /\/bin(\.|\/|-)/.test(file.path)) return [];
  return eachLine(file, (line) =>
    /^(?!\s*(\*|\/\/)).*\bconsole\.\w+\(/.test(line) ? "writes to the console" : undefined,
  );
}

/** A focused test switches off all the others, and nobody notices. */
export function focusedTests(file: SourceFile): string[] {
  if (!isTest(file)) return [];
  const focus = new RegExp(`\\b(it|test|describe|suite)\\.on${"ly"}\\b|\\bon${"ly"}: true\\b`);
  return eachLine(file, (line) => (focus.test(line) ? "runs one test alone" : undefined));
}

/**
 * Unit tests of all packages run in one process: a hook outside a describe would run for all of
 * them.
 */
export function globalHooks(file: SourceFile): string[] {
  if (!/^packages\/[^/]+\/src\/.*\.(test|contract)\.ts$/.test(file.path)) return [];
  return eachLine(file, (line) =>
    /^(before|after|beforeEach|afterEach)\(/.test(line)
      ? "has a hook outside a describe"
      : undefined,
  );
}

function eachLine(file: SourceFile, complain: (line: string) => string | undefined): string[] {
  return file.text.split("\n").flatMap((line, index) => {
    const complaint = complain(line);
    return complaint === undefined ? [] : [`${file.path}:${index + 1} ${complaint}`];
  });
}
