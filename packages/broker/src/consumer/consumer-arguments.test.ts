/** Goal: the arguments of basic.consume are refused as RabbitMQ refuses them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import type { Queue } from "../queue/queue.ts";
import { checkConsumerArguments, consumerPriority } from "./consumer-arguments.ts";

const classicQueue = { name: "q", arguments: new FieldTable() } as Queue;

test("the priority is any integer, 0 by default", () => {
  assert.equal(consumerPriority(new FieldTable()), 0);
  for (const type of ["b", "s", "I", "l"] as const) {
    const args = new FieldTable([{ name: "x-priority", value: { type, value: -7 } }]);
    assert.equal(consumerPriority(args), -7);
  }
  assert.equal(consumerPriority(FieldTable.from({ "x-priority": 2n ** 40n })), 2 ** 40);
});

test("of two bad arguments the value is refused before the name", () => {
  const args = FieldTable.from({ "x-stream-offset": "first", "x-priority": "1" });
  assert.throws(() => checkConsumerArguments(args, classicQueue, "/"), {
    message: `invalid arg 'x-priority' for queue 'q' in vhost '/': "expected integer, got longstr"`,
  });
  args.delete("x-priority");
  assert.throws(() => checkConsumerArguments(args, classicQueue, "/"), {
    message:
      "invalid arg 'x-stream-offset' for queue 'q' in vhost '/' of queue type rabbit_classic_queue",
  });
});
