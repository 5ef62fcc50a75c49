/**
 * What the broker has promised of messages in queues with limits: a naive account of the way that
 * each message takes, and the judge of where it is found. The simulation of limits keeps it beside
 * the real broker.
 *
 * A message may be given to several queues; in each it is a copy of its own, which dies and moves
 * on by itself. The promises, for each copy that was confirmed and is durable:
 * - It is in exactly one queue, in the one it was published to or in one that its deaths have led
 *   to: never in two, never in none, until a client has acknowledged it, or it has died in a queue
 *   without a dead-letter exchange.
 * - It dies only of what can have happened: after its time, rejected, returned too often, or where
 *   there may be too many. Its headers name every death, in order, once.
 * - Whatever has been so at rest is so after a crash.
 * How the broker chooses among what may die is not judged here, but by the models of queues.
 */

import type { LimitedQueue } from "./limited-queue.ts";
import { dropsRefused } from "./limited-queue.ts";
import { demand } from "./promise-broken.ts";

export interface Death {
  readonly queue: string;
  readonly reason: string;
}

/** A message where somebody saw it. */
export interface Sighting {
  readonly id: number;
  /** Oldest first. */
  readonly deaths: readonly Death[];
}

/** What has happened to a copy in one queue. */
interface Stay {
  rejections: number;
  returns: number;
  wasDelivered: boolean;
}

export interface LimitedCopy {
  readonly id: number;
  readonly origin: LimitedQueue;
  readonly priority: number;
  readonly isPersistent: boolean;
  readonly publishedAtMs: number;
  readonly expirationMs: number;
  /** It must survive. */
  isSafe: boolean;
  /** Where it is, or has been and may have left. */
  at: LimitedQueue;
  /** Where it was when all was at rest: it does not go back beyond that. */
  restedAt: LimitedQueue;
  state: "open" | "settled" | "refused";
  /** Its settlement survives the end of the process. */
  isNoted: boolean;
  isHeld: boolean;
  readonly stays: Map<LimitedQueue, Stay>;
}

/** By how much a restart may round a message's arrival down. */
const arrivalErrorMs = 125;

export class LimitsModel {
  readonly #queues: ReadonlyMap<string, LimitedQueue>;
  /** By id, then by the queue that it was published to. */
  readonly #copies = new Map<number, Map<LimitedQueue, LimitedCopy>>();
  #isForgetful = false;

  constructor(queues: readonly LimitedQueue[]) {
    this.#queues = new Map(queues.map((queue) => [queue.name, queue]));
  }

  add(copy: LimitedCopy): void {
    let copies = this.#copies.get(copy.id);
    if (copies === undefined) {
      copies = new Map();
      this.#copies.set(copy.id, copies);
    }
    copies.set(copy.origin, copy);
  }

  /** Which copy that is; it has come this way if it is right. */
  see({ id, deaths }: Sighting, queue: LimitedQueue, wallMs: number): LimitedCopy {
    const origin = this.#queues.get(deaths[0]?.queue ?? queue.name)!;
    const copy = this.#copies.get(id)?.get(origin);
    demand(copy !== undefined, () => `message ${id} is in ${queue.name}, and never was there`);
    this.#judgeWay(copy, deaths, queue, wallMs);
    return copy;
  }

