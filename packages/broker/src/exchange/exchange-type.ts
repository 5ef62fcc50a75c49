/**
 * The contract of an exchange type. A type is a strategy: it makes one matcher per exchange, which
 * keeps that exchange's bindings in whatever shape makes matching fast.
 *
 * A matcher knows neither exchanges nor queues: destinations are opaque to it. The topology does
 * the rest for every type alike: alternate exchanges, exchange-to-exchange bindings, loops,
 * caching.
 */

import type { FieldTable } from "@haremq/wire";

/** What of a message can decide where it goes. */
export interface RoutedMessage {
  /** The routing key, and behind it those of the CC and BCC headers. */
  readonly routingKeys: readonly string[];
  readonly headers: FieldTable | undefined;
}

/** A binding as a matcher sees it. The same object comes to `add` and to `remove`. */
export interface MatchedBinding<D> {
  readonly destination: D;
  readonly routingKey: string;
  readonly arguments: FieldTable;
}

/** Where a matcher puts what it finds. A destination that is added again counts once. */
export interface FoundDestinations<D> {
  add(destination: D): void;
}

export interface Matcher<D> {
  add(binding: MatchedBinding<D>): void;
  remove(binding: MatchedBinding<D>): void;
  /**
   * Adds the destination of every binding that the message matches. HOT: runs for each message
   * whose routing key is not remembered. The message is only valid during the call.
   */
  match(message: RoutedMessage, found: FoundDestinations<D>): void;
}

/** Why a type refuses a binding. */
export interface InvalidBinding {
  /** RabbitMQ's words. */
  readonly explanation: string;
}

export interface ExchangeType {
  readonly name: string;
  /** Whether matching depends on routing keys. One route serves all keys where it does not. */
  readonly readsKey: boolean;
  /**
   * Whether matching depends on more of a message than its routing keys. Routes through such an
   * exchange are found anew for every message; all others are remembered.
   */
  readonly readsMessage: boolean;
  /** Whether a binding with this key concerns only messages that carry exactly this key. */
  isExact(bindingKey: string): boolean;
  validateBinding(routingKey: string, args: FieldTable): InvalidBinding | undefined;
  createMatcher<D>(exchangeArguments: FieldTable): Matcher<D>;
}
