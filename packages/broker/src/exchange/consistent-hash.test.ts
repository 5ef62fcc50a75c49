/**
 * Goal: messages are shared out exactly by weight, who comes or goes moves only what it must, and
 * nothing but the set of bindings decides.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  encodeProperties,
  FieldTable,
  type FieldValue,
  type Properties,
  WireWriter,
} from "@haremq/wire";
import fc from "fast-check";
import { MessageView } from "../message/message-view.ts";
import { consistentHashType } from "./consistent-hash.ts";
import { exchangeContract } from "./exchange.contract.ts";
import type { Destination, MatchedBinding, Matcher } from "./exchange-type.ts";

const none = new FieldTable();

exchangeContract({
  type: consistentHashType,
  binding: { routingKey: "3", arguments: none },
  matching: { routingKey: "any" },
  spreads: true,
});

type Weights = ReadonlyMap<string, number>;

function bindingTo(name: string, weight: number | string): MatchedBinding<Destination> {
  return {
    destination: { name },
    destinationKind: "queue",
    routingKey: `${weight}`,
    arguments: none,
  };
}

function matcherOf(weights: Weights, args = none): Matcher<Destination> {
  const matcher = consistentHashType.createMatcher<Destination>(args);
  for (const [name, weight] of weights) matcher.add(bindingTo(name, weight));
  return matcher;
}

function queueOf(
  matcher: Matcher<Destination>,
  routingKey: string,
  message: { headers?: FieldTable; view?: MessageView } = {},
): string {
  const found: Destination[] = [];
  const { headers, view } = message;
  matcher.match(
    { routingKeys: [routingKey], headers, view },
    { add: (destination) => found.push(destination) },
  );
  assert.equal(found.length, 1);
  return found[0]!.name;
}

function queuesOf(matcher: Matcher<Destination>, keys: readonly string[]): string[] {
  return keys.map((key) => queueOf(matcher, key));
}

function keysTo(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `order.${index}`);
}

function countsOf(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}

/**
 * Pearson's statistic over the degrees of freedom: about 1 for a fair draw. The keys are always the
 * same, so what it is once it is for ever.
 */
function unfairness(counts: ReadonlyMap<string, number>, weights: Weights): number {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const totalWeight = [...weights.values()].reduce((sum, weight) => sum + weight, 0);
  let statistic = 0;
  for (const [name, weight] of weights) {
    const expected = (total * weight) / totalWeight;
    statistic += ((counts.get(name) ?? 0) - expected) ** 2 / expected;
  }
  return statistic / (weights.size - 1);
}

test("queues of equal weight get equal shares", () => {
  const weights = new Map(Array.from({ length: 50 }, (_, index) => [`queue-${index}`, 10]));
  const counts = countsOf(queuesOf(matcherOf(weights), keysTo(100_000)));
  assert.ok(unfairness(counts, weights) < 1.6, `${unfairness(counts, weights)}`);
});

test("shares are as the weights, however different", () => {
  const weights = new Map([
    ["a", 1],
    ["b", 1],
    ["c", 2],
    ["d", 5],
    ["e", 5],
    ["f", 100],
    ["g", 33],
  ]);
  const counts = countsOf(queuesOf(matcherOf(weights), keysTo(100_000)));
  assert.ok(unfairness(counts, weights) < 2, `${unfairness(counts, weights)}`);
});

test("a weight may be as large as a key can say", () => {
  const weights = new Map([
    ["small", 1],
    ["large", 1e200],
  ]);
  const matcher = consistentHashType.createMatcher<Destination>(none);
  matcher.add(bindingTo("small", 1));
  matcher.add(bindingTo("large", `1${"0".repeat(200)}`));
  assert.deepEqual([...countsOf(queuesOf(matcher, keysTo(1000))).keys()], ["large"]);
  assert.equal(weights.size, 2);
});

const someWeights = fc.uniqueArray(
  fc.tuple(fc.string({ maxLength: 5 }), fc.integer({ min: 1, max: 6 })),
  { minLength: 1, maxLength: 12, selector: ([name]) => name },
);

