/** Goal: the classic queue keeps the contract of queues, and does what the naive queue does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { type QueueFactory, queueSpec } from "../../test/queue-rig.ts";
import { TestHost } from "../../test/test-host.ts";
import { plainMessage, plainText } from "../../test/text-message.ts";
import { MessageStore } from "../message/message-store.ts";
import { termsOf } from "../message/message-terms.ts";
import { MessageView } from "../message/message-view.ts";
import { ClassicQueue } from "./classic-queue.ts";
import { distribute } from "./distribute.ts";
import { FifoBacklog } from "./fifo-backlog.ts";
import { queueContract } from "./queue.contract.ts";
import { queueLimitsContract } from "./queue-limits.contract.ts";
import { queueModelContract } from "./queue-model.contract.ts";

const create: QueueFactory = (spec, messages, host) => new ClassicQueue(spec, messages, host);

queueContract("classic queue", create);
queueLimitsContract("classic queue", {}, create);
queueLimitsContract("priority queue", { "x-max-priority": 5 }, create);
queueLimitsContract("quorum queue", { "x-queue-type": "quorum" }, create);
queueModelContract("classic queue", create);

function given(args: Record<string, unknown>) {
  const messages = new MessageStore();
  const host = new TestHost(messages);
  const spec = queueSpec({ arguments: FieldTable.from(args) });
  const queue = new ClassicQueue(spec, messages, host);
  const view = new MessageView();
  const send = (body: string, priority: number): void => {
    const message = plainMessage(body);
    message.terms = termsOf(priority, undefined);
    queue.publish(message);
  };
  const get = (): string => {
    const pulled = queue.get(true, view);
    return pulled === undefined ? "" : plainText(view);
  };
  const drain = (): string => {
    const bodies: string[] = [];
    while (queue.readyCount > 0) bodies.push(get());
    return bodies.join(" ");
  };
  return { queue, host, send, get, drain };
}

test("higher priorities go first, and each in order", () => {
  const { send, drain } = given({ "x-max-priority": 3 });
  for (const [i, priority] of [0, 2, 1, 2, 9, 3, 0].entries()) send(`${priority}.${i}`, priority);
  assert.equal(drain(), "9.4 3.5 2.1 2.3 1.2 0.0 0.6");
});

test("with ageing, who waits comes to its turn", () => {
  const { send, get, host } = given({ "x-max-priority": 10, "x-priority-ageing": 100 });
  send("low", 0);
  host.advance(250);
  send("first", 3);
  assert.equal(get(), "first", "two periods are not worth three priorities");
  host.advance(100);
  send("second", 3);
  send("third", 3);
  assert.equal(get(), "second", "as much as, and the higher priority");
  host.advance(100);
  send("fourth", 3);
  assert.equal(get(), "third", "it has aged, too");
  assert.equal(get(), "low");
  assert.equal(get(), "fourth");
});

test("quorum queues deliver two of high priority for one of normal", () => {
  const { send, drain } = given({ "x-queue-type": "quorum" });
  for (const body of ["n1", "n2", "n3"]) send(body, 4);
  for (const body of ["h1", "h2", "h3", "h4", "h5"]) send(body, 5);
  assert.equal(drain(), "h1 h2 n1 h3 h4 n2 h5 n3");
});

for (const overflow of ["drop-head", "reject-publish-dlx"]) {
  test(`a queue that lets go of a message at once leaves it to the others: ${overflow}`, () => {
    const messages = new MessageStore();
    const host = new TestHost(messages);
    const declare = (args: Record<string, unknown>) =>
      create(queueSpec({ arguments: FieldTable.from(args) }), messages, host);
    const queues = [declare({ "x-max-length": 0, "x-overflow": overflow }), declare({})];
    distribute(messages, queues, plainMessage("a"), "disk");
    assert.equal(messages.liveMessages, 1);
    const view = new MessageView();
    assert.ok(queues[1]!.get(true, view));
    assert.equal(plainText(view), "a");
    assert.equal(messages.liveMessages, 0);
  });
}

test("what is read ahead is still there", () => {
  const backlog = new FifoBacklog();
  backlog.keepFacts();
  for (const handle of [10, 11, 12]) backlog.push(handle, 0);
  assert.equal(backlog.handleAhead(1), 11);
  assert.equal(backlog.remove(1), 11);
  assert.equal(backlog.handleAhead(1), 10);
  assert.equal(backlog.handleAhead(5), 12);
});
