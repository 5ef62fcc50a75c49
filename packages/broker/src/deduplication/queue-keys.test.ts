/**
 * Goal: a queue that deduplicates has each key at most once, takes every key that it has not got,
 * and loses nothing, whatever happens to its messages.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeProperties, FieldTable, WireWriter } from "@haremq/wire";
import fc from "fast-check";
import { policyOf } from "../../test/policy-of.ts";
import { queueSpec } from "../../test/queue-rig.ts";
import { testConsumer } from "../../test/recording-sink.ts";
import { TestHost } from "../../test/test-host.ts";
import { textMessage } from "../../test/text-message.ts";
import type { ConsumerSink } from "../consumer/consumer.ts";
import { MessageStore } from "../message/message-store.ts";
import { MessageView } from "../message/message-view.ts";
import { noPolicy } from "../policy/effective-policy.ts";
import { ClassicQueue } from "../queue/classic-queue.ts";

const header = "x-deduplication-header";
const deduplicating = FieldTable.from({ "x-message-deduplication": true });

function messageWith(key: number | undefined): MessageView {
  const writer = new WireWriter();
  const headers = FieldTable.from(key === undefined ? {} : { [header]: key });
  encodeProperties(writer, { headers });
  const view = textMessage(`${key}`);
  view.properties = writer.take();
  view.propertiesStart = 0;
  view.propertiesLength = view.properties.length;
  return view;
}

function given(args: FieldTable = deduplicating) {
  const messages = new MessageStore();
  const host = new TestHost(messages);
  const queue = new ClassicQueue(queueSpec({ arguments: args }), messages, host);
  return { messages, host, queue };
}

const operation = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("publish" as const), n: fc.nat(12) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("publish" as const), n: fc.constant(-1) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("get" as const), n: fc.nat(1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("acknowledge" as const), n: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("requeue" as const), n: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reject" as const), n: fc.nat(9) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("purge" as const), n: fc.nat(0) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("pass" as const), n: fc.nat(60) }) },
);

test("property: a key is refused if and only if it is in the queue", () => {
  const limits = fc.record(
    { "x-message-ttl": fc.nat(100), "x-max-length": fc.integer({ min: 1, max: 8 }) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(limits, fc.array(operation, { maxLength: 200 }), (asked, operations) => {
      const args = FieldTable.from({ ...asked, "x-message-deduplication": true });
      const { messages, host, queue } = given(args);
      messages.nowMs = host.clock.wallMs();
      const view = new MessageView();
      const unsettled: { handle: number; sequence: number; key: string }[] = [];
      const take = (n: number) => unsettled.splice(n % unsettled.length, 1)[0]!;
      for (const { kind, n } of operations) {
        if (kind === "publish") {
          const isKnown = keysIn(queue, unsettled, view).includes(`${n}`);
          const { published } = queue.counts;
          assert.ok(queue.publish(messageWith(n < 0 ? undefined : n)));
          assert.equal(queue.counts.published - published, isKnown ? 0 : 1, `${n}: ${isKnown}`);
        } else if (kind === "get") {
          const pulled = queue.get(n === 0, view);
          if (pulled !== undefined && n !== 0) unsettled.push({ ...pulled, key: bodyOf(view) });
        } else if (kind === "purge") {
          queue.purge();
        } else if (kind === "pass") {
          host.clock.advance(n);
          messages.nowMs = host.clock.wallMs();
        } else if (unsettled.length > 0) {
          const { handle, sequence } = take(n);
          queue[kind](handle, sequence);
          queue.serve();
        }
        const known = keysIn(queue, unsettled, view).filter((key) => key !== "undefined");
        assert.equal(new Set(known).size, known.length, `twice: ${known}`);
      }
      queue.close();
      for (const { handle, sequence } of unsettled) queue.requeue(handle, sequence);
      assert.equal(messages.liveMessages, 0);
      assert.equal(messages.memory.positions.bytes, 0);
    }),
  );
});

/** Takes everything out, looks what it is, and puts it back. */
function keysIn(
  queue: ClassicQueue,
  unsettled: readonly { readonly key: string }[],
  view: MessageView,
): string[] {
  const pulled: { handle: number; sequence: number }[] = [];
  const keys = unsettled.map(({ key }) => key);
  for (;;) {
    const message = queue.get(false, view);
    if (message === undefined) break;
    pulled.push(message);
    keys.push(bodyOf(view));
  }
  for (const { handle, sequence } of pulled) queue.requeue(handle, sequence);
  queue.serve();
  return keys;
}

function bodyOf({ body, bodyStart, bodyLength }: MessageView): string {
  return body.toString("utf8", bodyStart, bodyStart + bodyLength);
}

test("a key is free again once its message has left, and not before", () => {
  const { queue, messages } = given();
  const delivered: { handle: number; sequence: number }[] = [];
  const sink: ConsumerSink = {
    writable: true,
    withinPrefetch: true,
    deliver: (_consumer, _view, handle, sequence) => delivered.push({ handle, sequence }),
    park: () => undefined,
    cancelled: () => undefined,
  };
  const consumer = testConsumer(queue, sink, { prefetch: 1 });
  const isTaken = (): boolean => {
    const { published } = queue.counts;
    queue.publish(messageWith(1));
    return queue.counts.published > published;
  };
  assert.equal(isTaken(), true, "new");
  assert.equal(isTaken(), false, "still ready");
  queue.subscribe(consumer);
  assert.equal(isTaken(), false, "unsettled");
  queue.acknowledge(delivered[0]!.handle, delivered[0]!.sequence);
  consumer.regainCredit();
  queue.wake(consumer);
  assert.equal(isTaken(), true, "handed over at once");
  assert.equal(isTaken(), false, "unsettled again");
  queue.unsubscribe(consumer);
  queue.reject(delivered[1]!.handle, delivered[1]!.sequence);
  queue.subscribe(testConsumer(queue, sink, { noAck: true }));
  for (let i = 0; i < 3; i++) assert.equal(isTaken(), true, "consumed at once");
  queue.close();
  assert.equal(messages.memory.positions.bytes, 0);
});

test("a policy begins with the messages that are there, and ends at once", async () => {
  const { queue } = given(new FieldTable());
  for (const key of [1, 2, 1]) queue.publish(messageWith(key));
  queue.applyPolicy(policyOf({ "message-deduplication": true }));
  await queue.ready();
  for (const key of [1, 2, 3, 3]) queue.publish(messageWith(key));
  assert.equal(queue.readyCount, 4);
  const view = new MessageView();
  assert.ok(queue.get(true, view) !== undefined);
  queue.publish(messageWith(1));
  assert.equal(queue.readyCount, 4, "of two with the same key the first has left");
  queue.applyPolicy(noPolicy);
  queue.publish(messageWith(1));
  assert.equal(queue.readyCount, 5);
});

test("what leaves while keys are being read leaves none behind", async () => {
  const { queue, messages, host } = given(new FieldTable());
  for (let key = 0; key < 3000; key++) queue.publish(messageWith(key));
  queue.applyPolicy(policyOf({ "message-deduplication": true }));
  assert.equal(host.clock.pending, 1, "others have their turn");
  assert.equal(queue.purge(), 3000);
  host.clock.advance(1);
  await queue.ready();
  for (let key = 0; key < 3000; key++) queue.publish(messageWith(key));
  assert.equal(queue.readyCount, 3000);
  queue.close();
  assert.equal(messages.memory.positions.bytes, 0);
});
