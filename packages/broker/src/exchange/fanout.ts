/** The fanout exchange: every binding matches every message. */

import type {
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  RoutedMessage,
} from "./exchange-type.ts";

export const fanoutType: ExchangeType = {
  name: "fanout",
  isExact: () => false,
  validateExchange: () => undefined,
  validateBinding: () => undefined,
  createMatcher: <D>() => new FanoutMatcher<D>(),
};

class FanoutMatcher<D> implements Matcher<D> {
  readonly readsKey = false;
  readonly readsMessage = false;
  readonly #bindings = new Set<MatchedBinding<D>>();

  add(binding: MatchedBinding<D>): void {
    this.#bindings.add(binding);
  }

  remove(binding: MatchedBinding<D>): void {
    this.#bindings.delete(binding);
  }

  match(_message: RoutedMessage, found: FoundDestinations<D>): void {
    for (const { destination } of this.#bindings) found.add(destination);
  }
}
