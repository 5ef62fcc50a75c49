/** Goal: a second declaration is compared with the first as RabbitMQ compares them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import type { Exchange } from "../exchange/exchange.ts";
import type { Queue } from "../queue/queue.ts";
import { checkExchangeEquivalence, checkQueueEquivalence } from "./equivalence.ts";

const none = {};

/**
 * What the declaration of a queue is refused with, given what it differs in from the present one.
 */
function queueDifference(
  current: { owner?: object | null; args?: Record<string, unknown> },
  received: {
    owner?: object | null;
    durable?: boolean;
    autoDelete?: boolean;
    args?: Record<string, unknown>;
  },
): string | undefined {
  const queue = {
    name: "q",
    durable: true,
    autoDelete: false,
    exclusiveOwner: current.owner ?? null,
    arguments: FieldTable.from(current.args ?? none),
  } as Queue;
  const { owner = null, args = none, durable = true, autoDelete = false } = received;
  const table = FieldTable.from(args);
  const declaration = { name: "q", durable, exclusive: owner !== null, autoDelete };
  return refusal(() =>
    checkQueueEquivalence(queue, { ...declaration, arguments: table }, owner, "/"),
  );
}

function exchangeDifference(
  current: Record<string, unknown>,
  received: Partial<Exchange>,
): string | undefined {
  const base = { name: "x", type: "direct", durable: true, autoDelete: false, internal: false };
  const exchange = { ...base, arguments: FieldTable.from(current) } as Exchange;
  const declaration = { ...base, arguments: new FieldTable(), ...received };
  return refusal(() => checkExchangeEquivalence(exchange, declaration, "/"));
}

function refusal(action: () => void): string | undefined {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

const lockedText =
  "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally declared" +
  " on another connection or the exclusive property value does not match that of the original" +
  " declaration.";

const differs = (what: string, received: unknown, current: unknown) =>
  `inequivalent arg '${what}' for queue 'q' in vhost '/': received ${received} but current is ` +
  `${current}`;

test("queues: the owner comes first, then durable, then auto_delete, then arguments", () => {
  const all = { durable: false, autoDelete: true, args: { "x-expires": 1 } };
  assert.equal(queueDifference({}, { owner: {}, ...all }), lockedText);
  assert.equal(queueDifference({ owner: {} }, all), lockedText);
  assert.equal(queueDifference({ owner: {} }, { owner: {} }), lockedText);
  const owner = {};
  assert.equal(
    queueDifference({ owner }, { owner, ...all }),
    differs("durable", "'false'", "'true'"),
  );
  const { durable: _, ...less } = all;
  assert.equal(queueDifference({}, less), differs("auto_delete", "'true'", "'false'"));
  assert.equal(
    queueDifference({}, { args: all.args }),
    differs("x-expires", "the value '1' of type 'signedint'", "none"),
  );
  assert.equal(queueDifference({}, {}), undefined);
});

// Found by redeclaring with every argument that RabbitMQ 3.10.8 knows, and leaving out the one that
// it complained of, until it was content.
const comparedInOrder = {
  classic:
    "x-expires x-message-ttl x-dead-letter-exchange x-dead-letter-routing-key x-max-length " +
    "x-max-length-bytes x-max-priority x-overflow x-queue-mode x-queue-version " +
    "x-single-active-consumer x-queue-master-locator",
  quorum:
    "x-dead-letter-exchange x-dead-letter-routing-key x-dead-letter-strategy x-expires " +
    "x-max-length x-max-length-bytes x-max-in-memory-length x-max-in-memory-bytes x-overflow " +
    "x-single-active-consumer x-quorum-initial-group-size x-delivery-limit x-message-ttl " +
    "x-queue-leader-locator",
  stream:
    "x-max-length-bytes x-max-age x-stream-max-segment-size-bytes x-initial-cluster-size " +
    "x-queue-leader-locator",
};

test("queues: only the arguments that the type knows are compared, in an order of its own", () => {
  const ignored = ["x-consumer-timeout", "x-quorum-target-group-size", "x-ha-policy", "foo"];
  const names = new Set([...Object.values(comparedInOrder).join(" ").split(" "), ...ignored]);
  for (const [type, compared] of Object.entries(comparedInOrder)) {
    const args = Object.fromEntries([...names].reverse().map((name) => [name, 7]));
    const order: string[] = [];
    const current = { args: { "x-queue-type": type } };
    for (;;) {
      const text = queueDifference(current, { args: { ...args, "x-queue-type": type } });
      if (text === undefined) break;
      const name = /^inequivalent arg '([^']*)'/.exec(text)![1]!;
      order.push(name);
      delete args[name];
    }
    assert.equal(order.join(" "), compared);
  }
});

test("queues: no type is the classic type", () => {
  const [classic, quorum] = [{ "x-queue-type": "classic" }, { "x-queue-type": "quorum" }];
  assert.equal(queueDifference({}, { args: classic }), undefined);
  assert.equal(queueDifference({ args: classic }, {}), undefined);
  assert.equal(
    queueDifference({}, { args: quorum }),
    differs("x-queue-type", "the value 'quorum' of type 'longstr'", "none"),
  );
  assert.equal(
    queueDifference({ args: quorum }, {}),
    differs("x-queue-type", "none", "the value 'quorum' of type 'longstr'"),
  );
  assert.equal(
    queueDifference({ args: quorum }, { args: classic }),
    differs("x-queue-type", "'classic'", "'quorum'"),
  );
});

test("exchanges: type, durable, auto_delete, internal, alternate-exchange, and nothing else", () => {
  const differsIn = (what: string, received: unknown, current: unknown) =>
    differs(what, received, current).replace("queue 'q'", "exchange 'x'");
  const received = {
    type: "topic",
    durable: false,
    autoDelete: true,
    internal: true,
    arguments: FieldTable.from({ foo: 1, "alternate-exchange": "b" }),
  };
  const current = { foo: 2, "alternate-exchange": "a" };
  const steps = [
    ["type", "'topic'", "'direct'"],
    ["durable", "'false'", "'true'"],
    ["autoDelete", "'true'", "'false'"],
    ["internal", "'true'", "'false'"],
    ["arguments", "'b'", "'a'"],
  ] as const;
  const left: Partial<Record<string, unknown>> = { ...received };
  for (const [property, to, from] of steps) {
    const shown = { autoDelete: "auto_delete", arguments: "alternate-exchange" };
    const name = Object.hasOwn(shown, property) ? shown[property as keyof typeof shown] : property;
    assert.equal(exchangeDifference(current, left), differsIn(name, to, from));
    delete left[property];
  }
  const text = "the value 'a' of type 'longstr'";
  assert.equal(exchangeDifference(current, {}), differsIn("alternate-exchange", "none", text));
  assert.equal(
    exchangeDifference({}, { arguments: FieldTable.from(current) }),
    differsIn("alternate-exchange", text, "none"),
  );
  assert.equal(
    exchangeDifference(current, { arguments: FieldTable.from({ "alternate-exchange": "a" }) }),
    undefined,
  );
});
