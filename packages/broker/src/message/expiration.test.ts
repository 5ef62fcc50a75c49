/** Goal: expirations are taken and refused as RabbitMQ does. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ChannelError } from "../errors.ts";
import { checkExpiration, expirationMaxMs } from "./expiration.ts";

test("an expiration is the number that it spells", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: expirationMaxMs }), fc.nat(20), (value, zeros) => {
      assert.equal(checkExpiration(`${value}`), value);
      assert.equal(checkExpiration(`${"0".repeat(zeros)}${value}`), value);
      assert.equal(checkExpiration(`+${value}`), value);
    }),
  );
});

test("minus nothing is nothing", () => {
  assert.ok(Object.is(checkExpiration("-0"), 0));
});

test("whatever is not such a number is refused, with the text itself in the explanation", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      fc.pre(!/^[+-]?\d+$/.test(text));
      assert.throws(
        () => checkExpiration(text),
        (error) =>
          error instanceof ChannelError &&
          error.condition === "PRECONDITION_FAILED" &&
          error.message.startsWith(`invalid expiration '${text}': `),
      );
    }),
  );
});
