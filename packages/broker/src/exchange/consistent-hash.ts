/**
 * x-consistent-hash: messages are shared out by a hash of their routing key, or of a header or
 * property that the exchange names, so that equal ones always go to the same queue. The binding's
 * key is the queue's weight.
 *
 * How RabbitMQ's plugin maps depends on the order in which queues were bound; a restart changes
 * that order, and whoever is unbound from the middle has most others move. Here the mapping depends
 * on nothing but the destinations and their weights, by weighted rendezvous hashing: each
 * destination draws a number for the hash, the best one has the message. So whoever comes takes
 * only what it wins, whoever goes gives only what it had, and shares are exactly by weight.
 *
 * Among equal weights the highest 32-bit draw wins. Of different weights each has its winner, and
 * those few are compared by draws that are stretched by their weights: -ln(draw) / weight, the
 * least of which wins.
 */

import { decodeProperties, type FieldTable, fieldText, textField, WireReader } from "@haremq/wire";
import { erlangTerm, fieldTypeName } from "../vhost/field-text.ts";
import type {
  Destination,
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  ProposedBinding,
  Refusal,
  RoutedMessage,
} from "./exchange-type.ts";
import { jenkinsHash } from "./jenkins-hash.ts";
import { scratchBytes } from "./portable-hash.ts";

const twoTo32 = 2 ** 32;
/** So that the two halves of a hash are two hashes. */
const firstHalf = 0x243f6a88;
const secondHalf = 0x85a308d3;

const hashedProperties: ReadonlySet<string | undefined> = new Set([
  "correlation_id",
  "message_id",
  "timestamp",
]);

const noText = "";
const reader = new WireReader(Buffer.alloc(0));

export const consistentHashType: ExchangeType = {
  name: "x-consistent-hash",
  isExact: () => false,
  validateExchange,
  validateBinding: validateWeight,
  createMatcher: <D extends Destination>(args: FieldTable) => new ConsistentHashMatcher<D>(args),
};

/** A destination with its bindings, of which the heaviest counts. */
interface Candidate<D> {
  readonly destination: D;
  readonly bindings: Set<MatchedBinding<D>>;
  readonly first: number;
  readonly second: number;
  weight: number;
}

/** The candidates of one weight, in no order. */
interface WeightClass<D> {
  readonly weight: number;
  readonly candidates: Candidate<D>[];
}

class ConsistentHashMatcher<D extends Destination> implements Matcher<D> {
  readonly readsKey: boolean;
  readonly readsMessage: boolean;
  readonly #header: string | undefined;
  readonly #property: string | undefined;
  readonly #candidates = new Map<D, Candidate<D>>();
  readonly #classes: WeightClass<D>[] = [];
  /** The hash of the message at hand. */
  #first = 0;
  #second = 0;

  constructor(args: FieldTable) {
    this.#header = fieldText(args.get("hash-header"));
    this.#property = fieldText(args.get("hash-property"));
    this.readsMessage = this.#header !== undefined || this.#property !== undefined;
    this.readsKey = !this.readsMessage;
  }

  add(binding: MatchedBinding<D>): void {
    const { destination, destinationKind } = binding;
    let candidate = this.#candidates.get(destination);
    if (candidate === undefined) {
      // A queue and an exchange of one name are two destinations.
      const { bytes, length } = scratchBytes(`${destinationKind} ${destination.name}`);
      const first = jenkinsHash(bytes, length, firstHalf);
      const second = jenkinsHash(bytes, length, secondHalf);
      candidate = { destination, bindings: new Set(), first, second, weight: 0 };
      this.#candidates.set(destination, candidate);
    }
    candidate.bindings.add(binding);
    this.#setWeight(candidate, Math.max(candidate.weight, weightOf(binding)));
  }

  remove(binding: MatchedBinding<D>): void {
    const candidate = this.#candidates.get(binding.destination);
    if (candidate === undefined) return;
    candidate.bindings.delete(binding);
    if (candidate.bindings.size === 0) this.#candidates.delete(binding.destination);
    if (weightOf(binding) < candidate.weight) return;
    let weight = 0;
    for (const other of candidate.bindings) weight = Math.max(weight, weightOf(other));
    this.#setWeight(candidate, weight);
  }

