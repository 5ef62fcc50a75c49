/**
 * The routing graph of one virtual host: exchanges, queues, the bindings between them, and where a
 * message goes. It knows neither sockets nor permissions nor reply codes; sessions check those
 * before they call, and the virtual host tells the world what changed.
 *
 * HOT: `route` is one Map lookup when the route is remembered, and otherwise a walk through the
 * matchers (see route-walk.ts); everything else is control plane.
 *
 * Invariants:
 * - A binding is in its source's `outgoing`, in its source's matcher and among its destination's
 *   incoming bindings, or in none of them.
 * - Every change invalidates the routes it may alter (see route.ts) before the method returns.
 * - An auto-delete exchange that loses its last binding leaves with that binding, and so in turn do
 *   the exchanges that were bound only to it. Callers learn it from the `Removed` they get.
 */

import { FieldTable, fieldText } from "@haremq/wire";
import type { MessageView } from "../message/message-view.ts";
import { type EffectivePolicy, noPolicy } from "../policy/effective-policy.ts";
import { type Binding, bindingIdentity } from "./binding.ts";
import type { Exchange, ExchangeSpec } from "./exchange.ts";
import { ExchangeNode, type NodeBinding } from "./exchange-node.ts";
import type {
  Destination,
  FoundDestinations,
  Matcher,
  ProposedBinding,
  Refusal,
  RoutedMessage,
} from "./exchange-type.ts";
import { ExchangeTypes } from "./exchange-types.ts";
import { type MessageTap, Passage, type TappedMessage } from "./message-tap.ts";
import { Route } from "./route.ts";
import { RouteWalk } from "./route-walk.ts";

/** What a removal took along. */
export interface Removed<Q> {
  readonly bindings: readonly Binding<Q>[];
  /** Exchanges that were removed, in this order; an explicitly removed one comes first. */
  readonly exchanges: readonly Exchange[];
}

const noArguments = new FieldTable();

