/**
 * Goal: whatever happens to the message log, in whatever order, its promises are kept: a couple of
 * hundred seeds of the crash simulator, whose judge notices when one is not.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  LogModel,
  type ModelTarget,
  PromiseBroken,
  type Recovered,
} from "../simulate/log-model.ts";
import { simulateLog } from "../simulate/log-simulation.ts";

async function simulate(seed: number): Promise<void> {
  try {
    await simulateLog(seed);
  } catch (error) {
    throw new Error(`npm run simulate -- log --seed ${seed}`, { cause: error });
  }
}

test("two hundred seeds keep every promise", async () => {
  for (let seed = 1; seed <= 200; seed++) await simulate(seed);
});

test("a seed does the same every time", async () => {
  for (const seed of [17, 896]) {
    const traces = [[], []] as string[][];
    for (const trace of traces) await simulateLog(seed, (line) => trace.push(line));
    assert.ok(traces[0]!.length > 50);
    assert.deepEqual(traces[0], traces[1]);
  }
});

// The judge

function broken(act: (model: LogModel) => void): boolean {
  try {
    act(new LogModel());
    return false;
  } catch (error) {
    if (error instanceof PromiseBroken) return true;
    throw error;
  }
}

/** Three durable records in queue 1. */
function durable(model: LogModel): ModelTarget[] {
  const targets: ModelTarget[] = [];
  for (let i = 0; i < 3; i++) {
    const record = model.append(10, [1]);
    record.position = 100 * (i + 1);
    targets.push(record.targets[0]!);
  }
  model.onWritten(300);
  model.onDurable(300);
  return targets;
}

function found(...ids: number[]): Recovered[] {
  return ids.map((id) => ({ id, queue: 1, handle: id, wasDelivered: false }));
}

function recoverThree(model: LogModel, ...ids: number[]): void {
  durable(model);
  model.recover(found(...ids), 0);
}

test("the judge lets pass what was promised", () => {
  const isBroken = broken((model) => {
    const [first] = durable(model);
    model.settle(first!);
    model.recover(found(0, 1, 2), 0);
    model.settle(first!);
    model.recover(found(1, 2), 0);
    model.onPowerLoss();
    model.recover(found(1, 2), 0);
  });
  assert.equal(isBroken, false);
});

for (const [what, act] of [
  ["a durable record is missing", (model) => recoverThree(model, 0, 2)],
  ["a record comes twice", (model) => recoverThree(model, 0, 0, 1, 2)],
  ["the order is wrong", (model) => recoverThree(model, 1, 0, 2)],
  ["a record was never there", (model) => recoverThree(model, 0, 1, 2, 3)],
  [
    "a settlement that was noted is forgotten",
    (model) => {
      const [first] = durable(model);
      model.settle(first!);
      model.onRest();
      model.recover(found(0, 1, 2), 0);
    },
  ],
  [
    "a message is said to have been delivered that was not",
    (model) => {
      durable(model);
      model.recover([{ ...found(0)[0]!, wasDelivered: true }, ...found(1, 2)], 0);
    },
  ],
  [
    "a delivery that was noted is forgotten",
    (model) => {
      const [, second] = durable(model);
      model.deliver(second!);
      model.onRest();
      model.recover(found(0, 1, 2), 0);
    },
  ],
  [
    "what was lost comes back",
    (model) => {
      durable(model);
      const record = model.append(10, [1]);
      record.position = 400;
      model.recover(found(0, 1, 2), 0);
      model.recover(found(0, 1, 2, 3), 0);
    },
  ],
  [
    "what was written does not survive the process",
    (model) => {
      durable(model);
      model.append(10, [1]).position = 400;
      model.onWritten(400);
      model.recover(found(0, 1, 2), 0);
    },
  ],
  [
    "what is called durable was never written",
    (model) => {
      model.append(10, [1]).position = 100;
      model.onDurable(100);
    },
  ],
  [
    "there is a hole in what was not durable",
    (model) => {
      for (let i = 0; i < 3; i++) model.append(10, [1]).position = 100 * (i + 1);
      model.recover(found(0, 2), 0);
    },
  ],
  [
    "a group is torn",
    (model) => {
      const group = model.beginGroup();
      for (let i = 0; i < 2; i++) model.append(10, [1], group).position = 200;
      group.position = 200;
      model.recover(found(0), 0);
    },
  ],
  [
    "a group that was lost has settled something",
    (model) => {
      const [first] = durable(model);
      const group = model.beginGroup();
      model.append(10, [1], group).position = 400;
      group.position = 400;
      model.settle(first!, group);
      model.recover(found(1, 2), 0);
    },
  ],
  [
    "what a durable group has settled is back",
    (model) => {
      const [first] = durable(model);
      const group = model.beginGroup();
      model.append(10, [1], group).position = 400;
      group.position = 400;
      model.settle(first!, group);
      model.onWritten(400);
      model.onDurable(400);
      model.onPowerLoss();
      model.recover(found(0, 1, 2, 3), 0);
    },
  ],
] as const satisfies readonly (readonly [string, (model: LogModel) => void])[]) {
  test(`the judge notices when ${what}`, () => {
    assert.equal(broken(act), true);
  });
}
