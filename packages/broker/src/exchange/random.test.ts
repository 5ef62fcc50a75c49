/** Goal: each message goes to one binding, and every binding is as likely as any other. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import { FieldTable } from "@haremq/wire";
import { exchangeContract } from "./exchange.contract.ts";
import type { Destination, MatchedBinding } from "./exchange-type.ts";
import { localRandomType, randomType } from "./random.ts";

const none = new FieldTable();
const types = [randomType(new SeededRandom(1)), localRandomType(new SeededRandom(2))];

for (const type of types) {
  exchangeContract({
    type,
    binding: { routingKey: "", arguments: none },
    matching: { routingKey: "any" },
    spreads: true,
  });

  test(`${type.name}: every binding gets its share, as bindings come and go`, () => {
    const matcher = type.createMatcher<Destination>(none);
    const bindings = ["a", "b", "c", "d"].map(bindingTo);
    const shares = (): [string, number][] => {
      const counts = new Map<string, number>();
      for (let message = 0; message < 6000; message++) {
        matcher.match(
          { routingKeys: [""], headers: undefined, view: undefined },
          { add: ({ name }) => counts.set(name, (counts.get(name) ?? 0) + 1) },
        );
      }
      return [...counts].sort().map(([name, count]) => [name, Math.round(count / 500)]);
    };
    for (const binding of bindings) matcher.add(binding);
    assert.deepEqual(shares(), [
      ["a", 3],
      ["b", 3],
      ["c", 3],
      ["d", 3],
    ]);
    matcher.remove(bindings[1]!);
    assert.deepEqual(shares(), [
      ["a", 4],
      ["c", 4],
      ["d", 4],
    ]);
    matcher.remove(bindings[3]!);
    matcher.add(bindings[1]!);
    assert.deepEqual(shares(), [
      ["a", 4],
      ["b", 4],
      ["c", 4],
    ]);
    matcher.add({ ...bindings[0]!, routingKey: "once more" });
    assert.deepEqual(shares(), [
      ["a", 6],
      ["b", 3],
      ["c", 3],
    ]);
  });
}

function bindingTo(name: string): MatchedBinding<Destination> {
  return { destination: { name }, destinationKind: "queue", routingKey: "", arguments: none };
}

test("x-local-random: what RabbitMQ refuses is refused in its words", () => {
  const [, type] = types;
  const explain = (
    routingKey: string,
    destinationKind: "queue" | "exchange",
    queueModule = "rabbit_classic_queue",
  ): string | undefined =>
    type!.validateBinding({ routingKey, destinationKind, queueModule, arguments: none })
      ?.explanation;
  assert.equal(explain("", "queue"), undefined);
  assert.equal(explain("k", "queue"), "Non empty binding 'k' key not permitted");
  assert.equal(explain("", "exchange"), "Destination not found");
  assert.equal(
    explain("", "queue", "rabbit_quorum_queue"),
    "Queue type rabbit_quorum_queue not valid for this exchange type",
  );
});
