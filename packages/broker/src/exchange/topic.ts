/** The topic exchange: binding keys are patterns over the words of routing keys. */

import type {
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  RoutedMessage,
} from "./exchange-type.ts";
import { hasWildcard, TopicTrie } from "./topic-trie.ts";

export const topicType: ExchangeType = {
  name: "topic",
  isExact: (bindingKey) => !hasWildcard(bindingKey),
  validateExchange: () => undefined,
  validateBinding: () => undefined,
  createMatcher: <D>() => new TopicMatcher<D>(),
};

class TopicMatcher<D> implements Matcher<D> {
  readonly readsKey = true;
  readonly readsMessage = false;
  readonly #bindings = new TopicTrie<MatchedBinding<D>>();

  add(binding: MatchedBinding<D>): void {
    this.#bindings.add(binding.routingKey, binding);
  }

  remove(binding: MatchedBinding<D>): void {
    this.#bindings.remove(binding.routingKey, binding);
  }

  match(message: RoutedMessage, found: FoundDestinations<D>): void {
    for (const routingKey of message.routingKeys) {
      this.#bindings.match(routingKey, (binding) => found.add(binding.destination));
    }
  }
}
