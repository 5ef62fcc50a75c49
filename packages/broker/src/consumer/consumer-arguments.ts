/**
 * The arguments of a subscription. The session checks them once the queue is known to exist and
 * before it asks whether the queue is free for another consumer.
 */

import type { FieldTable } from "@haremq/wire";
import {
  type ArgumentCheck,
  checkArgumentNames,
  checkArguments,
  integerCheck,
  isIntegerField,
} from "../queue/argument-checks.ts";
import type { Queue } from "../queue/queue.ts";
import { queueTypeOf, takesConsumerArgument } from "../queue/queue-types.ts";

/** RabbitMQ 3.x also asks that x-cancel-on-ha-failover be a boolean; 4.x takes it as it is. */
const argumentChecks: readonly (readonly [string, ArgumentCheck])[] = [
  ["x-priority", integerCheck(() => undefined)],
];

/** Throws the ChannelError that RabbitMQ refuses such a consumer of the queue with, if it does. */
export function checkConsumerArguments(args: FieldTable, queue: Queue, vhost: string): void {
  if (args.size === 0) return;
  const type = queueTypeOf(queue.arguments);
  const isTaken = (name: string) => takesConsumerArgument(type, name);
  const checks = argumentChecks.filter(([name]) => isTaken(name));
  checkArguments(args, checks, queue.name, vhost);
  checkArgumentNames(args, isTaken, queue.name, vhost, type.module);
}

/** The priority that checked arguments ask for: 0 unless they say otherwise. */
export function consumerPriority(args: FieldTable): number {
  const priority = args.get("x-priority");
  return priority !== undefined && isIntegerField(priority) ? Number(priority.value) : 0;
}
