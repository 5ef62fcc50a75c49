/** Goal: the headers exchange keeps the contract and compares values as RabbitMQ does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldTable, type FieldValue, fieldText } from "@haremq/wire";
import fc from "fast-check";
import { exchangeContract, type TestQueue } from "./exchange.contract.ts";
import type { MatchedBinding } from "./exchange-type.ts";
import { sameHeaderValue } from "./header-value.ts";
import { headersType } from "./headers.ts";

type Fields = Readonly<Record<string, unknown>>;

exchangeContract({
  type: headersType,
  binding: { routingKey: "", arguments: FieldTable.from({ kind: "order", urgent: null }) },
  matching: {
    routingKey: "any",
    headers: FieldTable.from({ kind: "order", urgent: 5, more: true }),
  },
  other: { routingKey: "any", headers: FieldTable.from({ kind: "order" }) },
});

exchangeContract({
  type: headersType,
  binding: { routingKey: "", arguments: FieldTable.from({ "x-match": "any", a: 1, b: 2 }) },
  matching: { routingKey: "", headers: FieldTable.from({ b: 2 }) },
  other: { routingKey: "" },
});

function isMatch(args: FieldTable, headers: FieldTable | undefined): boolean {
  const matcher = headersType.createMatcher<TestQueue>(new FieldTable());
  const binding = bindingTo("q", args);
  matcher.add(binding);
  const found = new Set<TestQueue>();
  matcher.match({ routingKeys: [""], headers, view: undefined }, found);
  return found.has(binding.destination);
}

function bindingTo(name: string, args: FieldTable): MatchedBinding<TestQueue> {
  return { destination: { name }, destinationKind: "queue", routingKey: "", arguments: args };
}

function field(type: FieldValue["type"], value: unknown): FieldValue {
  return { type, value } as FieldValue;
}

function table(...entries: [string, FieldValue][]): FieldTable {
  return new FieldTable(entries.map(([name, value]) => ({ name, value })));
}

test("x-match: which arguments count, and how many must match", () => {
  const cases: [Fields, Fields, boolean][] = [
    [{}, {}, true],
    [{}, { z: 1 }, true],
    [{ "x-match": "any" }, { z: 1 }, false],
    [{ a: 1, b: 2 }, { b: 2, a: 1, c: 3 }, true],
    [{ a: 1, b: 2 }, { a: 1 }, false],
    [{ "x-match": "any", a: 1, b: 2 }, { b: 2 }, true],
    [{ "x-match": "any", a: 1, b: 2 }, { b: 3 }, false],
    [{ "x-match": "all", "x-a": 1 }, {}, true],
    [{ "x-match": "any", "x-a": 1 }, { "x-a": 1 }, false],
    [{ "x-match": "all-with-x", "x-a": 1 }, { "x-a": 1 }, true],
    [{ "x-match": "all-with-x", "x-a": 1 }, {}, false],
    [{ "x-match": "all-with-x", a: 1 }, { a: 1 }, true],
    [{ "x-match": "any-with-x", "x-a": 1, b: 1 }, { "x-a": 1 }, true],
    [{ "x-match": "any-with-x" }, { "x-match": "any-with-x" }, false],
    [{ a: null }, { a: 5 }, true],
    [{ a: null }, { b: 5 }, false],
    [{ a: 5 }, { a: null }, false],
    [{ "x-match": "any", a: null, b: 1 }, { a: "anything" }, true],
  ];
  for (const [args, headers, expected] of cases) {
    const shown = `${JSON.stringify(args)} with ${JSON.stringify(headers)}`;
    assert.equal(isMatch(FieldTable.from(args), FieldTable.from(headers)), expected, shown);
  }
  assert.equal(isMatch(FieldTable.from({}), undefined), true);
  assert.equal(isMatch(FieldTable.from({ a: 1 }), undefined), false);
});

test("values are compared as RabbitMQ compares Erlang terms, without their types", () => {
  const text = (value: string): Buffer => Buffer.from(value);
  const cases: [FieldValue, FieldValue, boolean][] = [
    [field("b", 1), field("I", 1), true],
    [field("I", 1), field("l", 1), true],
    [field("I", 1), field("d", 1), true],
    [field("I", 1), field("T", 1), true],
    [field("I", 1), field("d", 1.5), false],
    [field("I", 1), field("S", text("1")), false],
    [field("I", 1), field("t", true), false],
    [field("l", 2n ** 60n), field("d", 2 ** 60), true],
    [field("l", 2n ** 60n + 1n), field("d", 2 ** 60), false],
    [field("d", 2 ** 60), field("l", 2n ** 60n + 1n), false],
    [field("l", 2n ** 60n), field("S", text("1")), false],
    [field("d", Number.NaN), field("d", Number.NaN), false],
    [field("S", text("a")), field("x", text("a")), true],
    [field("S", text("a")), field("S", text("b")), false],
    [field("t", true), field("t", true), true],
    [field("t", true), field("t", false), false],
    [field("D", { scale: 1, unscaled: 10 }), field("D", { scale: 1, unscaled: 10 }), true],
    [field("D", { scale: 1, unscaled: 10 }), field("D", { scale: 0, unscaled: 1 }), false],
    [field("D", { scale: 0, unscaled: 1 }), field("I", 1), false],
    [field("A", []), field("F", new FieldTable()), true],
    [field("F", new FieldTable()), field("A", [field("V", null)]), false],
    [field("A", [field("I", 1)]), field("A", [field("I", 1)]), true],
    [field("A", [field("I", 1)]), field("A", [field("l", 1)]), false],
    [field("A", [field("I", 1)]), field("A", [field("I", 1), field("I", 1)]), false],
    [field("F", table(["k", field("I", 1)])), field("F", table(["k", field("I", 1)])), true],
    [field("F", table(["k", field("I", 1)])), field("F", table(["k", field("d", 1)])), false],
    [field("F", table(["k", field("I", 1)])), field("F", table(["j", field("I", 1)])), false],
  ];
  for (const [wanted, header, expected] of cases) {
    const shown = `${wanted.type} ${wanted.value} with ${header.type} ${header.value}`;
    assert.equal(isMatch(table(["h", wanted]), table(["h", header])), expected, shown);
    assert.equal(
      isMatch(table(["h", header]), table(["h", wanted])),
      expected,
      `${shown}, swapped`,
    );
  }
});

test("of names that occur twice the first goes with the first, and so on", () => {
  const one = field("I", 1);
  const two = field("I", 2);
  assert.equal(isMatch(table(["a", one], ["a", two]), table(["a", one], ["a", two])), true);
  assert.equal(isMatch(table(["a", one], ["a", two]), table(["a", two], ["a", one])), false);
  assert.equal(isMatch(table(["a", two]), table(["a", one], ["a", two])), false);
});

/** The definition: arguments and headers sorted by name and merged. */
function naiveMatch(args: FieldTable, headers: FieldTable): boolean {
  const sorted = (table: FieldTable) =>
    [...table.entries].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const kind = fieldText(args.get("x-match")) ?? "all";
  const left = sorted(headers);
  const results = sorted(args)
    .filter(({ name }) => name !== "x-match")
    .map(({ name, value }) => {
      const at = left.findIndex((header) => header.name === name);
      const [header] = at < 0 ? [] : left.splice(at, 1);
      return header !== undefined && (value.type === "V" || sameHeaderValue(value, header.value));
    });
  return kind === "any" ? results.includes(true) : !results.includes(false);
}

