/**
 * One arrow of the routing graph, from an exchange to a queue or to another exchange.
 *
 * Its identity is source, destination, routing key and arguments; as in RabbitMQ the order in which
 * the arguments were given does not matter, but their types do.
 */

import { FieldTable, WireWriter } from "@haremq/wire";
import type { Exchange } from "./exchange.ts";

export interface Binding<Q> {
  readonly source: Exchange;
  readonly destination: Q | Exchange;
  readonly destinationKind: "queue" | "exchange";
  readonly routingKey: string;
  readonly arguments: FieldTable;
}

/**
 * Distinguishes the bindings of one destination. Lengths go first, because names and keys may hold
 * any character.
 */
export function bindingIdentity(source: string, routingKey: string, args: FieldTable): string {
  const identity = `${source.length},${routingKey.length},${source}${routingKey}`;
  return args.size === 0 ? identity : identity + canonicalArguments(args);
}

/** The arguments' octets in the order of their names, as a string of one character an octet. */
function canonicalArguments(args: FieldTable): string {
  const entries = [...args.entries].sort((a, b) => compareNames(a.name, b.name));
  const writer = new WireWriter();
  writer.table(new FieldTable(entries));
  return writer.take().toString("latin1");
}

export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
