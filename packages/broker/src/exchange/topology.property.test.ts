/**
 * The topology against a router that remembers nothing: plain lists, searched from the start for
 * every message. Random sequences of changes run on both. After each change
 * - every kept route that is still valid gives what the naive router gives (never stale), and
 * - every kept route that the change has nothing to do with is still valid (never too much).
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import fc from "fast-check";
import { policyOf } from "../../test/policy-of.ts";
import type { EffectivePolicy } from "../policy/effective-policy.ts";
import {
  declareExchange,
  declareQueue,
  naiveTopicMatch,
  type TestQueue,
} from "./exchange.contract.ts";
import type { Route } from "./route.ts";
import { Topology } from "./topology.ts";

interface NaiveExchange {
  readonly type: string;
  readonly autoDelete: boolean;
  alternate: string | undefined;
  /** What it was declared with; a policy does not change that. */
  alternateArgument: string | undefined;
}

interface NaiveBinding {
  readonly source: string;
  readonly kind: "queue" | "exchange";
  readonly destination: string;
  readonly key: string;
  readonly value: number;
}

interface Answer {
  readonly queues: string[];
  /** The exchanges that were asked on the way, missing ones included. */
  readonly asked: ReadonlySet<string>;
  readonly readsMessage: boolean;
}

class NaiveTopology {
  queues: string[] = [];
  exchanges = new Map<string, NaiveExchange>();
  bindings: NaiveBinding[] = [];

  route(start: string, keys: readonly string[], header: number | undefined): Answer {
    const queues = new Set<string>();
    const asked = new Set<string>();
    let readsMessage = false;
    const follow = (name: string): void => {
      if (asked.has(name)) return;
      asked.add(name);
      if (name === "") for (const key of keys) if (this.queues.includes(key)) queues.add(key);
      const exchange = this.exchanges.get(name);
      if (exchange === undefined) return;
      readsMessage ||= exchange.type === "headers";
      const matched = this.bindings.filter(
        (binding) =>
          binding.source === name &&
          keys.some((key) => isMatch(exchange.type, binding, key, header)),
      );
      for (const { kind, destination } of matched) {
        if (kind === "queue") queues.add(destination);
        else follow(destination);
      }
      if (matched.length === 0 && exchange.alternate !== undefined) follow(exchange.alternate);
    };
    follow(start);
    return { queues: [...queues].sort(), asked, readsMessage };
  }

  removeQueue(name: string): void {
    this.queues = this.queues.filter((queue) => queue !== name);
    this.removeBindings((each) => each.kind === "queue" && each.destination === name);
  }

  removeExchange(name: string): void {
    this.exchanges.delete(name);
    this.bindings = this.bindings.filter((binding) => binding.source !== name);
    this.removeBindings((each) => each.kind === "exchange" && each.destination === name);
  }

  /** Removes what meets the condition, and the auto-delete exchanges that are left without any. */
  removeBindings(condition: (binding: NaiveBinding) => boolean): void {
    const gone = this.bindings.filter(condition);
    this.bindings = this.bindings.filter((binding) => !condition(binding));
    for (const { source } of gone) {
      if (this.exchanges.get(source)?.autoDelete !== true) continue;
      if (!this.bindings.some((binding) => binding.source === source)) this.removeExchange(source);
    }
  }

  snapshot(): NaiveTopology {
    const copy = new NaiveTopology();
    copy.queues = [...this.queues];
    copy.exchanges = new Map([...this.exchanges].map(([name, each]) => [name, { ...each }]));
    copy.bindings = [...this.bindings];
    return copy;
  }
}

function isMatch(type: string, binding: NaiveBinding, key: string, header?: number): boolean {
  if (type === "direct") return binding.key === key;
  if (type === "topic") return naiveTopicMatch(binding.key, key);
  return type === "fanout" || binding.value === header;
}

/** Whether a message with this key that asks these exchanges may notice the difference. */
function concerns(
  before: NaiveTopology,
  after: NaiveTopology,
  asked: ReadonlySet<string>,
  key: string,
): boolean {
  for (const name of asked) {
    const [old, now] = [before.exchanges.get(name), after.exchanges.get(name)];
    if (old?.type !== now?.type || old?.alternate !== now?.alternate) return true;
    const isExact = (each: NaiveBinding): boolean =>
      old?.type === "direct" || (old?.type === "topic" && !/[*#]/.test(each.key));
    const isChanged = (each: NaiveBinding): boolean =>
      each.source === name &&
      before.bindings.includes(each) !== after.bindings.includes(each) &&
      (!isExact(each) || each.key === key);
    // What a headers exchange matches is not remembered, so no change of it is noticed.
    if (old?.type === "headers") continue;
    if (before.bindings.some(isChanged) || after.bindings.some(isChanged)) return true;
  }
  return asked.has("") && before.queues.includes(key) !== after.queues.includes(key);
}

const exchangeName = fc.constantFrom("e0", "e1", "e2", "e3", "e4");
const queueName = fc.constantFrom("q0", "q1", "q2", "q3");
const routingKeys = ["a", "b", "a.b", "q0", "q1", ""];
const binding = fc.record({
  source: exchangeName,
  destination: fc.oneof(
    fc.record({ kind: fc.constant("queue" as const), name: queueName }),
    fc.record({ kind: fc.constant("exchange" as const), name: exchangeName }),
  ),
  key: fc.constantFrom("a", "b", "a.b", "*", "#", "a.#", ""),
  value: fc.nat(1),
});
const alternate = fc.option(exchangeName, { nil: undefined });
const change = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("declare" as const),
      name: exchangeName,
      type: fc.constantFrom("direct", "fanout", "topic", "headers"),
      autoDelete: fc.boolean(),
      alternate,
      byPolicy: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("queue" as const), name: queueName }) },
  { weight: 12, arbitrary: fc.record({ kind: fc.constant("bind" as const), binding }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("unbind" as const), binding }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("delete" as const), name: exchangeName }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("drop" as const), name: queueName }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("policy" as const), name: exchangeName, alternate }),
  },
);
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;
type Binding = typeof binding extends fc.Arbitrary<infer T> ? T : never;

