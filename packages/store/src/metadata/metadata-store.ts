/**
 * The contract of the metadata store: the small, precious records of a node (virtual hosts, users,
 * policies, durable topology) in a transactional key-value store. The broker holds the topology it
 * works with in memory, as a projection of this: it commits a change, waits, and only then shows
 * it.
 *
 * Implementations: MemoryMetadataStore forgets, LmdbMetadataStore survives kill -9 and power loss.
 * metadata.contract.ts says the same as this file in tests and is run for each.
 *
 * Order: keys are compared part by part, parts by their Unicode code points; a key stands before
 * every longer key that begins with it. Parts may be any string, also empty or with lone
 * surrogates.
 *
 * Versions: every commit that changes something has a number greater than those before it, also
 * those before a restart. An entry's version is the number of the commit that wrote it last, so
 * that a key that was removed and written again never has an old version.
 */

/** For example ["queue", "/", "orders"]. At least one part. */
export type MetadataKey = readonly string[];

/**
 * null, booleans, finite numbers, strings, arrays, plain objects, Uint8Array. What is read is equal
 * to what was written and shares nothing with it; -0 is read as 0.
 */
export type MetadataValue = unknown;

export interface MetadataChange {
  readonly key: MetadataKey;
  /** undefined removes the entry; it is no error if there is none. */
  readonly value: MetadataValue | undefined;
}

export interface MetadataCondition {
  readonly key: MetadataKey;
  /** The version that the entry must have; 0 if there must be none. */
  readonly version: number;
}

export interface MetadataEntry {
  readonly key: MetadataKey;
  readonly value: MetadataValue;
  readonly version: number;
}

export interface MetadataStore {
  /** What is committed. */
  get(key: MetadataKey): MetadataEntry | undefined;

  /**
   * The entries whose keys begin with all parts of `prefix`, in key order; [] gives all. A loop
   * that does not await sees one state. One that does sees commits made meanwhile if they lie ahead
   * of it.
   */
  scan(prefix: MetadataKey): Iterable<MetadataEntry>;

  /**
   * Makes all the changes, in the order given, or none of them. Resolves when they are durable and
   * the watches have been called, or with false if a condition did not hold when its turn came.
   * Commits take effect in the order of the calls, and those that wait together share one sync.
   *
   * Rejects with a MetadataError if it could not be done, and then nothing of it is visible: bad
   * input concerns this commit alone; "disk-full" means that the same commit can succeed when there
   * is space again; after "failed" only closing and opening the store anew helps.
   */
  commit(
    changes: readonly MetadataChange[],
    conditions?: readonly MetadataCondition[],
  ): Promise<boolean>;

  /**
   * Calls `listener` after each commit that touches the prefix, with those of its changes that do,
   * in commit order and before the commit resolves. Returns what ends the watch.
   */
  watch(prefix: MetadataKey, listener: (changes: readonly MetadataChange[]) => void): () => void;

  /** Waits for the commits under way. Everything that is called later throws or rejects. */
  close(): Promise<void>;
}
