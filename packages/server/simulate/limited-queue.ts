/**
 * The queues of the simulation of limits: what each is asked for, drawn at the beginning and the
 * same in every life. Dead letters of a queue go to one further down, so that none goes round.
 */

import type { SeededRandom } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";

export interface LimitedQueue {
  readonly name: string;
  /** Its place among the queues: dead letters go to higher ones. */
  readonly rank: number;
  readonly isQuorum: boolean;
  /** Infinity where there is no limit. */
  readonly ttlMs: number;
  readonly lengthMax: number;
  readonly bytesMax: number;
  readonly overflow: "drop-head" | "reject-publish" | "reject-publish-dlx";
  readonly deliveryLimit: number;
  readonly retryAttempts: number;
  readonly priorityMax: number;
  readonly isAgeing: boolean;
  readonly expiresAnywhere: boolean;
  /** Where its dead letters go, if anywhere. */
  readonly target: LimitedQueue | undefined;
  readonly isAtLeastOnce: boolean;
}

const none = Number.POSITIVE_INFINITY;
const longestTtlMs = 3000;
const longestRetryMs = 700;
const quorumDeliveryLimit = 20;

export function drawQueues(random: SeededRandom): LimitedQueue[] {
  const queues: LimitedQueue[] = [];
  const count = 3 + random.below(4);
  for (let rank = count - 1; rank >= 0; rank--) {
    const isQuorum = random.below(3) === 0;
    const lower = random.below(4) > 0 && queues.length > 0 ? random.pick(queues) : undefined;
    const hasLength = random.below(3) === 0;
    const overflows = ["drop-head", "drop-head", "reject-publish"] as const;
    const isForClassic = !isQuorum && random.below(4) === 0;
    const overflow = isForClassic ? "reject-publish-dlx" : random.pick(overflows);
    // Letters that have to arrive need a target that takes each of them some time.
    const isDropping = overflow === "drop-head";
    const deliveryLimit = random.pick([none, none, 1, 3]);
    queues.push({
      name: `q${rank}`,
      rank,
      isQuorum,
      ttlMs: random.pick([none, none, none, 40, 600, longestTtlMs]),
      lengthMax: hasLength ? random.pick([isDropping ? 0 : 3, 1, 5, 20]) : none,
      bytesMax: random.below(6) === 0 ? random.pick(isDropping ? [60, 500, 5000] : [80_000]) : none,
      overflow,
      deliveryLimit: isQuorum ? Math.min(deliveryLimit, quorumDeliveryLimit) : deliveryLimit,
      retryAttempts: random.pick([0, 0, 1, 2]),
      priorityMax: isQuorum ? 0 : random.pick([0, 0, 3, 9]),
      isAgeing: random.below(4) === 0,
      expiresAnywhere: random.below(3) === 0,
      target: lower,
      isAtLeastOnce: lower !== undefined && random.below(2) === 0,
    });
  }
  return queues.reverse();
}

/** As a client would declare it. */
export function argumentsOf(queue: LimitedQueue): FieldTable {
  const args: Record<string, unknown> = { "x-overflow": queue.overflow };
  const limit = (name: string, value: number): void => {
    if (Number.isFinite(value) && value >= 0) args[name] = value;
  };
  limit("x-message-ttl", queue.ttlMs);
  limit("x-max-length", queue.lengthMax);
  limit("x-max-length-bytes", queue.bytesMax);
  limit("x-delivery-limit", queue.deliveryLimit);
  if (queue.retryAttempts > 0) {
    args["x-retry-attempts"] = queue.retryAttempts;
    args["x-retry-delays"] = [30, longestRetryMs];
  }
  if (queue.priorityMax > 0) {
    args["x-max-priority"] = queue.priorityMax;
    if (queue.isAgeing) args["x-priority-ageing"] = 100;
  }
  if (queue.isQuorum) args["x-queue-type"] = "quorum";
  if (queue.expiresAnywhere) args["x-expire-anywhere"] = true;
  if (queue.target !== undefined) {
    args["x-dead-letter-exchange"] = "";
    args["x-dead-letter-routing-key"] = queue.target.name;
    // Otherwise an argument of quorum queues alone.
    if (queue.isAtLeastOnce && queue.isQuorum) args["x-dead-letter-strategy"] = "at-least-once";
  }
  return FieldTable.from(args);
}

/** Whether it may lose a letter that its target refuses. */
export function dropsRefused({ target, isQuorum, isAtLeastOnce }: LimitedQueue): boolean {
  return target !== undefined && isBounded(target) && !(isQuorum && isAtLeastOnce);
}

/**
 * Whether a transient message that is published to it is stored from some queue on, and in all that
 * follow. On its way from stored to not stored and back it could be there twice after a crash.
 */
export function keepsTransient(queue: LimitedQueue): boolean {
  let wasStored = false;
  for (let at: LimitedQueue | undefined = queue; at !== undefined; at = at.target) {
    if (wasStored && !at.isQuorum) return false;
    wasStored = at.isQuorum;
  }
  return true;
}

/** Whether it takes no more than so many. */
export function isBounded({ lengthMax, bytesMax, overflow }: LimitedQueue): boolean {
  return overflow !== "drop-head" && (Number.isFinite(lengthMax) || Number.isFinite(bytesMax));
}
