/**
 * A metadata table in an LMDB file, written by LMDB's own rules: copy on write, data synced before
 * the meta page that makes it valid is written and synced. At every moment the file holds the last
 * batch whose write has resolved, and at most one that has not, in full. Made by
 * LmdbMetadataStore.open().
 *
 * Space. LMDB does not say clearly when a disk is full (a short write is EIO to it), so the table
 * sees to the space itself: before a batch it makes the file long enough for the pages that the
 * batch may need, with real zeros, and a full disk is found out before LMDB touches anything. Where
 * that is not enough, because the file system moves what it overwrites, LMDB's error is believed.
 *
 * A batch that failed for any other reason ends writing for good: what the disk holds is then known
 * again only after opening the file anew.
 */

import type { FileHandle } from "node:fs/promises";
import { isSpaceError, type LmdbDatabase, statsOf, writeTransaction } from "./lmdb-database.ts";
import { MetadataError } from "./metadata-error.ts";
import { decodeRecord, encodeRecord } from "./metadata-record.ts";
import type { MetadataTable, StoredRecord, TableBatch } from "./metadata-table.ts";

/** Behind all encoded keys: its version is the last one written, its text says what the file is. */
const headKey = "\xff";
const headText = '{"format":"haremq-metadata","layout":1}';

/** The file grows in steps of this, and is at most this longer than it would have to be. */
const growthBytes = 2 ** 20;

/** Pages that a batch may need beside those that its own records are on. */
const sparePages = 64;

export class LmdbTable implements MetadataTable {
  readonly #database: LmdbDatabase;
  /** The same file, for making it longer. */
  readonly #file: FileHandle;
  #fileBytes = 0;
  #lastVersion: number;
  #failure: MetadataError | undefined;

  /** Writes the head record into a fresh database. */
  static async initialize(database: LmdbDatabase): Promise<void> {
    const head = encodeRecord(headKey, { version: 0, text: headText });
    await writeTransaction(database, [[Buffer.from(headKey, "latin1"), head]]);
  }

  /** Takes over an initialized database and a handle for writing on the same file. */
  constructor(database: LmdbDatabase, file: FileHandle) {
    this.#database = database;
    this.#file = file;
    const head = this.read(headKey);
    if (head === undefined) throw new MetadataError("damaged", "The metadata file has no head");
    if (head.text !== headText) {
      throw new MetadataError("damaged", `The metadata file is of an unknown kind: ${head.text}`);
    }
    this.#lastVersion = head.version;
  }

  get lastVersion(): number {
    return this.#lastVersion;
  }

  read(key: string): StoredRecord | undefined {
    const bytes = this.#reading(() => this.#database.getBinary(Buffer.from(key, "latin1")));
    return bytes === undefined ? undefined : decodeRecord(key, bytes);
  }

  readRange(start: string, end: string, limit: number): [key: string, record: StoredRecord][] {
    const range = {
      // LMDB takes no empty keys, not even here.
      ...(start === "" ? {} : { start: Buffer.from(start, "latin1") }),
      end: Buffer.from(end, "latin1"),
      limit,
    };
    return this.#reading(() => [...this.#database.getRange(range)]).map(({ key, value }) => {
      const text = key.toString("latin1");
      return [text, decodeRecord(text, value)];
    });
  }

  async write(batch: TableBatch, version: number): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const puts: [Buffer, Buffer | undefined][] = [];
    let bytes = 0;
    for (const [key, record] of [...batch, [headKey, { version, text: headText }] as const]) {
      const value = record === undefined ? undefined : encodeRecord(key, record);
      puts.push([Buffer.from(key, "latin1"), value]);
      bytes += key.length + (value?.length ?? 0);
    }
    await this.#makeRoom(puts.length, bytes);
    try {
      await writeTransaction(this.#database, puts);
    } catch (error) {
      const isFull = isSpaceError(error) || (await this.#isDiskFull());
      if (isFull && this.#isReadable()) throw diskFull(error);
      throw this.#fail("The metadata file cannot be written", error);
    }
    this.#lastVersion = version;
  }

  async close(): Promise<void> {
    await this.#database.close();
    await this.#file.close();
  }

  /** Makes sure that LMDB finds allocated blocks wherever it may put new pages. */
  async #makeRoom(puts: number, bytes: number): Promise<void> {
    const { pageBytes, usedBytes, treeDepth, treePages } = statsOf(this.#database);
    // Every put copies its path through the tree, at most the whole tree; what is new splits pages.
    const copiedPages = Math.min(puts * (treeDepth + 1), treePages);
    const neededBytes = usedBytes + (copiedPages + puts + sparePages) * pageBytes + 3 * bytes;
    if (this.#fileBytes >= neededBytes) return;
    try {
      // LMDB may have made the file longer itself, and what it wrote there must not become zeros.
      this.#fileBytes = (await this.#file.stat()).size;
      const wantedBytes = Math.ceil(neededBytes / growthBytes) * growthBytes;
      while (this.#fileBytes < wantedBytes) await this.#append();
    } catch (error) {
      if (this.#fileBytes >= neededBytes) return;
      if (isSpaceError(error)) throw diskFull(error);
      throw this.#fail("The metadata file cannot grow", error);
    }
  }

  /** Makes the file longer, by one step at most. */
  async #append(): Promise<void> {
    const bytes = growthBytes - (this.#fileBytes % growthBytes);
    const { bytesWritten } = await this.#file.write(Buffer.alloc(bytes), 0, bytes, this.#fileBytes);
    this.#fileBytes += bytesWritten;
  }

  /** Tells what LMDB calls an I/O error, when only part of a page could be written. */
  async #isDiskFull(): Promise<boolean> {
    try {
      this.#fileBytes = (await this.#file.stat()).size;
      await this.#append();
      return false;
    } catch (error) {
      return isSpaceError(error);
    }
  }

  #fail(message: string, cause: unknown): MetadataError {
    this.#failure = new MetadataError("failed", message, cause);
    return this.#failure;
  }

  /** LMDB refuses everything, reading too, after it could not write a meta page. */
  #isReadable(): boolean {
    try {
      this.#database.resetReadTxn();
      return this.read(headKey) !== undefined;
    } catch {
      return false;
    }
  }

  #reading<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw (
        this.#failure ?? new MetadataError("damaged", "The metadata file cannot be read", error)
      );
    }
  }
}

function diskFull(cause: unknown): MetadataError {
  return new MetadataError("disk-full", "No space left for metadata", cause);
}
