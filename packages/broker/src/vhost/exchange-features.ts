/**
 * The features of one virtual host's exchanges: starts each where it is wanted, has it see messages
 * while that is so, and ends it with its exchange. The virtual host calls it for what it creates
 * and finds; removals and changes of policies it learns from the topology.
 *
 * A durable exchange has a number in the store for each feature that it ever had, saved with the
 * exchange or, if a policy came later, before the feature starts.
 */

import type { ConfirmLevel } from "@haremq/store";
import type { Binding } from "../exchange/binding.ts";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import type {
  ExchangeFeature,
  FeaturePlace,
  Introduction,
  RunningFeature,
} from "../exchange/exchange-feature.ts";
import type { Topology } from "../exchange/topology.ts";
import type { MessageStore } from "../message/message-store.ts";
import { type EffectivePolicy, noPolicy } from "../policy/effective-policy.ts";
import type { Queue } from "../queue/queue.ts";
import type { TopologyJournal } from "./topology-journal.ts";

/** The numbers of an exchange's features in the store, by the features' names. */
export type StoreNumbers = Readonly<Record<string, number>>;

export const noStoreNumbers: StoreNumbers = {};

interface Place {
  readonly vhost: string;
  readonly host: { readonly confirmLevel: ConfirmLevel };
  readonly topology: Topology<Queue>;
  readonly messages: MessageStore;
  readonly journal: TopologyJournal | undefined;
  onSaveFailed(error: unknown): void;
}

export class ExchangeFeatures {
  readonly #features: readonly ExchangeFeature[];
  readonly #place: Place;
  readonly #running = new Map<Exchange, Map<ExchangeFeature, RunningFeature>>();
  readonly #numbers = new WeakMap<Exchange, StoreNumbers>();

  constructor(features: readonly ExchangeFeature[], place: Place) {
    this.#features = features;
    this.#place = place;
    place.topology.onPolicyApplied = (exchange) => this.#onPolicyApplied(exchange);
    place.topology.onExchangeRemoved = (exchange) => this.#drop(exchange);
  }

  /** Throws if a feature refuses the declaration. */
  check(exchange: ExchangeSpec): void {
    for (const feature of this.#features) feature.check(exchange, this.#place.vhost);
  }

  /** The numbers that an exchange has to be saved with. */
  newNumbers(spec: ExchangeSpec, policy: EffectivePolicy = noPolicy): StoreNumbers {
    const { journal } = this.#place;
    if (journal === undefined || !spec.durable) return noStoreNumbers;
    const numbers: Record<string, number> = {};
    for (const feature of this.#features) {
      if (feature.isWanted({ ...spec, policy })) numbers[feature.name] = journal.newStoreNumber();
    }
    return numbers;
  }

  /** Starts what the exchange wants, and what it once wanted; it has these numbers. */
  begin(exchange: Exchange, numbers: StoreNumbers): void {
    this.#numbers.set(exchange, numbers);
    for (const feature of this.#features) {
      const number = numbers[feature.name];
      if (number !== undefined) this.#start(feature, exchange, number);
    }
    this.#onPolicyApplied(exchange);
  }

  /** What keeps the log's messages with this number, of those that `begin` was given. */
  find(exchange: Exchange, number: number): RunningFeature | undefined {
    const numbers = this.#numbers.get(exchange) ?? noStoreNumbers;
    const feature = this.#features.find(({ name }) => numbers[name] === number);
    return feature === undefined ? undefined : this.#running.get(exchange)?.get(feature);
  }

  /** The feature as it runs at this exchange. */
  of(exchange: Exchange, feature: ExchangeFeature): RunningFeature | undefined {
    return this.#running.get(exchange)?.get(feature);
  }

  /** What somebody is to get who is about to be bound; undefined for nothing. */
  introduce(binding: Binding<Queue>): Introduction | undefined {
    for (const feature of this.#running.get(binding.source)?.values() ?? []) {
      // No two features of an exchange do this.
      if (feature.introduce !== undefined) return feature.introduce(binding);
    }
    return undefined;
  }

  /** Resolves when all have taken in what was restored. */
  async ready(): Promise<void> {
    // One after the other, so that they do not drive each other's messages out of memory.
    for (const running of this.#running.values()) {
      for (const feature of running.values()) await feature.ready?.();
    }
  }

  stop(): void {
    for (const running of this.#running.values()) {
      for (const feature of running.values()) feature.stop();
    }
    this.#running.clear();
  }

  #onPolicyApplied(exchange: Exchange): void {
    // A new exchange has its features started once it has its numbers.
    if (!this.#numbers.has(exchange)) return;
    const { topology, journal } = this.#place;
    for (const feature of this.#features) {
      const running = this.#running.get(exchange)?.get(feature);
      const isWanted = feature.isWanted(exchange);
      if (running !== undefined) {
        if (isWanted) topology.attachTap(exchange, running.tap);
        else topology.detachTap(exchange, running.tap);
        running.onPolicyChange(isWanted);
      } else if (isWanted) {
        if (journal === undefined || !exchange.durable) this.#start(feature, exchange, 0);
        else this.#startDurably(feature, exchange, journal);
      }
    }
  }

  /** Messages pass the exchange untouched until it is saved where they would be found again. */
  #startDurably(feature: ExchangeFeature, exchange: Exchange, journal: TopologyJournal): void {
    const known = this.#numbers.get(exchange) ?? noStoreNumbers;
    if (known[feature.name] !== undefined) return;
    const number = journal.newStoreNumber();
    const numbers = { ...known, [feature.name]: number };
    this.#numbers.set(exchange, numbers);
    const { vhost } = this.#place;
    // Should it be deleted meanwhile, its removal is saved after this.
    journal.saveExchange(vhost, exchange, numbers).then(
      () => {
        if (!exchange.deleted) this.#start(feature, exchange, number);
      },
      (error: unknown) => {
        this.#numbers.set(exchange, known);
        this.#place.onSaveFailed(error);
      },
    );
  }

  #start(feature: ExchangeFeature, exchange: Exchange, storeNumber: number): void {
    const { vhost, host, topology, messages } = this.#place;
    const place: FeaturePlace = { vhost, host, topology, messages, storeNumber };
    const running = feature.start(exchange, place);
    const others = this.#running.get(exchange) ?? new Map<ExchangeFeature, RunningFeature>();
    this.#running.set(exchange, others.set(feature, running));
    if (feature.isWanted(exchange)) topology.attachTap(exchange, running.tap);
  }

  #drop(exchange: Exchange): void {
    for (const running of this.#running.get(exchange)?.values() ?? []) running.drop();
    this.#running.delete(exchange);
  }
}
