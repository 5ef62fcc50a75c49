/**
 * The headers exchange: a binding's arguments are compared with the message's headers.
 *
 * `x-match` says whether `all` (the default) or `any` of the arguments must match. Arguments whose
 * names begin with "x-" do not count, unless x-match is `all-with-x` or `any-with-x`; x-match
 * itself never does. An argument without a value (type V) matches if the header is there at all.
 *
 * Arguments and headers are sorted by name and merged, as RabbitMQ does it, which also settles what
 * a name that occurs twice means: the first argument is compared with the first header, and so on.
 */

import { type FieldEntry, type FieldTable, fieldText } from "@haremq/wire";
import { erlangTerm, fieldTypeName } from "../vhost/field-text.ts";
import { compareNames } from "./binding.ts";
import type {
  ExchangeType,
  InvalidBinding,
  MatchedBinding,
  Matcher,
  RoutedMessage,
} from "./exchange-type.ts";
import { sameHeaderValue } from "./header-value.ts";

const matchKinds: ReadonlySet<string | undefined> = new Set([
  "all",
  "any",
  "all-with-x",
  "any-with-x",
]);

export const headersType: ExchangeType = {
  name: "headers",
  readsMessage: true,
  isExact: () => false,
  validateBinding: (_routingKey, args) => validateMatchKind(args),
  createMatcher: <D>() => new HeadersMatcher<D>(),
};

interface HeadersPattern {
  readonly needsAll: boolean;
  /** Sorted by name; only those that count. */
  readonly entries: readonly FieldEntry[];
}

class HeadersMatcher<D> implements Matcher<D> {
  readonly #patterns = new Map<MatchedBinding<D>, HeadersPattern>();

  add(binding: MatchedBinding<D>): void {
    this.#patterns.set(binding, compile(binding.arguments));
  }

  remove(binding: MatchedBinding<D>): void {
    this.#patterns.delete(binding);
  }

  match(message: RoutedMessage, found: Set<D>): void {
    const headers = message.headers === undefined ? [] : sortedByName(message.headers.entries);
    for (const [{ destination }, pattern] of this.#patterns) {
      if (matches(pattern, headers)) found.add(destination);
    }
  }
}

function compile(args: FieldTable): HeadersPattern {
  const kind = fieldText(args.get("x-match")) ?? "all";
  const countsAll = kind.endsWith("-with-x");
  const entries = args.entries.filter(
    ({ name }) => name !== "x-match" && (countsAll || !name.startsWith("x-")),
  );
  return { needsAll: !kind.startsWith("any"), entries: sortedByName(entries) };
}

function sortedByName(entries: readonly FieldEntry[]): FieldEntry[] {
  return [...entries].sort((a, b) => compareNames(a.name, b.name));
}

function matches(pattern: HeadersPattern, headers: readonly FieldEntry[]): boolean {
  const { needsAll, entries } = pattern;
  let position = 0;
  for (const wanted of entries) {
    while (position < headers.length && (headers[position] as FieldEntry).name < wanted.name) {
      position++;
    }
    const header = headers[position];
    const isPresent = header?.name === wanted.name;
    if (isPresent) position++;
    const isMatch =
      isPresent && (wanted.value.type === "V" || sameHeaderValue(wanted.value, header.value));
    // The first argument that decides the question ends the search.
    if (isMatch !== needsAll) return isMatch;
  }
  return needsAll;
}

function validateMatchKind(args: FieldTable): InvalidBinding | undefined {
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
