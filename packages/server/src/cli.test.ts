/** Arguments in, commands out, and one clear line for every mistake. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { helpText, parseCommandLine } from "./cli.ts";

function run(...args: string[]) {
  const command = parseCommandLine(args);
  assert.equal(command.kind, "run");
  return command as Extract<typeof command, { kind: "run" }>;
}

function mistake(...args: string[]): string {
  try {
    parseCommandLine(args);
  } catch (error) {
    assert.doesNotMatch((error as Error).message, /\n/);
    return (error as Error).message;
  }
  return assert.fail(`accepted: ${args.join(" ")}`);
}

describe("parseCommandLine", () => {
  it("runs with nothing said", () => {
    const expected = { kind: "run", settings: [], dataDirectory: undefined, pidFile: undefined };
    assert.deepEqual(run(), expected);
  });

  it("turns the short forms into settings", () => {
    const args = ["--port", "0", "--host=::1", "--log-level", "debug"];
    assert.deepEqual(run(...args, "--data-dir", "d", "--pid-file", "p"), {
      kind: "run",
      settings: [
        ["listeners.tcp.default", "[::1]:0"],
        ["log.console.level", "debug"],
      ],
      dataDirectory: "d",
      pidFile: "p",
    });
    assert.deepEqual(run("-p", "7").settings, [["listeners.tcp.default", "localhost:7"]]);
    assert.deepEqual(run("--host", "h").settings, [["listeners.tcp.default", "h:5672"]]);
  });

  it("takes settings again and again, with equal signs in their values", () => {
    assert.deepEqual(run("--set", "a=b=c", "--set= d = e ", "--set", "f=").settings, [
      ["a", "b=c"],
      ["d", "e"],
      ["f", ""],
    ]);
  });

  it("lets --port replace all listeners that were set", () => {
    const args = ["--port", "1", "--set", "listeners.tcp.a=2", "--set", "listeners.ssl.a=3"];
    assert.deepEqual(run(...args).settings, [
      ["listeners.ssl.a", "3"],
      ["listeners.tcp.default", "localhost:1"],
    ]);
  });

  it("knows help and version", () => {
    assert.equal(parseCommandLine(["--help"]).kind, "help");
    assert.equal(parseCommandLine(["-h", "--version"]).kind, "help");
    assert.equal(parseCommandLine(["--version"]).kind, "version");
    for (const option of ["port", "host", "data-dir", "log-level", "pid-file", "set"]) {
      assert.ok(helpText.includes(`--${option} `), option);
    }
  });

  it("says what is wrong in one line", () => {
    assert.equal(
      mistake("--prot", "1"),
      "unknown option --prot (did you mean --port?), see --help",
    );
    assert.equal(mistake("--constructor"), "unknown option --constructor, see --help");
    assert.equal(mistake("-x"), "unknown option -x, see --help");
    assert.equal(mistake("start"), 'unexpected argument "start", see --help');
    assert.equal(mistake("a\nb"), 'unexpected argument "a\\nb", see --help');
    assert.equal(mistake("--port"), "--port needs a value");
    assert.equal(mistake("--port", "--host", "x"), "--port needs a value");
    assert.equal(mistake("--pid-file="), "--pid-file needs a value");
    assert.equal(mistake("--help=yes"), "--help takes no value");
    assert.match(mistake("--port", "70000"), /"70000" is not a port number/);
    assert.match(mistake("--set", "heartbeat"), /not of the form key=value/);
    assert.match(mistake("--set", "=1"), /not of the form key=value/);
  });
});

describe("store inspect", () => {
  it("takes a folder, and --json wherever it stands", () => {
    const kind = "inspect-store";
    const expected = { kind, directory: "d", isJson: false };
    assert.deepEqual(parseCommandLine(["store", "inspect", "d"]), expected);
    for (const args of [
      ["d", "--json"],
      ["--json", "d"],
    ]) {
      const command = parseCommandLine(["store", "inspect", ...args]);
      assert.deepEqual(command, { ...expected, isJson: true });
    }
    assert.deepEqual(parseCommandLine(["store", "inspect", "--help"]), { kind: "help" });
  });

  it("says mistakes in one line", () => {
    const mistakes: [string[], RegExp][] = [
      [["store"], /^store needs a command: haremq store inspect DIR, see --help$/],
      [["store", "mend", "d"], /^unknown command store "mend"/],
      [["store", "inspect"], /^store inspect needs a folder/],
      [["store", "inspect", "d", "e"], /^unexpected argument "e", see --help$/],
      [["store", "inspect", "d", "--jsn"], /^unknown option --jsn, see --help$/],
    ];
    for (const [args, message] of mistakes) {
      assert.throws(() => parseCommandLine(args), { name: "UsageError", message });
    }
  });
});
