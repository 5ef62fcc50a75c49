/**
 * What the benchmark computes without measuring: its command line, medians, comparisons, report and
 * table. bench-generator.test.ts runs the load generator itself.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  defaultTargets,
  helpText,
  parseCommandLine,
  parseTarget,
  splitCommand,
} from "../bench/command-line.mjs";
import { productOf } from "../bench/handshake.mjs";
import { listeningSockets } from "../bench/process-tree.mjs";
import { formatReport } from "../bench/report.mjs";
import { defaultScenarios, scenarios } from "../bench/scenarios.mjs";
import { compare, judgeGoal, median, summarize } from "../bench/summary.mjs";
import { beginMarker, endMarker, formatTable, replaceBlock } from "../bench/table.mjs";

/** A run of the load generator as it reports it. */
function run(figures: object): object {
  return {
    ...{ label: "a", target: "x", pub_s: 100, con_s: 100, cpu_us_per_con: 2, rss_max_mb: 50 },
    ...{ conf_p50_us: 0, conf_p99_us: 0, e2e_p50_us: 7, e2e_p99_us: 9, other_cpu_pct: 3 },
    ...{ expected: 1000, consumed: 1000, disorder: 0 },
    ...figures,
  };
}

describe("the benchmark's command line", () => {
  it("takes options, scenarios and targets in any order", () => {
    const plan = parseCommandLine(
      "a --reps 5 hare=5672 cw1 --secs=1.5 --table --write A.md --write B.md".split(" "),
    );
    assert.deepEqual(plan.scenarios, ["a", "cw1"]);
    assert.deepEqual(plan.targets, [{ label: "hare", port: 5672 }]);
    assert.deepEqual([plan.reps, plan.secs, plan.warm, plan.table], [5, 1.5, 2, true]);
    assert.deepEqual(plan.write, ["A.md", "B.md"]);
  });

  it("takes a double dash between scenarios and targets", () => {
    const plan = parseCommandLine(["a", "b", "--", "x=1", "y=2"]);
    assert.deepEqual([plan.scenarios.length, plan.targets.length], [2, 2]);
  });

  it("refuses what it does not know, in one line", () => {
    const mistakes: [string[], RegExp][] = [
      [["z"], /^unknown scenario z, see --help$/],
      [["toString"], /^unknown scenario toString/],
      [["--fast"], /^unknown option --fast, see --help$/],
      [["--reps"], /^--reps needs a value$/],
      [["--reps", "0"], /^--reps cannot be 0$/],
      [["--reps", "1.5"], /^--reps is not a whole number$/],
      [["--secs", "long"], /^--secs cannot be long$/],
      [["x=1", "x=2"], /^two targets are called x$/],
      [["x=99999"], /^99999 is not a port$/],
      [["x="], /^nothing is not a port$/],
      [["x=1,pid=0"], /^0 is not a process id$/],
      [["x=1,pid="], /^target x: pid needs a value$/],
      [["x=1,color=red"], /^target x=1,color=red is not of the form/],
      [["x=own,pid=1"], /^x=own takes no options$/],
    ];
    for (const [args, message] of mistakes) {
      assert.throws(() => parseCommandLine(args), { message }, args.join(" "));
    }
  });

  it("keeps the commas of a start command", () => {
    assert.deepEqual(parseTarget("x=1,start=run --set a,b=c,data=/d,e,pidfile=/p"), {
      ...{ label: "x", port: 1, start: "run --set a,b=c", data: "/d,e", pidfile: "/p" },
    });
  });

  it("splits commands as a shell does", () => {
    assert.deepEqual(splitCommand(`  run "a b" 'c "d"' e\\ f g"h"'i'  ""`), [
      ...["run", "a b", 'c "d"', "e f", "ghi", ""],
    ]);
    assert.deepEqual(splitCommand(String.raw`run "a\"b\\c\d"`), ["run", String.raw`a"b\c\d`]);
    for (const broken of ['run "a', "run 'a", "run \\"]) {
      assert.throws(() => splitCommand(broken), /unfinished quote/, broken);
    }
    assert.throws(() => splitCommand(" "), /empty/);
  });

  it("finds the broker to compare with in the environment", () => {
    const own = { label: "haremq", port: "own" };
    const rabbit = { label: "rabbitmq", port: 5673 };
    assert.deepEqual(defaultTargets({}), [own]);
    assert.deepEqual(defaultTargets({ HAREMQ_ORACLE_PORT: "5673" }), [own, rabbit]);
    assert.deepEqual(defaultTargets({ HAREMQ_ORACLE: "amqp://guest:guest@127.0.0.1:5673" }), [
      ...[own, rabbit],
    ]);
    assert.deepEqual(defaultTargets({ HAREMQ_ORACLE_PORT: "5673", HAREMQ_ORACLE_PID: "7" }), [
      ...[own, { ...rabbit, pid: 7 }],
    ]);
    for (const far of ["amqp://example.org:5672", "amqps://127.0.0.1", "5673"]) {
      assert.throws(() => defaultTargets({ HAREMQ_ORACLE: far }), /only amqp:/, far);
    }
  });

  it("explains every scenario", () => {
    for (const name of Object.keys(scenarios))
      assert.match(helpText, new RegExp(`^ +${name} `, "m"));
    for (const name of defaultScenarios) assert.ok(Object.hasOwn(scenarios, name), name);
    for (const line of helpText.split("\n")) assert.ok(line.length <= 100, line);
  });
});

