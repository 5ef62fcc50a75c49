/**
 * Goal: a returned message finds the publish it belongs to among many that look nearly the same.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfirmWaiter } from "./confirm-ledger.ts";
import { MandatoryWatch } from "./mandatory-watch.ts";
import { ReturnedMessage } from "./message.ts";

function waiter(): ConfirmWaiter {
  return { resolve: () => {}, reject: () => {}, returned: undefined };
}

function returned(key: string, body: Buffer, messageId?: string): ReturnedMessage {
  const message = new ReturnedMessage(312, "NO_ROUTE", "x", key);
  message.body = body;
  if (messageId !== undefined) message.properties = { messageId };
  return message;
}

test("tells publishes apart by key, properties, size and both ends of the body", () => {
  const long = (end: number): Buffer => Buffer.concat([Buffer.alloc(4000), Buffer.from([end])]);
  const publishes: [string, Buffer, string | undefined][] = [
    ["a", Buffer.from("1"), undefined],
    ["b", Buffer.from("1"), undefined],
    ["a", Buffer.from("2"), undefined],
    ["a", Buffer.from("11"), undefined],
    ["a", Buffer.from("1"), "id"],
    ["a", long(1), undefined],
    ["a", long(2), undefined],
    ["a", Buffer.alloc(0), undefined],
  ];
  const watch = new MandatoryWatch();
  const waiters = publishes.map(([key, body, messageId]) => {
    const each = waiter();
    watch.add(each, "x", key, messageId === undefined ? {} : { messageId }, body);
    return each;
  });
  for (let i = publishes.length - 1; i >= 0; i--) {
    const [key, body, messageId] = publishes[i]!;
    const message = returned(key, Buffer.from(body), messageId);
    watch.onReturn(message);
    assert.equal(waiters[i]!.returned, message, `publish ${i}`);
  }
});

test("equal publishes are taken in order, answered ones not at all", () => {
  const watch = new MandatoryWatch();
  const waiters = [waiter(), waiter(), waiter()];
  for (const each of waiters) watch.add(each, "x", "k", {}, Buffer.from("same"));
  watch.delete(waiters[0]!);
  const [first, second, surplus] = [1, 2, 3].map(() => returned("k", Buffer.from("same")));
  watch.onReturn(first!);
  watch.onReturn(second!);
  watch.onReturn(surplus!);
  assert.deepEqual(
    waiters.map((each) => each.returned),
    [undefined, first, second],
  );
});
