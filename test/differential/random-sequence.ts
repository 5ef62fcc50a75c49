/**
 * Random sequences of operations, from a seed. They are legal in that no operation ends a whole
 * connection, and otherwise free: queues come and go, channels are refused and opened again, modes
 * change, messages are settled in any order.
 *
 * What RabbitMQ itself leaves to chance is avoided. Several queues that deliver to one channel race
 * each other, so each queue has channels of its own for its consumers. The room that a requeued
 * message leaves in a channel's limit races the message, so a sequence has channel limits or
 * requeueing. What several consumers got is requeued consumer by consumer, so messages are requeued
 * one at a time.
 */

import { SeededRandom } from "@haremq/kernel";
import type { Scenario } from "./scenario.ts";
import { scenario } from "./scenario.ts";
import { call, connect, on, publish, reopen, type Step, settle, together, via } from "./step.ts";

const stepCount = 60;

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

/** Makes up a step; one that leaves its channel at 0 goes to the place that was drawn for it. */
type Operation = (random: SeededRandom, sequence: Sequence, place: Place) => Step;

/** What the generator remembers while it makes up a sequence. */
interface Sequence {
  tags: number;
  /** Whether channels may have limits of their own; if so, nothing is requeued. */
  readonly channelLimits: boolean;
  /** Whether there are any; without, a transaction that would begin is a confirm.select. */
  readonly transactions: boolean;
  /** Where a transaction has been begun, as far as the generator can tell. */
  readonly transactional: Set<string>;
}

interface Place {
  readonly connection: string;
  readonly channel: number;
}

export interface RandomOptions {
  readonly transactions: boolean;
}

