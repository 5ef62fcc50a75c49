/**
 * Heartbeats of one connection, both ways. Every half interval it looks at two byte counts: if
 * nothing was written since the last look it sends a heartbeat, and if nothing has come for two
 * intervals the peer is taken for dead. Traffic itself costs nothing.
 */

import type { Clock, Timer } from "@haremq/kernel";

/** What is observed, and what is to be done. */
export interface HeartbeatTarget {
  readonly writtenBytes: number;
  readonly receivedBytes: number;
  /** False while we do not listen, so that silence says nothing of the peer. */
  readonly isReading: boolean;
  sendHeartbeat(): void;
  onPeerSilent(): void;
}

const looksPerInterval = 2;
const silentLooksMax = 2 * looksPerInterval;

export class Heartbeat {
  readonly #clock: Clock;
  readonly #target: HeartbeatTarget;
  readonly #lookMs: number;
  #timer: Timer;
  #written: number;
  #received: number;
  #silentLooks = 0;

  constructor(clock: Clock, target: HeartbeatTarget, intervalSeconds: number) {
    this.#clock = clock;
    this.#target = target;
    this.#lookMs = (intervalSeconds * 1000) / looksPerInterval;
    this.#written = target.writtenBytes;
    this.#received = target.receivedBytes;
    this.#timer = clock.schedule(this.#lookMs, () => this.#look());
  }

  stop(): void {
    this.#timer.cancel();
  }

  #look(): void {
    const target = this.#target;
    if (target.receivedBytes === this.#received && target.isReading) this.#silentLooks++;
    else this.#silentLooks = 0;
    if (this.#silentLooks >= silentLooksMax) {
      target.onPeerSilent();
      return;
    }
    if (target.writtenBytes === this.#written) target.sendHeartbeat();
    this.#received = target.receivedBytes;
    this.#written = target.writtenBytes;
    this.#timer = this.#clock.schedule(this.#lookMs, () => this.#look());
  }
}
