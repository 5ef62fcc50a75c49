/**
 * An exchange inside the topology: what was declared, its bindings, its matcher, and the routes
 * that lead from it or through it. Nothing outside this folder sees one as anything but an
 * `Exchange`.
 */

import { type FieldTable, fieldText } from "@haremq/wire";
import { noPolicy } from "../policy/effective-policy.ts";
import type { Binding } from "./binding.ts";
import type { Exchange, ExchangeSpec } from "./exchange.ts";
import type { Destination, ExchangeType, Matcher } from "./exchange-type.ts";
import type { MessageTap } from "./message-tap.ts";
import { RouteCache, RouteWatch } from "./route.ts";

export class ExchangeNode<Q extends Destination> implements Exchange {
  readonly name: string;
  readonly type: string;
  readonly durable: boolean;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: FieldTable;
  alternateExchange: string | undefined;
  deleted = false;
  policy = noPolicy;
  /** The last walk that came here; see route-walk.ts. */
  reachedInWalk = 0;
  /** Whether it was said that the alternate exchange is missing. */
  alternateReported = false;

  readonly behaviour: ExchangeType;
  readonly matcher: Matcher<Q | ExchangeNode<Q>>;
  /** Those who see messages before the matcher, in the order of their stages; null for nobody. */
  taps: readonly MessageTap[] | null = null;
  /** Whether where a message goes depends on more of it than its routing keys. */
  readsMessage: boolean;
  /** The bindings from this exchange, and those to it by their identity. */
  readonly outgoing = new Set<NodeBinding<Q>>();
  readonly incoming = new Map<string, NodeBinding<Q>>();
  /** The routes that start here. */
  readonly routes = new RouteCache<Q>();
  /** The routes that start here or pass here. */
  readonly passing = new RouteWatch<Q>();
  /** Those of them that found no match here, so that the alternate exchange decided. */
  readonly unmatched = new RouteWatch<Q>();

  constructor(
    spec: ExchangeSpec,
    behaviour: ExchangeType,
    matcher: Matcher<Q | ExchangeNode<Q>> = behaviour.createMatcher(spec.arguments),
  ) {
    this.name = spec.name;
    this.type = spec.type;
    this.durable = spec.durable;
    this.autoDelete = spec.autoDelete;
    this.internal = spec.internal;
    this.arguments = spec.arguments;
    this.alternateExchange = fieldText(spec.arguments.get("alternate-exchange"));
    this.behaviour = behaviour;
    this.matcher = matcher;
    this.readsMessage = matcher.readsMessage;
  }

  setTaps(taps: readonly MessageTap[]): void {
    this.taps = taps.length === 0 ? null : taps.toSorted((a, b) => a.stage - b.stage);
    this.readsMessage = this.matcher.readsMessage || taps.length > 0;
    this.passing.invalidateAll();
  }

  /** Takes back the routes that adding or removing a binding with this key may alter. */
  onBindingChange(routingKey: string): void {
    // A route through here does not say where messages go if that depends on each message.
    if (this.readsMessage) return;
    if (this.behaviour.isExact(routingKey)) this.passing.invalidate(routingKey);
    else this.passing.invalidateAll();
  }
}

/** A binding between nodes. */
export interface NodeBinding<Q extends Destination> extends Binding<Q> {
  readonly source: ExchangeNode<Q>;
  readonly destination: Q | ExchangeNode<Q>;
}
