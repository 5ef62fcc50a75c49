/**
 * What every kind of queue does when it was declared with a single active consumer: one consumer is
 * served, the others wait to take over. A part of the queue contract, which calls it.
 */

import assert from "node:assert/strict";
import { RecordingSink } from "../../test/recording-sink.ts";
import type { QueueTest } from "./queue.contract.ts";

export function singleActiveConsumerContract(check: QueueTest): void {
  check("only the first consumer is served", (rig) => {
    rig.publish("1");
    rig.consume({ tag: "a" });
    rig.consume({ tag: "b" });
    rig.consume({ tag: "c" });
    rig.publish("2", "3");
    assert.deepEqual(rig.log, ["a:1", "a:2", "a:3"]);
    assert.equal(rig.queue.consumerCount, 3);
  });

  check("others wait although the active one has no credit", (rig) => {
    rig.consume({ tag: "a", prefetch: 1 });
    rig.consume({ tag: "b" });
    rig.publish("1", "2");
    rig.serve();
    assert.deepEqual(rig.log, ["a:1"]);
    assert.equal(rig.queue.readyCount, 1);
    rig.settle("acknowledge", "1");
    assert.deepEqual(rig.log, ["a:1", "a:2"]);
  });

  check("others wait although the active one has no room", (rig) => {
    const full = new RecordingSink();
    const active = rig.consume({ tag: "a" }, full);
    full.writable = false;
    rig.consume({ tag: "b" });
    rig.publish("1");
    assert.deepEqual(rig.log, []);
    full.writable = true;
    rig.wake(active);
    assert.equal(full.deliveries.length, 1);
  });

  check("waking who waits does not make it active", (rig) => {
    rig.consume({ tag: "a", prefetch: 1 });
    const waiting = rig.consume({ tag: "b" });
    rig.publish("1", "2");
    rig.wake(waiting);
    assert.deepEqual(rig.log, ["a:1"]);
  });

  check("they take over in the order they came", (rig) => {
    const [a, b, c] = ["a", "b", "c"].map((tag) => rig.consume({ tag }));
    rig.publish("1", "2");
    rig.cancel(a!);
    rig.publish("3");
    rig.consume({ tag: "d" });
    rig.cancel(b!);
    rig.publish("4");
    rig.cancel(c!);
    rig.publish("5");
    assert.deepEqual(rig.log, ["a:1", "a:2", "b:3", "c:4", "d:5"]);
  });

  // As in RabbitMQ 3.10, and unlike its quorum queues of 4.x.
  check("a higher priority does not push the active one out, but is next", (rig) => {
    const active = rig.consume({ tag: "a" });
    rig.consume({ tag: "b" });
    const next = rig.consume({ tag: "c", priority: 5 });
    rig.consume({ tag: "d", priority: 5 });
    rig.publish("1");
    rig.cancel(active);
    rig.publish("2");
    rig.cancel(next);
    rig.publish("3");
    assert.deepEqual(rig.log, ["a:1", "c:2", "d:3"]);
  });

  check("who leaves while it waits is passed over", (rig) => {
    const active = rig.consume({ tag: "a" });
    const waiting = rig.consume({ tag: "b" });
    rig.consume({ tag: "c" });
    rig.cancel(waiting);
    rig.publish("1");
    rig.cancel(active);
    rig.publish("2");
    assert.deepEqual(rig.log, ["a:1", "c:2"]);
  });

  check("who takes over gets at once what was waiting", (rig) => {
    const active = rig.consume({ tag: "a", prefetch: 1 });
    rig.consume({ tag: "b", prefetch: 2 });
    rig.publish("1", "2", "3", "4");
    rig.cancel(active);
    assert.deepEqual(rig.log, ["a:1", "b:2", "b:3"]);
    rig.settle("acknowledge", "2");
    assert.deepEqual(rig.log.slice(3), ["b:4"]);
  });

  check("what the former active one has not settled stays its own", (rig) => {
    const active = rig.consume({ tag: "a" });
    rig.publish("1", "2");
    rig.consume({ tag: "b" });
    rig.cancel(active);
    assert.deepEqual(rig.log, ["a:1", "a:2"]);
    assert.equal(rig.queue.unsettledCount, 2);
    rig.settle("acknowledge", "1");
    rig.settle("requeue", "2");
    rig.serve();
    assert.deepEqual(rig.log.slice(2), ["b:2*"]);
  });

  // A channel that ends requeues first and unsubscribes then, which keeps the order.
  check("what an ending channel gives back reaches its successor in order", (rig) => {
    const active = rig.consume({ tag: "a", prefetch: 3 });
    rig.consume({ tag: "b" });
    rig.publish("1", "2", "3", "4");
    rig.sink.wakes = false;
    rig.settle("requeue", "3", "1", "2");
    rig.cancel(active);
    assert.deepEqual(rig.log.slice(3), ["b:1*", "b:2*", "b:3*", "b:4"]);
  });

  check("when all have left, the next to come is active", (rig) => {
    const consumers = ["a", "b"].map((tag) => rig.consume({ tag }));
    for (const consumer of consumers) rig.cancel(consumer);
    rig.publish("1");
    assert.equal(rig.queue.readyCount, 1);
    rig.consume({ tag: "c" });
    rig.consume({ tag: "d" });
    rig.publish("2");
    assert.deepEqual(rig.log, ["c:1", "c:2"]);
  });

  check("close cancels the active one and those who wait", (rig) => {
    const consumers = ["a", "b", "c"].map((tag) => rig.consume({ tag }));
    rig.publish("1");
    rig.close();
    assert.deepEqual(rig.sink.cancellations, consumers);
    assert.deepEqual(rig.log, ["a:1"]);
  });
}
