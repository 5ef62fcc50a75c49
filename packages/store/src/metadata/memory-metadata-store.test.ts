/** Goal: the metadata store in memory keeps the contract. */

import { MemoryMetadataStore } from "./memory-metadata-store.ts";
import { metadataContract } from "./metadata.contract.ts";

metadataContract("metadata in memory", async (t, errors) => {
  const store = new MemoryMetadataStore({ onListenerError: (error) => errors?.push(error) });
  t.after(() => store.close());
  return store;
});