test("the order of bindings, and those that came and went, do not matter", () => {
  fc.assert(
    fc.property(someWeights, fc.infiniteStream(fc.nat()), (entries, order) => {
      const weights = new Map(entries);
      const keys = keysTo(50);
      const expected = queuesOf(matcherOf(weights), keys);
      const shuffled = entries
        .map((entry) => ({ entry, at: order.next().value as number }))
        .sort((a, b) => a.at - b.at);
      const other = consistentHashType.createMatcher<Destination>(none);
      const guest = bindingTo("a guest", 3);
      other.add(guest);
      for (const { entry } of shuffled) other.add(bindingTo(...entry));
      other.remove(guest);
      assert.deepEqual(queuesOf(other, keys), expected);
    }),
  );
});

test("a queue that comes takes only what is its own, and gives back all of that", () => {
  fc.assert(
    fc.property(someWeights, fc.integer({ min: 1, max: 20 }), (entries, weight) => {
      const matcher = matcherOf(new Map(entries));
      const keys = keysTo(200);
      const before = queuesOf(matcher, keys);
      const newcomer = bindingTo("the newcomer", weight);
      matcher.add(newcomer);
      const during = queuesOf(matcher, keys);
      for (const [index, name] of during.entries()) {
        if (name !== "the newcomer") assert.equal(name, before[index]);
      }
      matcher.remove(newcomer);
      assert.deepEqual(queuesOf(matcher, keys), before);
    }),
  );
});

test("of several bindings to one queue the heaviest counts", () => {
  const keys = keysTo(500);
  const expected = queuesOf(
    matcherOf(
      new Map([
        ["a", 7],
        ["b", 3],
      ]),
    ),
    keys,
  );
  const a = { name: "a" };
  const light = { ...bindingTo("a", 1), destination: a };
  const heavy = { ...bindingTo("a", 7), destination: a };
  const matcher = matcherOf(new Map([["b", 3]]));
  matcher.add(light);
  const withLight = queuesOf(matcher, keys);
  matcher.add(heavy);
  assert.deepEqual(queuesOf(matcher, keys), expected);
  matcher.remove(heavy);
  assert.deepEqual(queuesOf(matcher, keys), withLight);
  assert.notDeepEqual(withLight, expected);
});

test("a queue and an exchange of one name are not the same", () => {
  const matcher = matcherOf(new Map([["twin", 1]]));
  const exchange = { ...bindingTo("twin", 1), destinationKind: "exchange" } as const;
  matcher.add(exchange);
  const found = new Set<Destination>();
  for (const routingKey of keysTo(100)) {
    matcher.match({ routingKeys: [routingKey], headers: undefined, view: undefined }, found);
  }
  assert.equal(found.size, 2);
});

test("the mapping is for ever: what it was in the first release", () => {
  const weights = new Map([
    ["a", 1],
    ["b", 1],
    ["c", 3],
    ["d", 2],
  ]);
  const names = queuesOf(matcherOf(weights), ["", ...keysTo(24), "käse", "漢"]);
  assert.equal(names.join(""), "aabdcbaccbcdbccdbccadcaccdd");
});

function text(value: string): FieldValue {
  return { type: "S", value: Buffer.from(value) };
}

test("hash-header: equal values meet, whatever their width, and the key does not matter", () => {
  const weights = new Map(keysTo(20).map((name) => [name, 1]));
  const matcher = matcherOf(weights, FieldTable.from({ "hash-header": "customer" }));
  assert.equal(matcher.readsMessage, true);
  const queueFor = (value: FieldValue | undefined, key = "k"): string => {
    const headers = new FieldTable(value === undefined ? [] : [{ name: "customer", value }]);
    return queueOf(matcher, key, { headers });
  };
  const names = keysTo(100).map((value) => queueFor(text(value)));
  assert.deepEqual(
    keysTo(100).map((value) => queueFor(text(value), `another key ${value}`)),
    names,
  );
  assert.ok(new Set(names).size > 15, "they are spread");
  assert.equal(queueFor({ type: "b", value: 5 }), queueFor({ type: "l", value: 5 }));
  const ofNumbers = keysTo(100).map((_, value) => queueFor({ type: "I", value }));
  assert.ok(new Set(ofNumbers).size > 15);
  assert.equal(queueFor(undefined), queueOf(matcher, "other key"));
});

