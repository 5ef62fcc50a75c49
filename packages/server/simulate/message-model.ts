/**
 * What the broker has promised of messages: a naive account of every message in every queue, and
 * the judge of what a recovery brings back. The broker simulator keeps it beside the real broker.
 *
 * The promises, for durable messages, queue by queue:
 * - What was confirmed, or committed, and not settled comes back: once, unchanged, in order.
 * - What was settled never comes back after the end of the process, once that had been noted; over
 *   a power loss it may, unless a transaction has settled it.
 * - A transaction survives as a whole or not at all, its settlements included.
 * - What was confirmed or committed at level os need not survive a power loss, nor the end of a
 *   process if a sync has failed.
 * - What nobody can have seen is not marked as redelivered; what somebody may have seen is, once
 *   that had been noted and unless the power was lost.
 * And nothing else comes back: nothing transient, nothing of a deleted queue.
 */

import { demand } from "./promise-broken.ts";

export interface ModelTransaction {
  readonly id: number;
  readonly published: ModelMessage[];
  readonly settled: ModelMessage[];
  /** The commit was answered: it has happened, for good... */
  isAnswered: boolean;
  /** ...unless the power goes. */
  isOnlyWritten: boolean;
  /** The commit was not answered, and a recovery has found that it has happened. */
  isRecovered: boolean;
}

/** A message in one queue. */
export interface ModelMessage {
  readonly id: number;
  readonly queue: ModelQueue;
  /** Orders the messages of a queue that come from the same publisher. */
  readonly place: number;
  readonly publisher: number;
  readonly isDurable: boolean;
  readonly publishedBy: ModelTransaction | undefined;
  /** It has to survive... */
  isSafe: boolean;
  /** ...but no power loss. */
  isOnlyWritten: boolean;
  /** Gone: it must never come back. */
  state: "open" | "settled" | "gone";
  settledBy: ModelTransaction | undefined;
  /** Its settlement survives the end of the process. */
  isNoted: boolean;
  /** A client may have seen it, in this life or an earlier one... */
  wasDelivered: boolean;
  /** ...as far as the broker knows, which forgets some of that in a crash... */
  isMarked: boolean;
  /** ...but not what survives the end of the process. */
  isMarkNoted: boolean;
  /** A client has it and has not settled it. */
  isHeld: boolean;
}

export interface ModelQueue {
  readonly name: string;
  /** As in the store; 0 for a queue that does not survive. */
  readonly number: number;
  /** Its deletion has been asked for, or has been carried out. */
  fate: "alive" | "dying" | "gone";
  readonly messages: Map<number, ModelMessage>;
}

/** What a recovery has found in a queue, oldest first. */
export interface FoundMessage {
  readonly id: number;
  readonly isRedelivered: boolean;
}

export class MessageModel {
  readonly #queues: ModelQueue[] = [];
  #transactions: ModelTransaction[] = [];
  #isForgetful = false;
  #places = 0;
  #mayLoseWritten = false;

  addQueue(name: string, number: number): ModelQueue {
    const isUsed = number !== 0 && this.#queues.some((each) => each.number === number);
    demand(!isUsed, () => `number ${number} of queue ${name} has been used before`);
    const queue: ModelQueue = { name, number, fate: "alive", messages: new Map() };
    this.#queues.push(queue);
    return queue;
  }

  beginTransaction(): ModelTransaction {
    const id = this.#transactions.length;
    const transaction: ModelTransaction = {
      ...{ id, published: [], settled: [] },
      ...{ isAnswered: false, isOnlyWritten: false, isRecovered: false },
    };
    this.#transactions.push(transaction);
    return transaction;
  }

  publish(
    id: number,
    queue: ModelQueue,
    isPersistent: boolean,
    transaction?: ModelTransaction,
    publisher = 0,
  ): ModelMessage {
    const isDurable = isPersistent && queue.number !== 0;
    const message: ModelMessage = {
      id,
      queue,
      place: ++this.#places,
      publisher,
      isDurable,
      publishedBy: isDurable ? transaction : undefined,
      isSafe: false,
      isOnlyWritten: false,
      state: "open",
      settledBy: undefined,
      isNoted: false,
      wasDelivered: false,
      isMarked: false,
      isMarkNoted: false,
      isHeld: false,
    };
    queue.messages.set(id, message);
    if (isDurable) transaction?.published.push(message);
    return message;
  }

