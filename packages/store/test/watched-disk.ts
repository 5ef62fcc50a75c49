/**
 * A disk that passes everything on to another, writes down what it did, in order, and holds back
 * what a test tells it to. For tests of what the log asks of its disk, and when.
 */

import type { Disk, DiskFile, DiskOperation, DiskSpace, OpenMode } from "../src/disk/disk.ts";

interface Gate {
  readonly operation: DiskOperation;
  readonly path: RegExp;
  readonly opened: Promise<void>;
}

export class WatchedDisk implements Disk {
  readonly #disk: Disk;
  readonly #gates: Gate[] = [];
  /** "sync 00000001.0.seg", as they were asked for. */
  readonly begun: string[] = [];
  /** As they were done. */
  readonly done: string[] = [];

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** Holds back all such operations that begin from now on, until the function is called. */
  hold(operation: DiskOperation, path: RegExp): () => void {
    let open = (): void => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    const gate = { operation, path, opened };
    this.#gates.push(gate);
    return () => {
      this.#gates.splice(this.#gates.indexOf(gate), 1);
      open();
    };
  }

  /** Those that begin so: "sync", "write 00000001". */
  doneLike(start: string): string[] {
    return this.done.filter((each) => each.startsWith(start));
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const file = await this.watch("open", path, () => this.#disk.open(path, mode));
    return new WatchedFile(this, file);
  }

  list(directory: string): Promise<string[]> {
    return this.watch("list", directory, () => this.#disk.list(directory));
  }

  makeDirectory(path: string): Promise<void> {
    return this.watch("makeDirectory", path, () => this.#disk.makeDirectory(path));
  }

  remove(path: string): Promise<void> {
    return this.watch("remove", path, () => this.#disk.remove(path));
  }

  rename(from: string, to: string): Promise<void> {
    return this.watch("rename", from, () => this.#disk.rename(from, to));
  }

  syncDirectory(path: string): Promise<void> {
    return this.watch("syncDirectory", path, () => this.#disk.syncDirectory(path));
  }

  space(directory: string): Promise<DiskSpace> {
    return this.#disk.space(directory);
  }

  async watch<T>(operation: DiskOperation, path: string, act: () => Promise<T>): Promise<T> {
    const name = `${operation} ${path.slice(path.lastIndexOf("/") + 1)}`;
    this.begun.push(name);
    for (const gate of this.#gates) {
      if (gate.operation === operation && gate.path.test(path)) await gate.opened;
    }
    const result = await act();
    this.done.push(name);
    return result;
  }
}

class WatchedFile implements DiskFile {
  readonly path: string;
  readonly #disk: WatchedDisk;
  readonly #file: DiskFile;

  constructor(disk: WatchedDisk, file: DiskFile) {
    this.path = file.path;
    this.#disk = disk;
    this.#file = file;
  }

  write(buffer: Uint8Array, start: number, length: number, position: number): Promise<void> {
    const act = (): Promise<void> => this.#file.write(buffer, start, length, position);
    return this.#disk.watch("write", this.path, act);
  }

  read(buffer: Uint8Array, start: number, length: number, position: number): Promise<number> {
    const act = (): Promise<number> => this.#file.read(buffer, start, length, position);
    return this.#disk.watch("read", this.path, act);
  }

  sync(): Promise<void> {
    return this.#disk.watch("sync", this.path, () => this.#file.sync());
  }

  truncate(length: number): Promise<void> {
    return this.#disk.watch("truncate", this.path, () => this.#file.truncate(length));
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  close(): Promise<void> {
    return this.#disk.watch("close", this.path, () => this.#file.close());
  }
}
