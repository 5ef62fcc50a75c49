/**
 * What a metadata store keeps its records in: an ordered table of byte strings that can be read at
 * once and written a batch at a time. TableMetadataStore makes a MetadataStore of it and is the
 * only one to call it. It writes one batch at a time and never reads while it is writing for a
 * condition, so a table needs no locks and no transactions beyond the batch.
 */

/** Keys are byte strings, see metadata-key.ts. The texts are JSON, see metadata-value.ts. */
export interface StoredRecord {
  readonly version: number;
  readonly text: string;
}

/** What is to be in the table afterwards; undefined where there is to be nothing. */
export type TableBatch = ReadonlyMap<string, StoredRecord | undefined>;

export interface MetadataTable {
  /** The greatest version of all batches that were ever written. */
  readonly lastVersion: number;

  read(key: string): StoredRecord | undefined;

  /** At most `limit` records with start <= key < end, in order. */
  readRange(start: string, end: string, limit: number): [key: string, record: StoredRecord][];

  /**
   * All of the batch or, when it rejects (with a MetadataError), nothing. Resolves when it is
   * durable and `read` returns it.
   */
  write(batch: TableBatch, version: number): Promise<void>;

  close(): Promise<void>;
}
