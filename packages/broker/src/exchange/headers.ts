/**
 * The headers exchange: a binding's arguments are compared with the message's headers.
 *
 * `x-match` says whether `all` (the default) or `any` of the arguments must match. Arguments whose
 * names begin with "x-" do not count, unless x-match is `all-with-x` or `any-with-x`; x-match
 * itself never does. An argument without a value (type V) matches if the header is there at all.
 *
 * RabbitMQ sorts arguments and headers by name and merges them. That settles what a name means that
 * occurs twice, and holds here too: its first argument is compared with its first header, its
 * second with its second, and so on. Nothing is sorted for a message, though: an index by name and
 * value finds the few bindings that it may match, which are then compared with care.
 */

import { type FieldTable, type FieldValue, fieldText } from "@haremq/wire";
import { erlangTerm, fieldTypeName } from "../vhost/field-text.ts";
import { compareNames } from "./binding.ts";
import type {
  ExchangeType,
  FoundDestinations,
  MatchedBinding,
  Matcher,
  Refusal,
  RoutedMessage,
} from "./exchange-type.ts";
import { type IndexedValue, indexedValue, sameHeaderValue } from "./header-value.ts";
import { MessageHeaders } from "./message-headers.ts";
import { type OneOrMany, withElement, withoutElement } from "./one-or-many.ts";

const matchKinds: ReadonlySet<string | undefined> = new Set([
  "all",
  "any",
  "all-with-x",
  "any-with-x",
]);

export const headersType: ExchangeType = {
  name: "headers",
  isExact: () => false,
  validateExchange: () => undefined,
  validateBinding: (binding) => validateMatchKind(binding.arguments),
  createMatcher: <D>() => new HeadersMatcher<D>(),
};

interface WantedHeader {
  readonly name: string;
  readonly value: FieldValue;
  /** Which of the headers of this name it is compared with, from 0. */
  readonly turn: number;
}

interface HeadersPattern<D> {
  readonly destination: D;
  readonly needsAll: boolean;
  /** In the order of their names; only those that count. */
  readonly entries: readonly WantedHeader[];
  /** The number of the last message it was compared with. */
  comparedWith: number;
}

class HeadersMatcher<D> implements Matcher<D> {
  readonly readsKey = false;
  readonly readsMessage = true;
  readonly #patterns = new Map<MatchedBinding<D>, HeadersPattern<D>>();
  /** By the names of headers without which a pattern does not match. */
  readonly #byName = new Map<string, PatternsOfName<D>>();
  /** Patterns that no header is needed for. */
  readonly #always = new Set<HeadersPattern<D>>();
  readonly #headers = new MessageHeaders();
  #messages = 0;

  add(binding: MatchedBinding<D>): void {
    const pattern = compile(binding);
    this.#patterns.set(binding, pattern);
    if (pattern.entries.length === 0 && pattern.needsAll) this.#always.add(pattern);
    for (const entry of telltales(pattern)) {
      let ofName = this.#byName.get(entry.name);
      if (ofName === undefined) {
        ofName = new PatternsOfName();
        this.#byName.set(entry.name, ofName);
      }
      ofName.add(entry.value, pattern);
    }
  }

  remove(binding: MatchedBinding<D>): void {
    const pattern = this.#patterns.get(binding);
    if (pattern === undefined) return;
    this.#patterns.delete(binding);
    this.#always.delete(pattern);
    for (const { name, value } of telltales(pattern)) {
      const ofName = this.#byName.get(name);
      ofName?.remove(value, pattern);
      if (ofName?.isEmpty === true) this.#byName.delete(name);
    }
  }

