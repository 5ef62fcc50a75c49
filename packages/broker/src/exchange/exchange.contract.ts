/**
 * What every exchange type has to do, run against each: `exchangeContract` is called by the types'
 * test files with a binding, a message that matches it and one that does not. Also what the tests
 * of this folder share: declarations in a line, and the definition of topic patterns.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FieldTable } from "@haremq/wire";
import type { Exchange } from "./exchange.ts";
import type { ExchangeType } from "./exchange-type.ts";
import { ExchangeTypes } from "./exchange-types.ts";
import { Topology } from "./topology.ts";

export interface TestQueue {
  readonly name: string;
}

interface TestMessage {
  readonly routingKey: string;
  readonly headers?: FieldTable;
}

export interface ExchangeContract {
  readonly type: ExchangeType;
  readonly binding: { readonly routingKey: string; readonly arguments: FieldTable };
  readonly matching: TestMessage;
  /** Absent for a type that matches everything. */
  readonly other?: TestMessage;
  /** Of a type that gives each message to one destination instead of all that match. */
  readonly spreads?: boolean;
}

const queueModule = "rabbit_classic_queue";

export function declareExchange<Q extends TestQueue>(
  topology: Topology<Q>,
  name: string,
  type: string,
  options: { autoDelete?: boolean; alternate?: string } = {},
): Exchange {
  const { autoDelete = false, alternate } = options;
  const args = FieldTable.from({ "alternate-exchange": alternate });
  const flags = { durable: false, internal: false, autoDelete };
  return topology.addExchange({ name, type, ...flags, arguments: args });
}

export function declareQueue(topology: Topology<TestQueue>, name: string): TestQueue {
  const queue = { name };
  topology.addQueue(queue);
  return queue;
}

/** What topic patterns mean, followed to the letter: every way to read the pattern is tried. */
export function naiveTopicMatch(pattern: string, key: string): boolean {
  const words = (text: string): string[] => (text === "" ? [] : text.split("."));
  const match = (pattern: readonly string[], key: readonly string[]): boolean => {
    const [word, ...rest] = pattern;
    if (word === undefined) return key.length === 0;
    if (word === "#") return match(rest, key) || (key.length > 0 && match(pattern, key.slice(1)));
    if (key.length === 0 || (word !== "*" && word !== key[0])) return false;
    return match(rest, key.slice(1));
  };
  return match(words(pattern), words(key));
}

/** Where the message goes, by both ways of asking, which must agree. */
export function targetsOf(
  topology: Topology<TestQueue>,
  exchange: Exchange,
  { routingKey, headers }: TestMessage,
): string[] {
  const route = topology.route(exchange, routingKey);
  assert.equal(topology.route(exchange, routingKey), route, "a second look finds the same route");
  const queues = topology.routeMessage(exchange, [routingKey], headers, undefined);
  const names = queues.map(({ name }) => name).sort();
  assert.equal(new Set(names).size, names.length, "each queue once");
  if (!route.needsMessage) assert.deepEqual(route.queues.map(({ name }) => name).sort(), names);
  return names;
}

