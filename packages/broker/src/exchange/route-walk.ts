/**
 * Follows one message from exchange to exchange, each once, and collects the queues it reaches.
 * Each topology has one walk and uses it again and again.
 *
 * HOT: runs for every message whose routing key is not remembered, so it allocates nothing but the
 * list of queues. Exchanges are marked with the number of the walk instead of being put in a Set;
 * queues, which are not the walk's to mark, are put in one only when there are many. Lists are
 * overwritten instead of emptied, because an emptied array gives up its memory.
 */

import { ExchangeNode } from "./exchange-node.ts";
import type { Destination, FoundDestinations, RoutedMessage } from "./exchange-type.ts";
import { type MessageTap, type Passage, type TappedMessage, TapVerdict } from "./message-tap.ts";
import type { RouteWatch } from "./route.ts";

/** Up to so many queues, looking through them is faster than a Set. */
const scannedQueuesMax = 16;

const noQueues: readonly never[] = Object.freeze([]);

export class RouteWalk<Q extends Destination> implements FoundDestinations<Q | ExchangeNode<Q>> {
  readonly #exchanges: ReadonlyMap<string, ExchangeNode<Q>>;
  readonly #onMissingAlternate: (exchange: ExchangeNode<Q>) => void;
  #number = 0;
  /** The exchanges reached so far; those up to the current one have been asked. */
  readonly #nodes: ExchangeNode<Q>[] = [];
  #nodeCount = 0;
  #askedCount = 0;
  readonly #unmatched: ExchangeNode<Q>[] = [];
  #unmatchedCount = 0;
  #queues: Q[] | null = null;
  readonly #seen = new Set<Q>();
  #hasMatch = false;
  #readsKey = false;
  #missesAlternate: ExchangeNode<Q> | null = null;
  /** The message that is being published, while it is. */
  #message: TappedMessage | null = null;
  #passage: Passage<Q> | null = null;
  #after: MessageTap | undefined = undefined;

  constructor(
    exchanges: ReadonlyMap<string, ExchangeNode<Q>>,
    onMissingAlternate: (exchange: ExchangeNode<Q>) => void,
  ) {
    this.#exchanges = exchanges;
    this.#onMissingAlternate = onMissingAlternate;
  }

  /**
   * Walks. With `untilMessageIsRead` it gives up, returning false, at an exchange whose answer
   * depends on more of the message than its routing keys. Taps are passed by; see `pass`.
   */
  follow(start: ExchangeNode<Q>, message: RoutedMessage, untilMessageIsRead: boolean): boolean {
    this.#begin(start);
    return this.#walk(message, untilMessageIsRead);
  }

  /**
   * Walks with a message that is being published, which taps on the way see. Behind `after`, a tap
   * of the first exchange, if that has seen it already and sends it on now.
   */
  pass(
    start: ExchangeNode<Q>,
    message: TappedMessage,
    passage: Passage<Q>,
    after: MessageTap | undefined,
  ): void {
    this.#begin(start);
    this.#message = message;
    this.#passage = passage;
    this.#after = after;
    try {
      this.#walk(message, false);
    } finally {
      this.#message = null;
      this.#passage = null;
      this.#after = undefined;
    }
    passage.queues = this.queues;
  }

  #walk(message: RoutedMessage, untilMessageIsRead: boolean): boolean {
    const nodes = this.#nodes;
    // The list grows while it is worked off.
    for (let index = 0; index < this.#nodeCount; index++) {
      const node = nodes[index]!;
      this.#askedCount = index + 1;
      if (untilMessageIsRead && node.readsMessage) {
        this.#queues = null;
        return false;
      }
      if (node.taps !== null && this.#passage !== null && !this.#passesTaps(node)) continue;
      this.#readsKey ||= node.matcher.readsKey;
      this.#hasMatch = false;
      node.matcher.match(message, this);
      if (!this.#hasMatch) this.#goToAlternate(node);
    }
    if (this.#queues === null && this.#missesAlternate !== null) this.#reportMissing();
    return true;
  }

  // What the last walk found out

  /** The queues, in a list of their own. */
  get queues(): readonly Q[] {
    return this.#queues ?? noQueues;
  }

  /** Whether the answer depends on the routing key. */
  get readsKey(): boolean {
    return this.#readsKey;
  }

  /** Every place on which the answer depends. */
  watches(): RouteWatch<Q>[] {
    const watches: RouteWatch<Q>[] = [];
    for (let index = 0; index < this.#askedCount; index++) {
      watches.push(this.#nodes[index]!.passing);
    }
    for (let index = 0; index < this.#unmatchedCount; index++) {
      watches.push(this.#unmatched[index]!.unmatched);
    }
    return watches;
  }

  // The way

  /** For the matchers. */
  add(destination: Q | ExchangeNode<Q>): void {
    this.#hasMatch = true;
    if (destination instanceof ExchangeNode) {
      this.#reach(destination);
      return;
    }
    const queues = this.#queues;
    if (queues === null) this.#queues = [destination];
    else if (queues.length < scannedQueuesMax) {
      if (!queues.includes(destination)) queues.push(destination);
    } else this.#addToMany(queues, destination);
  }

  #begin(start: ExchangeNode<Q>): void {
    this.#number++;
    this.#nodeCount = 0;
    this.#unmatchedCount = 0;
    this.#queues = null;
    if (this.#seen.size > 0) this.#seen.clear();
    this.#readsKey = false;
    this.#missesAlternate = null;
    this.#reach(start);
  }

  /** Shows the message to the exchange's taps; false if it goes no further from there. */
  #passesTaps(node: ExchangeNode<Q>): boolean {
    const passage = this.#passage!;
    const isFirst = node === this.#nodes[0];
    for (const tap of node.taps!) {
      if (isFirst && this.#after !== undefined && tap.stage <= this.#after.stage) continue;
      const verdict = tap.pass(this.#message!, node, passage);
      if (verdict === TapVerdict.Pass) continue;
      if (verdict === TapVerdict.Taken) passage.isTaken = true;
      return false;
    }
    return true;
  }

  #reach(node: ExchangeNode<Q>): void {
    if (node.reachedInWalk === this.#number) return;
    node.reachedInWalk = this.#number;
    this.#nodes[this.#nodeCount++] = node;
  }

  #addToMany(queues: Q[], queue: Q): void {
    const seen = this.#seen;
    if (seen.size === 0) for (const each of queues) seen.add(each);
    if (seen.has(queue)) return;
    seen.add(queue);
    queues.push(queue);
  }

  /** As in RabbitMQ the default exchange, whose bindings are only implicit, is no alternate. */
  #goToAlternate(node: ExchangeNode<Q>): void {
    this.#unmatched[this.#unmatchedCount++] = node;
    const name = node.alternateExchange;
    if (name === undefined || name === "") return;
    const alternate = this.#exchanges.get(name);
    if (alternate !== undefined) this.#reach(alternate);
    else if (!node.alternateReported) this.#missesAlternate ??= node;
  }

  #reportMissing(): void {
    const node = this.#missesAlternate!;
    node.alternateReported = true;
    this.#onMissingAlternate(node);
  }
}
