/**
 * Deduplication on exchanges: a message whose key the exchange has seen goes nowhere, and its
 * publisher is told that all is well. The broker starts it at the exchanges that ask for it.
 *
 * A key is remembered once its message has arrived in a queue, so that nothing is refused for the
 * sake of a message that nobody has. Where the message survives a restart its key does, too: as a
 * record of its own that follows the message in the log, or is in its group.
 *
 *     user's words:  | digest, 128 bits                   |
 *     user's bytes:  | wall time until which it counts, as a double |
 *
 * What is durable is always a prefix of what was appended. So after a crash there is no key without
 * its message; and a confirm waits for both. A duplicate that comes while its original is still on
 * its way to the disk is confirmed when that has arrived there.
 */

import type { Clock } from "@haremq/kernel";
import type { Logger } from "../events/logger.ts";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import type {
  ExchangeFeature,
  FeaturePlace,
  RunningFeature,
} from "../exchange/exchange-feature.ts";
import {
  type MessageTap,
  type TapActions,
  type TappedMessage,
  type TapReceipt,
  TapStage,
  TapVerdict,
} from "../exchange/message-tap.ts";
import { noteBytes } from "../message/message-store.ts";
import { unstored } from "../message/message-view.ts";
import {
  type CacheSettings,
  cacheSettings,
  checkDeduplication,
  deduplicatingType,
  isDeduplicated,
  keyTtlMs,
} from "./deduplication-arguments.ts";
import { DuplicateCache } from "./duplicate-cache.ts";
import { digestKey, newDigest } from "./message-key.ts";

export class ExchangeDeduplication implements ExchangeFeature {
  readonly name = "deduplication";
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #memoryBytesMax: number;

  /** All exchanges together take no more than `memoryBytesMax`. */
  constructor(clock: Clock, log: Logger, memoryBytesMax: number) {
    this.#clock = clock;
    this.#log = log;
    this.#memoryBytesMax = memoryBytesMax;
  }

  check(exchange: ExchangeSpec): void {
    checkDeduplication(exchange);
  }

  isWanted(exchange: Pick<Exchange, "type" | "arguments" | "policy">): boolean {
    return exchange.type === deduplicatingType || isDeduplicated(exchange);
  }