  settle(message: ModelMessage, transaction?: ModelTransaction): void {
    demand(message.state === "open", () => `${nameOf(message)} is settled twice`);
    message.state = "settled";
    message.settledBy = message.isDurable ? transaction : undefined;
    message.isNoted = false;
    if (message.isDurable) transaction?.settled.push(message);
  }

  /** What is ready in the queue is purged, or deleted with it. */
  drop(queue: ModelQueue): void {
    for (const message of queue.messages.values()) {
      if (message.state === "open" && !message.isHeld) this.settle(message);
    }
  }

  /** The broker is at rest: everything is as safe as it will ever be. */
  onRest(): void {
    for (const message of this.#messages()) {
      if (!message.isDurable) continue;
      if (message.state === "open") message.isSafe = true;
      else message.isNoted = !this.#isForgetful;
      message.isOnlyWritten = false;
      message.isMarkNoted = message.isMarked && !this.#isForgetful;
    }
    for (const transaction of this.#transactions) {
      const { id, isAnswered, isRecovered } = transaction;
      demand(isAnswered || isRecovered, () => `transaction ${id} is never answered`);
      transaction.isAnswered = true;
    }
    this.#transactions = [];
  }

  /** Forgets what is settled and must not come back: if it does, nobody knows it. */
  forgetNoted(): void {
    for (const { messages } of this.#queues) {
      for (const [id, { state, isNoted }] of messages) {
        if (state === "settled" && isNoted) messages.delete(id);
      }
    }
  }

  /**
   * What has been noted was to be made safe, and that has failed: the system can let go of it
   * whenever it likes.
   */
  onFailedSync(): void {
    this.#isForgetful = true;
    this.onPowerLoss();
  }

  onPowerLoss(): void {
    for (const message of this.#messages()) {
      message.isNoted = false;
      message.isMarkNoted = false;
    }
    this.#forgetWritten();
  }

  /** A sync fails, or may: the operating system may forget what it has. */
  onSyncFault(): void {
    this.#mayLoseWritten = true;
  }