  match(message: RoutedMessage, found: FoundDestinations<D>): void {
    const classes = this.#classes;
    if (classes.length === 0) return;
    this.#hash(message);
    if (classes.length === 1) {
      found.add(this.#winner(classes[0]!.candidates).destination);
      return;
    }
    let best: Candidate<D> | undefined;
    let leastCost = Number.POSITIVE_INFINITY;
    for (const { weight, candidates } of classes) {
      const winner = this.#winner(candidates);
      const cost = -Math.log((this.#draw(winner) + 0.5) / twoTo32) / weight;
      if (best !== undefined && !isBefore(cost, winner, leastCost, best)) continue;
      best = winner;
      leastCost = cost;
    }
    found.add(best!.destination);
  }

  /** The candidate with the highest draw. HOT */
  #winner(candidates: readonly Candidate<D>[]): Candidate<D> {
    let best = candidates[0]!;
    let highest = this.#draw(best);
    for (let i = 1; i < candidates.length; i++) {
      const candidate = candidates[i]!;
      const draw = this.#draw(candidate);
      if (!isBefore(-draw, candidate, -highest, best)) continue;
      best = candidate;
      highest = draw;
    }
    return best;
  }

  /** What a candidate draws for the message's hash, in [0, 2^32). HOT */
  #draw({ first, second }: Candidate<D>): number {
    return scramble(scramble(this.#first ^ first) ^ (this.#second + second)) >>> 0;
  }

  /** Takes in the hash of what the exchange looks at; of nothing, where a message lacks it. */
  #hash(message: RoutedMessage): void {
    if (this.#header !== undefined) {
      // The term of an integer is the same whatever its width.
      const value = message.headers?.get(this.#header);
      if (value?.type === "S" || value?.type === "x") {
        this.#hashBytes(value.value, value.value.length);
      } else {
        this.#hashText(value === undefined ? noText : erlangTerm(value));
      }
    } else if (this.#property !== undefined) {
      this.#hashText(propertyText(message, this.#property));
    } else {
      this.#hashText(message.routingKeys[0] ?? noText);
    }
  }

  #hashText(text: string): void {
    const { bytes, length } = scratchBytes(text);
    this.#hashBytes(bytes, length);
  }

  #hashBytes(bytes: Buffer, length: number): void {
    this.#first = jenkinsHash(bytes, length, firstHalf);
    this.#second = jenkinsHash(bytes, length, secondHalf);
  }

  /** Puts a candidate into the class of a weight, or into none for 0. */
  #setWeight(candidate: Candidate<D>, weight: number): void {
    if (weight === candidate.weight) return;
    this.#leaveClass(candidate);
    candidate.weight = weight;
    if (weight === 0) return;
    const found = this.#classes.find((each) => each.weight === weight);
    if (found === undefined) this.#classes.push({ weight, candidates: [candidate] });
    else found.candidates.push(candidate);
  }

  #leaveClass(candidate: Candidate<D>): void {
    const at = this.#classes.findIndex((each) => each.weight === candidate.weight);
    if (at < 0) return;
    const { candidates } = this.#classes[at]!;
    const last = candidates.pop()!;
    if (last !== candidate) candidates[candidates.indexOf(candidate)] = last;
    if (candidates.length === 0) this.#classes.splice(at, 1);
  }
}

function weightOf<D>({ routingKey }: MatchedBinding<D>): number {
  return Number(routingKey);
}

/** Costs are hardly ever equal, but the order of bindings must not decide even then. */
function isBefore<D extends Destination>(
  cost: number,
  candidate: Candidate<D>,
  bestCost: number,
  best: Candidate<D>,
): boolean {
  if (cost !== bestCost) return cost < bestCost;
  return candidate.destination.name < best.destination.name;
}

/** A bijection of 32-bit numbers, after which each bit depends on each ("lowbias32"). */
function scramble(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x21f0aaad);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x735a2d97);
  return mixed ^ (mixed >>> 15);
}

function propertyText({ view }: RoutedMessage, property: string): string {
  if (view === undefined) return noText;
  const { properties, propertiesStart, propertiesLength } = view;
  reader.reset(properties, propertiesStart, propertiesStart + propertiesLength);
  const { correlationId, messageId, timestamp } = decodeProperties(reader);
  if (property === "correlation_id") return correlationId ?? noText;
  if (property === "message_id") return messageId ?? noText;
  return timestamp === undefined ? noText : String(timestamp);
}

function validateExchange(args: FieldTable): Refusal | undefined {
  const header = args.get("hash-header");
  const property = args.get("hash-property");
  // RabbitMQ fails on other types.
  for (const [name, value] of [
    ["hash-header", header],
    ["hash-property", property],
  ] as const) {
    if (value === undefined || value.type === "S") continue;
    return { explanation: `invalid type '${fieldTypeName(value.type)}' for arg '${name}'` };
  }
  if (header !== undefined && property !== undefined) {
    return { explanation: "hash-header and hash-property are mutually exclusive" };
  }
  if (property === undefined || hashedProperties.has(fieldText(property))) return undefined;
  return { explanation: `Unsupported property: ${fieldText(property)}` };
}

function validateWeight({ routingKey }: ProposedBinding): Refusal | undefined {
  if (!/^[+-]?\d+$/.test(routingKey)) {
    return {
      explanation: `The binding key must be an integer: ${erlangTerm(textField(routingKey))}`,
    };
  }
  if (Number(routingKey) >= 1) return undefined;
  return { explanation: "The binding key must be greater than 0" };
}
