/**
 * The version of this package, as its package.json has it. Read once, because package.json is not
 * part of what is compiled; it lies one folder above both src and dist.
 */

import { readFileSync } from "node:fs";

const packageUrl = new URL("../package.json", import.meta.url);

export const version: string = (JSON.parse(readFileSync(packageUrl, "utf8")) as { version: string })
  .version;
