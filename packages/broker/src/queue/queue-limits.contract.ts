/**
 * What every kind of queue that keeps messages until they are consumed does about time, length and
 * dead letters: `queueLimitsContract` is called by the test file of each.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { policyOf } from "../../test/policy-of.ts";
import { type QueueFactory, queueSpec } from "../../test/queue-rig.ts";
import { RecordingSink, testConsumer } from "../../test/recording-sink.ts";
import { TestHost } from "../../test/test-host.ts";
import { plainMessage, plainText } from "../../test/text-message.ts";
import { MessageStore } from "../message/message-store.ts";
import { termsOf } from "../message/message-terms.ts";
import { MessageView } from "../message/message-view.ts";
import type { PolicyDefinition } from "../policy/effective-policy.ts";
import { noPolicy } from "../policy/effective-policy.ts";
import type { PulledMessage, Queue } from "./queue.ts";

class LimitRig {
  readonly messages = new MessageStore();
  readonly host = new TestHost(this.messages);
  readonly queue: Queue;
  readonly #view = new MessageView();

  constructor(createQueue: QueueFactory, args: Record<string, unknown>) {
    const spec = queueSpec({ arguments: FieldTable.from(args) });
    this.queue = createQueue(spec, this.messages, this.host);
  }

  /** Publishes each; whether the queue took all of them. */
  send(...bodies: string[]): boolean {
    return bodies.map((body) => this.queue.publish(plainMessage(body))).every((taken) => taken);
  }

  sendFor(expirationMs: number, body: string, priority = 0): void {
    const view = plainMessage(body);
    view.terms = termsOf(priority, expirationMs);
    this.queue.publish(view);
  }

  /** Takes the first message, and owes its settlement. */
  get(): (PulledMessage & { body: string }) | undefined {
    const pulled = this.queue.get(false, this.#view);
    return pulled && { ...pulled, body: plainText(this.#view) };
  }

  /** All that can be taken. */
  drain(): string {
    const bodies: string[] = [];
    while (this.queue.get(true, this.#view) !== undefined) bodies.push(plainText(this.#view));
    return bodies.join(" ");
  }

  requeue({ handle, sequence }: PulledMessage): void {
    this.queue.requeue(handle, sequence);
    this.queue.serve();
  }

  policy(definition: PolicyDefinition): void {
    this.queue.applyPolicy(policyOf(definition));
  }

  pass(ms: number): void {
    this.host.advance(ms);
  }

  /** Dead letters so far, once they have moved. */
  async dead(): Promise<string> {
    await Promise.resolve();
    return this.host.deadLetters.join(" ");
  }

  finish(): void {
    this.queue.close();
    assert.equal(this.messages.liveMessages, 0, "no message is leaked");
    assert.equal(this.host.clock.pending, 0, "no timer is left");
  }
}

type LimitTest = (
  goal: string,
  args: Record<string, unknown>,
  body: (rig: LimitRig) => void | Promise<void>,
) => void;

export function queueLimitsContract(
  kind: string,
  type: Record<string, unknown>,
  createQueue: QueueFactory,
): void {
  const check: LimitTest = (goal, args, body) => {
    test(goal, async () => {
      const rig = new LimitRig(createQueue, { ...type, ...args });
      await body(rig);
      rig.finish();
    });
  };
  describe(`${kind}: time to live`, () => expiryContract(check));
  describe(`${kind}: length`, () => lengthContract(check));
  describe(`${kind}: dead letters`, () => deadLetterContract(check));
  describe(`${kind}: deliveries`, () => deliveryContract(check));
  describe(`${kind}: retries`, () => retryContract(check));
  describe(`${kind}: idleness`, () => idleContract(check));
}

const dlx = { "x-dead-letter-exchange": "dlx" };

function expiryContract(check: LimitTest): void {
  check("messages go when their time is over, and not before", { "x-message-ttl": 100 }, (rig) => {
    rig.send("a");
    rig.pass(50);
    rig.send("b");
    rig.pass(49);
    assert.equal(rig.queue.readyCount, 2);
    rig.pass(1);
    assert.equal(rig.queue.readyCount, 1);
    rig.pass(50);
    assert.equal(rig.queue.readyCount, 0);
  });

  check(
    "the shorter of the queue's and the message's own time counts",
    { "x-message-ttl": 100 },
    (rig) => {
      rig.sendFor(10, "a");
      rig.sendFor(1000, "b");
      rig.pass(10);
      assert.equal(rig.queue.readyCount, 1);
      rig.pass(90);
      assert.equal(rig.queue.readyCount, 0);
    },
  );

  check("an expiration counts in a queue that knows none", {}, (rig) => {
    rig.send("a");
    rig.sendFor(10, "b");
    rig.send("c");
    rig.pass(10);
    assert.equal(rig.queue.readyCount, 3, "b is not the first");
    assert.equal(rig.drain(), "a c");
  });

  check("messages expire anywhere if they are asked to", { "x-expire-anywhere": true }, (rig) => {
    rig.send("a");
    rig.sendFor(30, "b");
    rig.send("c");
    rig.sendFor(20, "d");
    rig.sendFor(1000, "e");
    rig.pass(20);
    assert.equal(rig.queue.readyCount, 4);
    rig.pass(10);
    assert.equal(rig.queue.readyCount, 3);
    assert.equal(rig.drain(), "a c e");
  });

  check(
    "what has expired while it was out goes when it returns",
    { "x-message-ttl": 100 },
    (rig) => {
      rig.send("a", "b");
      const a = rig.get()!;
      rig.pass(200);
      assert.equal(rig.queue.readyCount, 0);
      rig.requeue(a);
      assert.equal(rig.drain(), "");
    },
  );

  check("a requeued message keeps its time", { "x-message-ttl": 100 }, (rig) => {
    rig.send("a");
    rig.pass(60);
    rig.requeue(rig.get()!);
    rig.pass(39);
    assert.equal(rig.queue.readyCount, 1);
    rig.pass(1);
    assert.equal(rig.queue.readyCount, 0);
  });

  check(
    "a time of zero leaves only what a consumer takes at once",
    { "x-message-ttl": 0 },
    (rig) => {
      rig.send("a");
      assert.equal(rig.drain(), "");
      const sink = new RecordingSink(plainText);
      rig.queue.subscribe(testConsumer(rig.queue, sink, { noAck: true }));
      rig.send("b");
      assert.deepEqual(
        sink.deliveries.map(({ body }) => body),
        ["b"],
      );
    },
  );

  check("a policy concerns the messages that come after it", {}, (rig) => {
    rig.send("a");
    rig.policy({ "message-ttl": 10 });
    rig.send("b");
    rig.pass(20);
    assert.equal(rig.drain(), "a");
    rig.queue.applyPolicy(noPolicy);
    rig.send("c");
    rig.pass(20);
    assert.equal(rig.drain(), "c");
  });

  check("a hundred thousand expire without more than one timer", { "x-message-ttl": 10 }, (rig) => {
    for (let i = 0; i < 100_000; i++) rig.send("x");
    assert.ok(rig.host.clock.pending <= 1);
    rig.pass(1000);
    assert.equal(rig.queue.readyCount, 0);
  });
}

function lengthContract(check: LimitTest): void {
  check("the oldest go", { "x-max-length": 2 }, (rig) => {
    assert.equal(rig.send("a", "b", "c"), true);
    assert.equal(rig.drain(), "b c");
  });

  check("bytes count, too", { "x-max-length-bytes": 5 }, (rig) => {
    rig.send("123", "45", "6");
    assert.equal(rig.drain(), "45 6");
    rig.send("123456");
    assert.equal(rig.drain(), "");
  });

  check("what is out does not count, until it returns", { "x-max-length": 1 }, (rig) => {
    rig.send("a");
    const a = rig.get()!;
    rig.send("b");
    assert.equal(rig.queue.readyCount, 1);
    rig.requeue(a);
    assert.equal(rig.drain(), "b");
  });

  check("a full queue refuses", { "x-max-length": 1, "x-overflow": "reject-publish" }, (rig) => {
    assert.equal(rig.send("a"), true);
    assert.equal(rig.queue.isFull(1), true);
    assert.equal(rig.send("b"), false);
    assert.equal(rig.drain(), "a");
    assert.equal(rig.send("c"), true);
    assert.equal(rig.drain(), "c");
  });

  check("a policy that comes later makes room", {}, (rig) => {
    rig.send("a", "b", "c");
    rig.policy({ "max-length": 1 });
    assert.equal(rig.drain(), "c");
    rig.queue.applyPolicy(noPolicy);
    rig.send("d", "e");
    assert.equal(rig.drain(), "d e");
  });

  check("a policy on bytes finds out how long messages are", {}, async (rig) => {
    rig.send("12345", "67", "8");
    rig.policy({ "max-length-bytes": 4 });
    await Promise.resolve();
    assert.equal(rig.drain(), "67 8");
  });

  check("of two limits the lower one holds", { "x-max-length": 2 }, (rig) => {
    rig.policy({ "max-length": 3 });
    rig.send("a", "b", "c");
    assert.equal(rig.queue.readyCount, 2);
    rig.policy({ "max-length": 1 });
    assert.equal(rig.queue.readyCount, 1);
  });
}

function deadLetterContract(check: LimitTest): void {
  check(
    "rejected, expired and superfluous messages die",
    { ...dlx, "x-max-length": 2 },
    async (rig) => {
      rig.send("a");
      const a = rig.get()!;
      rig.queue.reject(a.handle, a.sequence);
      rig.sendFor(10, "b");
      rig.pass(10);
      rig.send("c", "d", "e");
      assert.equal(await rig.dead(), "rejected:a expired:b maxlen:c");
      assert.equal(rig.drain(), "d e");
    },
  );

  check("without an exchange for them they are gone", {}, async (rig) => {
    rig.send("a");
    const a = rig.get()!;
    rig.queue.reject(a.handle, a.sequence);
    assert.equal(rig.messages.liveMessages, 0);
    assert.equal(await rig.dead(), "");
  });

  check("purged messages do not die", dlx, async (rig) => {
    rig.send("a");
    rig.queue.purge();
    assert.equal(await rig.dead(), "");
  });

  check(
    "a full queue sends on what it refuses",
    { ...dlx, "x-max-length": 1, "x-overflow": "reject-publish-dlx" },
    async (rig) => {
      assert.equal(rig.send("a", "b"), false);
      assert.equal(await rig.dead(), "maxlen:b");
    },
  );

  check(
    "what must arrive stays until it can",
    { ...dlx, "x-dead-letter-strategy": "at-least-once" },
    async (rig) => {
      rig.host.canMove = false;
      rig.sendFor(10, "a");
      rig.sendFor(10, "b");
      rig.pass(10);
      assert.equal(await rig.dead(), "");
      assert.equal(rig.messages.liveMessages, 2);
      rig.host.canMove = true;
      rig.pass(1000);
      assert.equal(await rig.dead(), "expired:a expired:b");
    },
  );

  check("what has died before its queue ends still moves", dlx, async (rig) => {
    const bodies = Array.from({ length: 1000 }, (_, i) => `${i}`);
    rig.send(...bodies);
    const pulled = bodies.map(() => rig.get()!);
    for (const { handle, sequence } of pulled) rig.queue.reject(handle, sequence);
    assert.equal(rig.queue.waitingCount, 1000);
    rig.queue.close();
    await rig.dead();
    rig.pass(10);
    assert.equal(await rig.dead(), bodies.map((body) => `rejected:${body}`).join(" "));
  });

  const atLeastOnce = { ...dlx, "x-dead-letter-strategy": "at-least-once" };
  const full = { ...atLeastOnce, "x-max-length": 2, "x-overflow": "reject-publish" };
  check("what cannot move takes a place", full, async (rig) => {
    rig.host.canMove = false;
    rig.sendFor(10, "a");
    rig.pass(10);
    await rig.dead();
    assert.equal(rig.send("b"), true);
    assert.equal(rig.send("c"), false);
  });

  check(
    "a queue that ends lets go of what waits to move",
    { ...dlx, "x-dead-letter-strategy": "at-least-once" },
    async (rig) => {
      rig.host.canMove = false;
      rig.sendFor(10, "a");
      rig.pass(10);
      await rig.dead();
    },
  );
}

function deliveryContract(check: LimitTest): void {
  check(
    "a message comes back so often, and no more",
    { ...dlx, "x-delivery-limit": 2 },
    async (rig) => {
      rig.send("a");
      for (let i = 0; i < 2; i++) rig.requeue(rig.get()!);
      assert.equal(await rig.dead(), "");
      rig.requeue(rig.get()!);
      assert.equal(await rig.dead(), "delivery_limit:a");
      assert.equal(rig.queue.readyCount, 0);
    },
  );
}

const retries = { ...dlx, "x-retry-attempts": 3, "x-retry-delay": 100 };

function retryContract(check: LimitTest): void {
  const rejectFirst = (rig: LimitRig): void => {
    const { handle, sequence } = rig.get()!;
    rig.queue.reject(handle, sequence);
  };

  check(
    "what is rejected comes back, later and later, and dies in the end",
    retries,
    async (rig) => {
      rig.send("a");
      for (const delayMs of [100, 200, 400]) {
        rejectFirst(rig);
        rig.pass(delayMs - 1);
        assert.equal(rig.queue.readyCount, 0);
        rig.pass(1);
        assert.equal(rig.queue.readyCount, 1, `after ${delayMs} ms`);
      }
      rejectFirst(rig);
      assert.equal(await rig.dead(), "rejected:a");
    },
  );

  const listed = { "x-retry-attempts": 4, "x-retry-delays": [10, 30], "x-retry-delay-max": 20 };
  check("a list says how long to wait, up to the longest", listed, (rig) => {
    rig.send("a");
    for (const delayMs of [10, 20, 20, 20]) {
      rejectFirst(rig);
      rig.pass(delayMs - 1);
      assert.equal(rig.queue.readyCount, 0);
      rig.pass(1);
      assert.equal(rig.queue.readyCount, 1, `after ${delayMs} ms`);
    }
    rejectFirst(rig);
    assert.equal(rig.messages.liveMessages, 0);
  });

  check("others do not wait for it, and it comes back to its place", retries, (rig) => {
    rig.send("a", "b", "c");
    rejectFirst(rig);
    const b = rig.get()!;
    assert.equal(b.body, "b");
    rig.queue.acknowledge(b.handle, b.sequence);
    rig.pass(100);
    assert.equal(rig.drain(), "a c");
  });

  check("jitter takes what failed together apart", { ...retries, "x-retry-jitter": 50 }, (rig) => {
    rig.send("a", "b", "c", "d");
    for (let i = 0; i < 4; i++) rejectFirst(rig);
    const counts = [49, 20, 15, 16].map((ms) => {
      rig.pass(ms);
      return rig.queue.readyCount;
    });
    assert.equal(counts[0], 0);
    assert.ok(new Set(counts).size >= 3, counts.join());
    assert.equal(counts[3], 4);
  });

  check("what is given back is not an attempt", retries, (rig) => {
    rig.send("a");
    for (let i = 0; i < 5; i++) rig.requeue(rig.get()!);
    rejectFirst(rig);
    assert.equal(rig.queue.waitingCount, 1);
    rig.pass(100);
    assert.equal(rig.drain(), "a");
  });

  check("a policy can ask for it", {}, (rig) => {
    rig.policy({ "retry-attempts": 1, "retry-delays": [5] });
    rig.send("a");
    rejectFirst(rig);
    rig.pass(5);
    assert.equal(rig.drain(), "a");
  });

  check("purging and deleting take what waits", retries, (rig) => {
    rig.send("a");
    rejectFirst(rig);
    assert.equal(rig.queue.purge(), 1);
    rig.send("b");
    rejectFirst(rig);
  });
}

function idleContract(check: LimitTest): void {
  check("a queue ends when nobody has used it for a time", { "x-expires": 100 }, (rig) => {
    rig.pass(99);
    rig.queue.touch();
    rig.pass(99);
    rig.get();
    rig.pass(99);
    assert.deepEqual(rig.host.expired, []);
    rig.pass(1);
    assert.deepEqual(rig.host.expired, [rig.queue]);
  });

  check(
    "a consumer uses it, and time begins when the last one goes",
    { "x-expires": 100 },
    (rig) => {
      const consumer = testConsumer(rig.queue, new RecordingSink());
      rig.queue.subscribe(consumer);
      rig.pass(1000);
      assert.equal(rig.host.clock.pending, 0);
      rig.queue.unsubscribe(consumer);
      rig.pass(99);
      assert.deepEqual(rig.host.expired, []);
      rig.pass(1);
      assert.deepEqual(rig.host.expired, [rig.queue]);
    },
  );

  check("a policy can end it, and let it be", {}, (rig) => {
    rig.policy({ expires: 100 });
    rig.pass(50);
    rig.queue.applyPolicy(noPolicy);
    rig.pass(100);
    assert.deepEqual(rig.host.expired, []);
    rig.policy({ expires: 100 });
    rig.pass(100);
    assert.deepEqual(rig.host.expired, [rig.queue]);
  });
}
