/**
 * What exchanges of any type can do besides routing: delay messages, remember them, refuse repeated
 * ones. The broker knows a few features; each virtual host starts them at the exchanges whose type,
 * arguments or policy ask for them (vhost/exchange-features.ts) and ends them with the exchange.
 *
 * What a feature keeps in the durable log is found again by the number that its exchange has for
 * it, as a queue's messages are by the queue's number.
 */

import type { ConfirmLevel } from "@haremq/store";
import type { MessageStore } from "../message/message-store.ts";
import type { Queue } from "../queue/queue.ts";
import type { Binding } from "./binding.ts";
import type { Exchange, ExchangeSpec } from "./exchange.ts";
import type { MessageTap } from "./message-tap.ts";
import type { Topology } from "./topology.ts";

export interface ExchangeFeature {
  /** What records of exchanges call it; it never changes. */
  readonly name: string;
  /** Throws the error that an exchange with such a type and such arguments is refused with. */
  check(exchange: ExchangeSpec, vhost: string): void;
  /** Whether the exchange is to have it, by its type, arguments or policy. */
  isWanted(exchange: Pick<Exchange, "type" | "arguments" | "policy">): boolean;
  start(exchange: Exchange, place: FeaturePlace): RunningFeature;
}

/** Where a feature runs. */
export interface FeaturePlace {
  readonly vhost: string;
  /** The virtual host: at which level messages are stored there. */
  readonly host: { readonly confirmLevel: ConfirmLevel };
  readonly topology: Topology<Queue>;
  readonly messages: MessageStore;
  /** What the durable log calls what is kept here; 0 if nothing survives a restart. */
  readonly storeNumber: number;
}

/** Gives a destination what it is to get before it is bound. */
export interface Introduction {
  /**
   * Undefined when it has everything up to this moment, so that it has to be bound within it.
   * Otherwise call it again after the promise.
   */
  advance(): Promise<void> | undefined;
}

/** A feature at one exchange. */
export interface RunningFeature {
  /** Attached to the exchange while the feature is wanted. */
  readonly tap: MessageTap;
  /** The log has found this message, oldest first, before anything else happens. */
  restore(handle: number): void;
  /**
   * Resolves when it has taken in what was restored, for what that takes the disk. Nobody publishes
   * before.
   */
  ready?(): Promise<void>;
  /** Whether it is wanted, and how, may have changed; the tap has been attached or detached. */
  onPolicyChange(isWanted: boolean): void;
  /** Somebody is about to be bound to the exchange who is not bound like that. */
  introduce?(binding: Binding<Queue>): Introduction;
  /** The exchange is gone, and so is what was kept for it. */
  drop(): void;
  /** The broker ends; what is durable stays. */
  stop(): void;
}
