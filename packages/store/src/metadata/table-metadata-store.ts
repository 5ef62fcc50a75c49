/**
 * The metadata store over any table: order of commits, conditions, versions and watches. Made as a
 * MemoryMetadataStore or an LmdbMetadataStore.
 *
 *   commit() ──> waiting ──> a group: check, merge ──> table.write() ──> watches ──> promises
 *
 * Commits wait in a queue. Whenever no group is being written, all that wait become the next group:
 * the conditions of each are checked in order against the table and what the group changes already,
 * its changes are merged into one batch, and the batch is written with one sync. So however many
 * commit at once, there is one sync under way and at most one more to wait for.
 *
 * Invariants:
 * - A group's outcome is not told before its batch is durable, refusals included: a condition may
 *   have failed because of a change in the same group. If the batch fails, the whole group rejects.
 * - Conditions are only checked while no batch is being written, so the table is then what the last
 *   commit left, and nothing can come between the check and the write.
 */

import { MetadataError } from "./metadata-error.ts";
import { decodeKey, encodeKey, isInRange, type KeyRange, rangeBelow } from "./metadata-key.ts";
import type {
  MetadataChange,
  MetadataCondition,
  MetadataEntry,
  MetadataKey,
  MetadataStore,
} from "./metadata-store.ts";
import type { MetadataTable, StoredRecord } from "./metadata-table.ts";
import { decodeValue, encodeValue } from "./metadata-value.ts";

/** A group stops growing here, so that one batch neither blocks the others nor fills the memory. */
const groupChangesMax = 4096;
const groupTextMax = 8 * 2 ** 20;

const scanRecords = 256;

interface EncodedChange {
  readonly key: string;
  readonly text: string | undefined;
}

interface EncodedCondition {
  readonly key: string;
  readonly version: number;
}

interface PendingCommit {
  readonly changes: readonly EncodedChange[];
  readonly conditions: readonly EncodedCondition[];
  readonly resolve: (done: boolean) => void;
  readonly reject: (error: unknown) => void;
  accepted: boolean;
}

interface Watch {
  readonly range: KeyRange;
  readonly listener: (changes: readonly MetadataChange[]) => void;
  /** Also during a notification: once ended, a watch hears nothing more. */
  hasEnded: boolean;
}

export interface TableMetadataStoreOptions {
  readonly table: MetadataTable;
  /** Runs `gather` soon; commits that are made until then are in one group. */
  readonly schedule: (gather: () => void) => void;
  /** For what a listener throws: the commit is durable, so it is not the commit that fails. */
  readonly onListenerError?: (error: unknown) => void;
}

export class TableMetadataStore implements MetadataStore {
  readonly #table: MetadataTable;
  readonly #schedule: (gather: () => void) => void;
  readonly #onListenerError: (error: unknown) => void;
  #waiting: PendingCommit[] = [];
  #watches: readonly Watch[] = [];
  #version: number;
  #isBusy = false;
  #closing: Promise<void> | undefined;
  #onIdle: (() => void) | undefined;

  constructor(options: TableMetadataStoreOptions) {
    this.#table = options.table;
    this.#schedule = options.schedule;
    this.#onListenerError = options.onListenerError ?? throwLater;
    this.#version = options.table.lastVersion;
  }

  get(key: MetadataKey): MetadataEntry | undefined {
    this.#checkOpen();
    const bytes = encodeKey(key);
    const record = this.#table.read(bytes);
    return record === undefined ? undefined : toEntry(bytes, record);
  }

  *scan(prefix: MetadataKey): Generator<MetadataEntry, void, undefined> {
    const { start, end } = rangeBelow(prefix);
    for (let from = start; ; ) {
      this.#checkOpen();
      const records = this.#table.readRange(from, end, scanRecords);
      for (const [key, record] of records) yield toEntry(key, record);
      if (records.length < scanRecords) return;
      from = `${records.at(-1)?.[0]}\0`; // the first byte string behind the last key
    }
  }

  async commit(
    changes: readonly MetadataChange[],
    conditions: readonly MetadataCondition[] = [],
  ): Promise<boolean> {
    this.#checkOpen();
    const encodedChanges = changes.map(({ key, value }) => ({
      key: encodeKey(key),
      text: value === undefined ? undefined : encodeValue(value),
    }));
    const encodedConditions = conditions.map(({ key, version }) => ({
      key: encodeKey(key),
      version,
    }));
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        changes: encodedChanges,
        conditions: encodedConditions,
        resolve,
        reject,
        accepted: false,
      });
      if (this.#isBusy) return;
      this.#isBusy = true;
      this.#schedule(() => void this.#writeGroups());
    });
  }

  watch(prefix: MetadataKey, listener: (changes: readonly MetadataChange[]) => void): () => void {
    this.#checkOpen();
    const watch: Watch = { range: rangeBelow(prefix), listener, hasEnded: false };
    this.#watches = [...this.#watches, watch];
    return () => {
      watch.hasEnded = true;
      this.#watches = this.#watches.filter((each) => each !== watch);
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#isBusy) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    this.#watches = [];
    await this.#table.close();
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) {
      throw new MetadataError("closed", "The metadata store is closed");
    }
  }

  async #writeGroups(): Promise<void> {
    while (this.#waiting.length > 0) await this.#writeGroup(this.#nextGroup());
    this.#isBusy = false;
    this.#onIdle?.();
  }

  #nextGroup(): PendingCommit[] {
    let changes = 0;
    let text = 0;
    let count = 0;
    for (const pending of this.#waiting) {
      changes += pending.changes.length;
      for (const change of pending.changes) text += change.text?.length ?? 0;
      if (count > 0 && (changes > groupChangesMax || text > groupTextMax)) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  /** Settles every commit of the group and never rejects itself. */
  async #writeGroup(group: readonly PendingCommit[]): Promise<void> {
    try {
      const batch = this.#mergeGroup(group);
      if (batch.size > 0) await this.#table.write(batch, this.#version);
    } catch (error) {
      for (const pending of group) pending.reject(error);
      return;
    }
    for (const pending of group) {
      if (pending.accepted) this.#notify(pending.changes);
      pending.resolve(pending.accepted);
    }
  }

  #mergeGroup(group: readonly PendingCommit[]): Map<string, StoredRecord | undefined> {
    const batch = new Map<string, StoredRecord | undefined>();
    for (const pending of group) {
      pending.accepted = pending.conditions.every(({ key, version }) => {
        const record = batch.has(key) ? batch.get(key) : this.#table.read(key);
        return (record?.version ?? 0) === version;
      });
      if (!pending.accepted || pending.changes.length === 0) continue;
      const version = ++this.#version;
      for (const { key, text } of pending.changes) {
        batch.set(key, text === undefined ? undefined : { version, text });
      }
    }
    return batch;
  }

  #notify(changes: readonly EncodedChange[]): void {
    for (const watch of this.#watches) {
      const touched = changes.filter(({ key }) => isInRange(watch.range, key));
      if (touched.length === 0 || watch.hasEnded) continue;
      try {
        watch.listener(touched.map(toChange));
      } catch (error) {
        this.#onListenerError(error);
      }
    }
  }
}

function toEntry(key: string, { version, text }: StoredRecord): MetadataEntry {
  return { key: decodeKey(key), value: decodeValue(text), version };
}

function toChange({ key, text }: EncodedChange): MetadataChange {
  return { key: decodeKey(key), value: text === undefined ? undefined : decodeValue(text) };
}

/** A listener that throws is a mistake in our own code: nobody can go on as if nothing happened. */
function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
