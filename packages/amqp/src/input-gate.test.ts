// Goal: whatever holds a client up, its bytes go through in the order in which they came, each
// once.

import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import { InputGate } from "./input-gate.ts";

class FakeSocket {
  isPaused = false;

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }
}

function harness(read: (chunk: Buffer, gate: InputGate) => number = (chunk) => chunk.length) {
  const socket = new FakeSocket();
  const passed: Buffer[] = [];
  const gate: InputGate = new InputGate(socket as unknown as Socket, (chunk) => {
    const taken = read(chunk, gate);
    passed.push(Buffer.from(chunk.subarray(0, taken)));
    return taken;
  });
  return { socket, gate, passed: () => Buffer.concat(passed).toString() };
}

const holds = [
  ["suspend", "resume"],
  ["block", "unblock"],
  ["throttle", "unthrottle"],
] as const;

describe("InputGate", () => {
  for (const [close, open] of holds) {
    test(`holds after ${close} what comes, and lets it through after ${open}`, () => {
      const { gate, passed } = harness();
      gate.receive(Buffer.from("a"));
      gate[close]();
      gate.receive(Buffer.from("b"));
      gate.receive(Buffer.from("c"));
      assert.equal(passed(), "a");
      gate[open]();
      assert.equal(passed(), "abc");
      gate.receive(Buffer.from("d"));
      assert.equal(passed(), "abcd");
    });
  }

  test("holds what comes until a promise is kept, and nothing for none", async () => {
    const { gate, passed, socket } = harness();
    gate.slowDown(undefined);
    gate.receive(Buffer.from("a"));
    let keep = (): void => {};
    const promise = new Promise<void>((resolve) => {
      keep = resolve;
    });
    gate.slowDown(promise);
    assert.equal(gate.isReading, false);
    gate.receive(Buffer.from("b"));
    gate.block();
    keep();
    await promise;
    assert.equal(passed(), "a");
    gate.unblock();
    assert.equal(passed(), "ab");
    assert.equal(socket.isPaused, false);
  });

  test("stays shut when what it lets through has to wait again", async () => {
    const keepers: (() => void)[] = [];
    const { gate, passed } = harness((chunk, self) => {
      self.slowDown(new Promise((resolve) => keepers.push(resolve)));
      return chunk.length;
    });
    for (const text of "abc") gate.receive(Buffer.from(text));
    assert.equal(passed(), "a");
    keepers[0]!();
    await new Promise(setImmediate);
    gate.receive(Buffer.from("d"));
    assert.equal(passed(), "abc", "what was held comes as one chunk");
    keepers[1]!();
    await new Promise(setImmediate);
    assert.equal(passed(), "abcd");
  });

  test("opens when the last of several holds has gone", () => {
    const { gate, passed, socket } = harness();
    for (const [close] of holds) gate[close]();
    gate.receive(Buffer.from("a"));
    gate.unblock();
    gate.resume();
    assert.equal(passed(), "");
    assert.ok(socket.isPaused);
    gate.unthrottle();
    assert.equal(passed(), "a");
    assert.ok(!socket.isPaused);
  });

  test("pauses the socket when enough is held, and at once for what may take long", () => {
    const { gate, socket } = harness();
    gate.suspend();
    gate.receive(Buffer.alloc(64 * 1024));
    assert.ok(!socket.isPaused);
    gate.receive(Buffer.alloc(1));
    assert.ok(socket.isPaused);
    assert.ok(!gate.isReading);
    gate.resume();
    assert.ok(!socket.isPaused);
    gate.block();
    assert.ok(socket.isPaused);
    gate.unblock();
    gate.throttle();
    assert.ok(socket.isPaused);
  });

  test("lets nothing through at its end, and drains the socket", () => {
    const { gate, passed, socket } = harness();
    gate.block();
    gate.receive(Buffer.from("held"));
    gate.end();
    assert.ok(!socket.isPaused);
    gate.receive(Buffer.from("more"));
    gate.unblock();
    assert.equal(passed(), "");
  });

  test("counts what it received, held or not", () => {
    const { gate } = harness();
    gate.receive(Buffer.alloc(3));
    gate.block();
    gate.receive(Buffer.alloc(4));
    assert.equal(gate.receivedBytes, 7);
  });

  test("loses nothing and keeps the order, whenever it is closed and opened", () => {
    const action = fc.oneof(
      { weight: 3, arbitrary: fc.nat(20).map((length) => ({ receive: length })) },
      fc.constantFrom(...holds.flat()),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), fc.nat(10), (actions, every) => {
        // Reads a few bytes and then closes the gate, as a method does that takes its time.
        const { gate, passed } = harness((chunk, self) => {
          if (every === 0 || chunk.length <= every) return chunk.length;
          self.suspend();
          return every;
        });
        let sent = "";
        for (const each of actions) {
          if (typeof each === "string") {
            gate[each]();
            continue;
          }
          const text = Array.from({ length: each.receive }, (_, index) =>
            String.fromCharCode(97 + ((sent.length + index) % 26)),
          ).join("");
          sent += text;
          gate.receive(Buffer.from(text));
        }
        assert.ok(sent.startsWith(passed()));
        gate.unblock();
        gate.unthrottle();
        for (let left = sent.length; left >= 0; left--) gate.resume();
        assert.equal(passed(), sent);
      }),
    );
  });
});
