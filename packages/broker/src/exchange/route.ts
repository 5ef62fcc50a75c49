/**
 * A remembered answer to "where does a message with this routing key go from this exchange", and
 * the bookkeeping that takes it back the moment it may no longer be true.
 *
 * Publishers keep the `Route` of their previous message and look only at `valid`. A route enters
 * itself at every place that its answer depends on: at the watch of each exchange it passed, and at
 * the watch for unmatched messages of each exchange that had no match. A change of the topology
 * invalidates what is entered at the place that changed, for one routing key or for all, and
 * touches nothing else.
 *
 * Invariant: a valid route is in the cache of its first exchange and at all its watches; an invalid
 * one is nowhere. So whoever evicts a route invalidates it.
 */

import { eachElement, type OneOrMany, withElement, withoutElement } from "./one-or-many.ts";

export class Route<Q> {
  /** Each target once, in no particular order. Empty if the message is unroutable. */
  readonly queues: readonly Q[];
  /** True if the answer depends on the message's headers: ask for each message by itself. */
  readonly needsMessage: boolean;
  /** False once a change may have altered the answer: look it up again. */
  valid = true;
  readonly routingKey: string;
  #cache: RouteCache<Q> | null;
  readonly #watches: readonly RouteWatch<Q>[];

  constructor(
    routingKey: string,
    queues: readonly Q[],
    needsMessage: boolean,
    cache: RouteCache<Q> | null = null,
    watches: readonly RouteWatch<Q>[] = [],
  ) {
    this.routingKey = routingKey;
    this.queues = queues;
    this.needsMessage = needsMessage;
    this.#cache = cache;
    this.#watches = watches;
    for (const watch of watches) watch.enter(this);
  }

  /** A route that leads nowhere and must be looked up again. */
  static obsolete<Q>(routingKey: string): Route<Q> {
    const route = new Route<Q>(routingKey, [], false);
    route.valid = false;
    return route;
  }

  /** Harmless when repeated. */
  invalidate(): void {
    if (!this.valid) return;
    this.valid = false;
    for (const watch of this.#watches) watch.leave(this);
    this.#cache?.forget(this);
    this.#cache = null;
  }
}

/** The routes whose answer depends on one place in the topology, by routing key. */
export class RouteWatch<Q> {
  readonly #routes = new Map<string, OneOrMany<Route<Q>>>();

  enter(route: Route<Q>): void {
    const { routingKey } = route;
    this.#routes.set(routingKey, withElement(this.#routes.get(routingKey), route));
  }

  leave(route: Route<Q>): void {
    const { routingKey } = route;
    const left = withoutElement(this.#routes.get(routingKey), route);
    if (left === undefined) this.#routes.delete(routingKey);
    else this.#routes.set(routingKey, left);
  }

  invalidate(routingKey: string): void {
    // Each route leaves while it is invalidated, which Map and Set iteration allow.
    for (const route of eachElement(this.#routes.get(routingKey))) route.invalidate();
  }

  invalidateAll(): void {
    for (const routes of this.#routes.values()) {
      for (const route of eachElement(routes)) route.invalidate();
    }
  }

  get size(): number {
    return this.#routes.size;
  }
}

/** Beyond these a cache starts over: some MiB at most, whatever publishers do. */
const ROUTES_MAX = 16_384;
const TARGETS_MAX = 262_144;

/** The routes that start at one exchange, by routing key. */
export class RouteCache<Q> {
  readonly #routes = new Map<string, Route<Q>>();
  #targets = 0;

  get(routingKey: string): Route<Q> | undefined {
    return this.#routes.get(routingKey);
  }

  add(route: Route<Q>): void {
    const targets = this.#targets + route.queues.length;
    if (this.#routes.size >= ROUTES_MAX || targets > TARGETS_MAX) this.#startOver();
    this.#routes.set(route.routingKey, route);
    this.#targets += route.queues.length;
  }

  forget(route: Route<Q>): void {
    if (this.#routes.delete(route.routingKey)) this.#targets -= route.queues.length;
  }

  get size(): number {
    return this.#routes.size;
  }

  #startOver(): void {
    for (const route of this.#routes.values()) route.invalidate();
  }
}
