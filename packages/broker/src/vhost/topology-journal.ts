/**
 * Keeps durable topology in the metadata store, and finds it there at the start. Virtual hosts call
 * it before they show a change; what it reads is what they begin with. How records look is the
 * store's matter (topology-records.ts there); here they become what the broker works with, and
 * back.
 *
 * Store numbers are what the message store calls queues, and what exchanges keep. They are never
 * used again, not even that of a queue that was the last to get one: messages of a deleted queue
 * have no way back.
 */

import {
  type BindingRecord,
  bindingRecords,
  type ConfirmLevel,
  exchangeRecords,
  type MetadataChange,
  type MetadataStore,
  operatorPolicyRecords,
  policyRecords,
  prepareTopology,
  queueNumberCounter,
  queueRecords,
  virtualHostRecords,
} from "@haremq/store";
import { FieldTable, WireReader, WireWriter } from "@haremq/wire";
import type { Binding } from "../exchange/binding.ts";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import type { Queue } from "../queue/queue.ts";
import { queueTypeOf } from "../queue/queue-types.ts";
import { noStoreNumbers, type StoreNumbers } from "./exchange-features.ts";
import { noMetadata, type VirtualHostMetadata } from "./virtual-host-metadata.ts";

export interface SavedVirtualHost extends VirtualHostMetadata {
  readonly name: string;
  readonly tracing: boolean;
  /** "" for the broker's. */
  readonly confirmLevel: ConfirmLevel | "";
}

export interface SavedQueue {
  readonly vhost: string;
  readonly name: string;
  readonly number: number;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
}

export interface SavedExchange extends ExchangeSpec {
  readonly vhost: string;
  readonly stores: StoreNumbers;
}

export interface SavedBinding {
  readonly vhost: string;
  readonly source: string;
  readonly destinationKind: "queue" | "exchange";
  readonly destination: string;
  readonly routingKey: string;
  readonly arguments: FieldTable;
}

export class TopologyJournal {
  readonly #store: MetadataStore;
  #highestNumber: number;

  private constructor(store: MetadataStore) {
    this.#store = store;
    this.#highestNumber = queueNumberCounter.read(store);
    for (const { id } of queueRecords.scan(store)) this.#noteNumber(id);
    for (const { stores } of exchangeRecords.scan(store)) {
      for (const number of Object.values(stores)) this.#noteNumber(number);
    }
  }

  /** Throws a MetadataError for a store that something else has written. */
  static async open(store: MetadataStore): Promise<TopologyJournal> {
    await prepareTopology(store);
    await removeLooseBindings(store);
    return new TopologyJournal(store);
  }

