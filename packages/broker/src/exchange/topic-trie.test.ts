/** Goal: the trie matches what the definition of topic patterns matches, at bounded cost. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { naiveTopicMatch } from "./exchange.contract.ts";
import { hasWildcard, TopicTrie } from "./topic-trie.ts";

function isMatch(pattern: string, key: string): boolean {
  const trie = new TopicTrie<string>();
  trie.add(pattern, pattern);
  let visits = 0;
  trie.match(key, () => visits++);
  assert.ok(visits <= 1, "each element once");
  return visits === 1;
}

test("edge cases match as they do in RabbitMQ", () => {
  // Asked of RabbitMQ 3.10, pattern by pattern.
  const keys = ["", ".", "a", "a.", ".a", "a.b", "a..b", "a.x.b", "..", "a.x.y.b", "#", "*"];
  const matched: Record<string, string[]> = {
    "": [""],
    "#": keys,
    "*": ["a", "#", "*"],
    "a.#": ["a", "a.", "a.b", "a..b", "a.x.b", "a.x.y.b"],
    "#.a": ["a", ".a"],
    "*.#": keys.filter((key) => key !== ""),
    "#.*": keys.filter((key) => key !== ""),
    "*.*": [".", "a.", ".a", "a.b"],
    "a.*.b": ["a..b", "a.x.b"],
    "a..b": ["a..b"],
    ".": ["."],
    "#.#": keys,
    "*.": [".", "a."],
    "#.": [".", "a.", ".."],
    "a.#.b": ["a.b", "a..b", "a.x.b", "a.x.y.b"],
    "a.#.#.b": ["a.b", "a..b", "a.x.b", "a.x.y.b"],
  };
  for (const [pattern, expected] of Object.entries(matched)) {
    assert.deepEqual(
      keys.filter((key) => isMatch(pattern, key)),
      expected,
      `pattern '${pattern}'`,
    );
  }
});

const word = fc.constantFrom("a", "b", "", "*", "#", "#", "a#", "**");
const pattern = fc.array(word, { maxLength: 6 }).map((list) => list.join("."));
const key = fc
  .array(fc.constantFrom("a", "b", "", "*", "#"), { maxLength: 7 })
  .map((list) => list.join("."));

test("the trie matches what the definition matches, after any additions and removals", () => {
  const change = fc.record({ pattern, element: fc.nat(3), isRemoval: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(change, { maxLength: 60, size: "max" }),
      fc.array(key, { minLength: 1, maxLength: 10 }),
      (changes, keys) => {
        const trie = new TopicTrie<number>();
        const model = new Map<string, { pattern: string; element: number }>();
        for (const { pattern, element, isRemoval } of changes) {
          const name = `${element} ${pattern}`;
          if (isRemoval) {
            trie.remove(pattern, element);
            model.delete(name);
          } else {
            trie.add(pattern, element);
            model.set(name, { pattern, element });
          }
        }
        for (const text of keys) {
          const found: number[] = [];
          trie.match(text, (element) => found.push(element));
          const expected = [...model.values()]
            .filter((each) => naiveTopicMatch(each.pattern, text))
            .map((each) => each.element);
          assert.deepEqual(found.sort(), expected.sort(), `key '${text}'`);
        }
        for (const { pattern, element } of model.values()) trie.remove(pattern, element);
        assert.ok(trie.isEmpty, "no forgotten nodes");
      },
    ),
    { numRuns: 500 },
  );
});

test("a pattern without wildcards matches its own text only", () => {
  fc.assert(
    fc.property(pattern, key, (pattern, text) => {
      fc.pre(!hasWildcard(pattern));
      assert.equal(isMatch(pattern, text), pattern === text);
    }),
  );
});

test("hostile patterns and keys do not blow up", () => {
  // Following every way by itself would take for ever; the runner's limit would end it.
  const trie = new TopicTrie<number>();
  for (let length = 1; length <= 127; length++) {
    trie.add(`${"#.".repeat(length)}x`, length);
    trie.add(`${"#.*.".repeat(length / 4)}y`, -length);
  }
  const visited: number[] = [];
  trie.match(`${"a.".repeat(126)}x`, (element) => visited.push(element));
  assert.equal(visited.length, 127);
});
