/** Goal: timeouts are noticed, never early and hardly late, and cost nothing without deliveries. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type ConsumerSink, DeliveryLedger, noPolicy, type Queue } from "@haremq/broker";
import { VirtualClock } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";
import fc from "fast-check";
import { AmqpConsumer } from "./amqp-consumer.ts";
import { DeliveryWatch, type WatchedChannel } from "./delivery-watch.ts";

/** A channel that only delivers, settles and times out. */
class Rig implements WatchedChannel {
  readonly clock = new VirtualClock();
  readonly ledger = new DeliveryLedger();
  readonly watch = new DeliveryWatch(this);
  consumerTimeoutMs = 1_800_000;
  latestDeliveryTag = 0;
  readonly deliveredMs = new Map<number, number>();
  readonly timeouts: { tag: number; ageMs: number; timeoutMs: number }[] = [];
  isBusy = false;

  consumer(queueTimeoutMs?: number, ownTimeoutMs?: number): AmqpConsumer {
    const named = (value?: number) =>
      FieldTable.from(value === undefined ? {} : { "x-consumer-timeout": value });
    const queue = { arguments: named(queueTimeoutMs), policy: noPolicy } as unknown as Queue;
    return new AmqpConsumer(queue, {} as ConsumerSink, 1, {
      tag: "t",
      noAck: false,
      exclusive: false,
      priority: 0,
      prefetch: 0,
      arguments: named(ownTimeoutMs),
    });
  }

  deliver(consumer: AmqpConsumer): number {
    const tag = ++this.latestDeliveryTag;
    this.deliveredMs.set(tag, this.clock.nowMs());
    consumer.spendCredit();
    this.ledger.add(tag, consumer, 0, 0);
    if (!consumer.isWatched) this.watch.add(consumer);
    return tag;
  }

  settle(tag: number): void {
    if (!this.ledger.take(tag)) return;
    this.deliveredMs.delete(tag);
    this.ledger.consumer!.regainCredit();
  }

  onTimeout(_consumer: AmqpConsumer, tag: number, timeoutMs: number): boolean {
    if (this.isBusy) return false;
    this.timeouts.push({ tag, ageMs: this.clock.nowMs() - this.deliveredMs.get(tag)!, timeoutMs });
    this.watch.stop();
    return true;
  }
}

test("the first delivery times out to the millisecond", () => {
  const rig = new Rig();
  const consumer = rig.consumer();
  rig.clock.advance(123);
  rig.deliver(consumer);
  rig.clock.advance(1_799_999);
  assert.deepEqual(rig.timeouts, []);
  rig.clock.advance(1);
  assert.deepEqual(rig.timeouts, [{ tag: 1, ageMs: 1_800_000, timeoutMs: 1_800_000 }]);
  assert.equal(rig.clock.pending, 0);
});

test("once everything is settled there is no timer, until there are deliveries again", () => {
  const rig = new Rig();
  const [one, other] = [rig.consumer(), rig.consumer()];
  assert.equal(rig.clock.pending, 0);
  for (const consumer of [one, other, one]) rig.deliver(consumer);
  assert.equal(rig.clock.pending, 1);
  for (const tag of [3, 1, 2]) rig.settle(tag);
  rig.clock.advance(60_000);
  assert.equal(rig.clock.pending, 0);
  assert.deepEqual([one.isWatched, other.isWatched], [false, false]);
  const tag = rig.deliver(other);
  rig.clock.advance(1_800_000);
  assert.deepEqual(rig.timeouts, [{ tag, ageMs: 1_800_000, timeoutMs: 1_800_000 }]);
});

test("a consumer in step costs one timer now and then, however much it gets", () => {
  const rig = new Rig();
  const consumer = rig.consumer();
  for (let i = 0; i < 10_000; i++) {
    const tag = rig.deliver(consumer);
    assert.equal(rig.clock.pending, 1);
    rig.clock.advance(1);
    rig.settle(tag);
  }
  rig.clock.advance(60_000);
  assert.deepEqual([rig.timeouts.length, rig.clock.pending], [0, 0]);
});

test("a long timeout does not hide a short one behind it, nor the other way round", () => {
  const rig = new Rig();
  rig.deliver(rig.consumer(3_600_000));
  rig.clock.advance(1000);
  const tag = rig.deliver(rig.consumer(10_000));
  rig.clock.advance(10_000);
  assert.deepEqual(rig.timeouts, [{ tag, ageMs: 10_000, timeoutMs: 10_000 }]);
});

test("the consumer's own timeout counts before its queue's, and 0 is never", () => {
  const rig = new Rig();
  rig.deliver(rig.consumer(10_000, 0));
  rig.deliver(rig.consumer(0));
  rig.consumerTimeoutMs = Number.POSITIVE_INFINITY;
  rig.deliver(rig.consumer());
  rig.clock.advance(10 ** 9);
  assert.deepEqual(rig.timeouts, []);
  const tag = rig.deliver(rig.consumer(10_000, 20_000));
  rig.clock.advance(20_000);
  assert.deepEqual(rig.timeouts, [{ tag, ageMs: 20_000, timeoutMs: 20_000 }]);
});

test("values that are no timeouts change nothing", () => {
  const rig = new Rig();
  for (const value of [-1, 0.5, "10", true, null, [1]]) {
    rig.deliver(rig.consumer(value as number, value as number));
  }
  rig.clock.advance(1_799_999);
  assert.deepEqual(rig.timeouts, []);
  rig.clock.advance(1);
  assert.equal(rig.timeouts.length, 1);
});

test("a channel that cannot be closed right now is looked at again", () => {
  const rig = new Rig();
  rig.deliver(rig.consumer(3200));
  rig.isBusy = true;
  rig.clock.advance(3250);
  assert.deepEqual(rig.timeouts, []);
  rig.isBusy = false;
  rig.clock.advance(100);
  assert.equal(rig.timeouts.length, 1);
});

test("property: no timeout is early, and none is missed", () => {
  const step = fc.record({
    passMs: fc.nat(3000),
    deliveries: fc.nat(4),
    settles: fc.array(fc.nat(20), { maxLength: 5 }),
    consumer: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.boolean(), (steps, isMixed) => {
      const rig = new Rig();
      rig.consumerTimeoutMs = 8000;
      const consumers = [rig.consumer(), rig.consumer(), rig.consumer(isMixed ? 64_000 : 8000)];
      const allowedMs = (timeoutMs: number) => timeoutMs * (isMixed ? 1.25 : 1 + 1 / 32) + 1;
      for (const { passMs, deliveries, settles, consumer } of steps) {
        for (let i = 0; i < deliveries; i++) rig.deliver(consumers[consumer]!);
        for (const back of settles) rig.settle(rig.latestDeliveryTag - back);
        rig.clock.advance(passMs);
        const [timeout] = rig.timeouts;
        if (timeout !== undefined) {
          assert.ok(timeout.ageMs >= timeout.timeoutMs, `early: ${JSON.stringify(timeout)}`);
          return;
        }
        for (const { tag, consumer: owner } of rig.ledger.unsettled()) {
          const ageMs = rig.clock.nowMs() - rig.deliveredMs.get(tag)!;
          const timeoutMs = owner === consumers[2] && isMixed ? 64_000 : 8000;
          assert.ok(ageMs <= allowedMs(timeoutMs), `${tag} is ${ageMs} ms old`);
        }
      }
    }),
  );
});
