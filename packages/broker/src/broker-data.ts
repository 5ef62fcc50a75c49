/**
 * What a broker keeps on disk: topology in the metadata store, messages in the durable log, streams
 * in files of their own. Opened before the broker, which begins with what was found; closed after
 * it.
 */

import { join } from "node:path";
import type { Clock } from "@haremq/kernel";
import {
  type Disk,
  DurableLog,
  defaultSizes,
  type LogSizes,
  type MetadataStore,
  type StreamSizes,
  StreamStore,
} from "@haremq/store";
import type { FieldTable } from "@haremq/wire";
import type { Logger } from "./events/logger.ts";
import { FoundMessages } from "./found-messages.ts";
import { MemoryUse } from "./message/memory-use.ts";
import { isStream } from "./queue/queue-types.ts";
import { TopologyJournal } from "./vhost/topology-journal.ts";

const factArguments = ["x-message-ttl", "x-max-length-bytes", "x-priority-ageing"];

export interface BrokerDataOptions {
  readonly disk: Disk;
  readonly metadata: MetadataStore;
  readonly directory: string;
  readonly clock: Clock;
  /** Memory for messages above which they are read from disk again when they are due. */
  readonly memoryBytes: number;
  /** The same for messages and all that it takes to know of them and to pass them on. */
  readonly pagingBytes?: number;
  /** Other than the usual sizes of the log, for simulations. */
  readonly logSizes?: LogSizes;
  readonly streamSizes?: StreamSizes;
  readonly log: Logger;
  /** Everything is closed, in order or not; somebody else may open the directory. */
  onClosed?(): void;
}

/** Who hears what becomes of messages that are stored. */
export interface DataListener {
  /** The operating system has more of them. */
  onWritten(): void;
  /** More of them are durable. */
  onDurable(): void;
  /** Storing has failed, or works again. */
  onFault(error: Error | undefined): void;
}

export class BrokerData {
  readonly disk: Disk;
  readonly directory: string;
  readonly journal: TopologyJournal;
  readonly messages: DurableLog;
  readonly streams: StreamStore;
  /** What others need because of messages; the log has its own account. */
  readonly memory: MemoryUse;
  /**
   * Messages found, by the number of their queue or of what an exchange keeps, oldest first; the
   * broker takes them.
   */
  readonly found: Map<number, FoundMessages>;
  readonly metadata: MetadataStore;
  readonly #callbacks: DataListener;
  readonly #onClosed: (() => void) | undefined;

  private constructor(
    options: BrokerDataOptions,
    journal: TopologyJournal,
    messages: DurableLog,
    streams: StreamStore,
    memory: MemoryUse,
    found: Map<number, FoundMessages>,
    callbacks: DataListener,
  ) {
    this.disk = options.disk;
    this.directory = options.directory;
    this.metadata = options.metadata;
    this.#onClosed = options.onClosed?.bind(options);
    this.journal = journal;
    this.messages = messages;
    this.streams = streams;
    this.memory = memory;
    this.found = found;
    this.#callbacks = callbacks;
  }

  static async open(options: BrokerDataOptions): Promise<BrokerData> {
    const { disk, metadata, directory, clock, memoryBytes, log } = options;
    const journal = await TopologyJournal.open(metadata);
    const found = new Map<number, FoundMessages>();
    const hasPolicies = journal.hasPolicies();
    for (const { number, arguments: args } of journal.queues()) {
      found.set(number, new FoundMessages(hasPolicies || wantsFacts(args)));
    }
    for (const number of journal.storeNumbersInUse()) {
      if (!found.has(number)) found.set(number, new FoundMessages(false));
    }
    const streams = await openStreams(options, journal);
    const memory = new MemoryUse();
    const bytesMax = options.pagingBytes ?? Number.POSITIVE_INFINITY;
    const ignore = (): void => undefined;
    const callbacks: DataListener = { onWritten: ignore, onDurable: ignore, onFault: ignore };
    const startedMs = clock.nowMs();
    const messages = await DurableLog.open({
      disk,
      directory: join(directory, "messages"),
      clock,
      memoryBytes,
      sharedMemory: { bytesMax, otherBytes: () => memory.bytes },
      sizes: options.logSizes ?? defaultSizes,
      onMessage: (queue, handle, wasDelivered, words, at, returns) => {
        const messages = found.get(queue);
        if (messages === undefined) return false;
        const [bodyBytes, arrival, terms] = [words[at]!, words[at + 1]!, words[at + 2]!];
        messages.add(handle, wasDelivered, bodyBytes, arrival, terms, returns);
        return true;
      },
      onWritten: () => callbacks.onWritten(),
      onDurable: () => callbacks.onDurable(),
      onFault: (error) => callbacks.onFault(error),
      onDamage: (description) => log.error(`stored messages are damaged: ${description}`),
    });
    // What comes now must not look like something that streams have taken already.
    messages.log.reserveNumber(streams.lastLogSegment);
    const tookMs = Math.round(clock.nowMs() - startedMs);
    log.info(`${messages.recoveredRecords} stored messages found in ${tookMs} ms`);
    return new BrokerData(options, journal, messages, streams, memory, found, callbacks);
  }

  listen(listener: DataListener): void {
    Object.assign(this.#callbacks, listener);
  }

  async close(): Promise<void> {
    try {
      await this.messages.close();
    } finally {
      try {
        await this.metadata.close();
      } finally {
        this.#onClosed?.();
      }
    }
  }
}

function openStreams(options: BrokerDataOptions, journal: TopologyJournal): Promise<StreamStore> {
  const { disk, streamSizes } = options;
  const numbers = new Set<number>();
  for (const { number, arguments: args } of journal.queues()) {
    if (isStream(args)) numbers.add(number);
  }
  const directory = join(options.directory, "streams");
  return StreamStore.open({ disk, directory, ...(streamSizes && { sizes: streamSizes }) }, numbers);
}

/** Whether a queue with these arguments has to know how long and how old its messages are. */
function wantsFacts(args: FieldTable): boolean {
  return factArguments.some((name) => args.has(name));
}
