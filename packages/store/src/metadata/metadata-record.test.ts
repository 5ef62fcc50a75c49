/** Goal: a record is read as it was written, and no flipped bit goes unnoticed. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeRecord, encodeRecord } from "./metadata-record.ts";

const key = "queue\0/\0orders\0";

describe("metadata records", () => {
  it("have a layout that never changes", () => {
    const bytes = encodeRecord("a\0", { version: 2 ** 32 + 2, text: '"é"' });
    assert.equal(bytes.toString("hex"), "010000005099d7e6020000000100000022c3a922");
  });

  it("come back as they were", () => {
    for (const version of [0, 1, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
      for (const text of ["0", '"é\u{1f407}"', `"${"x".repeat(5000)}"`]) {
        const record = { version, text };
        assert.deepEqual(decodeRecord(key, encodeRecord(key, record)), record);
      }
    }
  });

  it("are not believed with any bit changed, cut short, or under another key", () => {
    const bytes = encodeRecord(key, { version: 7, text: '{"durable":true}' });
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes);
      changed[bit >>> 3]! ^= 1 << (bit & 7);
      assert.throws(() => decodeRecord(key, changed), { code: "damaged" }, `bit ${bit}`);
    }
    for (let length = 0; length < bytes.length; length++) {
      assert.throws(() => decodeRecord(key, bytes.subarray(0, length)), { code: "damaged" });
    }
    assert.throws(() => decodeRecord("queue\0/\0other\0", bytes), {
      code: "damaged",
      message: /queue \/ other/,
    });
  });
});
