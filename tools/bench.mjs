// npm run bench [-- OPTIONS]: measures the broker of this checkout, and others beside it. The
// benchmark itself is in bench/ and knows only ports and commands; this hands it our own broker,
// built and on a free port. "npm run bench -- --help" says the rest.

import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runBench } from "../bench/runner.mjs";
import { buildWhenStale } from "./build.mjs";
import { ensureInstalled, root } from "./install.mjs";

const scratchFolders = [];
process.on("exit", () => {
  for (const folder of scratchFolders) rmSync(folder, { recursive: true, force: true });
});

process.exitCode = await runBench(process.argv.slice(2), process.env, describeOwn);

async function describeOwn(label) {
  ensureInstalled();
  buildWhenStale("server");
  const port = await freePort();
  const data = mkdtempSync(join(tmpdir(), "haremq-bench-data-"));
  scratchFolders.push(data);
  const command = join(root, "packages/server/bin/haremq.js");
  const options = ["--port", `${port}`, "--data-dir", data, "--log-level", "warning"];
  return { label, port, data, start: [process.execPath, command, ...options] };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