  start(exchange: Exchange, place: FeaturePlace): DeduplicatingExchange {
    const { sizeMax } = cacheSettings(exchange);
    const { keys } = place.messages.memory;
    const cache = (forget: (note: number) => void): DuplicateCache =>
      new DuplicateCache(sizeMax, keys, this.#memoryBytesMax, forget);
    return new DeduplicatingExchange(exchange, place, cache, this.#clock, this.#log);
  }
}

/** Deduplication at one exchange. */
class DeduplicatingExchange implements RunningFeature, MessageTap {
  readonly stage = TapStage.Deduplicate;
  readonly tap = this;
  readonly #exchange: Exchange;
  readonly #place: FeaturePlace;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #cache: DuplicateCache;
  readonly #digest = newDigest();
  #settings: CacheSettings;
  #isWanted = true;
  #isDropped = false;
  /** Keys that the log has found, until they have been read. */
  #found: number[] = [];

  constructor(
    exchange: Exchange,
    place: FeaturePlace,
    cacheFor: (forget: (note: number) => void) => DuplicateCache,
    clock: Clock,
    log: Logger,
  ) {
    this.#exchange = exchange;
    this.#place = place;
    this.#clock = clock;
    this.#log = log;
    this.#settings = cacheSettings(exchange);
    this.#cache = cacheFor((note) => this.#forget(note));
  }

  pass(message: TappedMessage, _exchange: Exchange, actions: TapActions): TapVerdict {
    const { headers, isDeadLetter = false } = message;
    // It repeats nothing, even if it comes to where it was before, and has no other place to be.
    if (isDeadLetter) return TapVerdict.Pass;
    const digest = this.#digest;
    if (!digestKey(headers, this.#settings.header, digest)) return TapVerdict.Pass;
    const known = this.#cache.find(digest, this.#clock.nowMs());
    if (known === undefined) {
      const ttlMs = keyTtlMs(headers!, this.#settings);
      const ownRecordBytes = this.#storeNumber === 0 ? 0 : noteBytes;
      actions.notify(new NewKey(this, Int32Array.from(digest), ttlMs, ownRecordBytes));
      return TapVerdict.Pass;
    }
    const { messages, host } = this.#place;
    const safePosition = messages.safePosition(host.confirmLevel);
    const mayBeLost = known !== unstored && safePosition < messages.position;
    if (mayBeLost) actions.awaitStore();
    // Not dropped but taken: a mandatory message does not come back, for it has arrived before.
    return TapVerdict.Taken;
  }

  /** What keys are stored under; 0 if they are not. */
  get #storeNumber(): number {
    return this.#settings.isPersistent ? this.#place.storeNumber : 0;
  }

  isKnown(digest: Int32Array): boolean {
    return this.#cache.find(digest, this.#clock.nowMs()) !== undefined;
  }

  remember(digest: Int32Array, ttlMs: number, isStored: boolean, kind: number): void {
    const { messages, host } = this.#place;
    const storeNumber = isStored ? this.#storeNumber : 0;
    const expiresWallMs = this.#clock.wallMs() + ttlMs;
    const note =
      storeNumber === 0
        ? unstored
        : messages.keepNote(storeNumber, digest, expiresWallMs, host.confirmLevel, kind);
    const nowMs = this.#clock.nowMs();
    this.#cache.add(digest, nowMs + ttlMs, note, nowMs);
  }

  #forget(note: number): void {
    const { messages, storeNumber } = this.#place;
    // Of a deleted exchange nobody remembers anything.
    if (this.#isDropped) messages.release(note);
    else messages.settle(note, storeNumber);
  }

  restore(handle: number): void {
    this.#found.push(handle);
  }

  /** Reads the keys that were found, oldest first. */
  async ready(): Promise<void> {
    const found = this.#found;
    this.#found = [];
    const { messages } = this.#place;
    const digest = newDigest();
    let lost = 0;
    for (const handle of found) {
      try {
        while (!messages.isResident(handle)) await messages.load(handle);
      } catch {
        // What cannot be read now may be read after the next start.
        lost++;
        continue;
      }
      const leftMs = messages.readNote(handle, digest) - this.#clock.wallMs();
      if (leftMs > 0) {
        const nowMs = this.#clock.nowMs();
        this.#cache.add(digest, nowMs + leftMs, handle, nowMs);
      } else {
        if (Number.isNaN(leftMs)) lost++;
        this.#forget(handle);
      }
    }
    if (!this.#isWanted) this.#cache.clear();
    else if (lost > 0) this.#reportLost(lost);
  }

  #reportLost(lost: number): void {
    const { vhost } = this.#place;
    this.#log.error(
      `exchange '${this.#exchange.name}' in vhost '${vhost}' does not know ${lost} keys any more ` +
        "that could not be read from disk: duplicates of their messages will pass",
    );
  }

  onPolicyChange(isWanted: boolean): void {
    this.#isWanted = isWanted;
    this.#settings = cacheSettings(this.#exchange);
    if (isWanted) this.#cache.sizeMax = this.#settings.sizeMax;
    else this.#cache.clear();
  }

  drop(): void {
    this.#isDropped = true;
    this.#cache.clear();
  }

  stop(): void {
    // What is durable stays, and there is nothing else.
  }
}

/** The key of a message that is not a duplicate, until the message has arrived. */
class NewKey implements TapReceipt {
  readonly #exchange: DeduplicatingExchange;
  readonly #digest: Int32Array;
  readonly #ttlMs: number;
  readonly ownRecordBytes: number;

  constructor(
    exchange: DeduplicatingExchange,
    digest: Int32Array,
    ttlMs: number,
    ownRecordBytes: number,
  ) {
    this.#exchange = exchange;
    this.#digest = digest;
    this.#ttlMs = ttlMs;
    this.ownRecordBytes = ownRecordBytes;
  }

  get mayPass(): boolean {
    return !this.#exchange.isKnown(this.#digest);
  }

  onArrival(isStored: boolean, kind: number): void {
    this.#exchange.remember(this.#digest, this.#ttlMs, isStored, kind);
  }
}
