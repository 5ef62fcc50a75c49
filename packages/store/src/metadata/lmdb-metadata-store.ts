/**
 * The metadata store on disk, in one LMDB file that one process uses at a time. Whoever opens it
 * has locked the data directory.
 *
 *   DIRECTORY/metadata.mdb         the data
 *   DIRECTORY/metadata.mdb-lock    LMDB's locks and readers; worth nothing when nobody has it open
 *   DIRECTORY/metadata.mdb.new     a data file that is being made, and never became metadata.mdb
 *
 * The file is made under another name and renamed when its first record is on disk: metadata.mdb
 * either does not exist or has been complete once, so that an empty file is damage and never a new
 * broker.
 */

import { mkdir, open, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { isSpaceError, openDatabase } from "./lmdb-database.ts";
import { checkLmdbFile } from "./lmdb-file.ts";
import { LmdbTable } from "./lmdb-table.ts";
import { MetadataError } from "./metadata-error.ts";
import { TableMetadataStore, type TableMetadataStoreOptions } from "./table-metadata-store.ts";

export const metadataFileName = "metadata.mdb";

/** More than LMDB wants, for as many readers as it has by default. */
const lockFileBytes = 16_384;

export class LmdbMetadataStore extends TableMetadataStore {
  /** Makes the file if there is none. Throws a MetadataError if it cannot be used. */
  static async open(
    directory: string,
    options: Pick<TableMetadataStoreOptions, "onListenerError"> = {},
  ): Promise<LmdbMetadataStore> {
    const path = join(directory, metadataFileName);
    try {
      const table = await openTable(directory, path);
      return new LmdbMetadataStore({ ...options, table, schedule: setImmediate });
    } catch (error) {
      if (error instanceof MetadataError) throw error;
      throw new MetadataError(
        isSpaceError(error) ? "disk-full" : "failed",
        `Cannot open the metadata file ${path}: ${(error as Error).message}`,
        error,
      );
    }
  }
}

async function openTable(directory: string, path: string): Promise<LmdbTable> {
  await makeDirectory(directory);
  if (!(await exists(path))) await createFile(directory, path);
  checkLmdbFile(path);
  await allocateLockFile(`${path}-lock`);
  const file = await open(path, "r+");
  try {
    const database = await openDatabase(path);
    try {
      return new LmdbTable(database, file);
    } catch (error) {
      await database.close();
      throw error;
    }
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Also durable are the directories above that had to be made. */
async function makeDirectory(path: string): Promise<void> {
  const firstMade = await mkdir(path, { recursive: true });
  if (firstMade === undefined) return;
  const end = dirname(resolve(firstMade));
  for (let at = dirname(resolve(path)); ; at = dirname(at)) {
    await syncDirectory(at);
    if (at === end) return;
  }
}

async function createFile(directory: string, path: string): Promise<void> {
  const newPath = `${path}.new`;
  await rm(newPath, { force: true });
  await rm(`${newPath}-lock`, { force: true });
  await allocateLockFile(`${newPath}-lock`);
  const database = await openDatabase(newPath);
  try {
    await LmdbTable.initialize(database);
  } finally {
    await database.close();
  }
  await rm(`${newPath}-lock`);
  await rename(newPath, path);
  await syncDirectory(directory);
}

/**
 * LMDB makes its lock file longer without writing to it and then maps it: on a full disk the first
 * store into that memory would end the process with SIGBUS. So the blocks are there before.
 */
async function allocateLockFile(path: string): Promise<void> {
  const file = await open(path, "a");
  try {
    const missingBytes = lockFileBytes - (await file.stat()).size;
    if (missingBytes > 0) await file.writeFile(Buffer.alloc(missingBytes));
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  // Windows knows no such thing: there a rename is as durable as it gets.
  if (process.platform === "win32") return;
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}
