/**
 * Files and directories in memory, as every process sees them at this moment: the part that the
 * memory disk and the faulty disk have in common. It refuses what an operating system refuses, with
 * the same codes, and counts the bytes in use against a capacity.
 *
 * A file lives as long as it has a name or is open, and takes up space as long.
 */

import { basename, dirname, resolve } from "node:path";
import { ByteImage } from "./byte-image.ts";
import type { DiskOperation, DiskSpace, OpenMode } from "./disk.ts";
import { DiskError } from "./disk.ts";

export class FileNode {
  readonly image: ByteImage;
  /** How many open files refer to it, and whether it has a name. Kept by FileTree. */
  opened = 0;
  named = true;

  constructor(image = new ByteImage()) {
    this.image = image;
  }
}

/** A file, or the mark of a directory. */
export type TreeEntry = FileNode | "directory";

export class FileTree {
  capacityBytes: number;
  readonly #entries: Map<string, TreeEntry>;
  #usedBytes = 0;

  constructor(capacityBytes: number, entries: ReadonlyMap<string, TreeEntry> = new Map()) {
    this.capacityBytes = capacityBytes;
    this.#entries = new Map(entries);
    for (const entry of entries.values()) {
      if (entry !== "directory") this.#usedBytes += entry.image.size;
    }
  }

  get space(): DiskSpace {
    const { capacityBytes } = this;
    return {
      freeBytes: Math.max(0, capacityBytes - this.#usedBytes),
      totalBytes: capacityBytes,
    };
  }

  open(path: string, mode: OpenMode): FileNode {
    const name = resolve(path);
    let entry = this.#entryAt(name);
    if (mode === "create") {
      if (entry !== undefined) throw new DiskError("EEXIST", "open", path);
      this.#demandDirectory(dirname(name), "open", path);
      entry = new FileNode();
      this.#entries.set(name, entry);
    }
    if (entry === undefined) throw new DiskError("ENOENT", "open", path);
    if (entry === "directory") throw new DiskError("EISDIR", "open", path);
    entry.opened++;
    return entry;
  }

  close(node: FileNode): void {
    node.opened--;
    this.#release(node);
  }

  list(directory: string): string[] {
    const path = resolve(directory);
    const entry = this.#entryAt(path);
    if (entry === undefined) return [];
    if (entry !== "directory") throw new DiskError("ENOTDIR", "list", directory);
    const names: string[] = [];
    for (const name of this.#entries.keys()) {
      if (dirname(name) === path) names.push(basename(name));
    }
    return names.sort();
  }

  /** Every file that has a name. */
  *files(): Iterable<FileNode> {
    for (const entry of this.#entries.values()) if (entry !== "directory") yield entry;
  }

  /** Returns the directories it made, from the top. */
  makeDirectory(path: string): string[] {
    const made: string[] = [];
    for (let name = resolve(path); ; name = dirname(name)) {
      const entry = this.#entryAt(name);
      if (entry === "directory") break;
      if (entry !== undefined) throw new DiskError("EEXIST", "makeDirectory", path);
      made.unshift(name);
    }
    for (const name of made) this.#entries.set(name, "directory");
    return made;
  }

  /** Returns whether there was a file. */
  remove(path: string): boolean {
    const name = resolve(path);
    const entry = this.#entryAt(name);
    if (entry === undefined) return false;
    if (entry === "directory") throw new DiskError("EISDIR", "remove", path);
    this.#entries.delete(name);
    entry.named = false;
    this.#release(entry);
    return true;
  }

  /** Returns the file that was renamed. */
  rename(from: string, to: string): FileNode {
    const entry = this.#entryAt(resolve(from));
    if (entry === undefined) throw new DiskError("ENOENT", "rename", from);
    if (entry === "directory") throw new DiskError("EISDIR", "rename", from);
    this.#demandDirectory(dirname(resolve(to)), "rename", to);
    if (resolve(from) === resolve(to)) return entry;
    this.remove(to);
    this.#entries.delete(resolve(from));
    this.#entries.set(resolve(to), entry);
    return entry;
  }

  /**
   * Writes as much as the capacity allows and returns how much, like write(2): fewer bytes than
   * asked for when it ends there, ENOSPC when there is room for none.
   */
  write(
    node: FileNode,
    path: string,
    bytes: Uint8Array,
    start: number,
    length: number,
    position: number,
  ): number {
    const { image } = node;
    if (length === 0) return 0;
    const end = position + length;
    const endMax = image.size + this.space.freeBytes;
    const written = Math.min(length, endMax - position);
    if (written <= 0 && end > endMax) throw new DiskError("ENOSPC", "write", path);
    const before = image.size;
    image.write(bytes, start, written, position);
    this.#usedBytes += image.size - before;
    return written;
  }

  resize(node: FileNode, path: string, size: number): void {
    const growth = size - node.image.size;
    if (growth > this.space.freeBytes) throw new DiskError("ENOSPC", "truncate", path);
    node.image.resize(size);
    this.#usedBytes += growth;
  }

  demandDirectory(path: string, operation: DiskOperation): void {
    this.#demandDirectory(resolve(path), operation, path);
  }

  #demandDirectory(name: string, operation: DiskOperation, path: string): void {
    const entry = this.#entryAt(name);
    if (entry === undefined) throw new DiskError("ENOENT", operation, path);
    if (entry !== "directory") throw new DiskError("ENOTDIR", operation, path);
  }

  #entryAt(name: string): TreeEntry | undefined {
    return dirname(name) === name ? "directory" : this.#entries.get(name);
  }

  #release(node: FileNode): void {
    if (node.opened === 0 && !node.named) this.#usedBytes -= node.image.size;
  }
}
