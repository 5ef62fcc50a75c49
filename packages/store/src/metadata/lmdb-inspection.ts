/**
 * Looks through the metadata of a data directory at rest: every page, every record, every checksum.
 * For the command line; whoever calls it has locked the directory.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkLmdbFile, type LmdbFileReport } from "./lmdb-file.ts";
import { LmdbMetadataStore, metadataFileName } from "./lmdb-metadata-store.ts";

export interface MetadataReport {
  readonly path: string;
  readonly file: LmdbFileReport;
  /** How many entries there are of each first part of a key: "queue", "binding" and so on. */
  readonly entries: ReadonlyMap<string, number>;
}

/** Undefined if there is no metadata; throws a MetadataError at the first damage it finds. */
export async function inspectMetadata(directory: string): Promise<MetadataReport | undefined> {
  const path = join(directory, metadataFileName);
  if (!existsSync(path)) return undefined;
  const file = checkLmdbFile(path);
  const store = await LmdbMetadataStore.open(directory);
  try {
    const entries = new Map<string, number>();
    for (const { key } of store.scan([])) {
      const kind = key[0] as string;
      entries.set(kind, (entries.get(kind) ?? 0) + 1);
    }
    return { path, file, entries };
  } finally {
    await store.close();
  }
}
