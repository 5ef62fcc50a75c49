/** The direct exchange: a binding matches the routing keys that equal its own. */

import type {
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  RoutedMessage,
} from "./exchange-type.ts";
import { type OneOrMany, withElement, withoutElement } from "./one-or-many.ts";

export const directType: ExchangeType = {
  name: "direct",
  isExact: () => true,
  validateExchange: () => undefined,
  validateBinding: () => undefined,
  createMatcher: <D>() => new DirectMatcher<D>(),
};

class DirectMatcher<D> implements Matcher<D> {
  readonly readsKey = true;
  readonly readsMessage = false;
  readonly #bindings = new Map<string, OneOrMany<MatchedBinding<D>>>();

  add(binding: MatchedBinding<D>): void {
    const { routingKey } = binding;
    this.#bindings.set(routingKey, withElement(this.#bindings.get(routingKey), binding));
  }

  remove(binding: MatchedBinding<D>): void {
    const { routingKey } = binding;
    const left = withoutElement(this.#bindings.get(routingKey), binding);
    if (left === undefined) this.#bindings.delete(routingKey);
    else this.#bindings.set(routingKey, left);
  }

  match(message: RoutedMessage, found: FoundDestinations<D>): void {
    for (const routingKey of message.routingKeys) {
      const bound = this.#bindings.get(routingKey);
      if (bound === undefined) continue;
      if (bound instanceof Set) for (const { destination } of bound) found.add(destination);
      else found.add(bound.destination);
    }
  }
}
