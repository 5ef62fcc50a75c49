/**
 * What the store needs of a file system, and no more: the contract that the real, the memory and
 * the faulty disk fulfil, and that disk.contract.ts tests. The message log, the data directory
 * and the crash simulator speak to it alone.
 *
 * What a caller may rely on, and what not, is what POSIX promises:
 * - written bytes survive the end of the process, and survive a power loss only once a `sync` has
 *   succeeded that was called after the write had returned;
 * - a created, renamed or removed name survives a power loss only after `syncDirectory`;
 * - after a `sync` that failed, nothing written before it may be trusted, whatever a later one
 *   says;
 * - operations under way at the same time may take effect in any order;
 * - a buffer belongs to the disk until the operation has returned.
 */

export type OpenMode = "create" | "write" | "read";

export type DiskOperation =
  | "open"
  | "list"
  | "makeDirectory"
  | "remove"
  | "rename"
  | "syncDirectory"
  | "space"
  | "write"
  | "read"
  | "sync"
  | "truncate"
  | "size"
  | "close";

/** Paths are absolute. Every failure is a DiskError. */
export interface Disk {
  /**
   * `create` and `write` read as well as write: the first must find no file, the second must find
   * one. `read` must find one too, and cannot change it.
   */
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** The names in a directory, sorted; none if it does not exist. */
  list(directory: string): Promise<string[]>;
  /** Also makes the directories above it. Fine if it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Removes a file. Fine if it does not exist. */
  remove(path: string): Promise<void>;
  /** Gives a file another name and replaces what has that name, as one step. */
  rename(from: string, to: string): Promise<void>;
  /**
   * Makes creations, renames and removals in the directory durable. A rename from one directory to
   * another needs both.
   */
  syncDirectory(path: string): Promise<void>;
  space(directory: string): Promise<DiskSpace>;
}

export interface DiskSpace {
  /** What this process may still write, which can be less than what is free. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface DiskFile {
  readonly path: string;
  /**
   * Writes all of buffer[start, start + length) at `position`, or throws, and then any part of it
   * may have been written. Beyond the end of the file the gap reads as zeros.
   */
  write(buffer: Uint8Array, start: number, length: number, position: number): Promise<void>;
  /** Returns the number of bytes read: fewer than `length` only at the end of the file. */
  read(buffer: Uint8Array, start: number, length: number, position: number): Promise<number>;
  /** Makes what was written durable, and the file's length (fdatasync). */
  sync(): Promise<void>;
  /** Cuts the file, or lengthens it with zeros. */
  truncate(length: number): Promise<void>;
  size(): Promise<number>;
  /** Does not sync. Fine if it was closed before; whatever else is called then throws EBADF. */
  close(): Promise<void>;
}

/** What a disk could not do. `code` is that of the operating system: ENOSPC, EIO, ENOENT, ... */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: string;
  readonly operation: DiskOperation;
  readonly path: string;

  constructor(code: string, operation: DiskOperation, path: string, cause?: unknown) {
    super(`${operation} ${path}: ${code}`, cause === undefined ? undefined : { cause });
    this.code = code;
    this.operation = operation;
    this.path = path;
  }
}

/**
 * Holds a read or write to its buffer. A negative position above all must not reach the operating
 * system, where it would mean "wherever the last one ended".
 */
export function checkRange(
  buffer: Uint8Array,
  start: number,
  length: number,
  position: number,
): void {
  const inside = start >= 0 && length >= 0 && start + length <= buffer.length;
  if (inside && Number.isSafeInteger(position) && position >= 0) return;
  throw new RangeError(`${length} bytes from ${start} of ${buffer.length}, at ${position}`);
}

/** Repeats a write that may be short until all is written; `write` returns how much it did. */
export async function writeFully(
  write: (done: number) => Promise<number>,
  length: number,
): Promise<void> {
  for (let done = 0; done < length; ) {
    const written = await write(done);
    if (!(written > 0)) throw new RangeError(`a write of ${length - done} bytes wrote ${written}`);
    done += written;
  }
}
