/**
 * The ready messages of a queue, in the order in which they leave it. A queue has one backlog; what
 * kind depends on whether it knows priorities.
 *
 * A message has a sequence number from its arrival until it is settled, whether it is ready or not;
 * what comes back goes where it stood. Facts about messages (see message-facts.ts) are kept from
 * the moment a queue asks for them.
 */

import type { MessageFact } from "./message-facts.ts";

export interface Backlog {
  /** Ready messages. */
  readonly length: number;
  /** Of the ready messages, as far as facts are kept and known. */
  readonly bodyBytes: number;
  readonly keepsFacts: boolean;

  // The message that leaves next. Only to be read while there is one.

  readonly firstHandle: number;
  readonly firstSequence: number;
  /** Whether it has been delivered before. */
  readonly firstWasReturned: boolean;

  /** Takes a new message; `terms` are its own. Returns its sequence number. */
  push(handle: number, terms: number, fact?: MessageFact): number;
  /**
   * A sequence number for a message that does not join the ready ones: there are none of its
   * priority. It may be put back later.
   */
  pass(terms: number, fact?: MessageFact): number;
  /** Takes the first message out; returns its sequence number. It may be put back. */
  takeFirst(): number;
  /**
   * Puts a message back that was taken, or that a restart found and that may have been delivered.
   */
  putBack(sequence: number, handle: number): void;
  /** A message that was taken has been settled. */
  settled(sequence: number): void;

  /** The handle of a message that leaves after about so many others. */
  handleAhead(count: number): number;
  /** Every ready message, in no particular order. */
  forEach(visit: (sequence: number, handle: number) => void): void;

  /** Keeps facts from now on. Nothing is known of the messages that are there. */
  keepFacts(): void;
  fact(sequence: number): MessageFact;
  /** Whether the message is here, and has not been taken out. */
  isReady(sequence: number): boolean;
  /** Somebody has looked how long a ready message is of which nothing was known. */
  setBodyBytes(sequence: number, bodyBytes: number): void;
  /** When the first message expires: wall time, or Infinity. */
  nextExpiryMs(): number;
  /** Takes a ready message out, wherever it stands; its handle, or undefined if it is not ready. */
  remove(sequence: number): number | undefined;
  /** Whether there are messages whose order time changes: ask again for the first one. */
  refreshFirst(nowMs: number): void;
}
