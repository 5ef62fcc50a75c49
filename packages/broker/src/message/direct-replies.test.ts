/** Goal: a reply reaches the one requester whose address it names, while that listens. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { DirectReplies, type ReplyTarget, replyQueueName } from "./direct-replies.ts";
import { MessageView } from "./message-view.ts";

const seed = 7;

function givenReplies(): DirectReplies {
  return new DirectReplies(new SeededRandom(seed));
}

test("the address is found as long as it is registered", () => {
  const replies = givenReplies();
  const received: MessageView[] = [];
  const target: ReplyTarget = (view) => received.push(view);
  const address = replies.register(target);
  const view = new MessageView();
  replies.find(address)?.(view);
  assert.deepEqual(received, [view]);
  replies.unregister(address);
  assert.equal(replies.find(address), undefined);
  replies.unregister(address);
});

test("every registration has an address of its own, which nobody can guess", () => {
  const replies = givenReplies();
  const target: ReplyTarget = () => {};
  const addresses = Array.from({ length: 1000 }, () => replies.register(target));
  assert.equal(new Set(addresses).size, 1000);
  for (const address of addresses) {
    // 24 random bytes, in letters that need no escaping anywhere.
    assert.match(address, /^amq\.rabbitmq\.reply-to\.[\w-]{32}$/);
    assert.ok(Buffer.byteLength(address) <= 255, "it fits a reply-to property");
  }
  replies.unregister(addresses[0]!);
  assert.equal(replies.find(addresses[1]!), target);
});

test("an address is told from the name that requesters consume from", () => {
  assert.equal(replyQueueName, "amq.rabbitmq.reply-to");
  assert.equal(DirectReplies.isAddress(givenReplies().register(() => {})), true);
  assert.equal(DirectReplies.isAddress(`${replyQueueName}.x`), true);
  for (const name of ["", "q", replyQueueName, `x${replyQueueName}.x`, "amq.rabbitmq.reply-tox"]) {
    assert.equal(DirectReplies.isAddress(name), false, name);
  }
});

test("what was never registered is not found", () => {
  const replies = givenReplies();
  replies.register(() => {});
  for (const name of ["", replyQueueName, `${replyQueueName}.`, "constructor"]) {
    assert.equal(replies.find(name), undefined);
  }
});