const entry = fc.tuple(
  fc.constantFrom("a", "b", "c"),
  fc.constantFrom<FieldValue>(
    field("I", 1),
    field("d", 1),
    field("l", 2n ** 60n),
    field("d", 2 ** 60),
    field("S", Buffer.from("1")),
    field("x", Buffer.from("1")),
    field("t", true),
    field("V", null),
    field("A", []),
    field("F", new FieldTable()),
  ),
);
const pattern = fc.record({
  kind: fc.constantFrom("all", "any"),
  entries: fc.array(entry, { maxLength: 4 }),
});

test("the index finds what a comparison with every binding finds, as bindings come and go", () => {
  fc.assert(
    fc.property(
      fc.array(pattern, { maxLength: 12 }),
      fc.array(fc.array(entry, { maxLength: 20 }), { minLength: 1, maxLength: 6 }),
      (patterns, messages) => {
        const matcher = headersType.createMatcher<TestQueue>(new FieldTable());
        const bindings = patterns.map(({ kind, entries }, destination) => {
          const args = table(["x-match", field("S", Buffer.from(kind))], ...entries);
          return bindingTo(`${destination}`, args);
        });
        const bound = new Set(bindings);
        const check = (): void => {
          for (const message of messages) {
            const headers = table(...message);
            const found = new Set<TestQueue>();
            matcher.match({ routingKeys: [""], headers, view: undefined }, found);
            const expected = [...bound].filter((each) => naiveMatch(each.arguments, headers));
            assert.deepEqual(found, new Set(expected.map(({ destination }) => destination)));
          }
        };
        for (const binding of bindings) matcher.add(binding);
        check();
        for (const binding of bindings.filter((_, index) => index % 2 === 0)) {
          matcher.remove(binding);
          bound.delete(binding);
          check();
        }
      },
    ),
    { numRuns: 300 },
  );
});

