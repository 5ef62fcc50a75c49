/** Goal: the committed codec is what its description generates. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { generate } from "../generator/generate.ts";
import { isHardError, ReplyCode, replyCodeName } from "./generated/reply-code.ts";

const folder = new URL("generated/", import.meta.url);

test('the generated code is what "npm run generate" writes', () => {
  const files = generate();
  assert.deepEqual(readdirSync(folder).sort(), [...files.keys()].sort());
  for (const [name, source] of files) {
    assert.equal(readFileSync(new URL(name, folder), "utf8"), source, name);
  }
});

test("reply codes have RabbitMQ's names and their severity", () => {
  assert.equal(replyCodeName(404), "NOT_FOUND");
  assert.equal(replyCodeName(ReplyCode.PreconditionFailed), "PRECONDITION_FAILED");
  assert.equal(replyCodeName(999), "999");
  const codes = Object.values(ReplyCode);
  const soft = codes.filter((code) => !isHardError(code));
  assert.deepEqual(soft, [200, 311, 312, 313, 403, 404, 405, 406]);
  const hard = codes.filter(isHardError);
  assert.deepEqual(hard, [320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541]);
});
