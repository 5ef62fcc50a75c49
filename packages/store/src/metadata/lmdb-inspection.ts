/**
 * Looks through the metadata of a data directory at rest: every page, every record, every checksum.
 * LMDB writes even where it only reads, so it gets a copy: nothing in the directory changes.
 */

import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { checkLmdbFile, type LmdbFileReport } from "./lmdb-file.ts";
import { LmdbMetadataStore, metadataFileName } from "./lmdb-metadata-store.ts";
import type { MetadataStore } from "./metadata-store.ts";

export interface MetadataReport {
  readonly path: string;
  readonly file: LmdbFileReport;
  /** How many entries there are of each first part of a key: "queue", "binding" and so on. */
  readonly entries: ReadonlyMap<string, number>;
}

/**
 * Undefined if there is no metadata; throws a MetadataError at the first damage it finds. `look`
 * may read whatever else it wants to know.
 */
export async function inspectMetadata(
  directory: string,
  look: (store: MetadataStore) => void | Promise<void> = () => undefined,
): Promise<MetadataReport | undefined> {
  const path = join(directory, metadataFileName);
  if (!existsSync(path)) return undefined;
  const file = checkLmdbFile(path);
  const copy = mkdtempSync(join(tmpdir(), "haremq-inspect-"));
  try {
    copyFileSync(path, join(copy, metadataFileName));
    const store = await LmdbMetadataStore.open(copy);
    try {
      const entries = new Map<string, number>();
      for (const { key } of store.scan([])) {
        const kind = key[0] as string;
        entries.set(kind, (entries.get(kind) ?? 0) + 1);
      }
      await look(store);
      return { path, file, entries };
    } finally {
      await store.close();
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}
