/** Quorum queues, on one node: what they add to the ordinary ones, and what they lack. */

import { area, scenario } from "../scenario.ts";
import { awaiting, call, eachAlone, publish, reopen } from "../step.ts";

type Table = Readonly<Record<string, unknown>>;

const declare = (args: Table = {}) =>
  call("queue.declare", {
    queue: "~q",
    durable: true,
    arguments: { "x-queue-type": "quorum", ...args },
  });
const passive = call("queue.declare", { queue: "~q", passive: true });
const send = (...bodies: string[]) => bodies.map((body) => publish("", "~q", body));
const get = (noAck = false) => call("basic.get", { queue: "~q", noAck });
const consume = (args: Table = {}) =>
  call("basic.consume", { queue: "~q", consumerTag: "c", arguments: args });
const requeue = (deliveryTag: number) => call("basic.reject", { deliveryTag, requeue: true });
const confirm = call("confirm.select");
const delivered = awaiting("basic.deliver");

export const quorumQueues = area("quorum queues", [
  scenario("publish, get, acknowledge", [
    declare(),
    confirm,
    ...send("1"),
    awaiting("basic.ack"),
    get(),
    call("basic.ack", { deliveryTag: 1 }),
    get(),
  ]),
  scenario("what comes back is counted", [
    declare(),
    confirm,
    ...send("1"),
    awaiting("basic.ack"),
    get(),
    requeue(1),
    get(),
    requeue(2),
    get(),
    call("basic.nack", { deliveryTag: 3, requeue: true }),
    get(),
  ]),
  scenario("a consumer that gives back", [
    declare(),
    confirm,
    ...send("1"),
    awaiting("basic.ack"),
    call("basic.qos", { prefetchCount: 1 }),
    consume(),
    delivered,
    requeue(1),
    delivered,
    requeue(2),
    delivered,
    call("basic.ack", { deliveryTag: 3 }),
  ]),
  scenario("too often", [
    declare({
      "x-delivery-limit": 1,
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": "~dead",
    }),
    call("queue.declare", { queue: "~dead", exclusive: true }),
    call("basic.consume", { queue: "~dead", consumerTag: "dead", noAck: true }),
    confirm,
    ...send("1"),
    awaiting("basic.ack"),
    get(),
    requeue(1),
    get(),
    requeue(2),
    delivered,
    passive,
  ]),
  scenario("no limit shared by a channel", [
    declare(),
    call("basic.qos", { prefetchCount: 5, global: true }),
    consume(),
    reopen(),
  ]),
  scenario("declared as what it cannot be", [
    ...eachAlone([
      call("queue.declare", { queue: "~q", arguments: { "x-queue-type": "quorum" } }),
      call("queue.declare", {
        queue: "~q",
        durable: true,
        exclusive: true,
        arguments: { "x-queue-type": "quorum" },
      }),
      declare({ "x-max-priority": 5 }),
      declare({ "x-delivery-limit": -1 }),
      declare({ "x-delivery-limit": "x" }),
    ]),
  ]),
  scenario("purged and deleted", [
    declare(),
    confirm,
    ...send("1", "2"),
    passive,
    call("queue.purge", { queue: "~q" }),
    call("queue.delete", { queue: "~q" }),
  ]),
]);
