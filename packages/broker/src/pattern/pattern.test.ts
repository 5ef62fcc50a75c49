/** Goal: patterns find what Erlang's find, are refused as there, and end whoever wrote them. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { recordedRows } from "../../test/recorded-answers.ts";
import { Pattern } from "./pattern.ts";
import { PatternError } from "./pattern-error.ts";

function complaintOf(source: string): PatternError | undefined {
  try {
    new Pattern(source);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof PatternError, String(error));
    return error;
  }
}

describe("as recorded", () => {
  test("a pattern finds what it finds in RabbitMQ", () => {
    const wrong: string[] = [];
    for (const [source, text, answer] of recordedRows("patterns.tsv")) {
      const found = new Pattern(JSON.parse(source!)).matches(JSON.parse(text!));
      if (found !== (answer === "1")) wrong.push(`${source} in ${text}: ${found}`);
    }
    assert.deepEqual(wrong, []);
  });

  test("what is no pattern is refused with RabbitMQ's complaint and offset", () => {
    const wrong: string[] = [];
    for (const [source, complaint, offset] of recordedRows("pattern-errors.tsv")) {
      const error = complaintOf(JSON.parse(source!));
      const expected = complaint === "" ? "" : `${JSON.parse(complaint!)} at ${offset}`;
      const actual = error === undefined ? "" : `${error.message} at ${error.offset}`;
      if (actual !== expected) wrong.push(`${source}: ${actual || "accepted"}, not ${expected}`);
    }
    assert.deepEqual(wrong, []);
  });
});

test("what JavaScript and PCRE both know means the same to both", () => {
  const atom = fc.constantFrom("a", "b", ".", "[ab]", "[^a]", "\\w", "\\b", "^", "$", "c", "\\.");
  const { pattern } = fc.letrec<{ pattern: string }>((tie) => ({
    pattern: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      atom,
      fc.tuple(tie("pattern"), tie("pattern")).map(([one, other]) => one + other),
      fc.tuple(tie("pattern"), tie("pattern")).map(([one, other]) => `(?:${one}|${other})`),
      fc
        .tuple(tie("pattern"), fc.constantFrom("*", "+", "?", "*?", "{2}", "{1,3}", "{0,2}?"))
        .map(([body, quantity]) => `(?:${body})${quantity}`),
      tie("pattern").map((body) => `(?=${body})`),
      tie("pattern").map((body) => `(?!${body})`),
    ),
  }));
  const text = fc.string({ unit: fc.constantFrom("a", "b", "c", ".", "é"), maxLength: 8 });
  fc.assert(
    fc.property(pattern, text, (source, subject) => {
      // Octets, as PCRE sees them.
      const octets = Buffer.from(subject).toString("latin1");
      const expected = new RegExp(source).test(octets.replaceAll(/[^\0-\x7f]/g, "_"));
      assert.equal(new Pattern(source).matches(subject.replaceAll("é", "__")), expected);
    }),
    { numRuns: 2000 },
  );
});

test("a text need not begin with what only looks as if it must", () => {
  const cases: [source: string, text: string, found: boolean][] = [
    ["^ab", "abc", true],
    ["^ab", "xab", false],
    ["^ab|c", "xc", true],
    ["^a?b", "b", true],
    ["^ab*", "a", true],
    ["^ab{0}", "a", true],
    ["(?m)^ab", "x\nab", true],
    ["(?i)^ab", "AB", true],
    ["^(?:ab|cd)", "cd", true],
    ["^é", "é", true],
    ["^\\xc3\\xa9$", "é", true],
    ["^(?=b)b", "b", true],
    ["\\Aab", "ab", true],
  ];
  for (const [source, text, found] of cases) {
    assert.equal(new Pattern(source).matches(text), found, `${source} in ${text}`);
  }
});

describe("whoever wrote it", () => {
  const long = `${"a".repeat(254)}!`;

  test("a pattern that other engines try for ages ends", () => {
    for (const source of [
      "^(a+)+$",
      "^(a|a)*$",
      "(a*)*b",
      "(x+x+)+y",
      "^(([a-z])+.)+[A-Z]([a-z])+$",
    ]) {
      assert.equal(new Pattern(source).matches(long), false, source);
    }
    assert.equal(new Pattern("^(a+)+!$").matches(long), true);
    assert.equal(new Pattern("^(?:a?){254}a{254}!$").matches(long), true);
  });

  test("a pattern that would take too long finds nothing", () => {
    const source = "(?:.*){0,400}(?=(?:.*){0,400}(?=(?:.*){0,400}b))$";
    assert.equal(new Pattern(source).matches(long), false);
  });

  test("a pattern is refused that is too long, too deep or too large laid out", () => {
    assert.equal(complaintOf("a".repeat(8193))?.message, "regular expression is too large");
    assert.equal(complaintOf("a".repeat(8192)), undefined);
    assert.equal(
      complaintOf("((a{1000}){1000}){1000}")?.message,
      "regular expression is too large",
    );
    const deep = (count: number): string => `${"(".repeat(count)}a${")".repeat(count)}`;
    assert.equal(complaintOf(deep(101))?.message, "parentheses are too deeply nested");
    assert.equal(complaintOf(deep(100)), undefined);
    assert.equal(
      complaintOf(`${"(?:".repeat(50)}a${"){2}".repeat(50)}`)?.message,
      "regular expression is too large",
    );
  });

  test("what cannot be matched in bounded time is refused", () => {
    for (const source of ["(a)\\1", "(?<n>a)\\k<n>", "(a)\\g1"]) {
      assert.equal(complaintOf(source)?.message, "back references are not supported", source);
    }
    for (const source of ["(?R)", "(a)(?1)", "(?(?=a)b|c)", "(?C)"]) {
      assert.match(complaintOf(source)?.message ?? "", /are not supported$/, source);
    }
  });
});
