/**
 * The contract of every kind of queue. A virtual host owns its queues, routes end in them,
 * consumers and channels settle with them. Nothing outside a queue knows where its messages lie.
 *
 * The settling verbs name a delivery by the (handle, sequence) that it was delivered with. Wherever
 * a verb may make messages deliverable, the queue serves its consumers before it returns, except
 * `requeue`, which leaves that to one `serve` after the last of many.
 */

import type { FieldTable } from "@haremq/wire";
import type { Consumer } from "../consumer/consumer.ts";
import type { ConnectionDetails } from "../events/connection-details.ts";
import type { MessageView } from "../message/message-view.ts";
import type { EffectivePolicy } from "../policy/effective-policy.ts";

/** Who alone may use an exclusive queue. */
export interface QueueOwner {
  /** The connection it stands for, where that is known. */
  readonly connection?: ConnectionDetails | undefined;
}

/** What a queue is declared as. */
export interface QueueSpec {
  readonly name: string;
  readonly durable: boolean;
  /** The connection that alone may use it, or null. */
  readonly exclusiveOwner: QueueOwner | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  /** What the message store calls it, if its messages are to survive a restart. */
  readonly storeNumber?: number;
}

/** Counts since the queue was declared. */
export interface QueueCounts {
  readonly published: number;
  readonly delivered: number;
  readonly redelivered: number;
  readonly acknowledged: number;
}

/** The outcome of a `get`, for one message or none. */
export interface PulledMessage {
  readonly handle: number;
  readonly sequence: number;
  readonly redelivered: boolean;
  /** Ready messages left behind it. */
  readonly remaining: number;
}

/** A message that a restart has found. */
export interface RestoredMessage {
  readonly handle: number;
  /** Whether it may have been delivered. */
  readonly wasDelivered: boolean;
  /** See message-terms.ts. */
  readonly terms: number;
  readonly bodyBytes: number;
  /** Wall time. */
  readonly arrivedAtMs: number;
  /** How often it has come back, where that is counted. */
  readonly returns: number;
}

export interface Queue {
  readonly name: string;
  readonly durable: boolean;
  readonly exclusiveOwner: QueueOwner | null;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
  readonly singleActiveConsumer: boolean;
  /** What the message store calls it; 0 for a queue whose messages end with the process. */
  readonly storeNumber: number;
  /** Whether it stores every message as if it were persistent. */
  readonly keepsAll: boolean;
  /** Whether what it delivers stays: to settle a delivery changes nothing that is stored. */
  readonly deliversCopies: boolean;
  /** Set once, when the queue has left its virtual host. */
  readonly deleted: boolean;
  /** What policies say about it; see `applyPolicy`. */
  readonly policy: EffectivePolicy;

  /** Whether rejected messages go somewhere, and are not just dropped. */
  readonly keepsRejected: boolean;

  /** Messages waiting for a consumer. */
  readonly readyCount: number;
  /** Messages that wait to be tried again, or to move to where dead letters go. */
  readonly waitingCount: number;
  /** Messages delivered and not settled. */
  readonly unsettledCount: number;
  readonly consumerCount: number;
  readonly counts: QueueCounts;
  consumers(): Iterable<Consumer>;

  /**
   * Has the queue obey another policy from now on, with the messages it has too. Called before the
   * queue is used, if there are policies at all, and whenever one of them has changed.
   */
  applyPolicy(policy: EffectivePolicy): void;

  /** Somebody has declared the queue again: it is not idle. */
  touch(): void;

  /** Whether the queue would refuse a message with such a body. */
  isFull(bodyBytes: number): boolean;

  /**
   * Takes a message: hands it to a waiting consumer at once, or keeps it. Returns false if it does
   * not want it, because it is full.
   */
  publish(view: MessageView): boolean;

  /**
   * Takes a message back that a restart has found, behind all others. Those that may have been
   * delivered come first, and before anything else happens to the queue. The message is only to be
   * looked at during the call.
   */
  restore(message: RestoredMessage): void;

  /** Resolves when it has taken in what was restored, if that takes the disk. */
  ready?(): Promise<void> | undefined;

  /** Adds a consumer and serves it. */
  subscribe(consumer: Consumer): void;
  /** Removes a consumer; its unsettled deliveries stay unsettled. */
  unsubscribe(consumer: Consumer): void;
  /** Puts a parked consumer back into the rotation; whoever calls it calls `serve` then. */
  rejoin(consumer: Consumer): void;
  /** Puts a parked consumer back into the rotation and serves it. */
  wake(consumer: Consumer): void;
  /** Hands ready messages to consumers while both last. */
  serve(): void;

  /**
   * Resolves when the first ready message is in memory, so that `get` can take it; undefined if it
   * is, or there is none.
   */
  prepareGet(): Promise<void> | undefined;

  /**
   * Takes the first ready message into the view, if it is in memory. With `noAck` it is settled at
   * once, and the view must be used before the next call to any queue; otherwise the caller owes
   * its settlement.
   */
  get(noAck: boolean, view: MessageView): PulledMessage | undefined;

  acknowledge(handle: number, sequence: number): void;
  /** Puts a delivery back where it stood. Call `serve` after the last one. */
  requeue(handle: number, sequence: number): void;
  /** Gives a delivery up: it is dropped, or dead-lettered where that is asked for. */
  reject(handle: number, sequence: number): void;

  /** Drops all ready messages; returns how many. */
  purge(): number;
  /** Ends the queue: drops ready messages and cancels consumers. Returns how many it dropped. */
  close(): number;
}
