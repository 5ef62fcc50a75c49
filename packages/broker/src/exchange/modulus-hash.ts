/**
 * x-modulus-hash, the exchange of RabbitMQ's sharding plugin: the hash of the routing keys modulo
 * the number of bindings says which binding gets the message. Bindings stand in the order that
 * RabbitMQ keeps them in, by key, kind and name of the destination, and the hash is its hash, so
 * the same bindings share messages out in the same way.
 *
 * A binding that comes or goes moves nearly everything; x-consistent-hash does not.
 */

import { encodeText, textByteLength } from "@haremq/wire";
import { compareNames } from "./binding.ts";
import type {
  Destination,
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  RoutedMessage,
} from "./exchange-type.ts";
import { portableHash } from "./portable-hash.ts";

/** RabbitMQ takes so many bits of the hash. */
const hashMask = 2 ** 27 - 1;

export const modulusHashType: ExchangeType = {
  name: "x-modulus-hash",
  isExact: () => false,
  validateExchange: () => undefined,
  validateBinding: () => undefined,
  createMatcher: <D extends Destination>() => new ModulusHashMatcher<D>(),
};

/** A binding and what decides where it stands. */
interface Place<D> {
  readonly binding: MatchedBinding<D>;
  readonly key: Buffer;
  readonly name: Buffer;
}

class ModulusHashMatcher<D extends Destination> implements Matcher<D> {
  readonly readsKey = true;
  readonly readsMessage = false;
  /** In RabbitMQ's order. */
  readonly #places: Place<D>[] = [];

  add(binding: MatchedBinding<D>): void {
    const place = placeOf(binding);
    this.#places.splice(this.#find(place), 0, place);
  }

  remove(binding: MatchedBinding<D>): void {
    const places = this.#places;
    let at = this.#find(placeOf(binding));
    // Those that differ only in their arguments stand together.
    while (at < places.length && places[at]!.binding !== binding) at++;
    places.splice(at, 1);
  }

  /** The first place that does not stand before this one. */
  #find(place: Place<D>): number {
    let low = 0;
    let high = this.#places.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (comparePlaces(this.#places[middle]!, place) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  match(message: RoutedMessage, found: FoundDestinations<D>): void {
    const places = this.#places;
    if (places.length === 0) return;
    const hash = portableHash(message.routingKeys) & hashMask;
    found.add(places[hash % places.length]!.binding.destination);
  }
}

function placeOf<D extends Destination>(binding: MatchedBinding<D>): Place<D> {
  const { routingKey, destination } = binding;
  return { binding, key: octetsOf(routingKey), name: octetsOf(destination.name) };
}

/** Bindings that differ only in their arguments have one destination, so their order is nothing. */
function comparePlaces<D>(left: Place<D>, right: Place<D>): number {
  return (
    Buffer.compare(left.key, right.key) ||
    compareNames(left.binding.destinationKind, right.binding.destinationKind) ||
    Buffer.compare(left.name, right.name)
  );
}

function octetsOf(text: string): Buffer {
  const octets = Buffer.alloc(textByteLength(text));
  encodeText(text, octets.length, octets, 0);
  return octets;
}
