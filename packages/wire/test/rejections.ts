// Cuts a valid encoding at every octet and adds one to it: all of it must be refused with a
// MalformedError. For the tests of every decoder that must consume its input exactly.

import assert from "node:assert/strict";
import { MalformedError, WireReader } from "../src/index.ts";

export function rejectionsOf(
  payload: Buffer,
  decode: (reader: WireReader) => unknown,
): MalformedError[] {
  const errors = [rejectionOf(Buffer.concat([payload, Buffer.from([0])]), decode)];
  for (let end = 0; end < payload.length; end++) {
    errors.push(rejectionOf(payload.subarray(0, end), decode));
  }
  return errors;
}

function rejectionOf(payload: Buffer, decode: (reader: WireReader) => unknown): MalformedError {
  // What lies outside of the region must not be read.
  const surrounded = Buffer.concat([Buffer.from([1, 2]), payload, Buffer.alloc(300, 1)]);
  const reader = new WireReader(surrounded, 2, 2 + payload.length);
  try {
    decode(reader);
  } catch (error) {
    assert.ok(error instanceof MalformedError, String(error));
    return error;
  }
  assert.fail(`accepted: ${payload.toString("hex")}`);
}
