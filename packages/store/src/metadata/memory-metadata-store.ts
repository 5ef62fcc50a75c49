/**
 * A metadata store that forgets everything when the process ends: for brokers without a data
 * directory, and for tests. It behaves like the one on disk in everything else.
 */

import { MemoryTable } from "./memory-table.ts";
import { TableMetadataStore, type TableMetadataStoreOptions } from "./table-metadata-store.ts";

export class MemoryMetadataStore extends TableMetadataStore {
  constructor(options: Pick<TableMetadataStoreOptions, "onListenerError"> = {}) {
    super({ ...options, table: new MemoryTable(), schedule: queueMicrotask });
  }
}
