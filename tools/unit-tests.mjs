// Imports all unit test files given as arguments into this one process, for node:test to run. A
// process for each would take ten times as long. Started by tools/test.mjs. A file that cannot be
// loaded becomes a failing test under its own name, so that it can neither hide nor take the others
// down.

import { relative } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { fileMark } from "./test-reporter.mjs";

for (const path of process.argv.slice(2)) {
  // Tests are reported in the order in which they are registered, so that a test of this name in
  // front of those of a file tells whose they are, also when a contract suite registers them.
  test(fileMark + path, () => {});
  try {
    await import(pathToFileURL(path).href);
  } catch (error) {
    test(`${relative(process.cwd(), path)} can be loaded`, () => {
      throw error;
    });
  }
}
