/**
 * Random sequences of operations, from a seed. They are legal in that no operation ends a whole
 * connection, and otherwise free: queues come and go, channels are refused and opened again, modes
 * change, messages are settled in any order.
 *
 * What RabbitMQ itself leaves to chance is avoided: several queues that deliver to one channel race
 * each other, so each queue has channels of its own for its consumers.
 */

import { SeededRandom } from "@haremq/kernel";
import type { Scenario } from "./scenario.ts";
import { scenario } from "./scenario.ts";
import { call, connect, on, publish, reopen, type Step, settle, via } from "./step.ts";

const stepCount = 50;

/** Queues, and the channel (of either connection) on which each may be consumed. */
const queues = [
  { name: "~q1", consumers: 1, attributes: {} },
  { name: "~q2", consumers: 2, attributes: { autoDelete: true } },
  { name: "~q3", consumers: 3, attributes: { arguments: { "x-single-active-consumer": true } } },
] as const;
const exchanges = [
  { name: "~x1", type: "direct" },
  { name: "~x2", type: "topic" },
  { name: "~x3", type: "fanout" },
] as const;
const keys = ["k.1", "k.2", "k", "other"];
const patterns = ["k.1", "k.*", "#", "k.#", "other"];
const channelNumbers = [1, 2, 3];

type Operation = (random: SeededRandom, sequence: Sequence) => Step;

/** What the generator remembers while it makes up a sequence. */
interface Sequence {
  tags: number;
}

export function randomScenario(seed: number): Scenario {
  const random = new SeededRandom(seed);
  const sequence: Sequence = { tags: 0 };
  const steps: Step[] = [...opening()];
  for (let count = 0; count < stepCount; count++) {
    const operation = pickWeighted(random);
    const connection = random.pick(["a", "b"]);
    const step = operation(random, sequence);
    const channel = step.channel > 0 ? step.channel : random.pick(channelNumbers);
    steps.push(via(connection, on(channel, step)));
    steps.push(via(connection, on(channel, reopen())));
  }
  return scenario(`seed ${seed}`, steps);
}

/** Two connections with three channels each, and the topology to begin with. */
function opening(): Step[] {
  const others = channelNumbers.slice(1).map((channel) => on(channel, call("channel.open")));
  return [
    ...others,
    connect("b"),
    ...others.map((step) => via("b", step)),
    ...queues.map(({ name, attributes }) => call("queue.declare", { queue: name, ...attributes })),
    ...exchanges.map(({ name, type }) => call("exchange.declare", { exchange: name, type })),
    call("queue.bind", { queue: "~q1", exchange: "~x1", routingKey: "k" }),
    call("queue.bind", { queue: "~q2", exchange: "~x2", routingKey: "k.#" }),
    call("queue.bind", { queue: "~q3", exchange: "~x3" }),
  ];
}

const chance = (random: SeededRandom, percent: number): boolean => random.below(100) < percent;
const queueName = (random: SeededRandom): string => random.pick(queues).name;
const exchangeName = (random: SeededRandom): string => random.pick(exchanges).name;

/** A step that any channel may take: its place is chosen afterwards. */
function anywhere(step: Step): Step {
  return on(0, step);
}

const operations: readonly [weight: number, operation: Operation][] = [
  [
    24,
    (random) => {
      const direct = chance(random, 50);
      const [exchange, key] = direct
        ? ["", queueName(random)]
        : [exchangeName(random), random.pick(keys)];
      const properties = {
        ...(chance(random, 30) ? { deliveryMode: random.pick([1, 2]) } : {}),
        ...(chance(random, 20) ? { headers: { CC: [queueName(random), "k.2"] } } : {}),
      };
      const mandatory = chance(random, 40);
      return anywhere(publish(exchange, key, `m${random.below(1000)}`, { mandatory, properties }));
    },
  ],
  [
    10,
    (random) => {
      // Of the single active consumer's queue, HareMQ allows no get.
      const queue = random.pick(["~q1", "~q2"]);
      return anywhere(call("basic.get", { queue, noAck: chance(random, 40) }));
    },
  ],
  [
    9,
    (random, sequence) => {
      const queue = random.pick(queues);
      const priority = chance(random, 20) ? { "x-priority": random.below(3) - 1 } : {};
      return on(
        queue.consumers,
        call("basic.consume", {
          queue: queue.name,
          consumerTag: `t${sequence.tags++}`,
          noAck: chance(random, 30),
          exclusive: chance(random, 8),
          nowait: chance(random, 10),
          arguments: priority,
        }),
      );
    },
  ],
  [
    5,
    (random, sequence) =>
      anywhere(call("basic.cancel", { consumerTag: `t${random.below(sequence.tags + 1)}` })),
  ],
  [
    18,
    (random) =>
      anywhere(
        settle(random.pick(["ack", "ack", "nack", "reject"]), random.below(1000) / 1000, {
          multiple: chance(random, 25),
          requeue: chance(random, 60),
        }),
      ),
  ],
  [
    4,
    (random) =>
      anywhere(call("basic.qos", { prefetchCount: random.below(4), global: chance(random, 30) })),
  ],
  [3, (random) => anywhere(call("basic.recover", { requeue: chance(random, 100) }))],
  [4, (random) => anywhere(redeclare(random))],
  [
    3,
    (random) =>
      anywhere(
        call("queue.delete", {
          queue: queueName(random),
          ifUnused: chance(random, 40),
          ifEmpty: chance(random, 40),
        }),
      ),
  ],
  [2, (random) => anywhere(call("queue.purge", { queue: queueName(random) }))],
  [
    5,
    (random) =>
      anywhere(
        call(random.pick(["queue.bind", "queue.bind", "queue.unbind"] as const), {
          queue: queueName(random),
          exchange: exchangeName(random),
          routingKey: random.pick(patterns),
        }),
      ),
  ],
  [
    3,
    (random) =>
      anywhere(
        call(random.pick(["exchange.bind", "exchange.bind", "exchange.unbind"] as const), {
          destination: exchangeName(random),
          source: exchangeName(random),
          routingKey: random.pick(patterns),
        }),
      ),
  ],
  [
    2,
    (random) => {
      const { name, type } = random.pick(exchanges);
      return anywhere(
        chance(random, 50)
          ? call("exchange.declare", { exchange: name, type })
          : call("exchange.delete", { exchange: name, ifUnused: chance(random, 50) }),
      );
    },
  ],
  [3, () => anywhere(call("channel.close", { replyCode: 200 }))],
  [2, () => anywhere(call("confirm.select"))],
  [2, () => anywhere(call("tx.select"))],
  [3, (random) => anywhere(call(random.pick(["tx.commit", "tx.commit", "tx.rollback"] as const)))],
];

function redeclare(random: SeededRandom): Step {
  const { name, attributes } = random.pick(queues);
  const passive = chance(random, 30);
  const durable = chance(random, 10);
  return call("queue.declare", { queue: name, ...attributes, passive, durable });
}

function pickWeighted(random: SeededRandom): Operation {
  const total = operations.reduce((sum, [weight]) => sum + weight, 0);
  let left = random.below(total);
  for (const [weight, operation] of operations) {
    if (left < weight) return operation;
    left -= weight;
  }
  throw new RangeError("weights do not add up");
}
