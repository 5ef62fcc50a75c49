// Goal: whatever clients send, the broker neither falls over nor hangs, keeps nothing and lets
// nobody else feel it. These are the same cases every time; `npm run fuzz` looks for new ones.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AmqpChannel } from "../src/amqp-channel.ts";
import { Heartbeat } from "../src/heartbeat.ts";
import { Transaction } from "../src/transaction.ts";
import { describeStep, makeCase } from "./fuzz/fuzz-case.ts";
import { FuzzRun } from "./fuzz/fuzz-run.ts";
import { minimise } from "./fuzz/minimise.ts";

/** The cases of each kind of broker, by their seeds. */
const ranges: [isDurable: boolean, first: number, last: number][] = [
  [false, 1, 80],
  [true, 81, 100],
];

type Method = (this: object, ...args: unknown[]) => unknown;

/** Ways to break the adapter, each with what the fuzzer has to say of it. */
const sabotages: [
  name: string,
  target: object,
  method: string,
  broken: (whole: Method) => Method,
  found: RegExp,
][] = [
  [
    "a message that comes twice",
    AmqpChannel.prototype,
    "deliver",
    (whole) => {
      let calls = 0;
      return function (...args) {
        whole.apply(this, args);
        if (++calls % 50 === 0) whole.apply(this, args);
      };
    },
    /^watchdog: (unexpected delivery|\d+ came after)/,
  ],
  [
    "a fault of ours that the client survives",
    AmqpChannel.prototype,
    "recover",
    () => () => {
      throw new TypeError("sabotaged");
    },
    /^logged: error on AMQP connection.*\n.*sabotaged/,
  ],
  [
    "what a channel leaves behind",
    AmqpChannel.prototype,
    "close",
    () => () => {},
    /left$|unsettled on/,
  ],
  ["a timer that is left behind", Heartbeat.prototype, "stop", () => () => {}, /timers left/],
  [
    "messages that nobody gives back",
    Transaction.prototype,
    "dropPublishes",
    () => () => {},
    /messages left/,
  ],
];

describe("the fuzzer", () => {
  for (const [isDurable, first, last] of ranges) {
    const [where, option] = isDurable ? ["on disk", "--durable "] : ["in memory", ""];
    test(`finds nothing in its cases ${first} to ${last} ${where}`, async () => {
      const run = await FuzzRun.start(isDurable);
      try {
        for (let seed = first; seed <= last; seed++) {
          const failure = await run.run(makeCase(seed), undefined);
          assert.equal(failure, undefined, `see it with: npm run fuzz -- ${option}--seed ${seed}`);
        }
        assert.ok(run.watchedMessages > last - first);
      } finally {
        await run.stop();
      }
    });
  }

  test("makes the same case of the same seed", () => {
    for (const seed of [1, 2, 2 ** 31]) {
      const [first, second] = [makeCase(seed), makeCase(seed)];
      assert.deepEqual(first.steps.map(describeStep), second.steps.map(describeStep));
      assert.deepEqual(first, second);
    }
    assert.notDeepEqual(makeCase(1), makeCase(2));
  });

  for (const [name, target, method, broken, found] of sabotages) {
    test(`finds ${name}`, async () => {
      const run = await FuzzRun.start();
      const whole = Object.getOwnPropertyDescriptor(target, method)!;
      Object.defineProperty(target, method, { ...whole, value: broken(whole.value) });
      try {
        let failure: string | undefined;
        for (let seed = 1; seed <= 40 && failure === undefined; seed++) {
          failure = await run.run(makeCase(seed), undefined);
        }
        assert.match(failure ?? "nothing", found);
      } finally {
        Object.defineProperty(target, method, whole);
        await run.stop();
      }
    });
  }

  test("reduces a failing case to the steps that matter", async () => {
    const fuzzCase = makeCase(3);
    const all = [...fuzzCase.steps.keys()];
    const needed = [all[4]!, all[11]!, all.at(-2)!];
    const kept = await minimise(fuzzCase, all, async (few) =>
      needed.every((index) => few.has(index)),
    );
    assert.deepEqual(kept, needed);
  });
});
