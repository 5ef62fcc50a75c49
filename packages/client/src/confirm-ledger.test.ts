/**
 * Goal: every publish is settled exactly once, by the answer that is its own, in whatever order.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ConfirmLedger } from "./confirm-ledger.ts";
import { PublishNackedError, PublishReturnedError } from "./errors.ts";
import { ReturnedMessage } from "./message.ts";

/** A waiter that writes down what becomes of its publish. */
function recorder(log: Map<number, string[]>, tag: number) {
  const note = (text: string): void => {
    log.set(tag, [...(log.get(tag) ?? []), text]);
  };
  return {
    resolve: () => note("acked"),
    reject: (error: Error) => note(error.name),
    returned: undefined as ReturnedMessage | undefined,
  };
}

test("settles as a naive model does, for any order of answers", () => {
  const answer = fc.record({
    publishes: fc.nat({ max: 200 }),
    pick: fc.nat({ max: 1000 }),
    multiple: fc.boolean(),
    acked: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(answer, { maxLength: 40 }), (answers) => {
      const ledger = new ConfirmLedger();
      const log = new Map<number, string[]>();
      const open = new Set<number>();
      const expected = new Map<number, string[]>();
      for (const { publishes, pick, multiple, acked } of answers) {
        for (let i = 0; i < publishes; i++) {
          const tag = ledger.next;
          open.add(tag);
          if (tag % 3 === 0) ledger.add();
          else ledger.addWaiter(recorder(log, tag));
        }
        // Also tags that were settled before, and 0, which with `multiple` means all.
        const tag = ledger.next === 1 ? 0 : pick % ledger.next;
        if (tag === 0 && !multiple) continue;
        for (const each of [...open]) {
          if (multiple ? tag !== 0 && each > tag : each !== tag) continue;
          open.delete(each);
          if (each % 3 !== 0) expected.set(each, [acked ? "acked" : "PublishNackedError"]);
        }
        ledger.settle(tag, multiple, acked);
        assert.equal(ledger.unanswered, open.size);
      }
      assert.deepEqual([...log].sort(byTag), [...expected].sort(byTag));
    }),
  );
});

function byTag([a]: [number, unknown], [b]: [number, unknown]): number {
  return a - b;
}

test("whenAllConfirmed waits for what was published before it, and for nothing later", async () => {
  const ledger = new ConfirmLedger();
  await ledger.whenAllConfirmed();
  ledger.add();
  ledger.add();
  let done = false;
  const all = ledger.whenAllConfirmed().then(() => {
    done = true;
  });
  ledger.add();
  ledger.settle(2, false, true);
  await Promise.resolve();
  assert.equal(done, false);
  ledger.settle(1, false, true);
  await all;
  assert.equal(ledger.unanswered, 1);
});

test("a nack is reported to the next whenAllConfirmed, once", async () => {
  const ledger = new ConfirmLedger();
  ledger.add();
  ledger.add();
  ledger.settle(2, true, false);
  await assert.rejects(ledger.whenAllConfirmed(), (error) => {
    assert.ok(error instanceof PublishNackedError);
    assert.equal(error.deliveryTag, 1);
    return true;
  });
  await ledger.whenAllConfirmed();
});

test("an acked publish whose message came back is rejected with the message", () => {
  const ledger = new ConfirmLedger();
  const log = new Map<number, string[]>();
  const waiter = recorder(log, 1);
  ledger.addWaiter(waiter);
  waiter.returned = new ReturnedMessage(312, "NO_ROUTE", "x", "k");
  ledger.settle(1, false, true);
  assert.deepEqual(log.get(1), [PublishReturnedError.name]);
});

test("when the channel is gone everything waiting fails, late answers change nothing", async () => {
  const ledger = new ConfirmLedger();
  const log = new Map<number, string[]>();
  for (let tag = 1; tag <= 100; tag++) ledger.addWaiter(recorder(log, tag));
  const all = ledger.whenAllConfirmed();
  ledger.settle(10, true, true);
  ledger.failAll(new RangeError("gone"));
  await assert.rejects(all, /gone/);
  ledger.settle(0, true, true);
  assert.deepEqual(log.get(10), ["acked"]);
  assert.deepEqual(log.get(11), ["RangeError"]);
  assert.equal(log.size, 100);
});
