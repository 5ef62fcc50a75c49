/**
 * The few things that the metadata store wants of LMDB's binding, and how the binding says that
 * they went wrong. LMDB is loaded by the first open, so that a broker in memory neither waits nor
 * needs it.
 */

import { getSystemErrorName } from "node:util";
import type { RootDatabase } from "lmdb";

export type LmdbDatabase = RootDatabase<Buffer, Buffer>;

/** What keys of four AMQP names need, and the same on every machine. */
const pageBytes = 8192;

export interface LmdbStats {
  readonly pageBytes: number;
  /** Up to the last page that anything was ever put on. */
  readonly usedBytes: number;
  readonly treeDepth: number;
  readonly treePages: number;
}

export async function openDatabase(path: string): Promise<LmdbDatabase> {
  const lmdb = await import("lmdb");
  return lmdb.open<Buffer, Buffer>({
    path,
    noSubdir: true,
    pageSize: pageBytes,
    keyEncoding: "binary",
    encoding: "binary",
    // A write resolves when LMDB's two syncs are done, not when readers can see it.
    overlappingSync: false,
    // A batch is a transaction; nothing else is to get into it.
    eventTurnBatching: false,
    maxDbs: 1,
  });
}

/** One transaction; undefined removes. Rejects with the reason if it was not made. */
export async function writeTransaction(
  database: LmdbDatabase,
  puts: readonly (readonly [key: Buffer, value: Buffer | undefined])[],
): Promise<void> {
  try {
    await database.batch(() => {
      for (const [key, value] of puts) {
        if (value === undefined) database.remove(key);
        else database.put(key, value);
      }
    });
  } catch (error) {
    // The binding rejects with a promise of the reason.
    await (error as { commitError?: Promise<never> }).commitError;
    throw error;
  }
}

export function statsOf(database: LmdbDatabase): LmdbStats {
  const { env } = database as unknown as {
    env: { stat(): Record<string, number>; info(): Record<string, number> };
  };
  const {
    pageSize = 0,
    treeDepth = 0,
    treeBranchPageCount = 0,
    treeLeafPageCount = 0,
  } = env.stat();
  const { lastPageNumber = 0 } = env.info();
  return {
    pageBytes: pageSize,
    usedBytes: (lastPageNumber + 1) * pageSize,
    treeDepth,
    treePages: treeBranchPageCount + treeLeafPageCount,
  };
}

/** Whether an error of Node or of LMDB means that there is no space left. */
export function isSpaceError(error: unknown): boolean {
  const name = errorNameOf(error);
  return name === "ENOSPC" || name === "EDQUOT" || name === "EFBIG";
}

/** Node's errors have the name of the system's error as their code, LMDB's its number. */
function errorNameOf(error: unknown): unknown {
  const { code } = error as { code?: unknown };
  return typeof code === "number" && code > 0 ? getSystemErrorName(-code) : code;
}
