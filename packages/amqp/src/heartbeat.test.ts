// Goal: a heartbeat is sent when nothing else was, and a peer is given up when nothing came
// although it was listened to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "@haremq/kernel";
import { Heartbeat, type HeartbeatTarget } from "./heartbeat.ts";

class Peer implements HeartbeatTarget {
  readonly #clock: VirtualClock;
  writtenBytes = 0;
  receivedBytes = 0;
  isReading = true;
  sent = 0;
  silentAtMs = -1;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  sendHeartbeat(): void {
    this.sent++;
    this.writtenBytes += 8;
  }

  onPeerSilent(): void {
    this.silentAtMs = this.#clock.nowMs();
  }
}

function harness(intervalSeconds = 10) {
  const clock = new VirtualClock();
  const target = new Peer(clock);
  return { clock, target, heartbeat: new Heartbeat(clock, target, intervalSeconds) };
}

test("is sent every half interval in which nothing else was written", () => {
  const { clock, target } = harness();
  for (let half = 0; half < 6; half++) {
    target.receivedBytes++;
    clock.advance(5000);
  }
  assert.equal(target.sent, 6);
});

test("is never further apart than an interval", () => {
  const { clock, target } = harness();
  let last = 0;
  let written = 0;
  for (let second = 1; second <= 300; second++) {
    target.receivedBytes++;
    clock.advance(1000);
    if (target.writtenBytes !== written) {
      assert.ok(second - last <= 10, `nothing from ${last} to ${second}`);
      written = target.writtenBytes;
      last = second;
    }
  }
});

test("is not sent where something else was", () => {
  const { clock, target } = harness();
  for (let half = 0; half < 6; half++) {
    target.writtenBytes++;
    target.receivedBytes++;
    clock.advance(5000);
  }
  assert.equal(target.sent, 0);
});

test("gives a peer up after two intervals without a byte", () => {
  const { clock, target } = harness();
  clock.advance(7000);
  target.receivedBytes++;
  clock.advance(100_000);
  // The byte was seen at 10 s.
  assert.equal(target.silentAtMs, 30_000);
  assert.equal(clock.pending, 0);
});

test("does not count time in which nobody listened", () => {
  const { clock, target } = harness();
  target.isReading = false;
  clock.advance(100_000);
  assert.equal(target.silentAtMs, -1);
  target.isReading = true;
  clock.advance(19_999);
  assert.equal(target.silentAtMs, -1);
  clock.advance(1);
  assert.equal(target.silentAtMs, 120_000);
});

test("stops when it is told to", () => {
  const { clock, target, heartbeat } = harness();
  heartbeat.stop();
  clock.advance(100_000);
  assert.deepEqual([target.sent, target.silentAtMs, clock.pending], [0, -1, 0]);
});