describe("the benchmark's figures", () => {
  it("takes medians without changing what it is given", () => {
    const numbers = [10, 9, 100];
    assert.equal(median(numbers), 10);
    assert.deepEqual(numbers, [10, 9, 100]);
    assert.equal(median([4, 1, 3, 2]), 2.5);
    assert.equal(median([]), undefined);
  });

  it("counts only the runs that succeeded, and says what was lost in all", () => {
    const rows = [
      run({ con_s: 10, expected: 5, consumed: 3 }),
      { label: "a", failed: "no luck" },
      run({ con_s: 30, expected: 5, consumed: 4 }),
    ];
    const { medians, lost, failures } = summarize(rows);
    assert.equal(medians?.con_s, 20);
    assert.equal(medians?.label, undefined);
    assert.equal(lost, 3);
    assert.deepEqual(failures, ["no luck"]);
    assert.equal(summarize([{ failed: "no luck" }]).medians, undefined);
  });

  it("compares so that more is better", () => {
    const first = { con_s: 1000, cpu_us_per_con: 2 };
    const other = { con_s: 100, cpu_us_per_con: 10 };
    assert.deepEqual(compare(first, other), { rateRatio: 10, cpuRatio: 5 });
  });

  it("compares nothing with what was not measured", () => {
    const unseen = { con_s: 100, cpu_us_per_con: 0 };
    assert.deepEqual(compare({ con_s: 200, cpu_us_per_con: 2 }, unseen), {
      ...{ rateRatio: 2, cpuRatio: undefined },
    });
    assert.deepEqual(compare(unseen, undefined), { rateRatio: undefined, cpuRatio: undefined });
  });

  it("judges a goal by all of its parts, and not by what is unknown", () => {
    const goal = { rateRatio: 8, rate: 1000, cpuRatio: 12 };
    const good = { rateRatio: 9, cpuRatio: 12 };
    assert.equal(judgeGoal(goal, { con_s: 1000 }, good), true);
    assert.equal(judgeGoal(goal, { con_s: 999 }, good), false);
    assert.equal(judgeGoal(goal, { con_s: 1000 }, { ...good, cpuRatio: 11.9 }), false);
    assert.equal(judgeGoal(goal, { con_s: 1000 }, undefined), undefined);
    assert.equal(judgeGoal(goal, { con_s: 999 }, undefined), false);
    assert.equal(judgeGoal({ kibPerConnection: 25 }, { kib_per_conn: 25 }, undefined), true);
    assert.equal(judgeGoal({ kibPerConnection: 25 }, { kib_per_conn: 0 }, undefined), undefined);
    assert.equal(judgeGoal({ startS: 0.5, idleMb: 80 }, { start_s: 0.6, rss_idle_mb: 70 }), false);
  });
});

