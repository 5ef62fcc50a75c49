#!/usr/bin/env node
// The haremq command. Loads the compiled broker; Node 22 and later keep the compiled code between
// starts.

import module from "node:module";

module.enableCompileCache?.();
await import("../dist/bin.js");
