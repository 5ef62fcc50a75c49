/**
 * The load generator of the benchmark against our broker: what it publishes arrives, is counted and
 * is in order, in every topology and acknowledgement mode that the scenarios use. How fast is not
 * looked at. Needs a C compiler.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after, before, describe, it } from "node:test";
import { type RunningBroker, startBroker } from "haremq";
import { buildGenerator, Generator } from "../bench/generator.mjs";
import { scenarios } from "../bench/scenarios.mjs";

const hasCompiler = spawnSync("cc", ["--version"]).error === undefined;
const skip = hasCompiler ? false : "needs a C compiler (cc)";

describe("the load generator", { skip }, () => {
  let broker: RunningBroker;
  let generator: Generator;

  before(async () => {
    broker = await startBroker({ port: 0 });
    generator = new Generator(await buildGenerator());
  });
  after(() => broker.stop());

  function load(options: string) {
    return generator.load({ port: broker.port, pid: process.pid }, "test", options);
  }

  /** Enough to be sure of the accounting, at a rate that leaves the broker idle. */
  const gentle = "--rate 500 --warmup 0 --time 0.2";

  for (const [name, scenario] of Object.entries(scenarios)) {
    if (scenario.kind !== "load" || scenario.load === undefined) continue;
    const options = scenario.load.replace(/ --rate \d+/, "");
    it(`delivers everything once and in order in scenario ${name}`, async () => {
      const row = await load(`${options} ${gentle}`);
      assert.equal(row.failed, undefined);
      assert.ok(row.published > 0);
      assert.equal(row.expected, row.published * (name === "e" ? 10 : 1));
      assert.equal(row.consumed, row.expected);
      assert.deepEqual([row.disorder, row.redelivered, row.nacked, row.returned], [0, 0, 0, 0]);
    });
  }

  it("carries bodies over several frames, and empty ones", async () => {
    for (const bytes of [0, 15, 16, 131_064, 131_065, 400_000]) {
      const row = await load(`--size ${bytes} --count 5 --confirm 2`);
      assert.deepEqual([row.failed, row.published], [undefined, 5], `${bytes} B`);
    }
  });

  it("leaves a backlog behind, counts it and drains it", async () => {
    const target = { port: broker.port, pid: 0 };
    await load("--prefix deep --confirm 100 --cons 0 --count 1000 --keep");
    assert.equal(await generator.depth(target, "deep"), 1000);
    const row = await load("--prefix deep --pubs 0 --ack 100 --prefetch 200 --expect 1000");
    assert.deepEqual([row.failed, row.consumed], [undefined, 1000]);
    assert.equal(await generator.depth(target, "deep"), 0, "the queue is gone");
  });

  it("opens idle connections", async () => {
    const row = await load("--idle 20 --time 0");
    assert.deepEqual([row.failed, row.idle_conns], [undefined, 20]);
  });

  it("counts returns", async () => {
    await load("--prefix other --cons 0 --count 1 --confirm 1 --keep");
    const row = await load(
      "--nodeclare --prefix nobody --mandatory --cons 0 --count 7 --confirm 1",
    );
    assert.deepEqual([row.published, row.returned], [7, 7]);
  });

  it("says in one line what went wrong", async () => {
    const failures: [string, RegExp][] = [
      ["--pass wrong", /^ampload: server closed: 403 ACCESS_REFUSED/],
      ["--nodeclare --prefix missing", /^ampload: server closed: 404 NOT_FOUND/],
      ["--size many", /^ampload: --size cannot be many$/],
      ["--exchange round", /^ampload: --exchange cannot be round$/],
    ];
    for (const [options, message] of failures) {
      assert.match((await load(options)).failed, message, options);
    }
  });

  it("names the missing compiler", async () => {
    await assert.rejects(buildGenerator("no-such-compiler"), /no-such-compiler was not found/);
  });
});
