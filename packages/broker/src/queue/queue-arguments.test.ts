/** Goal: the arguments of queue.declare are refused as RabbitMQ refuses them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { checkQueueArguments, checkServerNamed } from "./queue-arguments.ts";

interface Properties {
  readonly durable?: boolean;
  readonly exclusive?: boolean;
  readonly autoDelete?: boolean;
}

function check(object: Record<string, unknown>, properties: Properties = {}): void {
  const declaration = {
    name: "q",
    durable: true,
    exclusive: false,
    autoDelete: false,
    ...properties,
    arguments: FieldTable.from(object),
  };
  checkQueueArguments("q", declaration, "/");
}

const refusedAs = (text: string) => ({ message: text.replace("%Q", "queue 'q' in vhost '/'") });

test("the type comes first, then values in RabbitMQ's order, then names in the client's", () => {
  const wrong = {
    "x-max-in-memory-length": 1,
    "x-max-age": "1h",
    "x-max-length": -1,
    "x-expires": 0,
  };
  assert.throws(
    () => check({ ...wrong, "x-queue-type": "zz" }),
    refusedAs(`invalid arg 'x-queue-type' for %Q: "unsupported queue type 'zz'"`),
  );
  assert.throws(() => check(wrong), refusedAs("invalid arg 'x-expires' for %Q: {value_zero,0}"));
  assert.throws(
    () => check({ "x-max-in-memory-length": 1, "x-max-age": "1h" }),
    refusedAs("invalid arg 'x-max-in-memory-length' for %Q of queue type rabbit_classic_queue"),
  );
  assert.throws(
    () => check({ "x-max-age": "1h", "x-max-in-memory-length": 1 }),
    refusedAs("invalid arg 'x-max-age' for %Q of queue type rabbit_classic_queue"),
  );
});

test("quorum queues are durable, shared and stay", () => {
  const quorum = { "x-queue-type": "quorum" };
  check(quorum);
  assert.throws(
    () => check(quorum, { durable: false }),
    refusedAs("invalid property 'non-durable' for %Q"),
  );
  assert.throws(
    () => check(quorum, { durable: false, exclusive: true }),
    refusedAs("invalid property 'exclusive-owner' for %Q"),
  );
  assert.throws(
    () => check(quorum, { durable: false, exclusive: true, autoDelete: true }),
    refusedAs("invalid property 'auto-delete' for %Q"),
  );
  assert.throws(
    () => check({ ...quorum, "x-expires": 0 }, { autoDelete: true }),
    refusedAs("invalid arg 'x-expires' for %Q: {value_zero,0}"),
  );
});

test("streams last, and have segments of a size that their files can have", () => {
  const stream = { "x-queue-type": "stream" };
  check(stream);
  check({ ...stream, "x-stream-max-segment-size-bytes": 3_000_000_000, "x-max-age": "7D" });
  assert.throws(
    () => check(stream, { durable: false }),
    refusedAs("invalid property 'non-durable' for %Q"),
  );
  assert.throws(
    () => check({ ...stream, "x-stream-max-segment-size-bytes": 3_000_000_001 }),
    refusedAs("Exceeded max value for x-stream-max-segment-size-bytes"),
  );
});

test("a dead letter routing key needs a dead letter exchange", () => {
  check({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k" });
  assert.throws(
    () => check({ "x-dead-letter-routing-key": "k" }),
    refusedAs("invalid arg 'x-dead-letter-routing-key' for %Q: routing_key_but_no_dlx_defined"),
  );
  assert.throws(
    () => check({ "x-dead-letter-routing-key": 1 }),
    refusedAs("invalid arg 'x-dead-letter-routing-key' for %Q: {unacceptable_type,signedint}"),
  );
});

test("of duplicates the first counts", () => {
  const args = FieldTable.from({ "x-expires": 5 });
  args.entries.push(...FieldTable.from({ "x-expires": 0 }).entries);
  const declaration = { name: "q", durable: false, exclusive: false, autoDelete: false };
  checkQueueArguments("q", { ...declaration, arguments: args }, "/");
  args.entries.reverse();
  assert.throws(
    () => checkQueueArguments("q", { ...declaration, arguments: args }, "/"),
    refusedAs("invalid arg 'x-expires' for %Q: {value_zero,0}"),
  );
});

test("only classic queues can be named by the broker", () => {
  checkServerNamed(new FieldTable());
  checkServerNamed(FieldTable.from({ "x-queue-type": "classic" }));
  for (const type of ["quorum", "stream"]) {
    assert.throws(
      () => checkServerNamed(FieldTable.from({ "x-queue-type": type })),
      refusedAs(`Cannot declare a server-named queue for type rabbit_${type}_queue`),
    );
  }
});
