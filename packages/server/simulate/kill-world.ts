/**
 * What the kill simulator knows of the broker over all its lives: its queues, what has been
 * published to them and what has become of it, the queues that come and go. Clients tell it what
 * they do and what they are told; after a restart the checks ask it what there must be.
 *
 * Time is counted in beats: a beat is a message that has been published and confirmed after the
 * beat before. At level disk each takes a round of the broker's log, so that after some of them
 * everything that came before the first is noted, however slow the machine is. At level os nobody
 * can tell.
 */

import { KillStream } from "./kill-stream.ts";
import {
  MessageModel,
  type ModelMessage,
  type ModelQueue,
  type ModelTransaction,
} from "./message-model.ts";
import { demand } from "./promise-broken.ts";
import { identifyBody } from "./simulated-message.ts";

/** After so many beats the broker has noted what it was told before. */
const beatsToNote = 10;

export const queueNames = [
  "work",
  "copy-1",
  "copy-2",
  "tx-in",
  "tx-out",
  "poison",
  "dead",
] as const;
export type QueueName = (typeof queueNames)[number];

/** Queues that are declared, bound and deleted all the time. */
export const passingNames = ["p0", "p1", "p2", "p3"];

/** What is known of something that may be there or not. */
export type Presence = "there" | "gone" | "unknown";

interface Settled {
  readonly messages: readonly ModelMessage[];
  readonly beat: number;
}

/** A message that was rejected and goes to another queue, which is as atomic as a transaction. */
interface Moved {
  readonly move: ModelTransaction;
  readonly message: ModelMessage;
  readonly beat: number;
}

export class KillWorld {
  readonly model = new MessageModel();
  readonly stream = new KillStream(() => this.newId());
  readonly #queues = new Map<string, ModelQueue>();
  readonly passing = new Map<string, { queue: Presence; binding: Presence }>();
  #ids = 0;
  beats = 0;
  /** Counts everything that clients are told. */
  progress = 0;
  confirmed = 0;
  acknowledged = 0;
  committed = 0;
  moved = 0;
  #settled: Settled[] = [];
  #moved: Moved[] = [];
  #delivered: { readonly message: ModelMessage; readonly beat: number }[] = [];

  constructor() {
    for (const [index, name] of queueNames.entries()) {
      this.#queues.set(name, this.model.addQueue(name, index + 1));
    }
    for (const name of passingNames) this.passing.set(name, { queue: "gone", binding: "gone" });
  }

  queue(name: QueueName): ModelQueue {
    return this.#queues.get(name)!;
  }

  newId(): number {
    return ++this.#ids;
  }

  onConfirmed(messages: readonly ModelMessage[]): void {
    for (const message of messages) message.isSafe = true;
    this.confirmed++;
    this.progress++;
  }

  /** A message has come. Throws if it should not have. */
  onDelivery(name: QueueName, body: Buffer, redelivered: boolean): ModelMessage {
    const id = identifyBody(body);
    const message = this.queue(name).messages.get(id);
    demand(message !== undefined, () => `message ${id} is delivered, and not in ${name}`);
    const { state, isHeld, isMarked } = message;
    demand(state === "open", () => `message ${id} is delivered by ${name} and was settled`);
    demand(!isHeld, () => `message ${id} is delivered twice by ${name}`);
    demand(isMarked === redelivered, () => `message ${id} of ${name} is marked ${redelivered}`);
    message.isHeld = true;
    message.isMarked = true;
    this.#delivered.push({ message, beat: this.beats });
    this.progress++;
    return message;
  }

  /** An acknowledgement has been sent. */
  onAcknowledging(messages: readonly ModelMessage[]): void {
    for (const message of messages) {
      message.isHeld = false;
      this.model.settle(message);
    }
  }

  /** The broker has read it. */
  onAcknowledged(messages: readonly ModelMessage[]): void {
    this.#settled.push({ messages, beat: this.beats });
    this.acknowledged += messages.length;
    this.progress++;
  }

  /** A message is about to be rejected, which moves it to the other queue. Returns what tells. */
  onRejecting(message: ModelMessage, to: QueueName, publisher: number): () => void {
    const move = this.model.beginTransaction();
    message.isHeld = false;
    this.model.settle(message, move);
    const moved = this.model.publish(message.id, this.queue(to), true, move, publisher);
    moved.wasDelivered = true;
    return () => {
      this.#moved.push({ move, message: moved, beat: this.beats });
      this.moved++;
      this.progress++;
    };
  }

  /** The broker is gone: what it had time to note it knows. */
  onKilled(level: "disk" | "os"): void {
    const latest = level === "disk" ? this.beats - beatsToNote : Number.NEGATIVE_INFINITY;
    for (const { messages, beat } of this.#settled) {
      if (beat > latest) continue;
      for (const message of messages) if (message.state === "settled") message.isNoted = true;
    }
    for (const { message, beat } of this.#delivered) if (beat <= latest) message.isMarkNoted = true;
    for (const { move, message, beat } of this.#moved) {
      if (beat > latest) continue;
      move.isAnswered = true;
      message.isSafe = true;
    }
    this.#settled = [];
    this.#moved = [];
    this.#delivered = [];
    this.model.forgetNoted();
  }
}
