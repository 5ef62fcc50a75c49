/** What a log line looks like, what does not get into one, and that logging never waits. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LogFields } from "@haremq/broker";
import { defaultConfig } from "./config/broker-config.ts";
import { createLog } from "./log.ts";
import { formatJson, formatPlainText } from "./log-format.ts";
import type { LogFile } from "./log-writer.ts";
import { LogWriter } from "./log-writer.ts";

const date = new Date(2026, 10, 20, 14, 54, 13, 123);

function plain(message: string, fields: LogFields = {}): string {
  return formatPlainText(date, "info", message, fields);
}

function json(message: string, fields: LogFields = {}): Record<string, unknown> {
  const line = formatJson(date, "info", message, fields);
  assert.ok(line.endsWith("}\n"));
  assert.equal(line.indexOf("\n"), line.length - 1);
  return JSON.parse(line);
}

describe("formatPlainText", () => {
  it("writes time, level, message and fields", () => {
    assert.equal(plain("hello"), "2026-11-20 14:54:13.123 [info] hello\n");
    assert.equal(
      plain("x", { queue: "a b", count: 3, none: undefined, address: "127.0.0.1:1" }),
      '2026-11-20 14:54:13.123 [info] x queue="a b" count=3 address=127.0.0.1:1\n',
    );
    assert.match(formatPlainText(date, "warn", "x", {}), / \[warning\] x\n$/);
  });

  it("lets no text forge a line or move the cursor", () => {
    const evil = "a\n2026-11-20 14:54:13.123 [info] b\r\u001b[2J\u0085\u2028";
    const lines = [plain(evil), plain("x", { evil }), formatJson(date, "info", evil, { evil })];
    lines.push(...plain("x", { error: new Error(evil) }).split(/(?<=\n) {2}/));
    for (const line of lines) {
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they must not be there
      assert.match(line, /^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*\n$/);
    }
  });

  it("puts an error's stack on lines of its own, set in", () => {
    const lines = plain("failed", { error: new Error("bad\nnews"), code: 5 })
      .trimEnd()
      .split("\n");
    assert.match(lines[0] ?? "", /failed code=5$/);
    assert.ok(lines.length > 3);
    for (const line of lines.slice(1)) assert.match(line, /^ {2}/);
  });

  it("cuts texts that are too long to read", () => {
    assert.ok(plain("x".repeat(1e6), { y: "y".repeat(1e6) }).length < 10_000);
  });
});

describe("formatJson", () => {
  it("writes one object a line, with fields that cannot replace its own", () => {
    assert.deepEqual(json("a\nb", { queue: "q", count: 3, level: "x" }), {
      time: date.toISOString(),
      level: "info",
      message: "a\nb",
      queue: "q",
      count: 3,
      level_: "x",
    });
    assert.match(String(json("x", { error: new Error("bad") }).error), /^Error: bad\n {4}at /);
  });
});

describe("both formats", () => {
  it("leave out passwords", () => {
    const fields: LogFields = {
      password: "s3cret",
      default_pass: "s3cret",
      accessToken: "s3cret",
      url: "amqp://ann:s3cret@host:5672/v",
      options: { user: "ann", password: "s3cret" },
      error: new Error("cannot reach amqps://ann:s3cret@host"),
    };
    const message = 'login at amqp://ann:s3cret@host with {"password":"s3cret"}';
    for (const text of [plain(message, fields), JSON.stringify(json(message, fields))]) {
      assert.doesNotMatch(text, /s3cret/);
      assert.match(text, /ann:\*\*\*@host/);
    }
  });
});

describe("createLog", () => {
  function linesAt(overrides: Partial<ReturnType<typeof defaultConfig>["log"]>): string[] {
    const lines: string[] = [];
    const writer = {
      write: (line: string) => lines.push(line),
      drained: async () => {},
      flushSync() {},
    };
    const log = createLog({ ...defaultConfig("1").log, ...overrides }, writer, () => date);
    for (const level of ["debug", "info", "warn", "error"] as const) log[level](level);
    return lines.map((line) => line.trimEnd().split(" ").at(-1) ?? "");
  }

  it("drops what is below its level", () => {
    assert.deepEqual(linesAt({ level: "debug" }), ["debug", "info", "warn", "error"]);
    assert.deepEqual(linesAt({ level: "warn" }), ["warn", "error"]);
    assert.deepEqual(linesAt({ level: "none" }), []);
    assert.deepEqual(linesAt({ console: false }), []);
  });
});

/** A file that takes what and when the test says. */
class SlowFile implements LogFile {
  taken = "";
  waiting: { data: Buffer; done: Parameters<LogFile["write"]>[2] }[] = [];
  retries: (() => void)[] = [];

