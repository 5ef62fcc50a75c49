/**
 * What the broker has promised of durable topology: that a restart finds what was shown to clients,
 * and of changes that were under way either all or nothing. The broker simulator keeps it beside
 * the real one.
 *
 * Everything durable has a key, and what it is as a text. While nothing is under way each key has
 * one possible value, the one that clients see; every change that begins adds another.
 */

import type { ConfirmLevel, VirtualHost } from "@haremq/broker";
import { type FieldTable, WireWriter } from "@haremq/wire";
import { demand } from "./promise-broken.ts";

/** Durable topology: by key, what it is. */
export type TopologyView = ReadonlyMap<string, string>;

const absent = "";

export class TopologyModel {
  #possible = new Map<string, Set<string>>();

  /** A change is under way that may come to this. */
  expect(key: string, value: string): void {
    this.#possibleOf(key).add(value);
  }

  /** What clients see now may be what a restart will find. */
  observe(view: TopologyView): void {
    for (const [key, value] of view) this.#possibleOf(key).add(value);
    for (const [key, values] of this.#possible) if (!view.has(key)) values.add(absent);
  }

  /** Nothing is under way: a restart will find this and nothing else. */
  settle(view: TopologyView): void {
    this.#possible = new Map();
    for (const [key, value] of view) this.#possible.set(key, new Set([value]));
  }

  /** Judges what a restart has found, and takes it over. */
  recover(view: TopologyView): void {
    for (const key of new Set([...this.#possible.keys(), ...view.keys()])) {
      const found = view.get(key) ?? absent;
      const possible = this.#possible.get(key) ?? new Set([absent]);
      const expected = [...possible].map((each) => each || "nothing").join(" or ");
      demand(possible.has(found), () => `${key} is ${found || "gone"}, not ${expected}`);
    }
    this.settle(view);
  }

  #possibleOf(key: string): Set<string> {
    let values = this.#possible.get(key);
    if (values === undefined) {
      values = new Set([absent]);
      this.#possible.set(key, values);
    }
    return values;
  }
}

/** What of a virtual host is to survive a restart, and was not there from the beginning. */
export function durableTopology({ topology, ownConfirmLevel }: VirtualHost): TopologyView {
  const view = new Map<string, string>();
  const level = describeLevel(ownConfirmLevel);
  if (level !== absent) view.set("vhost", level);
  for (const exchange of topology.exchanges()) {
    if (!exchange.durable || exchange.name === "") continue;
    for (const binding of topology.bindingsFrom(exchange)) {
      if (binding.destination.durable) view.set(bindingKey(binding), "bound");
    }
    if (!exchange.name.startsWith("amq."))
      view.set(`exchange ${exchange.name}`, describe(exchange));
  }
  for (const queue of topology.queues()) {
    if (queue.durable) view.set(`queue ${queue.name}`, describe(queue));
  }
  return view;
}

export function bindingKey(binding: {
  readonly source: { readonly name: string };
  readonly destinationKind: string;
  readonly destination: { readonly name: string };
  readonly routingKey: string;
  readonly arguments: FieldTable;
}): string {
  const { source, destinationKind, destination, routingKey } = binding;
  const args = octets(binding.arguments);
  return `binding ${source.name} -> ${destinationKind} ${destination.name} by ${routingKey} ${args}`;
}

/** Nothing where the broker's level holds. */
export function describeLevel(level: ConfirmLevel | undefined): string {
  return level === undefined ? absent : `confirms at level ${level}`;
}

/** An exchange or a queue. */
export function describe(declared: {
  readonly type?: string;
  readonly autoDelete: boolean;
  readonly internal?: boolean;
  readonly arguments: FieldTable;
}): string {
  const { type = "", autoDelete, internal = false } = declared;
  const flags = `${autoDelete ? " auto-delete" : ""}${internal ? " internal" : ""}`;
  return `declared ${type}${flags} ${octets(declared.arguments)}`;
}

function octets(table: FieldTable): string {
  const writer = new WireWriter();
  writer.table(table);
  return writer.take().toString("hex");
}