function alternatePolicy(name: string | undefined): EffectivePolicy {
  return policyOf(name === undefined ? {} : { "alternate-exchange": name });
}

interface KeptRoute {
  readonly start: string;
  readonly route: Route<TestQueue>;
  readonly asked: ReadonlySet<string>;
}

/** Both topologies side by side, and the routes that publishers keep. */
class Comparison {
  readonly #topology = new Topology<TestQueue>();
  readonly #model = new NaiveTopology();
  #kept: KeptRoute[] = [];

  /** Makes the change where it can be made. */
  apply(change: Change): void {
    const before = this.#model.snapshot();
    this.#change(change);
    assert.deepEqual(
      [...this.#topology.exchanges()].map(({ name }) => name).sort(),
      ["", ...this.#model.exchanges.keys()].sort(),
    );
    this.#checkKept(before);
    this.#checkAll();
  }

  #change(change: Change): void {
    const topology = this.#topology;
    const model = this.#model;
    if (change.kind === "bind" || change.kind === "unbind") {
      this.#changeBinding(change.kind, change.binding);
      return;
    }
    const { name } = change;
    const exchange = topology.exchange(name);
    const queue = topology.queue(name);
    if (change.kind === "declare" && exchange === undefined) {
      const { type, autoDelete, alternate, byPolicy } = change;
      const alternateArgument = byPolicy ? undefined : alternate;
      const args = alternateArgument === undefined ? {} : { alternate: alternateArgument };
      const declared = declareExchange(topology, name, type, { autoDelete, ...args });
      if (byPolicy) topology.applyPolicy(declared, alternatePolicy(alternate));
      model.exchanges.set(name, { type, autoDelete, alternate, alternateArgument });
    } else if (change.kind === "queue" && queue === undefined) {
      declareQueue(topology, name);
      model.queues.push(name);
    } else if (change.kind === "delete" && exchange !== undefined) {
      topology.removeExchange(exchange);
      model.removeExchange(name);
    } else if (change.kind === "drop" && queue !== undefined) {
      topology.removeQueue(queue);
      model.removeQueue(name);
    } else if (change.kind === "policy" && exchange !== undefined) {
      topology.applyPolicy(exchange, alternatePolicy(change.alternate));
      const declared = model.exchanges.get(name)!;
      declared.alternate = declared.alternateArgument ?? change.alternate;
    }
  }

  #changeBinding(verb: "bind" | "unbind", { source, destination, key, value }: Binding): void {
    const { kind, name } = destination;
    const from = this.#topology.exchange(source);
    const to = kind === "queue" ? this.#topology.queue(name) : this.#topology.exchange(name);
    if (from === undefined || to === undefined) return;
    const args = FieldTable.from({ value });
    const isSame = (each: NaiveBinding): boolean =>
      each.source === source &&
      each.kind === kind &&
      each.destination === name &&
      each.key === key &&
      each.value === value;
    const exists = this.#model.bindings.some(isSame);
    if (verb === "bind") {
      assert.equal(this.#topology.bind(from, to, key, args), !exists);
      if (!exists) this.#model.bindings.push({ source, kind, destination: name, key, value });
    } else {
      assert.equal(this.#topology.unbind(from, to, key, args) !== undefined, exists);
      this.#model.removeBindings(isSame);
    }
  }

  #checkKept(before: NaiveTopology): void {
    for (const { start, route, asked } of this.#kept) {
      const { routingKey, valid } = route;
      const shown = `route from '${start}' with '${routingKey}'`;
      if (!concerns(before, this.#model, asked, routingKey)) {
        assert.equal(valid, true, `${shown} has nothing to do with the change`);
      }
      if (!valid) continue;
      const answer = this.#model.route(start, [routingKey], undefined);
      assert.equal(route.needsMessage, answer.readsMessage, `${shown} is stale`);
      if (route.needsMessage) continue;
      assert.deepEqual(
        route.queues.map(({ name }) => name).sort(),
        answer.queues,
        `${shown} is stale`,
      );
    }
    this.#kept = this.#kept.filter(({ route }) => route.valid);
  }

  /** Looks every route up, keeps it, and routes messages besides. */
  #checkAll(): void {
    for (const exchange of this.#topology.exchanges()) {
      for (const key of routingKeys) {
        const route = this.#topology.route(exchange, key);
        const answer = this.#model.route(exchange.name, [key], undefined);
        assert.equal(route.valid, true);
        assert.equal(route.needsMessage, answer.readsMessage);
        if (this.#kept.some((kept) => kept.route === route)) continue;
        this.#kept.push({ start: exchange.name, route, asked: answer.asked });
      }
      for (const header of [undefined, 0, 1]) {
        const keys = header === 1 ? ["a", "q0", "a.b"] : ["a"];
        const headers = FieldTable.from({ value: header });
        const queues = this.#topology.routeMessage(exchange, keys, headers, undefined);
        const expected = this.#model.route(exchange.name, keys, header).queues;
        assert.deepEqual(queues.map(({ name }) => name).sort(), expected);
      }
    }
  }
}

test("routes are never stale, and fall only with what concerns them", () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 50, size: "max" }), (changes) => {
      const comparison = new Comparison();
      for (const change of changes) comparison.apply(change);
    }),
    { numRuns: 300 },
  );
});
