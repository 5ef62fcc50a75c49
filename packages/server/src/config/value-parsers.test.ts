/** Every kind of value, its accepted spellings and what is said of the others. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "./config-error.ts";
import { formatListenerAddress, parseListenerAddress } from "./listener-address.ts";
import {
  boolean,
  integer,
  integerOrInfinity,
  nonEmptyText,
  oneOf,
  quote,
  ratio,
  size,
} from "./value-parsers.ts";

function refuses(parse: (text: string) => unknown, ...texts: string[]): void {
  for (const text of texts) {
    assert.throws(
      () => parse(text),
      (error) => error instanceof ConfigError && !error.message.includes("\n"),
      JSON.stringify(text),
    );
  }
}

describe("value parsers", () => {
  it("reads whole numbers within bounds", () => {
    const parse = integer(-1, 100);
    assert.equal(parse("0"), 0);
    assert.equal(parse("+7"), 7);
    assert.equal(parse("-1"), -1);
    assert.equal(parse("100"), 100);
    refuses(parse, "", "101", "-2", "1.5", "1e2", "0x10", "ten", "1 0", "9".repeat(400));
  });

  it("reads infinity where there may be no limit", () => {
    const parse = integerOrInfinity(1);
    assert.equal(parse("infinity"), Number.POSITIVE_INFINITY);
    assert.equal(parse("1"), 1);
    refuses(parse, "0", "-1", "Infinity", "", "9".repeat(20));
  });

  it("reads ratios", () => {
    const parse = ratio(0, 1);
    assert.equal(parse("0.4"), 0.4);
    assert.equal(parse("0"), 0);
    assert.equal(parse("1"), 1);
    refuses(parse, "1.1", "-0.1", ".5", "40%", "", "NaN");
  });

  it("reads booleans and words", () => {
    assert.deepEqual(["true", "on", "false", "off"].map(boolean), [true, true, false, false]);
    refuses(boolean, "yes", "1", "", "TRUE");
    assert.equal(oneOf("a", "b")("b"), "b");
    refuses(oneOf("a", "b"), "c", "", "toString");
    assert.equal(nonEmptyText("x"), "x");
    refuses(nonEmptyText, "");
  });

  it("reads sizes with RabbitMQ's units", () => {
    const parse = size(0, Number.MAX_SAFE_INTEGER);
    const expected: readonly (readonly [string, number])[] = [
      ["0", 0],
      ["1073741824", 1073741824],
      ["1k", 1024],
      ["1kiB", 1024],
      ["1kB", 1000],
      ["1KB", 1000],
      ["3M", 3 * 1024 ** 2],
      ["3MiB", 3 * 1024 ** 2],
      ["3MB", 3_000_000],
      ["2G", 2 * 1024 ** 3],
      ["2Gi", 2 * 1024 ** 3],
      ["2GiB", 2 * 1024 ** 3],
      ["2gb", 2_000_000_000],
      ["2 GB", 2_000_000_000],
      ["1TB", 1e12],
      ["1PiB", 1024 ** 5],
    ];
    for (const [text, bytes] of expected) assert.equal(parse(text), bytes, text);
    refuses(parse, "", "GB", "1.5GB", "-1", "1XB", "1BB", "1GiBs", "9000PB", "1i", "1B");
    refuses(size(4096, 8192), "4095", "9k");
  });

  it("reads listener addresses", () => {
    const cases: readonly (readonly [string, string | undefined, number, string])[] = [
      ["5672", undefined, 5672, "5672"],
      ["0", undefined, 0, "0"],
      ["127.0.0.1:5672", "127.0.0.1", 5672, "127.0.0.1:5672"],
      ["localhost:1", "localhost", 1, "localhost:1"],
      ["::1:5672", "::1", 5672, "[::1]:5672"],
      ["[::1]:5672", "::1", 5672, "[::1]:5672"],
      [":::5672", "::", 5672, "[::]:5672"],
    ];
    for (const [text, host, port, written] of cases) {
      assert.deepEqual(parseListenerAddress(text), { host, port }, text);
      assert.equal(formatListenerAddress({ host, port }), written);
    }
    refuses(parseListenerAddress, "", ":5672", "host:", "host", "65536", "-1", "a b:1", "[]:1");
  });

  it("quotes on one line and cuts what is long", () => {
    assert.equal(quote('a\n"b"'), '"a\\n\\"b\\""');
    assert.ok(quote("x".repeat(1000)).length < 80);
  });
});
