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

test("a cache stays bounded in targets too", () => {
  const cache = new RouteCache<string>();
  const queues = Array.from({ length: 1000 }, (_, index) => `q${index}`);
  for (let key = 0; key < 5000; key++) routeWith(String(key), cache, [], queues);
  assert.ok(cache.size <= 262);
  cache.get("4999")?.invalidate();
  assert.equal(cache.get("4999"), undefined);
});
