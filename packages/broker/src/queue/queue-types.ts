/**
 * What distinguishes RabbitMQ's types of queue where they are declared and consumed from: which
 * arguments each of them knows, and which queues it can be. The checks of arguments and of
 * equivalence read it.
 *
 * An argument that some type knows is refused by the types that do not; one that none knows is
 * ignored. Where RabbitMQ 3.x and 4.x differ, the argument is accepted.
 */

import { type FieldTable, fieldText } from "@haremq/wire";

export interface QueueType {
  readonly name: string;
  /** How RabbitMQ's texts name it. */
  readonly module: string;
  /** Whether the broker may name such a queue. */
  readonly serverNamed: boolean;
  /** Whether it outlives both its connection and its consumers: then it can be nothing else. */
  readonly lasting: boolean;
  /** The arguments it knows, in the order in which a redeclaration is compared. */
  readonly comparedArguments: readonly string[];
  /** Arguments it knows that may differ when it is redeclared. */
  readonly otherArguments: readonly string[];
  readonly consumerArguments: readonly string[];
}

/** Of HareMQ alone. */
const ownArguments = [
  "x-expire-anywhere",
  "x-retry-attempts",
  "x-retry-delays",
  "x-retry-delay",
  "x-retry-delay-max",
  "x-retry-factor",
  "x-retry-jitter",
];

const classic: QueueType = {
  name: "classic",
  module: "rabbit_classic_queue",
  serverNamed: true,
  lasting: false,
  comparedArguments: [
    "x-expires",
    "x-message-ttl",
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-priority",
    "x-overflow",
    "x-queue-mode",
    "x-queue-version",
    "x-single-active-consumer",
    "x-queue-type",
    "x-queue-master-locator",
    "x-priority-ageing",
    ...ownArguments,
  ],
  // RabbitMQ 4.x; 3.x refuses it on declaration, but ignores it on redeclaration.
  otherArguments: ["x-queue-leader-locator", "x-delivery-limit"],
  consumerArguments: ["x-cancel-on-ha-failover", "x-priority", "x-credit"],
};

const quorum: QueueType = {
  name: "quorum",
  module: "rabbit_quorum_queue",
  serverNamed: false,
  lasting: true,
  comparedArguments: [
    "x-dead-letter-exchange",
    "x-dead-letter-routing-key",
    "x-dead-letter-strategy",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-overflow",
    "x-single-active-consumer",
    "x-queue-type",
    "x-quorum-initial-group-size",
    "x-delivery-limit",
    "x-message-ttl",
    "x-queue-leader-locator",
    ...ownArguments,
  ],
  otherArguments: [],
  // RabbitMQ 4.x ignores x-cancel-on-ha-failover here; 3.x refuses it.
  consumerArguments: ["x-cancel-on-ha-failover", "x-priority", "x-credit"],
};

const stream: QueueType = {
  name: "stream",
  module: "rabbit_stream_queue",
  serverNamed: false,
  lasting: true,
  comparedArguments: [
    "x-max-length-bytes",
    "x-queue-type",
    "x-max-age",
    "x-stream-max-segment-size-bytes",
    "x-initial-cluster-size",
    "x-queue-leader-locator",
  ],
  otherArguments: [],
  // RabbitMQ 4.x ignores x-cancel-on-ha-failover here; 3.x refuses it.
  consumerArguments: ["x-stream-offset", "x-credit", "x-cancel-on-ha-failover"],
};

const queueTypes = [classic, quorum, stream];

const knownArguments = new Set(
  queueTypes.flatMap((type) => [...type.comparedArguments, ...type.otherArguments]),
);

const knownConsumerArguments = new Set(queueTypes.flatMap((type) => type.consumerArguments));

/** The type that a declaration asks for: classic unless it says otherwise. */
export function queueTypeOf(args: FieldTable): QueueType {
  return findQueueType(fieldText(args.get("x-queue-type"))) ?? classic;
}

/** Whether a queue with these arguments is a stream. */
export function isStream(args: FieldTable): boolean {
  return args.size > 0 && queueTypeOf(args) === stream;
}

export function findQueueType(name: string | undefined): QueueType | undefined {
  return queueTypes.find((type) => type.name === name);
}

/** Whether a queue of this type takes the argument, be it only to ignore it. */
export function takesArgument(type: QueueType, name: string): boolean {
  return (
    type.comparedArguments.includes(name) ||
    type.otherArguments.includes(name) ||
    !knownArguments.has(name)
  );
}

/** Whether consumers of such a queue may pass the argument, be it only to be ignored. */
export function takesConsumerArgument(type: QueueType, name: string): boolean {
  return type.consumerArguments.includes(name) || !knownConsumerArguments.has(name);
}
