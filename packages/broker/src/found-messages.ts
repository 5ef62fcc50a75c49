/**
 * The messages of one queue that a restart has found, until the queue takes them: handles, oldest
 * first, and what else the queue wants to know of them. Most queues want nothing, so that a long
 * backlog costs no more than its handles.
 */

import { FloatRing } from "@haremq/kernel";
import { arrivalMs, noTerms } from "./message/message-terms.ts";
import type { RestoredMessage } from "./queue/queue.ts";

export class FoundMessages {
  readonly #delivered = new FoundList();
  readonly #ready = new FoundList();

  /** `wantsFacts`: every message's length and arrival matter. */
  constructor(wantsFacts: boolean) {
    if (!wantsFacts) return;
    this.#delivered.keepFacts();
    this.#ready.keepFacts();
  }

  add(
    handle: number,
    wasDelivered: boolean,
    bodyBytes: number,
    arrival: number,
    terms: number,
    returns: number,
  ): void {
    const list = wasDelivered ? this.#delivered : this.#ready;
    list.add(handle, bodyBytes, arrival, terms, returns);
  }

  /** Those first that may have been delivered, and whether they are of these. */
  *handles(): Iterable<readonly [handle: number, wasDelivered: boolean]> {
    for (const handle of this.#delivered.handles()) yield [handle, true];
    for (const handle of this.#ready.handles()) yield [handle, false];
  }

  /** Hands all over, those first that may have been delivered. */
  giveTo(take: (message: RestoredMessage) => void, wallMs: number): void {
    this.#delivered.giveTo(take, true, wallMs);
    this.#ready.giveTo(take, false, wallMs);
  }
}

interface FoundFacts {
  readonly bodyBytes: FloatRing;
  readonly arrivals: FloatRing;
  readonly terms: FloatRing;
  readonly returns: FloatRing;
}

class FoundList {
  readonly #handles = new FloatRing();
  #facts: FoundFacts | undefined;

  keepFacts(): void {
    if (this.#facts !== undefined) return;
    this.#facts = {
      bodyBytes: new FloatRing(),
      arrivals: new FloatRing(),
      terms: new FloatRing(),
      returns: new FloatRing(),
    };
    for (let i = this.#handles.length; i > 0; i--) this.#addFacts(0, 0, 0, 0);
  }

  add(handle: number, bodyBytes: number, arrival: number, terms: number, returns: number): void {
    if (terms !== noTerms || returns > 0) this.keepFacts();
    this.#handles.push(handle);
    if (this.#facts !== undefined) this.#addFacts(bodyBytes, arrival, terms, returns);
  }

  #addFacts(bodyBytes: number, arrival: number, terms: number, returns: number): void {
    const facts = this.#facts!;
    facts.bodyBytes.push(bodyBytes);
    facts.arrivals.push(arrival);
    facts.terms.push(terms);
    facts.returns.push(returns);
  }

  *handles(): Iterable<number> {
    for (let i = 0; i < this.#handles.length; i++) yield this.#handles.at(i);
  }

  giveTo(take: (message: RestoredMessage) => void, wasDelivered: boolean, wallMs: number): void {
    const handles = this.#handles;
    const facts = this.#facts;
    const message = {
      handle: 0,
      wasDelivered,
      terms: noTerms,
      bodyBytes: 0,
      arrivedAtMs: wallMs,
      returns: 0,
    };
    while (handles.length > 0) {
      message.handle = handles.shift();
      if (facts !== undefined) {
        message.bodyBytes = facts.bodyBytes.shift();
        message.arrivedAtMs = arrivalMs(facts.arrivals.shift(), wallMs);
        message.terms = facts.terms.shift();
        message.returns = facts.returns.shift();
      }
      take(message);
    }
  }
}
