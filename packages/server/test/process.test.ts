/**
 * The haremq command as a process, as service managers and scripts see it: what it prints, the pid
 * file, its exit codes, and that clients can connect while it runs.
 */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { version } from "haremq";

const bin = fileURLToPath(new URL("../src/bin.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "haremq-process-"));
const children = new Set<ChildProcess>();

after(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

/** A haremq process, its output so far, and its end. */
function haremq(...args: string[]) {
  const tsx = import.meta.resolve("tsx");
  const child = spawn(process.execPath, ["--conditions=source", "--import", tsx, bin, ...args], {
    cwd: mkdtempSync(join(folder, "in-")), // where its data is, unless it is told otherwise
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.add(child);
  const lines: string[] = [];
  const complaints: string[] = [];
  const out = createInterface({ input: child.stdout });
  out.on("line", (line) => lines.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => complaints.push(line));
  const ended = once(child, "close").then(([code, signal]) => {
    children.delete(child);
    return { code: code as number | null, signal: signal as string | null };
  });
  return {
    child,
    lines,
    complaints,
    ended,
    /** The first line that matches, printed already or yet to come. Fails when the process ends. */
    async line(pattern: RegExp): Promise<RegExpExecArray> {
      for (;;) {
        const match = lines.map((line) => pattern.exec(line)).find((each) => each !== null);
        if (match) return match;
        const printed = await Promise.race([once(out, "line").then(() => true), ended]);
        if (printed !== true) assert.fail([`no ${pattern}`, ...lines, ...complaints].join("\n"));
      }
    },
  };
}

describe("the haremq command", () => {
  it("names its port, serves clients, and ends in order at SIGTERM", async () => {
    const pidFile = join(folder, "a.pid");
    const server = haremq("--port", "0", "--pid-file", pidFile);
    const [, port] = await server.line(/ready for AMQP 0-9-1 at amqp:\/\/\S+:(\d+) after/);
    assert.equal(readFileSync(pidFile, "utf8"), `${server.child.pid}\n`);

    const socket = connect(Number(port), "127.0.0.1");
    socket.write("AMQP\0\0\x09\x01");
    const [start] = (await once(socket, "data")) as [Buffer];
    assert.deepEqual([...start.subarray(0, 3)], [1, 0, 0], "a method frame on channel 0");
    assert.deepEqual([...start.subarray(7, 11)], [0, 10, 0, 10], "connection.start");
    const closed = once(socket, "close");

    server.child.kill("SIGTERM");
    await closed;
    assert.deepEqual(await server.ended, { code: 0, signal: null });
    assert.match(server.lines.at(-1) ?? "", /\[info\] stopped$/);
    assert.equal(existsSync(pidFile), false);
    assert.deepEqual(server.complaints, []);
  });

  it("logs JSON when told to, without the password", async () => {
    const settings = ["log.console.formatter=json", "default_pass=s3cret"];
    const server = haremq("--port", "0", ...settings.flatMap((setting) => ["--set", setting]));
    await server.line(/"message":"ready for AMQP/);
    server.child.kill("SIGINT");
    assert.equal((await server.ended).code, 0);
    for (const line of server.lines) assert.equal(typeof JSON.parse(line).time, "string");
    assert.doesNotMatch(server.lines.join("\n"), /s3cret/);
  });

  it("says a wrong setting even with the log switched off", async () => {
    const server = haremq("--port", "0", "--log-level", "none", "--set", "x=1");
    assert.equal((await server.ended).code, 2);
    assert.deepEqual(server.lines, []);
    assert.match(server.complaints.join("\n"), /^haremq: unknown configuration key "x"[^\n]*$/);
  });

  it("ends with 1 and one line when its port is taken", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { port: number };
    const server = haremq("--host", "127.0.0.1", "--port", String(port));
    assert.equal((await server.ended).code, 1);
    assert.match(server.lines.at(-1) ?? "", /\[error\] cannot start: listen EADDRINUSE.*/);
    taken.close();
  });

  it("ends with 1 and one line when another broker uses its data", async () => {
    const args = ["--port", "0", "--data-dir", join(folder, "shared")];
    const first = haremq(...args);
    await first.line(/ready for AMQP/);
    const second = haremq(...args);
    assert.equal((await second.ended).code, 1);
    const inUse = `is in use by process ${first.child.pid}\\. Stop it first, or choose another`;
    assert.match(second.lines.at(-1) ?? "", new RegExp(`\\[error\\] cannot start: The .*${inUse}`));
    assert.deepEqual(second.complaints, []);
    first.child.kill("SIGKILL");
    await first.ended;
    const third = haremq(...args);
    await third.line(/ready for AMQP/);
    third.child.kill("SIGTERM");
    assert.equal((await third.ended).code, 0);
  });

  it("inspects what a killed broker has left, and ends with 0", async () => {
    const directory = join(folder, "inspected");
    const server = haremq("--port", "0", "--data-dir", directory);
    await server.line(/ready for AMQP/);
    const busy = haremq("store", "inspect", directory);
    assert.equal((await busy.ended).code, 2);
    server.child.kill("SIGKILL");
    await server.ended;
    const inspection = haremq("store", "inspect", directory, "--json");
    assert.equal((await inspection.ended).code, 0);
    assert.equal(JSON.parse(inspection.lines.join("\n")).isSound, true);
  });

  it("ends with 2 and one line for a mistake on the command line", async () => {
    const server = haremq("--prot", "0");
    assert.equal((await server.ended).code, 2);
    assert.deepEqual(server.complaints, [
      "haremq: unknown option --prot (did you mean --port?), see --help",
    ]);
    assert.deepEqual(server.lines, []);
  });

  it("prints its version", async () => {
    const server = haremq("--version");
    assert.equal((await server.ended).code, 0);
    assert.deepEqual(server.lines, [version]);
  });
});
