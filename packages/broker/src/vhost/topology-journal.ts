/**
 * Keeps durable topology in the metadata store, and finds it there at the start. Virtual hosts call it
 * before they show a change; what it reads is what they begin with.
 *
 *     ["vhost", vhost]                                            {}
 *     ["exchange", vhost, name]                                   { type, autoDelete, internal, arguments }
 *     ["queue", vhost, name]                                      { number, autoDelete, arguments }
 *     ["binding", vhost, source, kind, destination, key, args]    { arguments }
 *     ["counter", "queue"]                                        the highest queue number ever given
 *
 * Arguments are kept as the octets of an AMQP table. Queue numbers are what the message store calls
 * queues; they are never used again, so that messages of a deleted queue have no way back.
 */

import { createHash } from "node:crypto";
import type { MetadataChange, MetadataKey, MetadataStore } from "@haremq/store";
import { FieldTable, WireReader, WireWriter } from "@haremq/wire";
import type { Binding } from "../exchange/binding.ts";
import type { Exchange, ExchangeSpec } from "../exchange/exchange.ts";
import type { Queue } from "../queue/queue.ts";

export interface SavedQueue {
  readonly vhost: string;
  readonly name: string;
  readonly number: number;
  readonly autoDelete: boolean;
  readonly arguments: FieldTable;
}

export interface SavedExchange extends ExchangeSpec {
  readonly vhost: string;
}

export interface SavedBinding {
  readonly vhost: string;
  readonly source: string;
  readonly destinationKind: "queue" | "exchange";
  readonly destination: string;
  readonly routingKey: string;
  readonly arguments: FieldTable;
}

interface ExchangeRecord {
  readonly type: string;
  readonly autoDelete: boolean;
  readonly internal: boolean;
  readonly arguments: Uint8Array;
}

interface QueueRecord {
  readonly number: number;
  readonly autoDelete: boolean;
  readonly arguments: Uint8Array;
}

const counterKey: MetadataKey = ["counter", "queue"];

export class TopologyJournal {
  readonly #store: MetadataStore;
  #highestQueueNumber: number;

  constructor(store: MetadataStore) {
    this.#store = store;
    this.#highestQueueNumber = (store.get(counterKey)?.value as number | undefined) ?? 0;
  }

  // What was saved

  vhosts(): string[] {
    return [...this.#store.scan(["vhost"])].map((entry) => entry.key[1]!);
  }

  *exchanges(): Iterable<SavedExchange> {
    for (const { key, value } of this.#store.scan(["exchange"])) {
      const record = value as ExchangeRecord;
      const args = decodeArguments(record.arguments);
      const { type, autoDelete, internal } = record;
      const [, vhost, name] = key as [string, string, string];
      yield { vhost, name, type, autoDelete, internal, durable: true, arguments: args };
    }
  }

  *queues(): Iterable<SavedQueue> {
    for (const { key, value } of this.#store.scan(["queue"])) {
      const { number, autoDelete, arguments: args } = value as QueueRecord;
      const [, vhost, name] = key as [string, string, string];
      yield { vhost, name, number, autoDelete, arguments: decodeArguments(args) };
    }
  }

  *bindings(): Iterable<SavedBinding> {
    for (const { key, value } of this.#store.scan(["binding"])) {
      const [, vhost, source, kind, destination, routingKey] = key as string[];
      yield {
        vhost: vhost!,
        source: source!,
        destinationKind: kind as "queue" | "exchange",
        destination: destination!,
        routingKey: routingKey!,
        arguments: decodeArguments((value as { arguments: Uint8Array }).arguments),
      };
    }
  }

  // What is saved

  async saveVhost(name: string): Promise<void> {
    await this.#store.commit([{ key: ["vhost", name], value: {} }]);
  }

  async saveExchange(vhost: string, exchange: ExchangeSpec): Promise<void> {
    const { type, autoDelete, internal } = exchange;
    const record: ExchangeRecord = {
      type,
      autoDelete,
      internal,
      arguments: encodeArguments(exchange.arguments),
    };
    await this.#store.commit([{ key: ["exchange", vhost, exchange.name], value: record }]);
  }

  /** A number that no queue has had before; it counts once the queue has been saved. */
  newQueueNumber(): number {
    return ++this.#highestQueueNumber;
  }

  async saveQueue(queue: SavedQueue): Promise<void> {
    const { vhost, name, number, autoDelete } = queue;
    const record: QueueRecord = { number, autoDelete, arguments: encodeArguments(queue.arguments) };
    await this.#store.commit([
      { key: ["queue", vhost, name], value: record },
      { key: counterKey, value: this.#highestQueueNumber },
    ]);
  }

  async saveBinding(binding: SavedBinding): Promise<void> {
    const value = { arguments: encodeArguments(binding.arguments) };
    await this.#store.commit([{ key: bindingKey(binding), value }]);
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
    const keys: MetadataKey[] = [];
    for (const { durable, name } of gone.queues ?? [])
      if (durable) keys.push(["queue", vhost, name]);
    for (const { durable, name } of gone.exchanges ?? []) {
      if (durable) keys.push(["exchange", vhost, name]);
    }
    for (const binding of gone.bindings ?? []) {
      if (isDurableBinding(binding.source, binding.destination)) {
        keys.push(bindingKey(savedBinding(vhost, binding)));
      }
    }
    if (keys.length === 0) return;
    const changes: MetadataChange[] = keys.map((key) => ({ key, value: undefined }));
    await this.#store.commit(changes);
  }
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

function bindingKey(binding: SavedBinding): MetadataKey {
  const args =
    binding.arguments.size === 0
      ? ""
      : createHash("sha256").update(encodeArguments(binding.arguments)).digest("base64url");
  const { vhost, source, destinationKind, destination, routingKey } = binding;
  return ["binding", vhost, source, destinationKind, destination, routingKey, args];
}

function encodeArguments(args: FieldTable): Uint8Array {
  const writer = new WireWriter(256);
  writer.table(args);
  return new Uint8Array(writer.take());
}

function decodeArguments(bytes: Uint8Array): FieldTable {
  if (bytes.length === 0) return new FieldTable();
  return new WireReader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)).table();
}