  #noteNumber(number: number): void {
    this.#highestNumber = Math.max(this.#highestNumber, number);
  }

  /** Where it is kept, for those that keep records of their own there. */
  get metadata(): MetadataStore {
    return this.#store;
  }

  // What was saved

  vhosts(): Iterable<SavedVirtualHost> {
    return virtualHostRecords.scan(this.#store);
  }

  isTraced(vhost: string): boolean {
    return virtualHostRecords.get(this.#store, vhost)?.tracing === true;
  }

  *exchanges(): Iterable<SavedExchange> {
    for (const record of exchangeRecords.scan(this.#store)) {
      yield { ...record, durable: true, arguments: decodeArguments(record.arguments) };
    }
  }

  /** The numbers of an exchange that may have been saved only because it has them. */
  storeNumbers(vhost: string, exchange: string): StoreNumbers {
    return exchangeRecords.get(this.#store, vhost, exchange)?.stores ?? noStoreNumbers;
  }

  *queues(): Iterable<SavedQueue> {
    for (const { vhost, name, id, autoDelete, arguments: args } of queueRecords.scan(this.#store)) {
      yield { vhost, name, number: id, autoDelete, arguments: decodeArguments(args) };
    }
  }

  /** The numbers of everything that messages may have been stored for. */
  *storeNumbersInUse(): Iterable<number> {
    for (const { id } of queueRecords.scan(this.#store)) yield id;
    for (const { stores } of exchangeRecords.scan(this.#store)) yield* Object.values(stores);
  }

  *bindings(): Iterable<SavedBinding> {
    for (const record of bindingRecords.scan(this.#store)) {
      yield { ...record, arguments: decodeArguments(record.arguments) };
    }
  }

  /** Whether any queue may have to obey one. */
  hasPolicies(): boolean {
    for (const _ of policyRecords.scan(this.#store)) return true;
    for (const _ of operatorPolicyRecords.scan(this.#store)) return true;
    return false;
  }

  // What is saved

  /** Saves a new virtual host, or what has changed of one. */
  async saveVhost(changes: Partial<SavedVirtualHost> & { readonly name: string }): Promise<void> {
    const found = virtualHostRecords.get(this.#store, changes.name);
    const none = { ...noMetadata, tracing: false, confirmLevel: "" } as const;
    const record = { ...none, ...found, ...changes };
    await this.#store.commit([virtualHostRecords.put(record)]);
  }

  /** Saves a new exchange, or one whose numbers have changed. */
  async saveExchange(vhost: string, exchange: ExchangeSpec, stores: StoreNumbers): Promise<void> {
    const { name, type, autoDelete, internal } = exchange;
    const args = encodeArguments(exchange.arguments);
    const record = { vhost, name, type, autoDelete, internal, arguments: args, stores };
    const changes = [exchangeRecords.put(record)];
    if (Object.keys(stores).length > 0) changes.push(queueNumberCounter.put(this.#highestNumber));
    await this.#store.commit(changes);
  }

  /** A number that was never used; it counts once the queue or exchange has been saved. */
  newStoreNumber(): number {
    return ++this.#highestNumber;
  }

  async saveQueue(queue: SavedQueue): Promise<void> {
    const { vhost, name, number, autoDelete } = queue;
    const args = encodeArguments(queue.arguments);
    const type = queueTypeOf(queue.arguments).name;
    const record = { vhost, name, id: number, type, autoDelete, arguments: args };
    await this.#store.commit([
      queueRecords.put(record),
      queueNumberCounter.put(this.#highestNumber),
    ]);
  }

  async saveBinding(binding: SavedBinding): Promise<void> {
    await this.#store.commit([bindingRecords.put(bindingRecord(binding))]);
  }

  /** Removes what is durable of these. */
  async remove(
    vhost: string,
    gone: {
      readonly queues?: readonly Queue[];
      readonly exchanges?: readonly Exchange[];
      readonly bindings?: readonly Binding<Queue>[];
    },
  ): Promise<void> {
    const changes: MetadataChange[] = [];
    for (const { durable, name } of gone.queues ?? []) {
      if (durable) changes.push(queueRecords.removeAt(vhost, name));
    }
    for (const { durable, name } of gone.exchanges ?? []) {
      if (durable) changes.push(exchangeRecords.removeAt(vhost, name));
    }
    for (const binding of gone.bindings ?? []) {
      if (!isDurableBinding(binding.source, binding.destination)) continue;
      changes.push(bindingRecords.remove(bindingRecord(savedBinding(vhost, binding))));
    }
    if (changes.length > 0) await this.#store.commit(changes);
  }
}

/**
 * A crash may have come after a binding was saved and before it was removed again, because one of
 * its ends had gone meanwhile. Left there, it would bind the next queue of that name.
 */
async function removeLooseBindings(store: MetadataStore): Promise<void> {
  const exists = (kind: "queue" | "exchange", vhost: string, name: string): boolean => {
    if (kind === "queue") return queueRecords.get(store, vhost, name) !== undefined;
    // Predeclared exchanges are not saved; nobody else's may be called like that.
    return name.startsWith("amq.") || exchangeRecords.get(store, vhost, name) !== undefined;
  };
  const loose: MetadataChange[] = [];
  for (const binding of bindingRecords.scan(store)) {
    const { vhost, source, destinationKind, destination } = binding;
    const isBound =
      exists("exchange", vhost, source) && exists(destinationKind, vhost, destination);
    if (!isBound) loose.push(bindingRecords.remove(binding));
  }
  if (loose.length > 0) await store.commit(loose);
}

export function isDurableBinding(
  source: { readonly durable: boolean },
  destination: { readonly durable: boolean },
): boolean {
  return source.durable && destination.durable;
}

export function savedBinding(vhost: string, binding: Binding<Queue>): SavedBinding {
  return {
    vhost,
    source: binding.source.name,
    destinationKind: binding.destinationKind,
    destination: binding.destination.name,
    routingKey: binding.routingKey,
    arguments: binding.arguments,
  };
}

function bindingRecord(binding: SavedBinding): BindingRecord {
  return { ...binding, arguments: encodeArguments(binding.arguments) };
}

/** The octets of an AMQP table; none for an empty one. */
function encodeArguments(args: FieldTable): Uint8Array {
  if (args.size === 0) return new Uint8Array();
  const writer = new WireWriter(256);
  writer.table(args);
  return new Uint8Array(writer.take());
}

function decodeArguments(bytes: Uint8Array): FieldTable {
  if (bytes.length === 0) return new FieldTable();
  return new WireReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)).table();
}
