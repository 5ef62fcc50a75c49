/**
 * Heartbeats in both directions, as 0-9-1 section 4.2.7 wants them: something is sent at least
 * every interval, and a peer that was silent for two intervals is dead. Looked at twice an
 * interval, so that a frame is never more than half an interval late and silence is noticed within
 * two and a half.
 */

import type { Clock, Timer } from "@haremq/kernel";

export interface HeartbeatPeer {
  /** Counts what was sent; a heartbeat is due when it has not changed. */
  sent(): number;
  /** Counts what was received. */
  received(): number;
  sendHeartbeat(): void;
  onSilence(): void;
}

const looksPerInterval = 2;
const intervalsUntilDead = 2;

export class Heartbeat {
  readonly #clock: Clock;
  readonly #peer: HeartbeatPeer;
  readonly #lookMs: number;
  #timer: Timer | undefined;
  #lastSent = -1;
  #lastReceived = -1;
  #silentLooks = 0;

  constructor(clock: Clock, intervalSeconds: number, peer: HeartbeatPeer) {
    this.#clock = clock;
    this.#peer = peer;
    this.#lookMs = (intervalSeconds * 1000) / looksPerInterval;
    this.#lastSent = peer.sent();
    this.#lastReceived = peer.received();
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** The application stopped reading: that the peer is not heard says nothing about it. */
  excuseSilence(): void {
    this.#silentLooks = 0;
  }

  #arm(): void {
    this.#timer = this.#clock.schedule(this.#lookMs, () => this.#look());
  }

  #look(): void {
    this.#arm();
    const sent = this.#peer.sent();
    if (sent === this.#lastSent) this.#peer.sendHeartbeat();
    this.#lastSent = this.#peer.sent();
    const received = this.#peer.received();
    this.#silentLooks = received === this.#lastReceived ? this.#silentLooks + 1 : 0;
    this.#lastReceived = received;
    if (this.#silentLooks > looksPerInterval * intervalsUntilDead) this.#peer.onSilence();
  }
}
