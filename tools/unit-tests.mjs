// Imports all unit test files given as arguments into this one process, for node:test to run. A
// process for each would take ten times as long. Started by tools/test.mjs. A file that cannot be
// loaded becomes a failing test under its own name, so that it can neither hide nor take the others
// down.

import { relative } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

for (const path of process.argv.slice(2)) {
  try {
    await import(pathToFileURL(path).href);
  } catch (error) {
    test(`${relative(process.cwd(), path)} can be loaded`, () => {
      throw error;
    });
  }
}