describe("the benchmark's report", () => {
  const fast = { label: "fast", rows: [run({ con_s: 2000, cpu_us_per_con: 1 })] };
  const slow = { label: "slow", rows: [run({ con_s: 100, cpu_us_per_con: 4 })] };

  it("has a line for each target and one for the comparison", () => {
    const lines = formatReport({ name: "a", scenario: scenarios.a, results: [fast, slow] });
    assert.match(lines[0] ?? "", /^== a: transient 16 B/);
    assert.match(
      lines[1] ?? "",
      /^ {2}fast +published\/s +100 +consumed\/s +2,000 +CPU-us\/msg +1\.00/,
    );
    assert.equal(lines[3], "  fast / slow: consumed x20.00  CPU per message x0.250");
  });

  it("shows failures and compares without them", () => {
    const broken = { label: "slow", rows: [{ label: "a", failed: "connection closed by peer" }] };
    const lines = formatReport({ name: "a", scenario: scenarios.a, results: [fast, broken] });
    assert.equal(lines[2], "  slow       FAILED: connection closed by peer");
    assert.equal(lines.length, 3);
  });

  it("shows a dash for what could not be seen", () => {
    const unseen = { label: "slow", rows: [run({ cpu_us_per_con: 0, rss_max_mb: 0 })] };
    const lines = formatReport({ name: "a", scenario: scenarios.a, results: [fast, unseen] });
    assert.match(lines[2] ?? "", /CPU-us\/msg +- .*rss - /);
    assert.match(lines[3] ?? "", /CPU per message -$/);
  });

  it("lists every repetition of the other scenarios", () => {
    const rows = [{ label: "k", target: "fast", start_s: 0.25, rss_idle_mb: undefined }];
    const lines = formatReport({
      ...{ name: "k", scenario: scenarios.k, results: [{ label: "fast", rows }] },
    });
    assert.deepEqual(lines.slice(1), ["  fast       start_s 0.25"]);
  });
});

