/** Goal: an invalid route is gone from everywhere, and caches stay bounded. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { Route, RouteCache, RouteWatch } from "./route.ts";

function routeWith(
  key: string,
  cache: RouteCache<string>,
  watches: RouteWatch<string>[],
  queues: string[] = [],
): Route<string> {
  const route = new Route(key, queues, false, cache, watches);
  cache.add(route);
  return route;
}

test("an invalid route is nowhere any more", () => {
  const cache = new RouteCache<string>();
  const watches = [new RouteWatch<string>(), new RouteWatch<string>()];
  const route = routeWith("k", cache, watches);
  assert.equal(cache.get("k"), route);
  watches[1]?.invalidate("k");
  assert.equal(route.valid, false);
  assert.equal(cache.get("k"), undefined);
  assert.deepEqual(
    watches.map((watch) => watch.size),
    [0, 0],
  );
  route.invalidate();
});

test("a change for one routing key leaves the routes of the others", () => {
  const watch = new RouteWatch<string>();
  const caches = [new RouteCache<string>(), new RouteCache<string>()];
  const [first, second, other] = [
    routeWith("k", caches[0]!, [watch]),
    routeWith("k", caches[1]!, [watch]),
    routeWith("other", caches[0]!, [watch]),
  ];
  watch.invalidate("k");
  assert.deepEqual([first.valid, second.valid, other.valid], [false, false, true]);
  watch.invalidateAll();
  assert.equal(other.valid, false);
  assert.equal(watch.size, 0);
});

test("a cache stays bounded in routes, whatever keys come, and evicted routes are invalid", () => {
  const cache = new RouteCache<string>();
  const watch = new RouteWatch<string>();
  const first = routeWith("0", cache, [watch]);
  for (let key = 1; key < 100_000; key++) routeWith(String(key), cache, [watch]);
  assert.ok(cache.size <= 16_384 && watch.size === cache.size);
  assert.equal(first.valid, false);
  assert.equal(cache.get("99999")?.valid, true);
});

test("a full cache gives up one route for a new one, and in time every route", () => {
  const cache = new RouteCache<string>();
  const routes: Route<string>[] = [];
  const addNext = (): number => routes.push(routeWith(String(routes.length), cache, []));
  const evicted = (): number => routes.filter(({ valid }) => !valid).length;
  while (evicted() === 0) addNext();
  assert.equal(evicted(), 1);
  const size = cache.size;
  const known = [...routes];
  for (let count = 0; count < 100; count++) addNext();
  assert.deepEqual([evicted(), cache.size], [101, size]);
  // Routes that fall meanwhile leave gaps, which the others fill.
  for (const route of routes.slice(5000, 6000)) route.invalidate();
  assert.equal(cache.size, size - 1000);
  for (let count = 0; count < 2 * size; count++) addNext();
  assert.ok(known.every(({ valid }) => !valid));
  for (const route of routes) {
    assert.equal(cache.get(route.routingKey), route.valid ? route : undefined);
  }
});

test("a cache takes every route at first, and a few of those that come later", () => {
  const cache = new RouteCache<string>();
  for (let key = 0; key < 1000; key++) {
    assert.ok(cache.takesNext());
    routeWith(String(key), cache, []);
  }
  for (let key = 1000; key < 2000; key++) routeWith(String(key), cache, []);
  // However often two kinds of messages take turns, neither is always the one left out.
  for (const rhythm of [1, 2, 3, 16, 64]) {
    let taken = 0;
    for (let turn = 0; turn < 10_000 * rhythm; turn++) {
      if (cache.takesNext() && turn % rhythm === 0) taken++;
    }
    assert.ok(taken > 50 && taken < 500, `${taken} of 10,000 at every ${rhythm}`);
  }
});

test("a route for every key is found with each, until it is invalid", () => {
  const cache = new RouteCache<string>();
  const watch = new RouteWatch<string>();
  const route = new Route("k", ["q"], false, cache, [watch]);
  cache.addForEveryKey(route);
  assert.equal(cache.get("other"), route);
  assert.equal(cache.size, 1);
  watch.invalidateAll();
  assert.deepEqual([route.valid, cache.get("k"), cache.size, watch.size], [false, undefined, 0, 0]);
});

test("a route without a cache answers for one message", () => {
  const route = new Route("k", ["q"], false);
  assert.equal(route.valid, false);
  route.invalidate();
});

test("a cache stays bounded in targets too", () => {
  const cache = new RouteCache<string>();
  const queues = Array.from({ length: 1000 }, (_, index) => `q${index}`);
  for (let key = 0; key < 5000; key++) routeWith(String(key), cache, [], queues);
  assert.ok(cache.size <= 262);
  cache.get("4999")?.invalidate();
  assert.equal(cache.get("4999"), undefined);
});
