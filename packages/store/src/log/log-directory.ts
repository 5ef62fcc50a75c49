/**
 * The names in the log's directory: creates files there and removes them, in an order that holds on
 * the disk, too. A file system may keep the second of two removals over a power loss and lose the
 * first; if the second was that of the settlements, and the first that of the records, every
 * message would come back. So a removal can be told to follow another, and then waits until the
 * directory has been synced in between. Nobody else waits: whoever creates a file has to sync the
 * directory anyway.
 *
 *     remove records, sync of the directory for whatever reason, remove index and settlements
 */

import { join } from "node:path";
import { type Disk, DiskError, type DiskFile } from "../disk/disk.ts";
import type { Segment } from "./segment.ts";
import { type FileKind, segmentFileName } from "./segment-file.ts";

/** Files that are to go, or have gone. */
export interface FileRemoval {
  readonly paths: readonly string[];
  readonly bytes: number;
  readonly after: FileRemoval | undefined;
  /** Left where they are, they would bring messages back. */
  readonly hasRecords: boolean;
  /** The age of the directory in which they went. */
  goneIn?: number;
}

export class LogDirectory {
  readonly path: string;
  readonly #disk: Disk;
  /** Counts the syncs that have begun. What happens belongs to the current age... */
  #age = 1;
  /** ...and is safe once that one is over and synced. */
  #safeAge = 0;
  /** What an earlier process has created may not be safe either. */
  #lastCreation = 1;
  #lastRemoval = 0;
  #removals: FileRemoval[] = [];

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.path = path;
  }

  pathOf(name: string): string {
    return join(this.path, name);
  }

  /** The path of a segment's file of its current generation. */
  pathIn(segment: Segment, kind: FileKind): string {
    return this.pathOf(segmentFileName(segment.number, segment.generation, kind));
  }

  recordsPath(segment: Segment): string {
    return this.pathIn(segment, segment.isCompact ? "pak" : "seg");
  }

  /** Creates a file, instead of one that an attempt which failed has left. */
  async create(path: string): Promise<DiskFile> {
    const file = await createAnew(this.#disk, path);
    this.#lastCreation = this.#age;
    return file;
  }

  /** A file has got another name. */
  noteRename(): void {
    this.#lastCreation = this.#age;
  }

  /** Makes the names of all files safe that were created before. */
  async syncCreations(): Promise<void> {
    if (this.#lastCreation > this.#safeAge) await this.sync();
  }

  /** Makes sure that no records come back that were removed before. */
  async syncRemovals(): Promise<void> {
    if (this.#lastRemoval > this.#safeAge) await this.sync();
  }

  async sync(): Promise<void> {
    const age = this.#age++;
    await this.#disk.syncDirectory(this.path);
    this.#safeAge = Math.max(this.#safeAge, age);
  }

  // Removal

  /**
   * Has files with records removed, by the next sweep: after the other removal, even on the disk.
   */
  removeRecords(paths: readonly string[], bytes: number, after?: FileRemoval): FileRemoval {
    return this.#add({ paths, bytes, after, hasRecords: true });
  }

  /** Has files removed that do no harm where they are. */
  remove(paths: readonly string[], bytes: number, after?: FileRemoval): FileRemoval {
    return this.#add({ paths, bytes, after, hasRecords: false });
  }

  #add(removal: FileRemoval): FileRemoval {
    this.#removals.push(removal);
    return removal;
  }

  /** Bytes of files that are still to go. */
  get bytesToRemove(): number {
    return this.#removals.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  get hasRemovals(): boolean {
    return this.#removals.length > 0;
  }

  /** Whether records wait to be removed, which only a sync of the directory lets go. */
  get hasRecordsToRemove(): boolean {
    return this.#removals.some(({ hasRecords }) => hasRecords);
  }

  /**
   * Removes what may go. Returns false if something could not be removed and has to be tried again.
   */
  async sweep(): Promise<boolean> {
    let isClean = true;
    const left: FileRemoval[] = [];
    const removals = this.#removals;
    this.#removals = [];
    for (const removal of removals) {
      if (!this.#mayGo(removal)) {
        left.push(removal);
        continue;
      }
      try {
        for (const path of removal.paths) await this.#disk.remove(path);
        removal.goneIn = this.#age;
        if (removal.hasRecords) this.#lastRemoval = this.#age;
      } catch (error) {
        if (!(error instanceof DiskError)) throw error;
        left.push(removal);
        isClean = false;
      }
    }
    this.#removals = [...left, ...this.#removals];
    return isClean;
  }

  /** Makes sure that the files are gone for good, at once. */
  async finish(removal: FileRemoval): Promise<void> {
    if (removal.after !== undefined) await this.finish(removal.after);
    if (removal.goneIn === undefined) {
      for (const path of removal.paths) await this.#disk.remove(path);
      removal.goneIn = this.#age;
      this.#removals = this.#removals.filter((each) => each !== removal);
    }
    if (removal.goneIn > this.#safeAge) await this.sync();
  }

  #mayGo({ after }: FileRemoval): boolean {
    return after === undefined || (after.goneIn !== undefined && after.goneIn <= this.#safeAge);
  }
}

export async function createAnew(disk: Disk, path: string): Promise<DiskFile> {
  try {
    return await disk.open(path, "create");
  } catch (error) {
    if (!(error instanceof DiskError) || error.code !== "EEXIST") throw error;
    await disk.remove(path);
    return await disk.open(path, "create");
  }
}

export async function readWhole(disk: Disk, path: string): Promise<Buffer> {
  const file = await disk.open(path, "read");
  try {
    const bytes = Buffer.allocUnsafeSlow(await file.size());
    const length = await file.read(bytes, 0, bytes.length, 0);
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}

/** Writes a file that is whole and safe, or throws. */
export async function writeSafely(file: DiskFile, bytes: Buffer): Promise<void> {
  try {
    await file.write(bytes, 0, bytes.length, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}
