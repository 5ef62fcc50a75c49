/**
 * A disk that lives and ends with the process: for brokers embedded in a test or a program that
 * keep nothing, and for tests of the store. It never fails, but for a full disk if it has a
 * capacity.
 */

import type { Disk, DiskFile, DiskSpace, OpenMode } from "./disk.ts";
import { checkRange, DiskError, writeFully } from "./disk.ts";
import type { FileNode } from "./file-tree.ts";
import { FileTree } from "./file-tree.ts";

export class MemoryDisk implements Disk {
  readonly #tree: FileTree;

  constructor(capacityBytes: number = Number.MAX_SAFE_INTEGER) {
    this.#tree = new FileTree(capacityBytes);
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    return new MemoryFile(this.#tree, this.#tree.open(path, mode), path, mode);
  }

  async list(directory: string): Promise<string[]> {
    return this.#tree.list(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    this.#tree.makeDirectory(path);
  }

  async remove(path: string): Promise<void> {
    this.#tree.remove(path);
  }

  async rename(from: string, to: string): Promise<void> {
    this.#tree.rename(from, to);
  }

  async syncDirectory(path: string): Promise<void> {
    this.#tree.demandDirectory(path, "syncDirectory");
  }

  async space(directory: string): Promise<DiskSpace> {
    this.#tree.demandDirectory(directory, "space");
    return this.#tree.space;
  }
}

class MemoryFile implements DiskFile {
  readonly path: string;
  readonly #tree: FileTree;
  readonly #node: FileNode;
  readonly #mode: OpenMode;
  #closed = false;

  constructor(tree: FileTree, node: FileNode, path: string, mode: OpenMode) {
    this.path = path;
    this.#tree = tree;
    this.#node = node;
    this.#mode = mode;
  }

  async write(buffer: Uint8Array, start: number, length: number, position: number): Promise<void> {
    checkRange(buffer, start, length, position);
    if (this.#closed || this.#mode === "read") throw new DiskError("EBADF", "write", this.path);
    await writeFully(
      async (done) =>
        this.#tree.write(
          this.#node,
          this.path,
          buffer,
          start + done,
          length - done,
          position + done,
        ),
      length,
    );
  }

  async read(buffer: Uint8Array, start: number, length: number, position: number): Promise<number> {
    checkRange(buffer, start, length, position);
    if (this.#closed) throw new DiskError("EBADF", "read", this.path);
    return this.#node.image.read(buffer, start, length, position);
  }

  async sync(): Promise<void> {
    if (this.#closed) throw new DiskError("EBADF", "sync", this.path);
  }

  async truncate(length: number): Promise<void> {
    if (this.#closed) throw new DiskError("EBADF", "truncate", this.path);
    if (this.#mode === "read") throw new DiskError("EINVAL", "truncate", this.path);
    this.#tree.resize(this.#node, this.path, length);
  }

  async size(): Promise<number> {
    if (this.#closed) throw new DiskError("EBADF", "size", this.path);
    return this.#node.image.size;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#tree.close(this.#node);
  }
}
