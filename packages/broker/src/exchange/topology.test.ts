/** Goal: the graph changes as RabbitMQ's does, and routes are kept exactly as long as they hold. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { policyOf } from "../../test/policy-of.ts";
import { noPolicy } from "../policy/effective-policy.ts";
import { declareExchange, declareQueue, type TestQueue, targetsOf } from "./exchange.contract.ts";
import type { Exchange } from "./exchange.ts";
import type { ExchangeType, MatchedBinding, Matcher } from "./exchange-type.ts";
import { ExchangeTypes } from "./exchange-types.ts";
import { Topology } from "./topology.ts";

const names = (list: Iterable<{ readonly name: string }>): string[] =>
  [...list].map(({ name }) => name);

describe("the default exchange", () => {
  test("routes to the queue that the key names, from its declaration to its deletion", () => {
    const topology = new Topology<TestQueue>();
    const { defaultExchange } = topology;
    assert.deepEqual(targetsOf(topology, defaultExchange, { routingKey: "q" }), []);
    const queue = declareQueue(topology, "q");
    assert.deepEqual(targetsOf(topology, defaultExchange, { routingKey: "q" }), ["q"]);
    assert.deepEqual(
      topology.routeMessage(defaultExchange, ["q", "none", "q"], undefined, undefined),
      [queue],
    );
    topology.removeQueue(queue);
    assert.deepEqual(targetsOf(topology, defaultExchange, { routingKey: "q" }), []);
  });

  test("can be neither bound nor removed, nor serve as an alternate", () => {
    const topology = new Topology<TestQueue>();
    const { defaultExchange } = topology;
    const queue = declareQueue(topology, "q");
    const other = declareExchange(topology, "x", "direct", { alternate: "" });
    assert.throws(() => topology.bind(defaultExchange, queue, "q"));
    assert.throws(() => topology.bind(other, defaultExchange, "q"));
    assert.throws(() => topology.removeExchange(defaultExchange));
    assert.deepEqual(targetsOf(topology, other, { routingKey: "q" }), []);
  });

  test("lists each queue's implicit binding, which cannot be removed", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    const exchange = declareExchange(topology, "x", "fanout");
    topology.bind(exchange, queue, "k");
    const shown = [...topology.bindingsTo(queue)].map((each) => [
      each.source.name,
      each.destinationKind,
      each.routingKey,
    ]);
    assert.deepEqual(shown, [
      ["", "queue", "q"],
      ["x", "queue", "k"],
    ]);
    const [implicit] = topology.bindingsFrom(topology.defaultExchange);
    assert.equal(implicit?.destination, queue);
    assert.equal(topology.unbind(topology.defaultExchange, queue, "q"), undefined);
    assert.deepEqual(targetsOf(topology, topology.defaultExchange, { routingKey: "q" }), ["q"]);
  });
});

describe("bindings", () => {
  test("are told apart by source, destination, key and arguments, whatever is in the names", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "same");
    const short = declareExchange(topology, "x", "direct");
    const long = declareExchange(topology, "x1", "direct");
    const same = declareExchange(topology, "same", "fanout");
    assert.equal(topology.bind(short, queue, "1k"), true);
    assert.equal(topology.bind(long, queue, "k"), true, "x + 1k is not x1 + k");
    assert.equal(topology.bind(short, same, "1k"), true, "the exchange is not the queue");
    assert.equal(topology.bind(short, queue, "1k", FieldTable.from({ a: 1 })), true);
    assert.equal(topology.bind(short, queue, "1k", FieldTable.from({ a: 1.5 })), true);
    assert.equal(topology.bind(short, queue, "1k"), false);
    assert.equal(names([...topology.bindingsFrom(short)].map((each) => each.source)).length, 4);
    assert.deepEqual([...topology.bindingsTo(same)].length, 1);
  });

  test("do not depend on the order of their arguments, but on the arguments' types", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    const exchange = declareExchange(topology, "x", "headers");
    assert.equal(topology.bind(exchange, queue, "", FieldTable.from({ a: 1, b: 2 })), true);
    assert.equal(topology.bind(exchange, queue, "", FieldTable.from({ b: 2, a: 1 })), false);
    const long = new FieldTable([
      { name: "a", value: { type: "l", value: 1 } },
      { name: "b", value: { type: "I", value: 2 } },
    ]);
    assert.equal(topology.bind(exchange, queue, "", long), true);
    assert.ok(topology.unbind(exchange, queue, "", FieldTable.from({ b: 2, a: 1 })));
  });

  test("need both ends in the topology", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    const exchange = declareExchange(topology, "x", "direct");
    topology.removeQueue(queue);
    assert.throws(() => topology.bind(exchange, queue, "k"), /not of this topology/);
    const declaredAnew = declareQueue(topology, "q");
    assert.throws(() => topology.bind(exchange, queue, "k"), /not of this topology/);
    topology.removeExchange(exchange);
    assert.throws(() => topology.bind(exchange, declaredAnew, "k"), /not of this topology/);
    assert.throws(() => topology.removeExchange(exchange), /not of this topology/);
  });

  test("names are taken once", () => {
    const topology = new Topology<TestQueue>();
    declareQueue(topology, "q");
    declareExchange(topology, "x", "direct");
    assert.throws(() => declareQueue(topology, "q"), /exists/);
    assert.throws(() => declareExchange(topology, "x", "direct"), /exists/);
    assert.throws(() => declareExchange(topology, "y", "no such type"), /unknown exchange type/);
    assert.deepEqual(names(topology.exchanges()), ["", "x"]);
    assert.deepEqual(names(topology.queues()), ["q"]);
    assert.equal(topology.queueCount, 1);
  });
});

describe("removal", () => {
  test("of the last queue takes a chain of auto-delete exchanges along", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    const chain = ["a", "b", "c"].map((name) =>
      declareExchange(topology, name, "fanout", { autoDelete: true }),
    );
    const keeper = declareExchange(topology, "keeper", "fanout");
    topology.bind(keeper, chain[0]!, "");
    topology.bind(chain[0]!, chain[1]!, "");
    topology.bind(chain[1]!, chain[2]!, "");
    topology.bind(chain[2]!, queue, "");
    const removed = topology.removeQueue(queue);
    assert.deepEqual(names(removed.exchanges), ["c", "b", "a"]);
    assert.equal(removed.bindings.length, 4);
    assert.deepEqual(names(topology.exchanges()), ["", "keeper"]);
    assert.equal(topology.isSource(keeper), false);
  });

  test("of an exchange empties those bound to it, in a cycle too", () => {
    const topology = new Topology<TestQueue>();
    const first = declareExchange(topology, "first", "fanout", { autoDelete: true });
    const second = declareExchange(topology, "second", "fanout", { autoDelete: true });
    topology.bind(first, second, "");
    topology.bind(second, first, "");
    topology.bind(first, first, "");
    assert.deepEqual(names(topology.removeExchange(first).exchanges), ["first", "second"]);
  });

  test("keeps an auto-delete exchange that never had a binding, or still has one", () => {
    const topology = new Topology<TestQueue>();
    const queues = [declareQueue(topology, "q1"), declareQueue(topology, "q2")];
    declareExchange(topology, "fresh", "fanout", { autoDelete: true });
    const used = declareExchange(topology, "used", "fanout", { autoDelete: true });
    for (const queue of queues) topology.bind(used, queue, "");
    assert.deepEqual(topology.removeQueue(queues[0]!).exchanges, []);
    assert.deepEqual(names(topology.exchanges()), ["", "fresh", "used"]);
  });

  test("of a queue that is gone, or was declared anew, does nothing", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    topology.removeQueue(queue);
    const anew = declareQueue(topology, "q");
    assert.deepEqual(topology.removeQueue(queue).bindings, []);
    assert.equal(topology.queue("q"), anew);
  });

  test("of an exchange forgets its bindings to queues", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    const exchange = declareExchange(topology, "x", "fanout");
    topology.bind(exchange, queue, "");
    assert.equal(topology.removeExchange(exchange).bindings.length, 1);
    assert.equal([...topology.bindingsTo(queue)].length, 1, "only the implicit one");
    const anew = declareExchange(topology, "x", "fanout");
    assert.deepEqual(targetsOf(topology, anew, { routingKey: "" }), []);
    assert.equal(topology.bind(anew, queue, ""), true);
  });
});

describe("alternate exchanges", () => {
  test("form chains and cycles", () => {
    const topology = new Topology<TestQueue>();
    const first = declareExchange(topology, "first", "direct", { alternate: "second" });
    declareExchange(topology, "second", "topic", { alternate: "third" });
    const third = declareExchange(topology, "third", "fanout", { alternate: "first" });
    assert.deepEqual(targetsOf(topology, first, { routingKey: "k" }), []);
    topology.bind(third, declareQueue(topology, "q"), "");
    assert.deepEqual(targetsOf(topology, first, { routingKey: "k" }), ["q"]);
  });

  test("are not asked when the match is an exchange that leads nowhere", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "direct", { alternate: "ae" });
    topology.bind(declareExchange(topology, "ae", "fanout"), declareQueue(topology, "q"), "");
    topology.bind(exchange, declareExchange(topology, "dead end", "fanout"), "k");
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "k" }), []);
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "other" }), ["q"]);
  });

  test("can be changed afterwards, as policies do", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "direct");
    topology.bind(declareExchange(topology, "ae", "fanout"), declareQueue(topology, "rest"), "");
    topology.bind(exchange, declareQueue(topology, "q"), "k");
    const matched = topology.route(exchange, "k");
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "other" }), []);
    topology.applyPolicy(exchange, policyOf({ "alternate-exchange": "ae" }));
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "other" }), ["rest"]);
    topology.applyPolicy(exchange, noPolicy);
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "other" }), []);
    assert.equal(matched.valid, true, "what matched never depended on it");
  });

  test("named by an argument stay, whatever a policy says", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "direct", { alternate: "ae" });
    topology.bind(declareExchange(topology, "ae", "fanout"), declareQueue(topology, "rest"), "");
    declareExchange(topology, "other", "fanout");
    topology.applyPolicy(exchange, policyOf({ "alternate-exchange": "other" }));
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "k" }), ["rest"]);
    topology.applyPolicy(exchange, noPolicy);
    assert.deepEqual(targetsOf(topology, exchange, { routingKey: "k" }), ["rest"]);
  });

  test("that come, go and come again are noticed", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "direct", { alternate: "ae" });
    const queue = declareQueue(topology, "q");
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(targetsOf(topology, exchange, { routingKey: "k" }), []);
      const alternate = declareExchange(topology, "ae", "fanout");
      topology.bind(alternate, queue, "");
      assert.deepEqual(targetsOf(topology, exchange, { routingKey: "k" }), ["q"]);
      topology.removeExchange(alternate);
    }
  });
});

describe("a missing alternate exchange", () => {
  test("is told of once, when a message is lost by it", () => {
    const topology = new Topology<TestQueue>();
    const told: string[] = [];
    topology.onMissingAlternate = ({ name, alternateExchange }) =>
      told.push(`${name} ${alternateExchange}`);
    const lost = (exchange: Exchange, count: number): void => {
      for (let index = 0; index < count; index++) {
        topology.route(exchange, `${index}`);
        topology.routeMessage(exchange, [`${index}`], undefined, undefined);
      }
    };
    const exchange = declareExchange(topology, "x", "direct");
    topology.applyPolicy(exchange, policyOf({ "alternate-exchange": "ae" }));
    topology.bind(exchange, declareQueue(topology, "q"), "bound");
    topology.route(exchange, "bound");
    assert.deepEqual(told, [], "nothing was lost");
    lost(exchange, 3000);
    assert.deepEqual(told.splice(0), ["x ae"]);
    topology.applyPolicy(exchange, policyOf({ "alternate-exchange": "other" }));
    lost(exchange, 3);
    assert.deepEqual(told.splice(0), ["x other"]);
    const other = declareExchange(topology, "other", "fanout");
    lost(exchange, 3);
    assert.deepEqual(told, [], "it exists, though it leads nowhere");
    topology.removeExchange(other);
    lost(exchange, 3);
    assert.deepEqual(told.splice(0), ["x other"], "it came and went");
    topology.applyPolicy(exchange, noPolicy);
    lost(exchange, 3);
    assert.deepEqual(told, []);
  });

  test("is no matter where the message reaches a queue by another way", () => {
    const topology = new Topology<TestQueue>();
    topology.onMissingAlternate = () => assert.fail("the message was not lost");
    const entry = declareExchange(topology, "entry", "fanout");
    topology.bind(entry, declareExchange(topology, "x", "direct", { alternate: "ae" }), "");
    topology.bind(entry, declareQueue(topology, "q"), "");
    assert.deepEqual(targetsOf(topology, entry, { routingKey: "k" }), ["q"]);
  });
});

describe("keys that do not repeat", () => {
  test("are routed by what is bound at the moment, remembered or not", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "topic", { alternate: "ae" });
    const alternate = declareExchange(topology, "ae", "direct");
    const queues = Array.from({ length: 40 }, (_, index) => declareQueue(topology, `q${index}`));
    const rest = declareQueue(topology, "rest");
    const seen = new Set<boolean>();
    for (let index = 0; index < 3000; index++) topology.route(exchange, `before.${index}`);
    for (let index = 0; index < 6000; index++) {
      const key = `order.${index}.${index % 3}`;
      // Every key is looked up before and after the binding that concerns it.
      const before = topology.route(exchange, key);
      assert.deepEqual(names(before.queues), []);
      seen.add(before.valid);
      topology.bind(alternate, rest, key);
      assert.equal(before.valid, false);
      assert.deepEqual(names(topology.route(exchange, key).queues), ["rest"]);
      topology.unbind(alternate, rest, key);
    }
    assert.deepEqual(seen, new Set([true, false]), "some are remembered, others are not");
    for (const queue of queues) {
      topology.bind(exchange, queue, "order.*.0");
      topology.bind(exchange, queue, "order.#");
    }
    for (let index = 0; index < 3000; index++) {
      const route = topology.route(exchange, `order.${index}.0`);
      assert.deepEqual(names(route.queues), names(queues), "each queue once");
    }
  });

  test("do not keep a key from being remembered that does", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "direct");
    topology.bind(exchange, declareQueue(topology, "q"), "often");
    let next = 0;
    const routeOthers = (count: number): void => {
      for (const end = next + count; next < end; next++) topology.route(exchange, `${next}`);
    };
    routeOthers(20_000);
    let asked = 0;
    while (!topology.route(exchange, "often").valid) {
      routeOthers(1);
      assert.ok(++asked < 2000, "it is never remembered");
    }
    const route = topology.route(exchange, "often");
    routeOthers(100_000);
    assert.equal(topology.route(exchange, "often"), route, "it is not soon forgotten");
  });

  test("share one route where no exchange looks at them", () => {
    const topology = new Topology<TestQueue>();
    const queue = declareQueue(topology, "q");
    const first = declareExchange(topology, "first", "fanout");
    const second = declareExchange(topology, "second", "fanout", { alternate: "direct" });
    topology.bind(first, second, "");
    topology.bind(second, queue, "");
    const route = topology.route(first, "a");
    assert.deepEqual(names(route.queues), ["q"]);
    assert.equal(topology.route(first, "b"), route);
    const headers = declareExchange(topology, "headers", "headers");
    assert.equal(topology.route(headers, "a"), topology.route(headers, "b"));
    // With its last binding gone the message goes on to an exchange that reads the key.
    const direct = declareExchange(topology, "direct", "direct");
    topology.bind(direct, queue, "a");
    assert.equal(route.valid, true);
    topology.unbind(second, queue, "");
    assert.equal(route.valid, false);
    assert.deepEqual(names(topology.route(first, "a").queues), ["q"]);
    assert.deepEqual(names(topology.route(first, "b").queues), []);
    topology.removeExchange(direct);
    assert.equal(topology.route(first, "a"), topology.route(first, "b"));
  });
});

describe("remembered routes", () => {
  test("of a hot route survive 50,000 unrelated queues", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "direct");
    const busy = declareExchange(topology, "busy", "direct");
    topology.bind(exchange, declareQueue(topology, "hot"), "k");
    const routes = [
      topology.route(exchange, "k"),
      topology.route(topology.defaultExchange, "hot"),
      topology.route(topology.defaultExchange, "absent"),
    ];
    for (let index = 0; index < 50_000; index++) {
      topology.bind(busy, declareQueue(topology, `q${index}`), `k${index}`);
    }
    for (const queue of [...topology.queues()].slice(1)) topology.removeQueue(queue);
    for (const route of routes) {
      assert.equal(route.valid, true);
      const exchangeOf = route === routes[0] ? exchange : topology.defaultExchange;
      assert.equal(topology.route(exchangeOf, route.routingKey), route);
    }
  });

  test("of a topic exchange serve 1,000 bindings and 1,000 keys", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "topic");
    const keys = Array.from({ length: 1000 }, (_, index) => `a.${index}.b.${index % 7}`);
    for (const key of keys) {
      topology.bind(exchange, declareQueue(topology, key), key.replace("a", "*").replace("b", "#"));
    }
    const routes = keys.map((key) => topology.route(exchange, key));
    assert.deepEqual(
      keys.map((key) => topology.route(exchange, key)),
      routes,
    );
    for (const [index, route] of routes.entries()) {
      assert.equal(topology.route(exchange, keys[index]!), route);
      assert.deepEqual(names(route.queues), [keys[index]]);
    }
  });

  test("fall with what an upstream exchange leads to, but only for the key that changed", () => {
    const topology = new Topology<TestQueue>();
    const upstream = declareExchange(topology, "upstream", "fanout");
    const middle = declareExchange(topology, "middle", "topic");
    const last = declareExchange(topology, "last", "direct");
    topology.bind(upstream, middle, "");
    topology.bind(middle, last, "#");
    const changed = topology.route(upstream, "k");
    const unchanged = topology.route(upstream, "other");
    topology.bind(last, declareQueue(topology, "q"), "k");
    assert.deepEqual([changed.valid, unchanged.valid], [false, true]);
    assert.deepEqual(targetsOf(topology, upstream, { routingKey: "k" }), ["q"]);
    topology.removeExchange(middle);
    assert.equal(unchanged.valid, false);
    assert.deepEqual(targetsOf(topology, upstream, { routingKey: "k" }), []);
  });

  test("say when each message has to be looked at, which no headers binding changes", () => {
    const topology = new Topology<TestQueue>();
    const entry = declareExchange(topology, "entry", "direct");
    const headers = declareExchange(topology, "headers", "headers");
    topology.bind(entry, headers, "k");
    const route = topology.route(entry, "k");
    assert.equal(route.needsMessage, true);
    assert.equal(topology.route(entry, "other").needsMessage, false);
    topology.bind(headers, declareQueue(topology, "q"), "", FieldTable.from({ a: 1 }));
    assert.equal(route.valid, true);
    const message = { routingKey: "k", headers: FieldTable.from({ a: 1 }) };
    assert.deepEqual(targetsOf(topology, entry, message), ["q"]);
    topology.unbind(entry, headers, "k");
    assert.equal(route.valid, false);
    assert.equal(topology.route(entry, "k").needsMessage, false);
  });

  test("of a removed exchange lead nowhere and are not kept", () => {
    const topology = new Topology<TestQueue>();
    const exchange = declareExchange(topology, "x", "fanout");
    topology.bind(exchange, declareQueue(topology, "q"), "");
    topology.removeExchange(exchange);
    const route = topology.route(exchange, "k");
    assert.deepEqual([route.valid, route.queues.length], [false, 0]);
  });
});

test("a type that was registered later takes part like the others", () => {
  // Routes to the binding with the longest key, whatever the message.
  const longest: ExchangeType = {
    name: "x-longest",
    isExact: () => false,
    validateExchange: () => undefined,
    validateBinding: ({ routingKey }) =>
      routingKey === "" ? { explanation: "needs a key" } : undefined,
    createMatcher<D>(): Matcher<D> {
      const bindings: MatchedBinding<D>[] = [];
      return {
        readsMessage: false,
        readsKey: false,
        add: (binding) => bindings.push(binding),
        remove: (binding) => bindings.splice(bindings.indexOf(binding), 1),
        match(_message, found) {
          bindings.sort((a, b) => b.routingKey.length - a.routingKey.length);
          if (bindings[0] !== undefined) found.add(bindings[0].destination);
        },
      };
    },
  };
  const types = new ExchangeTypes();
  types.register(longest);
  assert.throws(() => types.register(longest), /registered twice/);
  assert.equal(types.names().at(-1), "x-longest");
  const topology = new Topology<TestQueue>(types);
  const exchange = declareExchange(topology, "x", "x-longest");
  assert.equal(
    topology.validateBinding(exchange, {
      routingKey: "",
      arguments: new FieldTable(),
      destinationKind: "queue",
    })?.explanation,
    "needs a key",
  );
  topology.bind(exchange, declareQueue(topology, "q1"), "k");
  topology.bind(exchange, declareQueue(topology, "q2"), "kk");
  assert.deepEqual(targetsOf(topology, exchange, { routingKey: "any" }), ["q2"]);
});
