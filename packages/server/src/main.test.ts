/** The process around the broker: exit codes, signals, errors nobody caught, the pid file. */

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { HostProcess, Start } from "./main.ts";
import { main } from "./main.ts";

/** A process that notes what is done to it. "exited" is emitted when it would have ended. */
class FakeHost extends EventEmitter implements HostProcess {
  readonly pid = 4711;
  printed = "";
  complaints = "";
  log: string[] = [];
  exitCode: number | undefined;
  readonly stdout = { write: (text: string) => (this.printed += text) };
  readonly stderr = { write: (text: string) => (this.complaints += text) };

  exit(code: number): void {
    this.exitCode ??= code;
    this.emit("exited");
  }

  endWith(code: number): void {
    this.exit(code);
  }

  uptimeMs(): number {
    return 12.3;
  }

  makeLog() {
    const at = (level: string) => (message: string, fields?: object) => {
      this.log.push(`${level}: ${message}${Object.keys(fields ?? {}).map((name) => ` ${name}`)}`);
    };
    return {
      debug: at("debug"),
      info: at("info"),
      warn: at("warn"),
      error: at("error"),
      drained: async () => {},
      flushSync() {},
    };
  }
}

async function launch(args: readonly string[], start: Start): Promise<FakeHost> {
  const host = new FakeHost();
  await main(args, start, host, () => host.makeLog());
  return host;
}

/** A broker whose stop() ends when the test says so. */
function stoppable() {
  let stops = 0;
  let onStop = () => {};
  let end = (_error?: Error) => {};
  const stopping = new Promise<void>((resolve) => {
    onStop = resolve;
  });
  const stopped = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error));
  });
  const start: Start = async () => ({
    url: "amqp://127.0.0.1:40000",
    stop: () => {
      stops++;
      onStop();
      return stopped;
    },
  });
  return { start, stopping, end, stops: () => stops };
}

const never: Start = () => assert.fail("must not start");

describe("main", () => {
  const folder = mkdtempSync(join(tmpdir(), "haremq-main-"));
  after(() => rmSync(folder, { recursive: true }));

  it("prints help and version without starting", async () => {
    assert.match((await launch(["--help"], never)).printed, /^Usage: haremq/);
    assert.match((await launch(["--version"], never)).printed, /^\d+\.\d+\.\d+\n$/);
  });

  it("ends with 2 and one line for a mistake in options or settings", async () => {
    for (const args of [
      ["--prot", "1"],
      ["--set", "heartbeet=1"],
      ["--log-level", "loud"],
    ]) {
      const host = await launch(args, never);
      assert.equal(host.exitCode, 2);
      assert.match(host.complaints, /^haremq: [^\n]+\n$/);
    }
  });

  it("hands over the configuration and says where it listens", async () => {
    let port: number | undefined;
    const host = await launch(["--port", "7", "--set", "hipe_compile=true"], async (options) => {
      port = options.config.listeners[0]?.port;
      return { url: "amqp://127.0.0.1:40000", stop: async () => {} };
    });
    assert.equal(port, 7);
    assert.ok(
      host.log.includes("info: ready for AMQP 0-9-1 at amqp://127.0.0.1:40000 after 12 ms"),
    );
    assert.ok(host.log.some((line) => /no effect: hipe_compile$/.test(line)));
    assert.equal(host.exitCode, undefined);
  });

  it("stops in order at the first signal and removes the pid file", async () => {
    const pidFile = join(folder, "a.pid");
    const broker = stoppable();
    const host = await launch(["--pid-file", pidFile], broker.start);
    assert.equal(readFileSync(pidFile, "utf8"), "4711\n");
    host.emit("SIGTERM");
    await broker.stopping;
    assert.equal(host.exitCode, undefined);
    broker.end();
    await once(host, "exited");
    assert.equal(host.exitCode, 0);
    assert.equal(broker.stops(), 1);
    assert.equal(existsSync(pidFile), false);
  });

  it("ends at once at the second signal", async () => {
    const broker = stoppable();
    const host = await launch([], broker.start);
    host.emit("SIGTERM");
    host.emit("SIGINT");
    assert.equal(host.exitCode, 130);
  });

  it("ends with 1 when it cannot stop in order", async () => {
    const broker = stoppable();
    const host = await launch([], broker.start);
    host.emit("SIGINT");
    broker.end(new Error("stuck"));
    await once(host, "exited");
    assert.equal(host.exitCode, 1);
  });

  it("ends although nobody takes the last log lines", async (context) => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const host = new FakeHost();
    const broker = stoppable();
    let onDraining = () => {};
    const draining = new Promise<void>((resolve) => {
      onDraining = resolve;
    });
    const drained = () => {
      onDraining();
      return new Promise<void>(() => {});
    };
    await main([], broker.start, host, () => ({ ...host.makeLog(), drained }));
    host.emit("SIGTERM");
    broker.end();
    await draining;
    assert.equal(host.exitCode, undefined);
    context.mock.timers.tick(1000);
    assert.equal(host.exitCode, 0);
  });

  it("ignores SIGHUP", async () => {
    const broker = stoppable();
    const host = await launch([], broker.start);
    host.emit("SIGHUP");
    assert.equal(broker.stops(), 0);
    assert.equal(host.exitCode, undefined);
  });

  it("logs errors that nobody caught, and goes on", async () => {
    const host = await launch([], stoppable().start);
    host.emit("uncaughtException", new Error("a"));
    host.emit("unhandledRejection", new Error("b"));
    assert.equal(host.log.filter((line) => /goes on error$/.test(line)).length, 2);
    assert.equal(host.exitCode, undefined);
  });

  it("ends with 1 when it cannot start, with a stack only for what is our own fault", async () => {
    const inUse = Object.assign(new Error("listen EADDRINUSE: port in use"), { syscall: "listen" });
    const host = await launch([], () => Promise.reject(inUse));
    assert.equal(host.exitCode, 1);
    assert.equal(host.log.at(-1), "error: cannot start: listen EADDRINUSE: port in use");
    const other = await launch([], () => Promise.reject(new Error("bug")));
    assert.equal(other.log.at(-1), "error: cannot start: bug error");
  });
});
