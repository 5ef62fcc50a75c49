/** Keys against patterns, and guessing what someone meant. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { editDistance, matchKey, nearestKey, splitKey } from "./setting-key.ts";

describe("setting keys", () => {
  it("splits at dots that are not escaped", () => {
    assert.deepEqual(splitKey("loopback_users.first\\.last"), ["loopback_users", "first.last"]);
    assert.deepEqual(splitKey("a"), ["a"]);
    assert.deepEqual(splitKey(""), [""]);
  });

  it("matches words, one star for one word, two for the rest", () => {
    assert.deepEqual(matchKey("a.b", ["a", "b"]), []);
    assert.deepEqual(matchKey("a.*", ["a", "x"]), ["x"]);
    assert.deepEqual(matchKey("a.**", ["a", "x", "y"]), ["x", "y"]);
    for (const words of [["a"], ["a", "c"], ["a", "b", "c"], ["A", "b"], []]) {
      assert.equal(matchKey("a.b", words), undefined, words.join("."));
    }
    assert.equal(matchKey("a.*", ["a", ""]), undefined);
    assert.equal(matchKey("a.**", ["a"]), undefined);
    assert.equal(matchKey("a.**", ["b", "x"]), undefined);
  });

  it("measures how far words are apart", () => {
    assert.equal(editDistance("", "abc"), 3);
    assert.equal(editDistance("abc", "abc"), 0);
    assert.equal(editDistance("heartbeat", "heartbaet"), 1);
    assert.equal(editDistance("kitten", "sitting"), 3);
  });

  it("names the nearest key, with the words of the one that was given", () => {
    const patterns = ["heartbeat", "listeners.tcp.*", "log.console.level"];
    assert.equal(nearestKey("heartbeet", patterns), "heartbeat");
    assert.equal(nearestKey("listener.tcp.internal", patterns), "listeners.tcp.internal");
    assert.equal(nearestKey("log.consol.level", patterns), "log.console.level");
  });
});