  match(message: RoutedMessage, found: FoundDestinations<D>): void {
    for (const { destination } of this.#always) found.add(destination);
    if (message.headers === undefined || this.#byName.size === 0) return;
    const { entries } = message.headers;
    this.#headers.reset(entries);
    this.#messages++;
    for (const { name, value } of entries) {
      const ofName = this.#byName.get(name);
      if (ofName === undefined) continue;
      this.#compare(ofName.anyValue, found);
      const ofValue = ofName.withValue(value);
      if (ofValue !== undefined) this.#compare(ofValue, found);
    }
  }

  /** Compares the message with patterns, each of which it may match. */
  #compare(candidates: OneOrMany<HeadersPattern<D>>, found: FoundDestinations<D>): void {
    if (candidates instanceof Set) {
      for (const pattern of candidates) this.#compareOne(pattern, found);
    } else {
      this.#compareOne(candidates, found);
    }
  }

  #compareOne(pattern: HeadersPattern<D>, found: FoundDestinations<D>): void {
    // Several headers may point to the same pattern.
    if (pattern.comparedWith === this.#messages) return;
    pattern.comparedWith = this.#messages;
    if (matches(pattern, this.#headers)) found.add(pattern.destination);
  }
}

/** The patterns that ask for one header, by its value where that can be a key. */
class PatternsOfName<D> {
  readonly anyValue = new Set<HeadersPattern<D>>();
  readonly #byValue = new Map<IndexedValue, OneOrMany<HeadersPattern<D>>>();

  add(value: FieldValue, pattern: HeadersPattern<D>): void {
    const key = indexedValue(value);
    if (key === undefined) this.anyValue.add(pattern);
    else this.#byValue.set(key, withElement(this.#byValue.get(key), pattern));
  }

  remove(value: FieldValue, pattern: HeadersPattern<D>): void {
    const key = indexedValue(value);
    if (key === undefined) {
      this.anyValue.delete(pattern);
      return;
    }
    const left = withoutElement(this.#byValue.get(key), pattern);
    if (left === undefined) this.#byValue.delete(key);
    else this.#byValue.set(key, left);
  }

  withValue(value: FieldValue): OneOrMany<HeadersPattern<D>> | undefined {
    if (this.#byValue.size === 0) return undefined;
    const key = indexedValue(value);
    return key === undefined ? undefined : this.#byValue.get(key);
  }

  get isEmpty(): boolean {
    return this.anyValue.size === 0 && this.#byValue.size === 0;
  }
}

function compile<D>({ destination, arguments: args }: MatchedBinding<D>): HeadersPattern<D> {
  const kind = fieldText(args.get("x-match")) ?? "all";
  const countsAll = kind.endsWith("-with-x");
  const timesSeen = new Map<string, number>();
  const entries: WantedHeader[] = [];
  const counted = args.entries.filter(
    ({ name }) => name !== "x-match" && (countsAll || !name.startsWith("x-")),
  );
  for (const { name, value } of counted.sort((a, b) => compareNames(a.name, b.name))) {
    const turn = timesSeen.get(name) ?? 0;
    timesSeen.set(name, turn + 1);
    entries.push({ name, value, turn });
  }
  return { destination, needsAll: !kind.startsWith("any"), entries, comparedWith: 0 };
}

/** The arguments of which a message has to match at least one, for the pattern to match. */
function telltales<D>({ needsAll, entries }: HeadersPattern<D>): readonly WantedHeader[] {
  if (!needsAll || entries.length < 2) return entries;
  // Every one has to match: one whose value is indexed says the most.
  return [entries.find(({ value }) => indexedValue(value) !== undefined) ?? entries[0]!];
}

function matches<D>({ needsAll, entries }: HeadersPattern<D>, headers: MessageHeaders): boolean {
  for (const wanted of entries) {
    const header = headers.get(wanted.name, wanted.turn);
    const isMatch =
      header !== undefined && (wanted.value.type === "V" || sameHeaderValue(wanted.value, header));
    // The first argument that decides the question ends the search.
    if (isMatch !== needsAll) return isMatch;
  }
  return needsAll;
}

function validateMatchKind(args: FieldTable): Refusal | undefined {
  const kind = args.get("x-match");
  if (kind === undefined) return undefined;
  if (kind.type !== "S") {
    const shown = `${fieldTypeName(kind.type)} (value ${erlangTerm(kind)})`;
    return { explanation: `Invalid x-match field type ${shown}; expected longstr` };
  }
  if (matchKinds.has(fieldText(kind))) return undefined;
  return {
    explanation:
      `Invalid x-match field value ${erlangTerm(kind)}; ` +
      "expected all, any, all-with-x, or any-with-x",
  };
}
