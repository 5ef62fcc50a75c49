/** Goal: something is sent in every interval, and only a silent peer is given up. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { VirtualClock } from "@haremq/kernel";
import { Heartbeat } from "./heartbeat.ts";

function beating(intervalSeconds: number) {
  const clock = new VirtualClock();
  const peer = { out: 0, in: 0, beats: [] as number[], silentAtMs: -1 };
  const heartbeat = new Heartbeat(clock, intervalSeconds, {
    sent: () => peer.out,
    received: () => peer.in,
    sendHeartbeat: () => {
      peer.out++;
      peer.beats.push(clock.nowMs());
    },
    onSilence: () => {
      peer.silentAtMs = clock.nowMs();
      heartbeat.stop();
    },
  });
  return { clock, peer, heartbeat };
}

test("an idle sender beats at least every interval", () => {
  const { clock, peer, heartbeat } = beating(10);
  for (let second = 0; second < 100; second++) {
    clock.advance(1000);
    peer.in++;
  }
  assert.ok(peer.beats.length >= 10, `${peer.beats.length} beats in ten intervals`);
  let last = 0;
  for (const beat of peer.beats) {
    assert.ok(beat - last <= 10_000, `${beat - last} ms between beats`);
    last = beat;
  }
  heartbeat.stop();
  assert.equal(clock.pending, 0);
});

test("a busy sender sends no heartbeats", () => {
  const { clock, peer, heartbeat } = beating(10);
  for (let second = 0; second < 100; second++) {
    clock.advance(1000);
    peer.in++;
    peer.out++;
  }
  assert.deepEqual(peer.beats, []);
  heartbeat.stop();
});

test("a silent peer is given up after two intervals, and before three", () => {
  const { clock, peer } = beating(10);
  clock.advance(7000);
  peer.in++;
  clock.advance(100_000);
  assert.ok(peer.silentAtMs >= 7000 + 20_000, `given up at ${peer.silentAtMs}`);
  assert.ok(peer.silentAtMs <= 7000 + 30_000, `given up at ${peer.silentAtMs}`);
  assert.equal(clock.pending, 0);
});

test("a peer that speaks every two intervals is not given up", () => {
  const { clock, peer, heartbeat } = beating(10);
  for (let i = 0; i < 10; i++) {
    clock.advance(20_000);
    peer.in++;
  }
  assert.equal(peer.silentAtMs, -1);
  heartbeat.stop();
});

test("silence is excused while the application does not read", () => {
  const { clock, peer, heartbeat } = beating(10);
  for (let i = 0; i < 10; i++) {
    clock.advance(15_000);
    heartbeat.excuseSilence();
  }
  assert.equal(peer.silentAtMs, -1);
  heartbeat.stop();
});