export class Topology<Q extends Destination> {
  readonly types: ExchangeTypes;
  readonly #exchanges = new Map<string, ExchangeNode<Q>>();
  readonly #queues = new Map<string, Q>();
  /** The bindings to each queue that has any besides the implicit one, by their identity. */
  readonly #queueBindings = new Map<Q, Map<string, NodeBinding<Q>>>();
  /** The exchanges that name an alternate exchange, whether that exists or not, by its name. */
  readonly #referrers = new Map<string, Set<ExchangeNode<Q>>>();
  readonly #default: ExchangeNode<Q>;
  readonly #walk = new RouteWalk<Q>(this.#exchanges, (node) => this.onMissingAlternate(node));
  /** The message that stands for all with one key; no walk keeps it. */
  readonly #keyOfMessage = [""];
  readonly #messageWithKey: RoutedMessage = {
    routingKeys: this.#keyOfMessage,
    headers: undefined,
    view: undefined,
  };

  /**
   * Told of an exchange whose alternate does not exist, when a message is lost by that: once, until
   * another alternate is set or the missing one has come and gone.
   */
  onMissingAlternate: (exchange: Exchange) => void = () => undefined;
  /** Told of an exchange that obeys another policy now, also while it is being added. */
  onPolicyApplied: (exchange: Exchange) => void = () => undefined;
  /** Told of every exchange that leaves, for whatever reason. */
  onExchangeRemoved: (exchange: Exchange) => void = () => undefined;

  constructor(types = new ExchangeTypes()) {
    this.types = types;
    this.#default = new ExchangeNode<Q>(
      {
        name: "",
        type: "direct",
        durable: true,
        autoDelete: false,
        internal: false,
        arguments: noArguments,
      },
      types.require("direct"),
      new QueueNameMatcher(this.#queues),
    );
    this.#exchanges.set("", this.#default);
  }

  get defaultExchange(): Exchange {
    return this.#default;
  }

  exchange(name: string): Exchange | undefined {
    return this.#exchanges.get(name);
  }

  /** All exchanges, the default one first. */
  exchanges(): IterableIterator<Exchange> {
    return this.#exchanges.values();
  }

  queue(name: string): Q | undefined {
    return this.#queues.get(name);
  }

  queues(): IterableIterator<Q> {
    return this.#queues.values();
  }

  get queueCount(): number {
    return this.#queues.size;
  }

  // Exchanges and queues

  /** The name must be free and the type known. */
  addExchange(spec: ExchangeSpec, policy = noPolicy): Exchange {
    if (this.#exchanges.has(spec.name)) throw new Error(`exchange ${spec.name} exists`);
    const node = new ExchangeNode<Q>(spec, this.types.require(spec.type));
    this.#exchanges.set(spec.name, node);
    this.#refer(node);
    this.applyPolicy(node, policy);
    this.#onAlternateChange(spec.name);
    return node;
  }

  removeExchange(exchange: Exchange): Removed<Q> {
    const node = this.#node(exchange);
    if (node === this.#default) throw new Error("the default exchange cannot be removed");
    const removal = new Removal<Q>();
    this.#removeNode(node, removal);
    this.#removeAutoDeleted(removal);
    return removal;
  }

  /** Has an exchange obey another policy from now on; what its arguments say holds all the same. */
  applyPolicy(exchange: Exchange, policy: EffectivePolicy): void {
    const node = this.#node(exchange);
    node.policy = policy;
    // The default exchange has a policy to show. It has no alternate, like RabbitMQ's.
    if (node === this.#default) return;
    const alternate = policy.get("alternate-exchange");
    this.#setAlternateExchange(
      node,
      fieldText(node.arguments.get("alternate-exchange")) ??
        (typeof alternate === "string" ? alternate : undefined),
    );
    this.onPolicyApplied(node);
  }

  #setAlternateExchange(node: ExchangeNode<Q>, name: string | undefined): void {
    if (node.alternateExchange === name) return;
    this.#unrefer(node);
    node.alternateExchange = name;
    node.alternateReported = false;
    this.#refer(node);
    node.unmatched.invalidateAll();
  }

  /** The name must be free. The default exchange routes to the queue from now on. */
  addQueue(queue: Q): void {
    if (this.#queues.has(queue.name)) throw new Error(`queue ${queue.name} exists`);
    this.#queues.set(queue.name, queue);
    this.#default.onBindingChange(queue.name);
  }

  removeQueue(queue: Q): Removed<Q> {
    const removal = new Removal<Q>();
    if (this.#queues.get(queue.name) !== queue) return removal;
    this.#queues.delete(queue.name);
    this.#default.onBindingChange(queue.name);
    const bindings = this.#queueBindings.get(queue);
    if (bindings !== undefined) {
      this.#queueBindings.delete(queue);
      for (const binding of bindings.values()) this.#detachFromSource(binding, removal);
    }
    this.#removeAutoDeleted(removal);
    return removal;
  }

  // Taps

  /** Harmless if it is attached. */
  attachTap(exchange: Exchange, tap: MessageTap): void {
    const node = this.#node(exchange);
    const taps = node.taps ?? [];
    if (taps.includes(tap)) return;
    if (taps.some(({ stage }) => stage === tap.stage)) throw new Error("a tap has that stage");
    node.setTaps([...taps, tap]);
  }

  /** Harmless if it is not attached. */
  detachTap(exchange: Exchange, tap: MessageTap): void {
    const node = exchange as ExchangeNode<Q>;
    if (node.taps?.includes(tap)) node.setTaps(node.taps.filter((each) => each !== tap));
  }

  // Bindings

  /** Why the source's type refuses such a binding; undefined if it does not. */
  validateBinding(source: Exchange, binding: ProposedBinding): Refusal | undefined {
    return this.#node(source).behaviour.validateBinding(binding);
  }

  /** False if the binding existed. */
  bind(
    source: Exchange,
    destination: Q | Exchange,
    routingKey: string,
    args: FieldTable = noArguments,
  ): boolean {
    const from = this.#node(source);
    const to = this.#destination(destination);
    if (from === this.#default || to === this.#default) {
      throw new Error("the default exchange cannot be bound");
    }
    const identity = bindingIdentity(from.name, routingKey, args);
    const incoming = this.#incoming(to);
    if (incoming.has(identity)) return false;
    const binding: NodeBinding<Q> = {
      source: from,
      destination: to,
      destinationKind: to instanceof ExchangeNode ? "exchange" : "queue",
      routingKey,
      arguments: args,
    };
    incoming.set(identity, binding);
    from.outgoing.add(binding);
    from.matcher.add(binding);
    from.onBindingChange(routingKey);
    return true;
  }

  hasBinding(
    source: Exchange,
    destination: Q | Exchange,
    routingKey: string,
    args: FieldTable,
  ): boolean {
    const to = this.#destination(destination);
    const incoming = to instanceof ExchangeNode ? to.incoming : this.#queueBindings.get(to);
    return incoming?.has(bindingIdentity(source.name, routingKey, args)) === true;
  }

  /** Undefined if there was no such binding. */
  unbind(
    source: Exchange,
    destination: Q | Exchange,
    routingKey: string,
    args: FieldTable = noArguments,
  ): Removed<Q> | undefined {
    const from = this.#node(source);
    const to = this.#destination(destination);
    const identity = bindingIdentity(from.name, routingKey, args);
    const incoming = to instanceof ExchangeNode ? to.incoming : this.#queueBindings.get(to);
    const binding = incoming?.get(identity);
    if (incoming === undefined || binding === undefined) return undefined;
    incoming.delete(identity);
    if (incoming.size === 0 && !(to instanceof ExchangeNode)) this.#queueBindings.delete(to);
    const removal = new Removal<Q>();
    this.#detachFromSource(binding, removal);
    this.#removeAutoDeleted(removal);
    return removal;
  }

  /** Whether the exchange has bindings to other exchanges or queues. */
  isSource(exchange: Exchange): boolean {
    return this.#node(exchange).outgoing.size > 0;
  }

  /** The bindings from an exchange; from the default exchange, each queue's implicit one. */
  *bindingsFrom(exchange: Exchange): Generator<Binding<Q>> {
    const node = this.#node(exchange);
    if (node !== this.#default) yield* node.outgoing;
    else for (const queue of this.#queues.values()) yield this.#implicitBinding(queue);
  }

  /** The bindings to an exchange or a queue; a queue's implicit one comes first. */
  *bindingsTo(destination: Q | Exchange): Generator<Binding<Q>> {
    const to = this.#destination(destination);
    if (to instanceof ExchangeNode) {
      yield* to.incoming.values();
      return;
    }
    yield this.#implicitBinding(to);
    yield* this.#queueBindings.get(to)?.values() ?? [];
  }

  // Routing

  /**
   * Where messages with this routing key go. The caller may keep it while it is `valid`; a route
   * that is not valid from the start answers for one message.
   */
  route(exchange: Exchange, routingKey: string): Route<Q> {
    const node = exchange as ExchangeNode<Q>;
    return node.routes.get(routingKey) ?? this.#findRoute(node, routingKey);
  }

  /**
   * Where a message goes that is being published: what its routing keys and headers say, and what
   * taps on its way do about it. With `after`, a tap of the exchange sends on what it had taken.
   */
  pass(exchange: Exchange, message: TappedMessage, after?: MessageTap): Passage<Q> {
    const passage = new Passage<Q>();
    this.#walk.pass(exchange as ExchangeNode<Q>, message, passage, after);
    return passage;
  }

  /** Where bindings lead such a message, which no tap sees. Never remembered. */
  routeMessage(
    exchange: Exchange,
    routingKeys: readonly string[],
    headers: FieldTable | undefined,
    view: MessageView | undefined,
  ): readonly Q[] {
    const walk = this.#walk;
    walk.follow(exchange as ExchangeNode<Q>, { routingKeys, headers, view }, false);
    return walk.queues;
  }

  #findRoute(node: ExchangeNode<Q>, routingKey: string): Route<Q> {
    // An exchange that was removed is still held by those who published to it just before.
    if (node.deleted) return new Route<Q>(routingKey, [], false);
    const walk = this.#walk;
    this.#keyOfMessage[0] = routingKey;
    const needsMessage = !walk.follow(node, this.#messageWithKey, true);
    if (!walk.readsKey) {
      const { routes } = node;
      const route = new Route(routingKey, walk.queues, needsMessage, routes, walk.watches());
      routes.addForEveryKey(route);
      return route;
    }
    if (!node.routes.takesNext()) return new Route(routingKey, walk.queues, needsMessage);
    const watches = walk.watches();
    const route = new Route(routingKey, walk.queues, needsMessage, node.routes, watches);
    node.routes.add(route);
    return route;
  }

  // Removal

  #removeNode(node: ExchangeNode<Q>, removal: Removal<Q>): void {
    node.deleted = true;
    this.#exchanges.delete(node.name);
    this.#unrefer(node);
    removal.exchanges.push(node);
    for (const binding of node.outgoing) {
      const { destination, routingKey } = binding;
      const identity = bindingIdentity(node.name, routingKey, binding.arguments);
      const incoming = this.#incoming(destination);
      incoming.delete(identity);
      if (incoming.size === 0 && !(destination instanceof ExchangeNode)) {
        this.#queueBindings.delete(destination);
      }
      removal.bindings.push(binding);
    }
    node.outgoing.clear();
    for (const binding of node.incoming.values()) this.#detachFromSource(binding, removal);
    node.incoming.clear();
    node.passing.invalidateAll();
    this.onExchangeRemoved(node);
  }

  /** The second half of removing a binding, once its destination has forgotten it. */
  #detachFromSource(binding: NodeBinding<Q>, removal: Removal<Q>): void {
    const { source } = binding;
    source.outgoing.delete(binding);
    source.matcher.remove(binding);
    source.onBindingChange(binding.routingKey);
    removal.bindings.push(binding);
    if (source.autoDelete && source.outgoing.size === 0) removal.emptied.add(source);
  }

  #removeAutoDeleted(removal: Removal<Q>): void {
    // Removing one may empty the next, which then joins the set being iterated.
    for (const node of removal.emptied) {
      if (!node.deleted) this.#removeNode(node, removal);
    }
  }

  // Leaves

  #refer(node: ExchangeNode<Q>): void {
    const name = node.alternateExchange;
    if (name === undefined) return;
    const referrers = this.#referrers.get(name) ?? new Set();
    referrers.add(node);
    this.#referrers.set(name, referrers);
  }

  #unrefer(node: ExchangeNode<Q>): void {
    const name = node.alternateExchange;
    const referrers = name === undefined ? undefined : this.#referrers.get(name);
    if (name === undefined || referrers === undefined) return;
    referrers.delete(node);
    if (referrers.size === 0) this.#referrers.delete(name);
  }

  /** An exchange has come whose name others may have been missing. */
  #onAlternateChange(name: string): void {
    for (const node of this.#referrers.get(name) ?? []) {
      node.alternateReported = false;
      node.unmatched.invalidateAll();
    }
  }

  #implicitBinding(queue: Q): Binding<Q> {
    return {
      source: this.#default,
      destination: queue,
      destinationKind: "queue",
      routingKey: queue.name,
      arguments: noArguments,
    };
  }

  #incoming(destination: Q | ExchangeNode<Q>): Map<string, NodeBinding<Q>> {
    if (destination instanceof ExchangeNode) return destination.incoming;
    let bindings = this.#queueBindings.get(destination);
    if (bindings === undefined) {
      bindings = new Map();
      this.#queueBindings.set(destination, bindings);
    }
    return bindings;
  }

  #node(exchange: Exchange): ExchangeNode<Q> {
    const node = this.#exchanges.get(exchange.name);
    if (node !== exchange) throw new Error(`exchange ${exchange.name} is not of this topology`);
    return node;
  }

  #destination(destination: Q | Exchange): Q | ExchangeNode<Q> {
    if (destination instanceof ExchangeNode) return this.#node(destination);
    const queue = destination as Q;
    if (this.#queues.get(queue.name) !== queue) {
      throw new Error(`queue ${queue.name} is not of this topology`);
    }
    return queue;
  }
}

class Removal<Q extends Destination> implements Removed<Q> {
  readonly bindings: NodeBinding<Q>[] = [];
  readonly exchanges: ExchangeNode<Q>[] = [];
  /** Auto-delete exchanges that lost their last binding. */
  readonly emptied = new Set<ExchangeNode<Q>>();
}

/** The default exchange's bindings are the queues themselves. */
class QueueNameMatcher<Q extends Destination> implements Matcher<Q | ExchangeNode<Q>> {
  readonly readsKey = true;
  readonly readsMessage = false;
  readonly #queues: ReadonlyMap<string, Q>;

  constructor(queues: ReadonlyMap<string, Q>) {
    this.#queues = queues;
  }

  add(): void {
    throw new Error("the default exchange cannot be bound");
  }

  remove(): void {
    throw new Error("the default exchange cannot be unbound");
  }

  match(message: RoutedMessage, found: FoundDestinations<Q | ExchangeNode<Q>>): void {
    for (const routingKey of message.routingKeys) {
      const queue = this.#queues.get(routingKey);
      if (queue !== undefined) found.add(queue);
    }
  }
}
