/** The direct exchange: a binding matches the routing keys that equal its own. */

import type { ExchangeType, MatchedBinding, Matcher, RoutedMessage } from "./exchange-type.ts";
import { eachElement, type OneOrMany, withElement, withoutElement } from "./one-or-many.ts";

export const directType: ExchangeType = {
  name: "direct",
  readsMessage: false,
  isExact: () => true,
  validateBinding: () => undefined,
  createMatcher: <D>() => new DirectMatcher<D>(),
};

class DirectMatcher<D> implements Matcher<D> {
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

  match(message: RoutedMessage, found: Set<D>): void {
    for (const routingKey of message.routingKeys) {
      for (const { destination } of eachElement(this.#bindings.get(routingKey))) {
        found.add(destination);
      }
    }
  }
}
