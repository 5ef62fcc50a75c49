/**
 * What the broker promises of duplicates: a naive account of every publication with a key, and the
 * judge of what is delivered. The simulator of deduplication keeps it beside the real broker.
 *
 * - Nothing is lost: of a key with a confirmed publication one comes out of every queue that it was
 *   published for. So no publication is ever taken for a duplicate of one that is not there.
 * - Nothing is doubled: once a publication of a key is confirmed no later one is ever delivered,
 *   over all ends of the broker. Within one life that holds whether it is confirmed or not.
 * - A queue that deduplicates takes what it has not got.
 */

import { demand } from "./promise-broken.ts";

/** Where publications go: through the exchange that deduplicates, or to the queue that does. */
export type Target = "exchange" | "queue";

export interface Publication {
  readonly id: number;
  readonly key: number;
  readonly target: Target;
  isConfirmed: boolean;
}

/** Of one key at one target. */
interface KeyAccount {
  readonly publications: Publication[];
  /** Ids that come after one that was confirmed: none is ever delivered. */
  readonly late: Set<number>;
  /** What has been delivered, by queue. */
  readonly delivered: Map<string, Set<number>>;
}

export class KeyModel {
  readonly #accounts = new Map<string, KeyAccount>();
  readonly #byId = new Map<number, Publication>();
  /** Whether keys are remembered for good, as far as this simulation goes. */
  readonly #remembersAll: boolean;
  /** Keys at the exchange that have come through in this life. */
  #passed = new Set<number>();
  /** Ids that the broker has turned away, or taken, in so many words. */
  readonly #refused = new Set<number>();
  readonly #expected = new Set<number>();
  /** What the deduplicating queue has, by key; the first one if a restart has found several. */
  #held = new Map<number, number>();

  constructor(remembersAll: boolean) {
    this.#remembersAll = remembersAll;
  }

  get publications(): number {
    return this.#byId.size;
  }

  /** A publication, of which the broker says whether it has taken it. */
  publish(publication: Publication, isTaken: boolean): void {
    const { id, key, target } = publication;
    const account = this.#accountOf(target, key);
    const mustBeNew = account.publications.length === 0;
    const isSafe = account.publications.some(({ isConfirmed }) => isConfirmed);
    const isKnown = target === "queue" ? this.#held.has(key) : this.#passed.has(key);
    demand(!mustBeNew || isTaken, () => `${id} with new key ${key} is taken for a duplicate`);
    if (target === "queue") {
      const outcome = isTaken ? "taken" : "taken for a duplicate";
      demand(isTaken !== isKnown, () => `${id} with key ${key} is ${outcome}, wrongly`);
      if (isTaken) this.#held.set(key, id);
    } else if (this.#remembersAll) {
      const mustBeKnown = isKnown || isSafe;
      demand(!mustBeKnown || !isTaken, () => `${id} is not taken for a duplicate by key ${key}`);
      if (isSafe) account.late.add(id);
      this.#passed.add(key);
    }
    if (!isTaken) this.#refused.add(id);
    account.publications.push(publication);
    this.#byId.set(id, publication);
  }

  confirm(publication: Publication): void {
    publication.isConfirmed = true;
    if (!this.#refused.has(publication.id)) this.#expected.add(publication.id);
  }

  deliver(queue: string, id: number): void {
    const publication = this.#byId.get(id);
    demand(publication !== undefined, () => `nobody has published ${id}`);
    demand(!this.#refused.has(id), () => `${id} was a duplicate and is in ${queue}`);
    const { delivered, late } = this.#accountOf(publication.target, publication.key);
    demand(!late.has(id), () => `${id} is one too many in ${queue}`);
    const ids = delivered.get(queue) ?? new Set();
    delivered.set(queue, ids.add(id));
  }

  /** The deduplicating queue has let go of a message. */
  settle(id: number): void {
    const { key } = this.#byId.get(id)!;
    if (this.#held.get(key) === id) this.#held.delete(key);
  }

  /** The broker has started anew and found these in the queue that deduplicates, oldest first. */
  restart(found: readonly number[]): void {
    this.#passed = new Set();
    this.#held = new Map();
    for (const id of found) {
      const { key } = this.#byId.get(id)!;
      if (!this.#held.has(key)) this.#held.set(key, id);
    }
  }

  /** Everything has been delivered that ever will be. */
  judge(queues: Readonly<Record<Target, readonly string[]>>): void {
    for (const { publications, delivered } of this.#accounts.values()) {
      const confirmed = publications.filter(({ isConfirmed }) => isConfirmed);
      const [first] = confirmed;
      if (first === undefined) continue;
      for (const queue of queues[first.target]) {
        const ids = delivered.get(queue) ?? new Set();
        demand(ids.size > 0, () => `of key ${first.key} nothing has come out of ${queue}`);
        const missing = confirmed.find(({ id }) => this.#expected.has(id) && !ids.has(id));
        demand(missing === undefined, () => `${missing?.id} is lost in ${queue}`);
      }
    }
  }

  #accountOf(target: Target, key: number): KeyAccount {
    const name = `${target} ${key}`;
    let account = this.#accounts.get(name);
    if (account === undefined) {
      account = { publications: [], late: new Set(), delivered: new Map() };
      this.#accounts.set(name, account);
    }
    return account;
  }
}