  write(_fd: number, data: Buffer, done: Parameters<LogFile["write"]>[2]): void {
    this.waiting.push({ data, done });
  }

  writeSync(_fd: number, data: Buffer): number {
    this.taken += data.toString();
    return data.length;
  }

  retryLater(callback: () => void): void {
    this.retries.push(callback);
  }

  take(bytes = Number.POSITIVE_INFINITY): void {
    const { data, done } = this.waiting.shift() ?? assert.fail("nothing is being written");
    const part = data.subarray(0, bytes);
    this.taken += part.toString();
    done(null, part.length);
  }

  fail(code: string): void {
    const { done } = this.waiting.shift() ?? assert.fail("nothing is being written");
    done(Object.assign(new Error(code), { code }), 0);
  }
}

describe("LogWriter", () => {
  it("gathers lines while a write is under way, and keeps their order", async () => {
    const file = new SlowFile();
    const writer = new LogWriter(1, 1000, file);
    for (const line of ["a\n", "b\n", "c\n"]) writer.write(line);
    assert.equal(file.waiting.length, 1);
    file.take(1); // a short write
    file.take();
    assert.equal(file.taken, "a\n");
    const drained = writer.drained();
    file.take();
    await drained;
    assert.equal(file.taken, "a\nb\nc\n");
    assert.equal(file.waiting.length, 0);
  });

  it("is bounded, and says how many lines it dropped", () => {
    const file = new SlowFile();
    const writer = new LogWriter(1, 10, file);
    for (let line = 0; line < 20; line++) writer.write("1234\n");
    file.take();
    file.take();
    assert.match(file.taken, /^(1234\n){3}\(17 log lines were dropped/);
  });

  it("tries again when the descriptor takes nothing now", () => {
    const file = new SlowFile();
    const writer = new LogWriter(1, 1000, file);
    writer.write("a\n");
    file.fail("EAGAIN");
    writer.write("b\n");
    file.retries.shift()?.();
    file.take();
    file.take();
    assert.equal(file.taken, "a\nb\n");
  });

  it("gives up quietly when the reader is gone", async () => {
    const file = new SlowFile();
    const writer = new LogWriter(1, 1000, file);
    writer.write("a\n");
    const drained = writer.drained();
    file.fail("EPIPE");
    await drained;
    writer.write("b\n");
    writer.flushSync();
    assert.equal(file.waiting.length, 0);
    assert.equal(file.taken, "");
  });

  it("flushes what waits, without writing twice what is under way", () => {
    const file = new SlowFile();
    const writer = new LogWriter(1, 1000, file);
    writer.write("a\n");
    writer.write("b\n");
    writer.flushSync();
    assert.equal(file.taken, "b\n");

    const stuck = new SlowFile();
    const other = new LogWriter(1, 1000, stuck);
    other.write("a\n");
    stuck.fail("EAGAIN");
    other.write("b\n");
    other.flushSync();
    stuck.retries.shift()?.();
    assert.equal(stuck.taken, "a\nb\n");
    assert.equal(stuck.waiting.length, 0);
  });
});