  #forgetWritten(): void {
    for (const message of this.#messages()) message.isSafe &&= !message.isOnlyWritten;
    for (const each of this.#transactions) each.isAnswered &&= !each.isOnlyWritten;
  }

  queue(number: number): ModelQueue | undefined {
    return this.#queues.find((each) => each.number === number && number !== 0);
  }

  /** Messages that must be in memory or on disk, whatever the number of queues that have them. */
  get liveMessages(): number {
    const ids = new Set<number>();
    for (const { id, state } of this.#messages()) if (state === "open") ids.add(id);
    return ids.size;
  }

  /** Judges a recovery, and takes over what it has found as what there is. */
  recover(found: ReadonlyMap<number, readonly FoundMessage[]>, wasPowerLoss: boolean): void {
    if (this.#mayLoseWritten) this.#forgetWritten();
    this.#mayLoseWritten = false;
    const present = new Set<ModelMessage>();
    for (const [number, messages] of found) this.#judgeFound(number, messages, present);
    this.#transactions = this.#transactions.filter((each) => hasHappened(each, present));
    for (const queue of this.#queues) {
      const hasReturned = found.has(queue.number) && queue.number !== 0;
      for (const message of queue.messages.values()) {
        if (hasReturned) judge(message, present.has(message));
      }
      this.#accept(queue, hasReturned, present, wasPowerLoss);
    }
    for (const transaction of this.#transactions) transaction.isRecovered = true;
  }

  #judgeFound(number: number, found: readonly FoundMessage[], present: Set<ModelMessage>): void {
    const queue = this.queue(number);
    if (queue === undefined) {
      demand(found.length === 0, () => `queue ${number} is new and has messages`);
      return;
    }
    demand(queue.fate !== "gone", () => `queue ${queue.name} (${number}) was deleted and is back`);
    const last = new Map<number, number>();
    for (const { id, isRedelivered } of found) {
      const message = queue.messages.get(id);
      demand(message !== undefined, () => `message ${id} was never in ${queue.name} (${number})`);
      const name = nameOf(message);
      demand(message.isDurable, () => `${name} is not durable and is back`);
      demand(!present.has(message), () => `${name} is there twice`);
      const { publisher, place } = message;
      demand(place > (last.get(publisher) ?? 0), () => `${name} has left its place`);
      last.set(publisher, place);
      // What was purged may be back over a power loss, and looks delivered then.
      const { wasDelivered, isMarked, state } = message;
      const mayBeMarked = wasDelivered || isMarked || state === "settled";
      demand(!isRedelivered || mayBeMarked, () => `${name} was never delivered`);
      const isRight = isRedelivered || !message.isMarkNoted;
      demand(isRight, () => `${name} was delivered, and is not marked so`);
      message.isMarked = isRedelivered;
      present.add(message);
    }
  }

  #accept(
    queue: ModelQueue,
    hasReturned: boolean,
    present: ReadonlySet<ModelMessage>,
    wasPowerLoss: boolean,
  ): void {
    if (!hasReturned) {
      queue.fate = "gone";
      queue.messages.clear();
      return;
    }
    const isDying = queue.fate === "dying";
    queue.fate = "alive";
    for (const message of queue.messages.values()) {
      message.isHeld = false;
      if (present.has(message)) {
        message.state = "open";
        message.settledBy = undefined;
      } else if (message.state === "open" && message.isDurable && isDying) {
        message.state = "settled";
      } else if (message.state === "open" || wasPowerLoss) {
        message.state = "gone";
      }
      if (message.state === "gone") queue.messages.delete(message.id);
    }
  }

  *#messages(): Iterable<ModelMessage> {
    for (const { messages } of this.#queues) yield* messages.values();
  }
}

/** Messages that the queue must have, ready or delivered and not settled. */
export function openMessages({ messages }: ModelQueue): ModelMessage[] {
  return [...messages.values()].filter(({ state }) => state === "open");
}

export function nameOf({ id, queue }: ModelMessage): string {
  return `message ${id} in ${queue.name} (${queue.number})`;
}

function judge(message: ModelMessage, isPresent: boolean): void {
  const { isSafe, state, settledBy, isNoted, queue } = message;
  // Of a queue whose deletion could not be saved anything may be left.
  if (queue.fate === "dying") return;
  if (isPresent) {
    const isForGood = isNoted || settledBy?.isAnswered === true;
    demand(state !== "settled" || !isForGood, () => `${nameOf(message)} was settled and is back`);
  } else {
    const isMissed = isSafe && state === "open";
    demand(!isMissed, () => `${nameOf(message)} is lost`);
  }
}

/** Judges by what is there, and what is not, whether a transaction has happened, as a whole. */
function hasHappened(transaction: ModelTransaction, present: ReadonlySet<ModelMessage>): boolean {
  const { id, published, settled, isAnswered } = transaction;
  const signs: string[] = [];
  const countersigns: string[] = [];
  for (const message of published) {
    if (message.queue.fate !== "alive") continue;
    if (present.has(message)) signs.push(`${nameOf(message)} is there`);
    else if (message.state === "open") countersigns.push(`${nameOf(message)} is not there`);
  }
  for (const message of settled) {
    if (message.queue.fate !== "alive" || message.settledBy !== transaction) continue;
    if (present.has(message)) countersigns.push(`${nameOf(message)} is there`);
    else if (message.isSafe) signs.push(`${nameOf(message)} is not there`);
  }
  const isWhole = signs.length === 0 || countersigns.length === 0;
  demand(isWhole, () => `half of transaction ${id}: ${signs}; but ${countersigns}`);
  const isLost = isAnswered && countersigns.length > 0;
  demand(!isLost, () => `transaction ${id} was answered and is lost: ${countersigns}`);
  return signs.length > 0 || isAnswered;
}
