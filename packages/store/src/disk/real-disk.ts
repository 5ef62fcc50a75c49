/**
 * The disk of the operating system, through Node's promises: every call runs on libuv's thread
 * pool, so a slow disk never holds up the event loop. The only file of the store through which
 * its own files are read and written.
 */

import type { FileHandle } from "node:fs/promises";
import { mkdir, open, readdir, rename, statfs, unlink } from "node:fs/promises";
import type { Disk, DiskFile, DiskOperation, DiskSpace, OpenMode } from "./disk.ts";
import { checkRange, DiskError, writeFully } from "./disk.ts";

const flags: Readonly<Record<OpenMode, string>> = { create: "wx+", write: "r+", read: "r" };

export class RealDisk implements Disk {
  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const handle = await attempt("open", path, () => open(path, flags[mode]));
    return new RealFile(path, handle);
  }

  async list(directory: string): Promise<string[]> {
    try {
      return (await readdir(directory)).sort();
    } catch (error) {
      if (codeOf(error) === "ENOENT") return [];
      throw new DiskError(codeOf(error), "list", directory, error);
    }
  }

  async makeDirectory(path: string): Promise<void> {
    await attempt("makeDirectory", path, () => mkdir(path, { recursive: true }));
  }

  async remove(path: string): Promise<void> {
    try {
      await unlink(path);
    } catch (error) {
      if (codeOf(error) === "ENOENT") return;
      throw new DiskError(codeOf(error), "remove", path, error);
    }
  }

  async rename(from: string, to: string): Promise<void> {
    await attempt("rename", from, () => rename(from, to));
  }

  async syncDirectory(path: string): Promise<void> {
    // Windows has no way to open a directory, and makes names durable by itself.
    if (process.platform === "win32") return;
    await attempt("syncDirectory", path, async () => {
      const handle = await open(path, "r");
      try {
        await handle.sync();
      } catch (error) {
        // Some network file systems refuse to sync a directory because they have no need of it.
        if (codeOf(error) !== "EINVAL") throw error;
      } finally {
        await handle.close();
      }
    });
  }

  async space(directory: string): Promise<DiskSpace> {
    const { bavail, blocks, bsize } = await attempt("space", directory, () => statfs(directory));
    return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
  }
}

/** What RealFile uses of Node's FileHandle, so that a test can pass one that writes in bits. */
export type RawHandle = Pick<
  FileHandle,
  "write" | "read" | "datasync" | "truncate" | "stat" | "close"
>;

export class RealFile implements DiskFile {
  readonly path: string;
  readonly #handle: RawHandle;

  constructor(path: string, handle: RawHandle) {
    this.path = path;
    this.#handle = handle;
  }

  async write(buffer: Uint8Array, start: number, length: number, position: number): Promise<void> {
    checkRange(buffer, start, length, position);
    await attempt("write", this.path, () =>
      writeFully(async (done) => {
        const { bytesWritten } = await this.#handle.write(
          buffer,
          start + done,
          length - done,
          position + done,
        );
        return bytesWritten;
      }, length),
    );
  }

  async read(buffer: Uint8Array, start: number, length: number, position: number): Promise<number> {
    checkRange(buffer, start, length, position);
    return await attempt("read", this.path, async () => {
      let done = 0;
      while (done < length) {
        const { bytesRead } = await this.#handle.read(
          buffer,
          start + done,
          length - done,
          position + done,
        );
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  async sync(): Promise<void> {
    await attempt("sync", this.path, () => this.#handle.datasync());
  }

  async truncate(length: number): Promise<void> {
    await attempt("truncate", this.path, () => this.#handle.truncate(length));
  }

  async size(): Promise<number> {
    return (await attempt("size", this.path, () => this.#handle.stat())).size;
  }

  async close(): Promise<void> {
    await attempt("close", this.path, () => this.#handle.close());
  }
}

async function attempt<T>(
  operation: DiskOperation,
  path: string,
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    throw new DiskError(codeOf(error), operation, path, error);
  }
}

/** An error without a code is not the file system's but a mistake of ours, and passes as it is. */
function codeOf(error: unknown): string {
  const { code } = error as NodeJS.ErrnoException;
  if (typeof code !== "string" || code.startsWith("ERR_")) throw error;
  return code;
}
