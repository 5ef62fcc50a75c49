/**
 * The metadata store of the simulated machine: commits take effect some time after they were made,
 * one after the other, whole or not at all; what was under way when the process ends may or may not
 * have. Each is one process's view; `crash` gives the next one's.
 */

import type { SeededRandom } from "@haremq/kernel";
import {
  type DiskScheduler,
  MemoryMetadataStore,
  type MetadataChange,
  type MetadataCondition,
  type MetadataEntry,
  MetadataError,
  type MetadataKey,
  type MetadataStore,
} from "@haremq/store";

interface PendingCommit {
  readonly changes: readonly MetadataChange[];
  readonly conditions: readonly MetadataCondition[];
  readonly resolve: (done: boolean) => void;
  readonly reject: (error: Error) => void;
}

export interface SimulatedMetadataOptions {
  readonly random: SeededRandom;
  readonly scheduler: DiskScheduler;
}

export class SimulatedMetadata implements MetadataStore {
  readonly #options: SimulatedMetadataOptions;
  readonly #committed: MemoryMetadataStore;
  #pending: PendingCommit[] = [];
  #isBusy = false;
  #hasEnded = false;
  /** Commits are refused, as on a full disk. */
  isFull = false;

  constructor(options: SimulatedMetadataOptions, committed = new MemoryMetadataStore()) {
    this.#options = options;
    this.#committed = committed;
  }

  /** Nothing is under way. */
  get isIdle(): boolean {
    return !this.#isBusy;
  }

  get(key: MetadataKey): MetadataEntry | undefined {
    return this.#committed.get(key);
  }

  scan(prefix: MetadataKey): Iterable<MetadataEntry> {
    return this.#committed.scan(prefix);
  }

  watch(prefix: MetadataKey, listener: (changes: readonly MetadataChange[]) => void): () => void {
    return this.#committed.watch(prefix, listener);
  }

  commit(
    changes: readonly MetadataChange[],
    conditions: readonly MetadataCondition[] = [],
  ): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.#hasEnded) return;
      this.#pending.push({ changes, conditions, resolve, reject });
      this.#goOn();
    });
  }

  /** Ends the process, and returns the store as the next one finds it. */
  async crash(): Promise<SimulatedMetadata> {
    this.#hasEnded = true;
    const survivors = this.#options.random.below(this.#pending.length + 1);
    for (const { changes, conditions } of this.#pending.slice(0, survivors)) {
      if (!this.isFull) await this.#committed.commit(changes, conditions);
    }
    return new SimulatedMetadata(this.#options, this.#committed);
  }

  async close(): Promise<void> {}

  #goOn(): void {
    if (this.#isBusy || this.#pending.length === 0) return;
    this.#isBusy = true;
    this.#options.scheduler.defer(() => void this.#write());
  }

  /** What has been committed until now goes with one sync. */
  async #write(): Promise<void> {
    if (this.#hasEnded) return;
    const group = this.#pending;
    this.#pending = [];
    for (const { changes, conditions, resolve, reject } of group) {
      if (this.isFull) reject(new MetadataError("disk-full", "There is no space left"));
      else resolve(await this.#committed.commit(changes, conditions));
    }
    this.#isBusy = false;
    this.#goOn();
  }
}
