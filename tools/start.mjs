// npm start [-- OPTIONS]: runs the broker from this checkout. Installs and builds first where that
// is needed, then loads the haremq command into this very process, so that signals and the exit
// code are the broker's own.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { buildWhenStale } from "./build.mjs";
import { ensureInstalled, root } from "./install.mjs";

ensureInstalled();
buildWhenStale("server");
const command = join(root, "packages/server/bin/haremq.js");
process.argv[1] = command;
await import(pathToFileURL(command).href);
