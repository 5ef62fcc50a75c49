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
 * To be remembered costs more than to be found. Where keys do not repeat, most answers are good for
 * one message only: such a route was never valid, and nobody watches over it.
 *
 * Invariant: a valid route is in the cache of its first exchange and at all its watches; an invalid
 * one is nowhere. So whoever evicts a route invalidates it.
 */

import { type OneOrMany, withElement, withoutElement } from "./one-or-many.ts";

const noWatches: readonly RouteWatch<never>[] = [];

export class Route<Q> {
  /** Each target once, in no particular order. Empty if the message is unroutable. */
  readonly queues: readonly Q[];
  /** True if the answer depends on the message's headers: ask for each message by itself. */
  readonly needsMessage: boolean;
  /** False once a change may have altered the answer: look it up again. */
  valid: boolean;
  /** Of a route that holds for every key, the one it was first asked with. */
  readonly routingKey: string;
  /** Where its cache keeps it. */
  slot = -1;
  #cache: RouteCache<Q> | null;
  readonly #watches: readonly RouteWatch<Q>[];

  /**
   * With a cache, which then has to take it, the route is valid until something it watches changes.
   */
  constructor(
    routingKey: string,
    queues: readonly Q[],
    needsMessage: boolean,
    cache: RouteCache<Q> | null = null,
    watches: readonly RouteWatch<Q>[] = noWatches,
  ) {
    this.routingKey = routingKey;
    this.queues = queues;
    this.needsMessage = needsMessage;
    this.valid = cache !== null;
    this.#cache = cache;
    this.#watches = watches;
    for (const watch of watches) watch.enter(this);
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
    const routes = this.#routes.get(routingKey);
    if (routes !== undefined) invalidateEach(routes);
  }

  invalidateAll(): void {
    for (const routes of this.#routes.values()) invalidateEach(routes);
  }

  get size(): number {
    return this.#routes.size;
  }
}

/** Each route leaves its watches while it is invalidated, which Map and Set iteration allow. */
function invalidateEach<Q>(routes: OneOrMany<Route<Q>>): void {
  if (routes instanceof Set) for (const route of routes) route.invalidate();
  else routes.invalidate();
}

/** Up to here a cache takes every route: most exchanges see no more keys. */
const readilyTakenMax = 1024;
/** Beyond, of the keys that were not found one in so many is taken; a power of two. */
const takenOneIn = 64;
/** Beyond these a new route takes the place of an old one: some MiB at most, whatever comes. */
const routesMax = 16_384;
const targetsMax = 262_144;

/**
 * The routes that start at one exchange, by routing key, or the one that holds for every key.
 *
 * Once it knows many keys it takes new ones by lot. A key that comes often is drawn soon; keys that
 * come once are rarely drawn, and cost next to nothing.
 */
export class RouteCache<Q> {
  readonly #routes = new Map<string, Route<Q>>();
  /** The same in no order, to find a victim without a search. */
  readonly #slots: Route<Q>[] = [];
  #nextVictim = 0;
  #forEveryKey: Route<Q> | undefined = undefined;
  #targets = 0;
  #lot = 0x2545f491;

  get(routingKey: string): Route<Q> | undefined {
    return this.#forEveryKey ?? this.#routes.get(routingKey);
  }

  /** Whether to remember the route of a key that was not found. */
  takesNext(): boolean {
    if (this.#slots.length < readilyTakenMax) return true;
    // Marsaglia's xorshift: no rhythm of keys stays in step with it, and runs can be repeated.
    let lot = this.#lot;
    lot ^= lot << 13;
    lot ^= lot >>> 17;
    lot ^= lot << 5;
    this.#lot = lot;
    return (lot & (takenOneIn - 1)) === 0;
  }

  add(route: Route<Q>): void {
    const slots = this.#slots;
    const targetsLeft = targetsMax - route.queues.length;
    while (slots.length >= routesMax || (this.#targets > targetsLeft && slots.length > 0)) {
      this.#evict();
    }
    this.#routes.set(route.routingKey, route);
    route.slot = slots.length;
    slots.push(route);
    this.#targets += route.queues.length;
  }

  /** Takes a route that does not depend on the key, so that no other can start here. */
  addForEveryKey(route: Route<Q>): void {
    this.#forEveryKey = route;
  }

  forget(route: Route<Q>): void {
    if (route === this.#forEveryKey) {
      this.#forEveryKey = undefined;
      return;
    }
    const slots = this.#slots;
    if (slots[route.slot] !== route) return;
    const last = slots.pop()!;
    if (last !== route) {
      slots[route.slot] = last;
      last.slot = route.slot;
    }
    this.#routes.delete(route.routingKey);
    this.#targets -= route.queues.length;
  }

  get size(): number {
    return this.#slots.length + (this.#forEveryKey === undefined ? 0 : 1);
  }

  /** Goes round: a route stays as long as the others do, wherever it was moved meanwhile. */
  #evict(): void {
    const at = this.#nextVictim < this.#slots.length ? this.#nextVictim : 0;
    this.#nextVictim = at + 1;
    this.#slots[at]!.invalidate();
  }
}
