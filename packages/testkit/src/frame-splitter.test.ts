// Goal: the reader that tests rely on finds every frame, wherever the stream is cut.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameSplitter } from "./frame-splitter.ts";
import { methodFrame, methodOf } from "./method-of.ts";

const heartbeat = Buffer.from([8, 0, 0, 0, 0, 0, 0, 0xce]);

test("finds the same frames wherever the stream is cut", () => {
  const stream = Buffer.concat([
    methodFrame(1, methodOf("queue.declare", { queue: "q" })),
    heartbeat,
    methodFrame(2, methodOf("channel.open")),
  ]);
  for (let cut = 0; cut <= stream.length; cut++) {
    const splitter = new FrameSplitter();
    const frames = [
      ...splitter.push(stream.subarray(0, cut)),
      ...splitter.push(stream.subarray(cut)),
    ];
    assert.deepEqual(
      frames.map(({ type, channel }) => [type, channel]),
      [
        [1, 1],
        [8, 0],
        [1, 2],
      ],
    );
    assert.equal(splitter.rest.length, 0);
  }
});

test("keeps a protocol header apart from frames", () => {
  const splitter = new FrameSplitter();
  assert.deepEqual(splitter.push(Buffer.from("AMQP\0\0\x09\x01")), []);
  assert.equal(splitter.rest.toString("latin1"), "AMQP\0\0\x09\x01");
});

test("hands nothing on behind a wrong end octet", () => {
  const splitter = new FrameSplitter();
  const spoiled = Buffer.from(heartbeat);
  spoiled[7] = 0;
  assert.deepEqual(splitter.push(Buffer.concat([spoiled, heartbeat])), []);
});

test("methods have defaults, and refuse arguments they do not have", () => {
  const method = methodOf("basic.publish", { routingKey: "k" });
  assert.deepEqual(method.args, {
    exchange: "",
    routingKey: "k",
    mandatory: false,
    immediate: false,
  });
  assert.throws(() => methodOf("basic.ack", { tag: 1 } as never), /no argument tag/);
});