export function randomScenario(seed: number, options: RandomOptions): Scenario {
  const random = new SeededRandom(seed);
  const sequence: Sequence = {
    tags: 0,
    channelLimits: chance(random, 30),
    transactions: options.transactions,
    transactional: new Set(),
  };
  const steps: Step[] = [...opening()];
  for (let count = 0; count < stepCount; count++) {
    const operation = pickWeighted(random);
    const place = { connection: random.pick(["a", "b"]), channel: random.pick(channelNumbers) };
    const step = operation(random, sequence, place);
    const channel = step.channel > 0 ? step.channel : place.channel;
    steps.push(
      placed(step, place.connection, channel),
      placed(reopen(), place.connection, channel),
    );
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

const fraction = (random: SeededRandom): number => random.below(1000) / 1000;
const chance = (random: SeededRandom, percent: number): boolean => random.below(100) < percent;
const queueName = (random: SeededRandom): string => random.pick(queues).name;
const exchangeName = (random: SeededRandom): string => random.pick(exchanges).name;

/** A step that any channel may take: its place is chosen afterwards. */
function anywhere(step: Step): Step {
  return on(0, step);
}

function placed(step: Step, connection: string, channel: number): Step {
  const own = via(connection, on(channel, step));
  if (own.kind !== "together") return own;
  return { ...own, steps: own.steps.map((part) => placed(part, connection, channel)) };
}

/**
 * Several messages may be sent at once, without waiting in between. Those go straight to queues and
 * are not mandatory: what else could become of them has no order against deliveries.
 */
function publishSome(random: SeededRandom): Step {
  const count = 1 + random.below(4);
  if (count > 1) return anywhere(together(...Array.from({ length: count }, () => toQueue(random))));
  if (chance(random, 40)) return anywhere(toQueue(random, chance(random, 40)));
  const mandatory = chance(random, 40);
  return anywhere(publishOne(random, exchangeName(random), random.pick(keys), mandatory));
}

function toQueue(random: SeededRandom, mandatory = false): Step {
  return publishOne(random, "", queueName(random), mandatory);
}

function publishOne(random: SeededRandom, exchange: string, key: string, mandatory: boolean): Step {
  const properties = {
    ...(chance(random, 30) ? { deliveryMode: random.pick([1, 2]) } : {}),
    ...(chance(random, 10) ? { headers: { CC: [queueName(random), "k.2"] } } : {}),
  };
  return publish(exchange, key, `m${random.below(1000)}`, { mandatory, properties });
}

function get(random: SeededRandom): Step {
  // Of the single active consumer's queue, HareMQ allows no get.
  const queue = random.pick(["~q1", "~q2"]);
  return anywhere(call("basic.get", { queue, noAck: chance(random, 30) }));
}

function consume(random: SeededRandom, sequence: Sequence): Step {
  const queue = random.pick(queues);
  const method = call("basic.consume", {
    queue: queue.name,
    consumerTag: `t${sequence.tags++}`,
    noAck: chance(random, 25),
    exclusive: chance(random, 6),
    nowait: chance(random, 10),
    arguments: chance(random, 20) ? { "x-priority": random.below(3) - 1 } : {},
  });
  return on(queue.consumers, method);
}

function cancel(random: SeededRandom, sequence: Sequence): Step {
  const consumerTag = `t${random.below(sequence.tags + 1)}`;
  return anywhere(call("basic.cancel", { consumerTag, nowait: chance(random, 10) }));
}

function settleSome(random: SeededRandom, { channelLimits }: Sequence): Step {
  const multiple = chance(random, 25);
  const requeue = !multiple && !channelLimits && chance(random, 70);
  const how = random.pick(["ack", "ack", "nack", "reject"] as const);
  return anywhere(settle(how, fraction(random), { multiple, requeue }));
}

function limit(random: SeededRandom, { channelLimits }: Sequence): Step {
  const global = channelLimits && chance(random, 60);
  return anywhere(call("basic.qos", { prefetchCount: random.below(4), global }));
}

function deleteQueue(random: SeededRandom): Step {
  const conditions = { ifUnused: chance(random, 60), ifEmpty: chance(random, 60) };
  return anywhere(call("queue.delete", { queue: queueName(random), ...conditions }));
}

function bindQueue(random: SeededRandom): Step {
  const verb = random.pick(["queue.bind", "queue.bind", "queue.unbind"] as const);
  const [queue, exchange] = [queueName(random), exchangeName(random)];
  return anywhere(call(verb, { queue, exchange, routingKey: random.pick(patterns) }));
}

function bindExchange(random: SeededRandom): Step {
  const verb = random.pick(["exchange.bind", "exchange.bind", "exchange.unbind"] as const);
  const [destination, source] = [exchangeName(random), exchangeName(random)];
  return anywhere(call(verb, { destination, source, routingKey: random.pick(patterns) }));
}

function changeExchange(random: SeededRandom): Step {
  const { name, type } = random.pick(exchanges);
  if (chance(random, 60)) return anywhere(call("exchange.declare", { exchange: name, type }));
  return anywhere(call("exchange.delete", { exchange: name, ifUnused: chance(random, 70) }));
}

/** Begins a transaction, or ends the one that is under way. */
function transact(random: SeededRandom, sequence: Sequence, place: Place): Step {
  if (!sequence.transactions) return anywhere(call("confirm.select"));
  const here = `${place.connection}/${place.channel}`;
  if (sequence.transactional.has(here)) {
    return anywhere(call(random.pick(["tx.commit", "tx.commit", "tx.rollback"] as const)));
  }
  sequence.transactional.add(here);
  return anywhere(call("tx.select"));
}

function closeChannel(_: SeededRandom, sequence: Sequence, place: Place): Step {
  sequence.transactional.delete(`${place.connection}/${place.channel}`);
  return anywhere(call("channel.close", { replyCode: 200 }));
}

const operations: readonly [weight: number, operation: Operation][] = [
  [30, publishSome],
  [10, get],
  [12, consume],
  [4, cancel],
  [22, settleSome],
  [4, limit],
  [9, redeclare],
  [2, deleteQueue],
  [1, (random) => anywhere(call("queue.purge", { queue: queueName(random) }))],
  [4, bindQueue],
  [3, bindExchange],
  [2, changeExchange],
  [2, closeChannel],
  [2, () => anywhere(call("confirm.select"))],
  [6, transact],
];

function redeclare(random: SeededRandom): Step {
  const { name, attributes } = random.pick(queues);
  const passive = chance(random, 20);
  const durable = chance(random, 5);
  return anywhere(call("queue.declare", { queue: name, ...attributes, passive, durable }));
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
