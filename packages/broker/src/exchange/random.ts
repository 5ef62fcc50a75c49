/**
 * x-random and x-local-random, RabbitMQ's exchanges that spread messages by chance: each goes to
 * one of the bindings, whatever its routing key. All of our queues are local, so the two differ in
 * what may be bound: RabbitMQ lets only classic queues, with an empty key, have local messages.
 */

import type { Random } from "@haremq/kernel";
import type {
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  ProposedBinding,
  Refusal,
  RoutedMessage,
} from "./exchange-type.ts";

const classicModule = "rabbit_classic_queue";

export function randomType(random: Random): ExchangeType {
  return {
    name: "x-random",
    isExact: () => false,
    validateExchange: () => undefined,
    validateBinding: () => undefined,
    createMatcher: <D>() => new RandomMatcher<D>(random),
  };
}

export function localRandomType(random: Random): ExchangeType {
  return { ...randomType(random), name: "x-local-random", validateBinding: validateLocalBinding };
}

class RandomMatcher<D> implements Matcher<D> {
  readonly readsKey = false;
  readonly readsMessage = true;
  readonly #random: Random;
  /** In no order. A queue that is bound more often gets more. */
  readonly #bindings: MatchedBinding<D>[] = [];
  readonly #positions = new Map<MatchedBinding<D>, number>();

  constructor(random: Random) {
    this.#random = random;
  }

  add(binding: MatchedBinding<D>): void {
    this.#positions.set(binding, this.#bindings.length);
    this.#bindings.push(binding);
  }

  remove(binding: MatchedBinding<D>): void {
    const at = this.#positions.get(binding);
    if (at === undefined) return;
    this.#positions.delete(binding);
    const last = this.#bindings.pop()!;
    if (last === binding) return;
    this.#bindings[at] = last;
    this.#positions.set(last, at);
  }

  match(_message: RoutedMessage, found: FoundDestinations<D>): void {
    const count = this.#bindings.length;
    if (count === 0) return;
    const chosen = Math.floor((this.#random.uint32() / 2 ** 32) * count);
    found.add(this.#bindings[chosen]!.destination);
  }
}

function validateLocalBinding(binding: ProposedBinding): Refusal | undefined {
  const { routingKey, destinationKind, queueModule } = binding;
  if (routingKey !== "") {
    return { explanation: `Non empty binding '${routingKey}' key not permitted` };
  }
  if (destinationKind === "exchange") return { explanation: "Destination not found" };
  if (queueModule === classicModule) return undefined;
  return { explanation: `Queue type ${queueModule} not valid for this exchange type` };
}
