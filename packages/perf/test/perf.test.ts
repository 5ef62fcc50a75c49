/** Goal: the command drives a real broker, counts right, and says clearly what went wrong. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { connect } from "@haremq/client";
import { run } from "haremq-perf";

interface Outcome {
  code: number;
  out: string;
  error: string;
}

/** Runs the command as the process would. */
async function perf(...argv: string[]): Promise<Outcome> {
  const outcome = { code: -1, out: "", error: "" };
  outcome.code = await run(argv, {
    print: (text) => {
      outcome.out += text;
    },
    printError: (text) => {
      outcome.error += text;
    },
    onInterrupt: () => {},
  });
  return outcome;
}

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "haremq-perf-"));
});
after(() => rmSync(folder, { recursive: true }));

function onBroker(given: string | undefined): void {
  let url: string;
  let stop = async (): Promise<void> => {};
  before(async () => {
    if (given !== undefined) {
      url = given;
      return;
    }
    const { startBroker } = await import("haremq");
    const broker = await startBroker({ port: 0 });
    url = broker.url;
    stop = () => broker.stop();
  });
  after(async () => {
    // The test's queues go by themselves; its exchanges stay, as PerfTest's do.
    const connection = await connect(url);
    const channel = await connection.openChannel();
    for (const exchange of ["direct", "fanout"]) await channel.exchangeDelete(exchange);
    await connection.close();
    await stop();
  });

  /** Runs to the end and returns the figures. */
  async function figures(...argv: string[]) {
    const { code, out, error } = await perf("-h", url, "--json", ...argv);
    assert.equal(code, 0, error);
    return JSON.parse(out);
  }

  test("every message sent is received, counted and timed", async () => {
    const counted = await figures("-C", "2000", "-D", "2000", "-q", "100", "-A", "10");
    assert.deepEqual(counted.counts, {
      sent: 2000,
      confirmed: 0,
      nacked: 0,
      returned: 0,
      received: 2000,
    });
    assert.equal(counted.consumerLatency.count, 2000);
    assert.ok(counted.consumerLatency.min <= counted.consumerLatency.median);
    assert.ok(counted.consumerLatency.median <= counted.consumerLatency.max);
    assert.equal(counted.latencyUnit, "us");
    assert.match(counted.broker, /\S+ \d/);
  });

  test("confirms are counted and timed, one at a time or many", async () => {
    for (const window of ["1", "50", "0"]) {
      const counted = await figures("-a", "-c", window, "-C", "500", "-D", "500", "-s", "1000");
      assert.equal(counted.counts.confirmed, 500);
      assert.equal(counted.confirmLatency.count, 500);
    }
  });

  test("each producer and consumer channel has its share", async () => {
    const many = ["-x", "2", "-y", "2", "-X", "2", "-Y", "2", "-a", "-C", "100", "-D", "400"];
    const counted = await figures(...many);
    assert.equal(counted.counts.sent, 400);
    assert.equal(counted.counts.received, 1600);
  });

  test("queues of a pattern are shared out, and gone afterwards", async () => {
    const pattern = ["-qp", "haremq-perf-test-%03d", "-qpf", "1", "-qpt", "4"];
    const counted = await figures("-x", "8", "-y", "4", ...pattern, "-C", "50", "-D", "100");
    assert.equal(counted.counts.received, 400);
    const connection = await connect(url);
    const channel = await connection.openChannel();
    await assert.rejects(channel.queueDeclare("haremq-perf-test-001", { passive: true }), {
      replyCode: 404,
    });
    await connection.close();
  });

  test("mandatory messages that reach no queue are counted as returned", async () => {
    const counted = await figures("-y", "0", "-c", "10", "-f", "mandatory", "-C", "100");
    assert.equal(counted.counts.returned, 100);
    assert.equal(counted.counts.confirmed, 100);
  });

  test("transactions, files, random keys and rates work together with everything else", async () => {
    const body = join(folder, "body.json");
    writeFileSync(body, '{"n":1}');
    const tx = await figures("-m", "10", "-n", "5", "-C", "105", "-D", "105");
    assert.equal(tx.counts.received, 105);
    const files = await figures("-B", body, "-T", "application/json", "-C", "10", "-D", "10");
    assert.equal(files.consumerLatency.count, 10);
    const keys = await figures("-t", "fanout", "-K", "-C", "100", "-D", "100");
    assert.equal(keys.counts.received, 100);
    const paced = await figures("-r", "20000", "-R", "20000", "-a", "-C", "300", "-D", "300");
    assert.equal(paced.counts.received, 300);
  });

  test("lines, summary and CSV say the same", async () => {
    const csv = join(folder, "out.csv");
    const interval = ["-i", "0.05", "-z", "0.3"];
    const { code, out } = await perf("-h", url, "-d", "t", "-r", "1000", "-o", csv, ...interval);
    assert.equal(code, 0);
    const lines = out.trimEnd().split("\n");
    const pattern = new RegExp(
      "^id: t, time \\d+\\.\\d{3} s, sent: [\\d.]+ msg/s, received: [\\d.]+ msg/s, " +
        "min/median/75th/95th/99th consumer latency: \\d+/\\d+/\\d+/\\d+/\\d+ µs$",
    );
    const live = lines.slice(0, -3);
    assert.ok(live.length >= 1);
    for (const line of live) assert.match(line, pattern);
    assert.match(lines.at(-3) ?? "", /^id: t, sending rate avg: [\d.]+ msg\/s$/);
    const rows = readFileSync(csv, "utf8").trimEnd().split("\n");
    assert.equal(rows.length, live.length + 1);
    for (const row of rows) assert.equal(row.split(",").length, 17);
  });

  test("what the broker refuses ends the test with its words", async () => {
    const { code, error } = await perf("-h", url, "-qa", "x-expires=0", "-C", "1", "-D", "1");
    assert.equal(code, 1);
    assert.match(error, /^haremq-perf: channel closed: 406 PRECONDITION_FAILED .*\n$/);
  });
}

const oracles = (process.env.HAREMQ_ORACLE ?? "").split(",").filter((url) => url !== "");
const external = process.env.HAREMQ_TEST_URL || undefined;
describe(`perf on ${external ?? "HareMQ"}`, () => onBroker(external));
for (const url of oracles) describe(`perf on ${url}`, () => onBroker(url));

test("a broker that is not there is named in one line", async () => {
  const { code, error } = await perf("-h", "amqp://127.0.0.1:1");
  assert.equal(code, 1);
  assert.match(error, /^haremq-perf: cannot connect to 127\.0\.0\.1:1: .*ECONNREFUSED.*\n$/);
});

test("an unknown option is one line and exit code 2", async () => {
  const outcome = await perf("--frobnicate");
  assert.deepEqual(outcome, {
    code: 2,
    out: "",
    error: "haremq-perf: unknown option --frobnicate (--help shows all options)\n",
  });
});

test("help and version need no broker", async () => {
  const help = await perf("-?");
  assert.equal(help.code, 0);
  assert.match(help.out, /-x, --producers VALUE/);
  const version = await perf("--version");
  assert.match(version.out, /^haremq-perf \d+\.\d+\.\d+ /);
});

test("small messages are said to have no latency", async () => {
  const { code, out } = await perf("-h", "amqp://127.0.0.1:1", "-s", "8", "-d", "t");
  assert.equal(code, 1);
  assert.equal(out, "id: t, no consumer latency: 8 B hold no time, 12 B do\n");
});
