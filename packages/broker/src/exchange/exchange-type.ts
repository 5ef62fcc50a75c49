/**
 * The contract of an exchange type. A type is a strategy: it makes one matcher per exchange, which
 * keeps that exchange's bindings in whatever shape makes matching fast.
 *
 * A matcher knows neither exchanges nor queues: of a destination it may at most read the name. The
 * topology does the rest for every type alike: alternate exchanges, exchange-to-exchange bindings,
 * loops, caching.
 */

import type { FieldTable } from "@haremq/wire";
import type { MessageView } from "../message/message-view.ts";

/** What of a message can decide where it goes. */
export interface RoutedMessage {
  /** The routing key, and behind it those of the CC and BCC headers. */
  readonly routingKeys: readonly string[];
  readonly headers: FieldTable | undefined;
  /** The message itself, for a type that reads more of it; absent where only keys are known. */
  readonly view: MessageView | undefined;
}

export interface Destination {
  readonly name: string;
}

/** A binding as a matcher sees it. The same object comes to `add` and to `remove`. */
export interface MatchedBinding<D> {
  readonly destination: D;
  readonly destinationKind: "queue" | "exchange";
  readonly routingKey: string;
  readonly arguments: FieldTable;
}

/** Where a matcher puts what it finds. A destination that is added again counts once. */
export interface FoundDestinations<D> {
  add(destination: D): void;
}

export interface Matcher<D> {
  /** Whether matching depends on routing keys. One route serves all keys where it does not. */
  readonly readsKey: boolean;
  /**
   * Whether matching depends on more than a message's routing keys: on the rest of it, or on
   * chance. Routes through such an exchange are found anew for every message; all others are
   * remembered.
   */
  readonly readsMessage: boolean;
  add(binding: MatchedBinding<D>): void;
  remove(binding: MatchedBinding<D>): void;
  /**
   * Adds the destinations that the message goes to. HOT: runs for each message whose routing key is
   * not remembered. The message is only valid during the call.
   */
  match(message: RoutedMessage, found: FoundDestinations<D>): void;
}

/** Why a type refuses an exchange or a binding. */
export interface Refusal {
  /** RabbitMQ's words. */
  readonly explanation: string;
}

/** A binding that somebody asks for. */
export interface ProposedBinding {
  readonly routingKey: string;
  readonly arguments: FieldTable;
  readonly destinationKind: "queue" | "exchange";
  /** How RabbitMQ's texts name the type of the queue, if the destination is one. */
  readonly queueModule?: string;
}

export interface ExchangeType {
  readonly name: string;
  /** Whether a binding with this key concerns only messages that carry exactly this key. */
  isExact(bindingKey: string): boolean;
  /** Why an exchange of this type cannot have these arguments. */
  validateExchange(args: FieldTable): Refusal | undefined;
  validateBinding(binding: ProposedBinding): Refusal | undefined;
  createMatcher<D extends Destination>(exchangeArguments: FieldTable): Matcher<D>;
}
