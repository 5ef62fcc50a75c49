/** Goal: x-modulus-hash gives each key to the queue that RabbitMQ gives it to. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable } from "@haremq/wire";
import { exchangeContract } from "./exchange.contract.ts";
import type { Destination, MatchedBinding } from "./exchange-type.ts";
import { modulusHashType } from "./modulus-hash.ts";
import { portableHash } from "./portable-hash.ts";

const none = new FieldTable();

exchangeContract({
  type: modulusHashType,
  binding: { routingKey: "", arguments: none },
  matching: { routingKey: "any" },
  spreads: true,
});

test("the hash of routing keys is Erlang's", () => {
  // erlang:phash2(Keys, 134217728) of Erlang/OTP 25.
  const recorded: [string[], number][] = [
    [["a"], 53691870],
    [[""], 38220213],
    [["abc", "def"], 99693608],
    [[], 113427502],
    [["key-1"], 57358350],
    [["hello world, this is longer", "", "x"], 125456812],
    [["123456789012"], 19581925],
    [["é"], 61451803],
  ];
  for (const [keys, expected] of recorded) {
    assert.equal(portableHash(keys) % 2 ** 27, expected, keys.join());
  }
});

function bindingTo(
  name: string,
  routingKey = "",
  destinationKind: "queue" | "exchange" = "queue",
): MatchedBinding<Destination> {
  return { destination: { name }, destinationKind, routingKey, arguments: none };
}

test("bindings stand in RabbitMQ's order, whatever order they came in", () => {
  const inOrder = [
    bindingTo("z", "", "exchange"),
    bindingTo("B"),
    bindingTo("a"),
    bindingTo("\uffff"),
    bindingTo("\u{10000}"),
    bindingTo("a", "k"),
    bindingTo("0", "kk"),
  ];
  const expected = inOrder.map(({ destination }) => destination.name);
  for (const rotation of inOrder.keys()) {
    const matcher = modulusHashType.createMatcher<Destination>(none);
    const bindings = [...inOrder.slice(rotation), ...inOrder.slice(0, rotation)];
    const guest = bindingTo("guest", "k");
    matcher.add(guest);
    for (const binding of bindings) matcher.add(binding);
    matcher.remove(guest);
    const at: string[] = [];
    for (let message = 0; message < 200; message++) {
      const routingKeys = [`key ${message}`, "cc"];
      matcher.match(
        { routingKeys, headers: undefined, view: undefined },
        { add: ({ name }) => (at[(portableHash(routingKeys) % 2 ** 27) % 7] = name) },
      );
    }
    assert.deepEqual(at, expected);
  }
});