  #judgeWay(copy: LimitedCopy, deaths: readonly Death[], end: LimitedQueue, wallMs: number): void {
    const way = deaths.map((death) => `${death.reason} in ${death.queue}`).join(", ");
    let at: LimitedQueue | undefined = copy.origin;
    for (const { queue, reason } of deaths) {
      const name = `${nameOf(copy)} (${way})`;
      demand(queue === at?.name, () => `${name} is in ${end.name}, and cannot come from ${queue}`);
      const deadly = deathsOf(copy, at, wallMs);
      demand(deadly.has(reason), () => `${name} cannot have died so in ${queue}`);
      at = at.target;
    }
    demand(at === end, () => `${nameOf(copy)} is in ${end.name}, and its deaths are ${way}`);
  }

  // What happens

  stayOf(copy: LimitedCopy, queue: LimitedQueue): Stay {
    let stay = copy.stays.get(queue);
    if (stay === undefined) {
      stay = { rejections: 0, returns: 0, wasDelivered: false };
      copy.stays.set(queue, stay);
    }
    return stay;
  }

  onDelivered(copy: LimitedCopy, queue: LimitedQueue, redelivered: boolean): void {
    const name = nameOf(copy);
    demand(copy.state === "open", () => `${name} is ${copy.state} and is delivered`);
    demand(!copy.isHeld, () => `${name} is delivered twice`);
    const { rank } = copy.at;
    demand(queue.rank >= rank, () => `${name} was in ${copy.at.name} and is in ${queue.name}`);
    const stay = this.stayOf(copy, queue);
    demand(redelivered === stay.wasDelivered, () => `${name} is marked ${redelivered}`);
    stay.wasDelivered = true;
    copy.at = queue;
  }

  /** All is as safe as it will ever be. */
  onRest(): void {
    for (const copy of this.copies()) {
      if (copy.state === "settled") copy.isNoted = !this.#isForgetful;
      else if (copy.state === "open") copy.isSafe = true;
      copy.restedAt = copy.at;
    }
  }

  /** What has been noted was to be made safe, and that has failed. */
  onFailedSync(): void {
    this.#isForgetful = true;
    this.onPowerLoss();
  }

  onPowerLoss(): void {
    for (const copy of this.copies()) copy.isNoted = false;
  }

  // Judging

  /** Judges what a recovery has found, and takes it over. */
  recover(
    found: ReadonlyMap<LimitedQueue, readonly (Sighting & { isRedelivered: boolean })[]>,
    wallMs: number,
    wasPowerLoss: boolean,
  ): void {
    const present = new Map<LimitedCopy, LimitedQueue>();
    for (const [queue, messages] of found) {
      for (const sighting of messages) {
        const copy = this.see(sighting, queue, wallMs);
        const name = nameOf(copy);
        const other = present.get(copy);
        demand(other === undefined, () => `${name} is in ${queue.name} and in ${other?.name}`);
        const isDurable = copy.isPersistent || queue.isQuorum;
        demand(isDurable, () => `${name} is transient and is back`);
        demand(!copy.isNoted, () => `${name} was settled and is back`);
        const { restedAt } = copy;
        const isOn = queue.rank >= restedAt.rank;
        demand(isOn, () => `${name} is back in ${queue.name}, and was in ${restedAt.name}`);
        present.set(copy, queue);
        this.#accept(copy, queue, sighting.isRedelivered, wallMs);
      }
    }
    for (const copy of [...this.copies()]) {
      if (present.has(copy)) continue;
      this.#judgeAbsent(copy, wallMs);
      // What has left may be back if that is lost, too, with the next loss of power.
      if (wasPowerLoss) this.#forget(copy);
      else copy.state = "settled";
      copy.isHeld = false;
    }
  }

  #accept(copy: LimitedCopy, queue: LimitedQueue, isRedelivered: boolean, wallMs: number): void {
    const stay = this.stayOf(copy, queue);
    // Who was overtaken by a higher priority counts as delivered then, and whoever had died.
    const isOvertaken = queue.isQuorum || queue.priorityMax > 0;
    const hadLeft = copy.state !== "open" || deathsOf(copy, queue, wallMs).size > 0;
    const mayBe = stay.wasDelivered || !isRedelivered || isOvertaken || hadLeft;
    demand(mayBe, () => `${nameOf(copy)} was never delivered from ${queue.name}`);
    // If it goes on from here once more, it does so as another message.
    for (const [each, other] of copy.stays) if (each.rank > queue.rank) other.wasDelivered = false;
    stay.wasDelivered = isRedelivered;
    copy.state = "open";
    copy.isHeld = false;
    copy.at = queue;
    copy.restedAt = queue;
  }

  #judgeAbsent(copy: LimitedCopy, wallMs: number): void {
    const isMissed = copy.state === "open" && copy.isSafe && !mayBeGone(copy, wallMs, true);
    demand(!isMissed, () => `${nameOf(copy)} is lost, last seen in ${copy.at.name}`);
  }

  /** Everything has been consumed. */
  checkConsumed(wallMs: number): void {
    for (const copy of this.copies()) {
      const isLeft = copy.state === "open" && !mayBeGone(copy, wallMs, false);
      demand(!isLeft, () => `${nameOf(copy)} is never delivered, last seen in ${copy.at.name}`);
    }
  }

  *copies(): Iterable<LimitedCopy> {
    for (const copies of this.#copies.values()) yield* copies.values();
  }

  #forget(copy: LimitedCopy): void {
    const copies = this.#copies.get(copy.id)!;
    copies.delete(copy.origin);
    if (copies.size === 0) this.#copies.delete(copy.id);
  }
}

export function nameOf({ id, origin }: LimitedCopy): string {
  return `message ${id} of ${origin.name}`;
}

/** Of what a copy may have died in a queue by now. */
function deathsOf(copy: LimitedCopy, queue: LimitedQueue, wallMs: number): Set<string> {
  const reasons = new Set<string>();
  const { rejections, returns } = copy.stays.get(queue) ?? { rejections: 0, returns: 0 };
  const expirationMs = queue === copy.origin ? copy.expirationMs : Number.POSITIVE_INFINITY;
  const ttlMs = Math.min(queue.ttlMs, expirationMs);
  if (wallMs + arrivalErrorMs >= copy.publishedAtMs + ttlMs) reasons.add("expired");
  // Whatever comes back counts for both, but it is the last time that says what of.
  const times = rejections + returns;
  if (rejections > 0 && times > queue.retryAttempts) reasons.add("rejected");
  if (returns > 0 && times > queue.deliveryLimit) reasons.add("delivery_limit");
  const isLimited = Number.isFinite(queue.lengthMax) || Number.isFinite(queue.bytesMax);
  if (isLimited && queue.overflow !== "reject-publish") reasons.add("maxlen");
  return reasons;
}

/** Whether the copy may have come to its end by now without a client. */
function mayBeGone(copy: LimitedCopy, wallMs: number, wasCrash: boolean): boolean {
  let at = copy.at;
  for (;;) {
    const isDurable = copy.isPersistent || at.isQuorum;
    if (wasCrash && !isDurable) return true;
    if (deathsOf(copy, at, wallMs).size === 0) return false;
    if (at.target === undefined || dropsRefused(at)) return true;
    at = at.target;
  }
}
