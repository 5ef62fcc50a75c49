/**
 * A disk on which nothing can be changed, over another: every attempt is a DiskError EROFS. An
 * inspection runs the real recovery on it, which can do without writing, as on a full disk.
 */

import {
  type Disk,
  DiskError,
  type DiskFile,
  type DiskOperation,
  type DiskSpace,
  type OpenMode,
} from "../disk/disk.ts";

export class ReadOnlyDisk implements Disk {
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    if (mode !== "read") throw refused("open", path);
    return await this.#disk.open(path, mode);
  }

  list(directory: string): Promise<string[]> {
    return this.#disk.list(directory);
  }

  async makeDirectory(path: string): Promise<void> {
    throw refused("makeDirectory", path);
  }

  async remove(path: string): Promise<void> {
    throw refused("remove", path);
  }

  async rename(from: string): Promise<void> {
    throw refused("rename", from);
  }

  async syncDirectory(path: string): Promise<void> {
    throw refused("syncDirectory", path);
  }

  space(directory: string): Promise<DiskSpace> {
    return this.#disk.space(directory);
  }
}

function refused(operation: DiskOperation, path: string): DiskError {
  return new DiskError("EROFS", operation, path);
}
