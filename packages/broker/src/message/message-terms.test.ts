/** Goal: priority, expiration and arrival survive being packed into two words. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { expirationMaxMs } from "./expiration.ts";
import {
  arrivalAt,
  arrivalMs,
  expirationOf,
  noTerms,
  priorityOf,
  termsOf,
} from "./message-terms.ts";

test("usual messages have no terms", () => {
  assert.equal(termsOf(0, undefined), noTerms);
  assert.equal(priorityOf(noTerms), 0);
  assert.equal(expirationOf(noTerms), Number.POSITIVE_INFINITY);
});

test("priorities come back, and expirations, never shorter and hardly longer", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: expirationMaxMs }),
      (priority, expiration) => {
        const terms = termsOf(priority, expiration);
        assert.equal(terms, terms | 0, "fits a word");
        assert.equal(priorityOf(terms), priority);
        const found = expirationOf(terms);
        assert.ok(found >= expiration && found <= expiration * (1 + 1 / 250_000), `${found}`);
        if (expiration < 524_288) assert.equal(found, expiration);
      },
    ),
  );
});

test("arrivals come back, across the wrap of their word", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 43 }),
      fc.integer({ min: 0, max: 8 * 365 * 86_400_000 }),
      (arrivedMs, waitedMs) => {
        const found = arrivalMs(arrivalAt(arrivedMs), arrivedMs + waitedMs);
        assert.ok(found <= arrivedMs && arrivedMs - found < 125, `${found}`);
      },
    ),
  );
});

test("an arrival in the future is now", () => {
  const nowMs = Date.UTC(2026, 0, 1);
  assert.equal(arrivalMs(arrivalAt(nowMs + 60_000), nowMs), nowMs);
});
