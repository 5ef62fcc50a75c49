/** What a queue needs of its surroundings. Virtual hosts give it; queues call it. */

import type { Clock } from "@haremq/kernel";
import type { MessageView } from "../message/message-view.ts";
import type { Queue } from "./queue.ts";

/** Why a message leaves a queue otherwise than by being consumed. */
export type DeathReason = "rejected" | "expired" | "maxlen" | "delivery_limit";

export interface DeadLetter {
  readonly queue: Queue;
  /** The message, in memory; the queue's own reference to it goes with the move. */
  readonly view: MessageView;
  readonly handle: number;
  readonly reason: DeathReason;
  readonly exchange: string;
  /** In place of the message's own. */
  readonly routingKey: string | undefined;
  /** Not to be moved unless every queue it is routed to takes it, and there is one. */
  readonly mustArrive: boolean;
}

export interface QueueHost {
  readonly clock: Clock;
  /**
   * Moves a message to where dead letters of its queue go, or drops it if that is nowhere. It is
   * settled then: the queue has no more to do with it. Returns false if it must arrive and cannot
   * now.
   */
  moveDeadLetter(letter: DeadLetter): boolean;
  /** The queue has gone unused for as long as it may. */
  expire(queue: Queue): void;
}