describe("the benchmark's table", () => {
  const targets = [
    { label: "fast", name: "HareMQ 0.1.0" },
    { label: "slow", name: "RabbitMQ 3.10.8" },
  ];
  const conditions = { date: "2030-01-02", machine: "an abacus", reps: 3, secs: 8, warm: 2 };

  function lastRow(name: string, rows: object[], otherRows: object[]): string {
    const results = [
      { label: "fast", rows },
      { label: "slow", rows: otherRows },
    ];
    const measured = [{ name, scenario: scenarios[name], results }];
    return formatTable(targets, measured, conditions).split("\n").at(-1) ?? "";
  }

  it("says how it was measured", () => {
    const results = [{ label: "fast", rows: [run({ other_cpu_pct: 12 })] }];
    const measured = [{ name: "a", scenario: scenarios.a, results }];
    const lines = formatTable(targets.slice(0, 1), measured, conditions).split("\n");
    assert.equal(
      lines[0],
      "Measured on 2030-01-02: an abacus. Medians of 3 runs of 8 s after 2 s of warm-up; " +
        "latencies are p50/p99. Other processes took up to 12 % of one processor.",
    );
    assert.equal(lines[2], "| scenario | HareMQ 0.1.0 | goal |");
  });

  it("compares, and judges against RabbitMQ 3.10", () => {
    const fast = [run({ con_s: 1_600_000, cpu_us_per_con: 0.6 })];
    const slow = [run({ con_s: 160_000, cpu_us_per_con: 10.8 })];
    const end = "10.0x, CPU 1/18 | 8x, 1,000,000/s, CPU 1/12: met |";
    assert.ok(lastRow("a", fast, slow).endsWith(end), lastRow("a", fast, slow));
    assert.match(lastRow("a", slow, fast), /0\.1x, CPU 18\.0x \| .*\*\*missed\*\* \|$/);
  });

  it("leaves the verdict out when there is nothing to judge by", () => {
    assert.match(lastRow("b", [run({})], []), / - \| - \| 4x, CPU 1\/6 \|$/);
  });

  it("does not hide what went wrong", () => {
    const rows = [
      run({ expected: 10, consumed: 8, disorder: 2 }),
      { label: "c", failed: "no luck" },
    ];
    assert.match(
      lastRow("c", rows, [{ failed: "no luck" }]),
      /1 failed, 2 undelivered, 2 out of order \| failed \| - \|/,
    );
    assert.match(lastRow("c", [run({ expected: 8, consumed: 10 })], []), /, 2 too many \|/);
  });

  it("shows latencies where they say something", () => {
    const rows = [run({ conf_p50_us: 310, conf_p99_us: 15_400 })];
    assert.match(lastRow("c", rows, []), /confirm 0\.31\/15 ms \|/);
    assert.match(lastRow("l", rows, []), /confirm 0\.31\/15 ms, delivery 0\.01\/0\.01 ms \|/);
  });

  it("shows the scenarios of other kinds", () => {
    const idle = [{ label: "h", kib_per_conn: 10.84, conns_per_s: 1720.6 }];
    assert.match(lastRow("h", idle, []), /\| 10\.8 KiB each, 1,721 opened\/s \|.*25 KiB: met \|$/);
    const start = [{ label: "k", start_s: 0.6, rss_idle_mb: 59 }];
    assert.match(lastRow("k", start, []), /\| 0\.60 s, 59 MB \|.*\*\*missed\*\* \|$/);
    const backlog = { publish_s: 120_000.4, restart_s: 1.5, crash_restart_s: 1.75 };
    const figures = { label: "g", ...backlog, drain_s: 150_000, rss_max_mb: 299 };
    assert.match(
      lastRow("g", [figures], []),
      /publish 120,000\/s, 299 MB .*, restart 1\.5 s, after kill -9 1\.75 s, drain 150,000\/s/,
    );
  });

  it("judges a backlog by its rates, its memory and both restarts", () => {
    const good = { publish_s: 130_000, restart_s: 1.5, crash_restart_s: 2, drain_s: 150_000 };
    const verdict = (figures: object): string =>
      lastRow("g", [{ label: "g", rss_max_mb: 300, ...good, ...figures }], []);
    assert.match(verdict({}), /300 MB, restart 2 s, drain 150,000\/s: met \|$/);
    for (const bad of [
      { publish_s: 119_000 },
      { rss_max_mb: 301 },
      { restart_s: 2.1 },
      { crash_restart_s: 2.1 },
      { drain_s: 149_999 },
    ]) {
      assert.match(verdict(bad), /\*\*missed\*\* \|$/, JSON.stringify(bad));
    }
  });

  it("replaces the block of a document and nothing else", () => {
    const document = `# A\n${beginMarker}\nold\n${endMarker}\nend\n`;
    const replaced = replaceBlock(document, "new");
    assert.equal(replaced, `# A\n${beginMarker}\nnew\n${endMarker}\nend\n`);
    assert.equal(replaceBlock(replaced ?? "", "new"), replaced);
    assert.equal(replaceBlock("# A\n", "new"), undefined);
    assert.equal(replaceBlock(`${endMarker}${beginMarker}`, "new"), undefined);
  });
});

describe("the benchmark's look at a broker", () => {
  /** A text field as it stands in the server properties. */
  function field(name: string, text: string): Buffer {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(text.length);
    return Buffer.concat([
      Buffer.from([name.length]),
      Buffer.from(`${name}S`),
      length,
      Buffer.from(text),
    ]);
  }

  it("reads who it is, and its own version rather than the one it gives its clients", () => {
    const rabbit = [field("product", "RabbitMQ"), field("version", "3.10.8")];
    assert.equal(productOf(Buffer.concat(rabbit)), "RabbitMQ 3.10.8");
    const hare = [field("haremq_version", "0.1.0"), field("product", "HareMQ")];
    assert.equal(productOf(Buffer.concat([...hare, field("version", "3.13.7")])), "HareMQ 0.1.0");
    assert.equal(productOf(Buffer.alloc(100)), undefined);
    assert.equal(productOf(field("product", "a\nb")), undefined);
  });

  it("finds listeners, and not connections, on exactly its port", () => {
    const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when
   0: 0100007F:1629 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0
   1: 0100007F:1629 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0
   2: 00000000:11629 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0
   3: 0100007F:1628 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0`;
    assert.deepEqual(listeningSockets(text, 0x1629), ["socket:[111]"]);
  });
});
