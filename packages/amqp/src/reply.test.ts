// Goal: every kind of error becomes the close that RabbitMQ would send for it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ChannelError, ConnectionError } from "@haremq/broker";
import { MalformedError, UnknownMethodError } from "@haremq/wire";
import { frameErrors } from "./frame-errors.ts";
import { LoginRefused } from "./handshake.ts";
import { refusalOf } from "./reply.ts";

const declare = (50 << 16) | 10;

function summary(error: unknown): string {
  const { reply, isHard, isInternal } = refusalOf(error, declare);
  const { replyCode, replyText, classId, methodId } = reply;
  const kind = isInternal ? "ours" : isHard ? "hard" : "soft";
  return `${kind} ${replyCode} ${replyText} ${classId}.${methodId}`;
}

describe("refusalOf", () => {
  const cases: [error: unknown, expected: string][] = [
    [new ChannelError("NOT_FOUND", "no queue"), "soft 404 NOT_FOUND - no queue 50.10"],
    [new ConnectionError("NOT_ALLOWED", "no"), "hard 530 NOT_ALLOWED - no 50.10"],
    [new ConnectionError("INTERNAL_ERROR", ""), "hard 541 INTERNAL_ERROR 0.0"],
    [new LoginRefused("ACCESS_REFUSED", "no"), "hard 403 ACCESS_REFUSED - no 0.0"],
    [new MalformedError(501, "bad", 60, 40), "hard 501 FRAME_ERROR - bad 60.40"],
    [new MalformedError(502, "bad"), "hard 502 SYNTAX_ERROR - bad 0.0"],
    [new UnknownMethodError(99, 1), "hard 503 COMMAND_INVALID - unimplemented method 50.10"],
    [
      frameErrors.unexpectedContent(1, 3, Buffer.alloc(1), 0, 1),
      "hard 505 UNEXPECTED_FRAME - expected method frame, got non method frame instead 0.0",
    ],
    [new TypeError("secret"), "ours 541 INTERNAL_ERROR 0.0"],
    ["not even an error", "ours 541 INTERNAL_ERROR 0.0"],
  ];
  for (const [error, expected] of cases) {
    test(expected, () => {
      assert.equal(summary(error), expected);
    });
  }

  test("takes ids for what they are, also above 32767", () => {
    const { reply } = refusalOf(new ConnectionError("NOT_ALLOWED", ""), (0xffff << 16) | 0xfffe);
    assert.deepEqual([reply.classId, reply.methodId], [0xffff, 0xfffe]);
  });

  test("cuts a text to what a short string holds, between characters", () => {
    const textOf = (explanation: string) =>
      refusalOf(new ChannelError("NOT_FOUND", explanation), 0).reply.replyText;
    const head = "NOT_FOUND - ";
    assert.equal(textOf("x".repeat(255 - head.length)), head + "x".repeat(255 - head.length));
    assert.equal(textOf("x".repeat(300)), `${head}${"x".repeat(252 - head.length)}...`);
    for (let offset = 0; offset < 4; offset++) {
      const cut = textOf("x".repeat(offset) + "é😀".repeat(60));
      assert.ok(Buffer.byteLength(cut) <= 255);
      assert.ok(Buffer.byteLength(cut) > 248);
      assert.ok(!cut.includes("\ufffd") && cut.endsWith("..."));
    }
  });
});