export function exchangeContract(contract: ExchangeContract): void {
  const { type, binding, matching, other, spreads = false } = contract;
  const { routingKey, arguments: args } = binding;

  function given(): { topology: Topology<TestQueue>; exchange: Exchange; queue: TestQueue } {
    const types = new ExchangeTypes();
    if (!types.has(type.name)) types.register(type);
    const topology = new Topology<TestQueue>(types);
    const exchange = declareExchange(topology, "x", type.name);
    return { topology, exchange, queue: declareQueue(topology, "q") };
  }

  describe(`exchange contract: ${type.name}`, () => {
    test("without bindings nothing matches", () => {
      const { topology, exchange } = given();
      assert.deepEqual(targetsOf(topology, exchange, matching), []);
    });

    test("a bound queue gets what matches and nothing else, until it is unbound", () => {
      const { topology, exchange, queue } = given();
      assert.equal(topology.bind(exchange, queue, routingKey, args), true);
      assert.deepEqual(targetsOf(topology, exchange, matching), ["q"]);
      if (other !== undefined) assert.deepEqual(targetsOf(topology, exchange, other), []);
      assert.ok(topology.unbind(exchange, queue, routingKey, args));
      assert.deepEqual(targetsOf(topology, exchange, matching), []);
    });

    test(spreads ? "one of several queues gets it" : "several queues all get it", () => {
      const { topology, exchange, queue } = given();
      for (const each of [queue, declareQueue(topology, "q2"), declareQueue(topology, "q3")]) {
        topology.bind(exchange, each, routingKey, args);
      }
      const targets = targetsOf(topology, exchange, matching);
      if (spreads) assert.match(targets.join(), /^q[23]?$/);
      else assert.deepEqual(targets, ["q", "q2", "q3"]);
    });

    test("bindings that differ in an argument count apart, but deliver once", () => {
      const { topology, exchange, queue } = given();
      const more = new FieldTable([...args.entries]).set("x-tag", { type: "I", value: 1 });
      assert.equal(topology.bind(exchange, queue, routingKey, args), true);
      assert.equal(topology.bind(exchange, queue, routingKey, more), true);
      assert.equal(topology.bind(exchange, queue, routingKey, more), false, "it exists");
      assert.deepEqual(targetsOf(topology, exchange, matching), ["q"]);
      topology.unbind(exchange, queue, routingKey, args);
      assert.deepEqual(targetsOf(topology, exchange, matching), ["q"]);
      topology.unbind(exchange, queue, routingKey, more);
      assert.deepEqual(targetsOf(topology, exchange, matching), []);
      assert.equal(topology.unbind(exchange, queue, routingKey, more), undefined);
    });

    test("a removed queue gets nothing more, and takes its bindings along", () => {
      const { topology, exchange, queue } = given();
      topology.bind(exchange, queue, routingKey, args);
      const removed = topology.removeQueue(queue);
      assert.deepEqual(
        removed.bindings.map((each) => each.destination),
        [queue],
      );
      assert.deepEqual(targetsOf(topology, exchange, matching), []);
      assert.equal(topology.isSource(exchange), false);
    });

    test("a bound exchange passes it on, and loops deliver once", () => {
      const { topology, exchange, queue } = given();
      const next = declareExchange(topology, "next", "fanout");
      topology.bind(exchange, next, routingKey, args);
      topology.bind(next, exchange, "");
      topology.bind(next, next, "");
      topology.bind(next, queue, "");
      topology.bind(exchange, queue, routingKey, args);
      assert.deepEqual(targetsOf(topology, exchange, matching), ["q"]);
      if (other !== undefined) assert.deepEqual(targetsOf(topology, exchange, other), []);
      assert.deepEqual(targetsOf(topology, next, matching), ["q"]);
    });

    test("the alternate exchange gets what nothing matched, and only that", () => {
      const { topology, queue } = given();
      const exchange = declareExchange(topology, "with-alternate", type.name, { alternate: "ae" });
      const rest = declareQueue(topology, "rest");
      assert.deepEqual(targetsOf(topology, exchange, matching), [], "it does not exist yet");
      topology.bind(declareExchange(topology, "ae", "fanout"), rest, "");
      assert.deepEqual(targetsOf(topology, exchange, matching), ["rest"]);
      topology.bind(exchange, queue, routingKey, args);
      assert.deepEqual(targetsOf(topology, exchange, matching), ["q"]);
      if (other !== undefined) assert.deepEqual(targetsOf(topology, exchange, other), ["rest"]);
    });

    test("a message with several routing keys reaches each queue once", () => {
      const { topology, exchange, queue } = given();
      topology.bind(exchange, queue, routingKey, args);
      const keys = [matching.routingKey, "no such key", matching.routingKey];
      assert.deepEqual(topology.routeMessage(exchange, keys, matching.headers, undefined), [queue]);
      const ccOnly = ["no such key", matching.routingKey];
      assert.deepEqual(topology.routeMessage(exchange, ccOnly, matching.headers, undefined), [
        queue,
      ]);
    });

    test("an auto-delete exchange goes with its last binding", () => {
      const { topology, queue } = given();
      const exchange = declareExchange(topology, "ad", type.name, { autoDelete: true });
      topology.bind(exchange, queue, routingKey, args);
      const route = topology.route(exchange, matching.routingKey);
      const removed = topology.unbind(exchange, queue, routingKey, args);
      assert.deepEqual(removed?.exchanges, [exchange]);
      assert.equal(exchange.deleted, true);
      assert.equal(topology.exchange("ad"), undefined);
      assert.equal(route.valid, false);
    });

    test("a valid binding is not refused", () => {
      const valid = { ...binding, destinationKind: "queue", queueModule } as const;
      assert.equal(type.validateBinding(valid), undefined);
      assert.equal(type.validateExchange(new FieldTable()), undefined);
    });
  });
}