test("a message is compared only with bindings that ask for a value it has", () => {
  const matcher = headersType.createMatcher<TestQueue>(new FieldTable());
  let compared = 0;
  for (let destination = 0; destination < 1000; destination++) {
    const wanted = Buffer.from(`kind ${destination}`);
    wanted.equals = (other) => {
      compared++;
      return Buffer.compare(wanted, other) === 0;
    };
    const args = table(["zone", field("V", null)], ["kind", field("S", wanted)]);
    matcher.add(bindingTo(`${destination}`, args));
  }
  const found = new Set<TestQueue>();
  const kind = field("S", Buffer.from("kind 7"));
  const headers = table(["kind", kind], ["zone", field("I", 1)], ["size", field("I", 1)]);
  matcher.match({ routingKeys: [""], headers, view: undefined }, found);
  assert.deepEqual([...found], [{ name: "7" }]);
  assert.equal(compared, 1);
});

test("an unknown x-match is refused in RabbitMQ's words", () => {
  const explain = (value: FieldValue): string | undefined =>
    headersType.validateBinding({
      routingKey: "",
      arguments: table(["x-match", value]),
      destinationKind: "queue",
    })?.explanation;
  const expected = "expected all, any, all-with-x, or any-with-x";
  const text = field("S", Buffer.from("foo"));
  assert.equal(explain(text), `Invalid x-match field value <<"foo">>; ${expected}`);
  assert.equal(
    explain(field("S", Buffer.from([1, 2]))),
    `Invalid x-match field value <<1,2>>; ${expected}`,
  );
  const refusedTypes: [FieldValue, string][] = [
    [field("l", 5), "long (value 5)"],
    [field("t", true), "bool (value true)"],
    [field("d", 1.5), "double (value 1.5)"],
    [field("d", 2), "double (value 2.0)"],
    [field("V", null), "void (value undefined)"],
    [field("x", Buffer.from("all")), 'binary (value <<"all">>)'],
    [
      field("A", [field("l", 1), field("S", Buffer.from("a"))]),
      'array (value [{long,1},{longstr,<<"a">>}])',
    ],
    [field("F", table(["a", field("l", 1)])), 'table (value [{<<"a">>,long,1}])'],
  ];
  for (const [value, shown] of refusedTypes) {
    assert.equal(explain(value), `Invalid x-match field type ${shown}; expected longstr`);
  }
  for (const kind of ["all", "any", "all-with-x", "any-with-x"]) {
    assert.equal(explain(field("S", Buffer.from(kind))), undefined);
  }
});