function viewWith(properties: Properties): MessageView {
  const writer = new WireWriter();
  encodeProperties(writer, properties);
  const view = new MessageView();
  view.properties = writer.take();
  view.propertiesLength = view.properties.length;
  return view;
}

test("hash-property: message_id, correlation_id and timestamp", () => {
  const weights = new Map(keysTo(20).map((name) => [name, 1]));
  const of: Record<string, (value: number) => Properties> = {
    message_id: (value) => ({ messageId: `${value}`, correlationId: "c", timestamp: 5 }),
    correlation_id: (value) => ({ messageId: "m", correlationId: `${value}`, timestamp: 5 }),
    timestamp: (value) => ({ messageId: "m", correlationId: "c", timestamp: value }),
  };
  const byKey = matcherOf(weights);
  for (const [property, propertiesOf] of Object.entries(of)) {
    const matcher = matcherOf(weights, FieldTable.from({ "hash-property": property }));
    assert.equal(matcher.readsMessage, true);
    for (let value = 0; value < 100; value++) {
      const view = viewWith(propertiesOf(value));
      assert.equal(queueOf(matcher, "k", { view }), queueOf(byKey, `${value}`), property);
    }
    assert.equal(queueOf(matcher, "k", { view: viewWith({}) }), queueOf(byKey, ""));
  }
});

test("without these the first routing key decides, and routes are remembered", () => {
  const matcher = matcherOf(new Map(keysTo(20).map((name) => [name, 1])));
  assert.equal(matcher.readsMessage, false);
  assert.equal(matcher.readsKey, true);
  const found: Destination[] = [];
  matcher.match(
    { routingKeys: ["first", "second"], headers: undefined, view: undefined },
    { add: (destination) => found.push(destination) },
  );
  assert.deepEqual(
    found.map(({ name }) => name),
    [queueOf(matcher, "first")],
  );
});

test("weights that are none are refused in RabbitMQ's words", () => {
  const explain = (routingKey: string): string | undefined =>
    consistentHashType.validateBinding({
      routingKey,
      arguments: none,
      destinationKind: "queue",
    })?.explanation;
  for (const valid of ["1", "+5", "007", "99999999999999999999"]) {
    assert.equal(explain(valid), undefined);
  }
  for (const low of ["0", "-1", "-0", "00"]) {
    assert.equal(explain(low), "The binding key must be greater than 0");
  }
  for (const [given, shown] of [
    ["", "<<>>"],
    ["a", '<<"a">>'],
    ["1.5", '<<"1.5">>'],
    [" 1", '<<" 1">>'],
    ["1e3", '<<"1e3">>'],
    ["\u0001", "<<1>>"],
  ]) {
    assert.equal(explain(given!), `The binding key must be an integer: ${shown}`);
  }
});

test("arguments of the exchange are checked", () => {
  const explain = (args: Record<string, unknown>): string | undefined =>
    consistentHashType.validateExchange(FieldTable.from(args))?.explanation;
  assert.equal(explain({ "hash-header": "h" }), undefined);
  assert.equal(explain({ "hash-property": "timestamp" }), undefined);
  assert.equal(explain({ "hash-property": "app_id" }), "Unsupported property: app_id");
  const both = { "hash-header": "h", "hash-property": "app_id" };
  assert.equal(explain(both), "hash-header and hash-property are mutually exclusive");
  assert.equal(explain({ "hash-header": 5 }), "invalid type 'signedint' for arg 'hash-header'");
});
