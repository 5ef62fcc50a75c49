/**
 * What the streams of a broker share: where their files are, the clock, how many of them write at a
 * time, and who is told when they cannot. Virtual hosts ask it for the queue of a stream that was
 * declared or found. Without a data directory its files are in memory, and count as such.
 */

import type { Clock } from "@haremq/kernel";
import { DiskError, MemoryDisk, type MetadataStore, StreamStore } from "@haremq/store";
import type { MessageStore } from "../../message/message-store.ts";
import type { QueueSpec } from "../queue.ts";
import { StreamOffsets } from "./stream-offsets.ts";
import { StreamQueue } from "./stream-queue.ts";

/** Streams that write at the same time: enough to keep a disk busy. */
const writersMax = 4;

export interface StreamsOptions {
  readonly clock: Clock;
  readonly messages: MessageStore;
  /** Undefined without a data directory. */
  readonly store?: StreamStore | undefined;
  readonly metadata?: MetadataStore | undefined;
  onDamage(description: string): void;
  /** A stream cannot be written; or, without an error, all can be again. */
  onFault(error: Error | undefined): void;
}

export class Streams {
  readonly clock: Clock;
  readonly messages: MessageStore;
  readonly offsets: StreamOffsets;
  readonly #options: StreamsOptions;
  #store: Promise<StreamStore> | StreamStore | undefined;
  readonly #open = new Set<StreamQueue>();
  readonly #faulty = new Set<object>();
  #nextMemoryNumber = 1;
  #writers = 0;
  readonly #waiting: (() => void)[] = [];
  readonly #removals = new Set<Promise<void>>();

  constructor(options: StreamsOptions) {
    this.#options = options;
    this.clock = options.clock;
    this.messages = options.messages;
    this.#store = options.store;
    this.offsets = new StreamOffsets(options.clock, options.metadata);
    options.store?.listen({
      onMemory: (change) => this.#hold(change),
      onFiles: () => undefined,
      onDamage: (description) => options.onDamage(description),
    });
  }

  /** The queue of a stream that has just been declared. */
  async create(spec: QueueSpec): Promise<StreamQueue> {
    this.#store ??= this.#openInMemory();
    return this.#queue(spec, await this.#store);
  }

  /** All streams that were found at the start have got back what was found of them. */
  onRestored(): void {
    for (const queue of this.#open) queue.onRestored();
    this.offsets.keepOnly(new Set(Array.from(this.#open, ({ storeNumber }) => storeNumber)));
  }

  /** The queue of a stream that was found at the start. */
  restore(spec: QueueSpec): StreamQueue {
    return this.#queue(spec, this.#store as StreamStore);
  }

  #queue(spec: QueueSpec, store: StreamStore): StreamQueue {
    const number = spec.storeNumber || this.#nextMemoryNumber++;
    const queue = new StreamQueue(spec, store.log(number), this);
    this.#open.add(queue);
    return queue;
  }

  async #openInMemory(): Promise<StreamStore> {
    const store = await StreamStore.open(
      { disk: new MemoryDisk(), directory: "/streams" },
      new Set(),
    );
    store.listen({
      onMemory: (change) => this.#hold(change),
      onFiles: (change) => this.#hold(change),
      onDamage: (description) => this.#options.onDamage(description),
    });
    return store;
  }

  #hold(change: number): void {
    this.messages.memory.streams.bytes += change;
  }

  /** Has a stream do its writing when it is its turn. */
  async inTurn(work: () => Promise<void>): Promise<void> {
    if (this.#writers === writersMax) await new Promise<void>((go) => this.#waiting.push(go));
    else this.#writers++;
    try {
      await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#writers--;
      else next();
    }
  }

  /** A stream's writer cannot write, or can again. */
  noteFault(writer: object, error: DiskError | undefined): void {
    const wasFaulty = this.#faulty.size > 0;
    if (error !== undefined) this.#faulty.add(writer);
    else this.#faulty.delete(writer);
    if (wasFaulty !== this.#faulty.size > 0) this.#options.onFault(error);
  }

  /** A stream is gone; its files go when nothing is being done with them. */
  remove(queue: StreamQueue, removal: Promise<void>): void {
    this.#open.delete(queue);
    const noted = removal
      .catch((error: unknown) => {
        // The next start removes what is left.
        if (!(error instanceof DiskError)) throw error;
      })
      .finally(() => this.#removals.delete(noted));
    this.#removals.add(noted);
  }

  /** Writes what may be written, and closes all files. */
  async close(): Promise<void> {
    await Promise.all(Array.from(this.#open, (queue) => queue.shutDown()));
    await Promise.all(this.#removals);
    await this.offsets.close();
  }
}
