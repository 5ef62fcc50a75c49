/**
 * The directory in which a node keeps all that it has to remember. It says which format its files
 * have and which node they belong to, and only one process at a time may use it. Opened once, by
 * whoever starts the store, before anything else in it is touched.
 *
 *   haremq.json   {"format":1,"nodeId":"..."}; its presence makes the directory a data directory
 *   lock*         see directory-lock.ts
 *   the rest      belongs to the parts of the store, each of which documents its own
 *
 * A crash at any moment leaves a directory that can be opened: haremq.json appears whole, by a
 * rename, once everything else that makes a new directory is durable.
 */

import { dirname, join, resolve } from "node:path";
import type { Random } from "@haremq/kernel";
import { DataDirectoryError } from "./data-directory-error.ts";
import type { DirectoryLock } from "./directory-lock.ts";
import { lockName } from "./directory-lock.ts";
import type { Disk } from "./disk.ts";
import { DiskError } from "./disk.ts";

/**
 * Raised by every change after which an older HareMQ could not read the files, or would harm
 * them.
 */
export const dataFormat = 1;

const versionName = "haremq.json";
const unfinishedName = `${versionName}.new`;

/** Far more than the file ever has. */
const versionBytesMax = 4096;

export interface DataDirectoryOptions {
  readonly disk: Disk;
  readonly path: string;
  /** Names a new node. */
  readonly random: Random;
  /** `lockDirectory`; or `noLock` on a disk that no other process can see. */
  readonly lock: (directory: string) => DirectoryLock;
}

/** What a data directory says of itself. */
export interface DataVersion {
  readonly format: number;
  readonly nodeId: string;
}

export function noLock(): DirectoryLock {
  return { release: () => {} };
}

export class DataDirectory {
  readonly path: string;
  /**
   * 32 hexadecimal digits, drawn when the directory was made; it stays when the machine changes.
   */
  readonly nodeId: string;
  readonly #lock: DirectoryLock;

  private constructor(path: string, nodeId: string, lock: DirectoryLock) {
    this.path = path;
    this.nodeId = nodeId;
    this.#lock = lock;
  }

  /** Makes the directory if there is none. Throws a DataDirectoryError if it cannot be used. */
  static async open(options: DataDirectoryOptions): Promise<DataDirectory> {
    const { disk, random } = options;
    const path = resolve(options.path);
    await disk.makeDirectory(path);
    const lock = options.lock(path);
    try {
      const version = (await readVersion(disk, path)) ?? (await create(disk, path, random));
      return new DataDirectory(path, version.nodeId, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  }

  /** Lets other processes in. To be called when all files are closed. */
  close(): void {
    this.#lock.release();
  }
}

/** Undefined if the directory is none yet. Throws a DataDirectoryError if it cannot be read. */
export async function readVersion(disk: Disk, directory: string): Promise<DataVersion | undefined> {
  const path = join(directory, versionName);
  const text = await readText(disk, path);
  if (text === undefined) return undefined;
  let version: Partial<DataVersion>;
  try {
    version = Object(JSON.parse(text));
  } catch (error) {
    throw new DataDirectoryError("damaged", `${path} is damaged: ${quote(text)}.`, error);
  }
  const { format, nodeId } = version;
  if (typeof format === "number" && Number.isSafeInteger(format) && format > dataFormat) {
    throw new DataDirectoryError(
      "newer",
      `The data directory ${directory} has format ${format}, which a newer version of HareMQ ` +
        `has made. This version reads formats up to ${dataFormat}.`,
    );
  }
  if (format !== dataFormat || typeof nodeId !== "string" || !/^[0-9a-f]{32}$/.test(nodeId)) {
    throw new DataDirectoryError(
      "damaged",
      `${path} names no format that HareMQ has ever written: ${quote(text)}.`,
    );
  }
  return { format, nodeId };
}

async function readText(disk: Disk, path: string): Promise<string | undefined> {
  try {
    const file = await disk.open(path, "read");
    try {
      const bytes = Buffer.alloc(versionBytesMax);
      const length = await file.read(bytes, 0, bytes.length, 0);
      return bytes.toString("utf8", 0, length);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

async function create(disk: Disk, directory: string, random: Random): Promise<DataVersion> {
  const names = await disk.list(directory);
  const isOurs = (name: string): boolean => name === unfinishedName || name.startsWith(lockName);
  // A file system of its own has lost+found at its root.
  const foreign = names.find((name) => !isOurs(name) && name !== "lost+found");
  if (foreign !== undefined) {
    throw new DataDirectoryError(
      "foreign",
      `${directory} is no data directory of HareMQ: it holds ${foreign}, but no ${versionName}. ` +
        "Choose another directory, or an empty one.",
    );
  }
  const version = { format: dataFormat, nodeId: random.bytes(16).toString("hex") };
  const text = Buffer.from(`${JSON.stringify(version)}\n`);
  const unfinished = join(directory, unfinishedName);
  await disk.remove(unfinished);
  await syncAncestors(disk, directory);
  const file = await disk.open(unfinished, "create");
  await file.write(text, 0, text.length, 0);
  await file.sync();
  await file.close();
  await disk.rename(unfinished, join(directory, versionName));
  await disk.syncDirectory(directory);
  return version;
}

/** Any of the directories above may be new as well. Those that we may not read we have not made. */
async function syncAncestors(disk: Disk, directory: string): Promise<void> {
  for (let path = directory; path !== dirname(path); path = dirname(path)) {
    try {
      await disk.syncDirectory(dirname(path));
    } catch (error) {
      if (error instanceof DiskError && /^(EACCES|EPERM)$/.test(error.code)) return;
      throw error;
    }
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
