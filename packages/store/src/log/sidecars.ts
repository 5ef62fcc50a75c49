/**
 * The sidecars of the segments: appends settlements to them, batch by batch, and makes them safe
 * where somebody depends on that. Called by the rounds of the log's files only, one call at a time,
 * but for `forget`.
 *
 * A settlement that was noted survives the end of the process. It survives a power loss once the
 * operating system has written it, or `secure` has: what comes back in between is delivered again,
 * which at-least-once allows. What must not come back, the settlements of a group, is in the log as
 * well, and stays there until it has been secured here.
 */

import type { Disk, DiskFile } from "../disk/disk.ts";
import { createAnew, type LogDirectory, readWhole } from "./log-directory.ts";
import type { Segment } from "./segment.ts";
import { decodeSettlements, encodeSettlements } from "./segment-file.ts";

/** More files than that are not kept open. */
const openMax = 64;

export class Sidecars {
  readonly #disk: Disk;
  readonly #directory: LogDirectory;
  /** Segments whose sidecar is open, the one used last behind all others. */
  readonly #open = new Set<Segment>();
  /** Segments whose sidecar has got something that may not be safe. */
  readonly #unsafe = new Set<Segment>();

  constructor(disk: Disk, directory: LogDirectory) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** Appends the settlements of the segment that are not in its sidecar yet. */
  async append(segment: Segment): Promise<void> {
    const pairs = segment.settlements;
    const batch = encodeSettlements(pairs);
    const count = pairs.length;
    segment.hold();
    try {
      const file = await this.#fileOf(segment);
      this.#unsafe.add(segment);
      await file.write(batch, 0, batch.length, segment.sidecarBytes);
      segment.sidecarBytes += batch.length;
      // What came while this was written is behind what was written.
      segment.settlements = segment.settlements.slice(count);
    } finally {
      segment.letGo();
    }
  }

  /**
   * Makes everything safe that has been appended. Returns false if that cannot be done just now.
   */
  async secure(): Promise<boolean> {
    for (const segment of [...this.#unsafe]) {
      if (segment.isCompacting) return false;
      if (!segment.isDoomed) await this.#sync(segment);
      if (segment.lacksSettlements && !segment.isDoomed) return false;
      this.#unsafe.delete(segment);
    }
    await this.#directory.syncCreations();
    return true;
  }

  /** Part of it is damaged, or may never have reached the disk: a copy takes its place. */
  distrust(segment: Segment): void {
    segment.isSidecarSuspect = true;
    this.#unsafe.add(segment);
  }

  /** The sidecar is of no more use, or another takes its place. */
  async forget(segment: Segment): Promise<void> {
    this.#unsafe.delete(segment);
    await this.#close(segment);
  }

  async closeAll(): Promise<void> {
    for (const segment of [...this.#open]) await this.#close(segment);
  }

  async #sync(segment: Segment): Promise<void> {
    segment.hold();
    try {
      const file = await this.#fileOf(segment);
      try {
        await file.sync();
      } catch (error) {
        segment.isSidecarSuspect = true;
        throw error;
      }
    } finally {
      segment.letGo();
    }
  }

  async #fileOf(segment: Segment): Promise<DiskFile> {
    if (segment.isSidecarSuspect) await this.#renew(segment);
    this.#open.delete(segment);
    this.#open.add(segment);
    if (segment.sidecar === null) segment.sidecar = await this.#openFile(segment);
    const [oldest] = this.#open;
    if (this.#open.size > openMax) await this.#close(oldest!);
    return segment.sidecar;
  }

  async #openFile(segment: Segment): Promise<DiskFile> {
    const path = this.#directory.pathIn(segment, "ack");
    if (!segment.hasSidecar) {
      const file = await this.#directory.create(path);
      segment.hasSidecar = true;
      return file;
    }
    return await this.#disk.open(path, "write");
  }

  /**
   * After a sync that failed, only what processes see is right, not what is on the disk, and no
   * later sync of the same file changes that. So it is copied; soon, for the system may let go of
   * what it could not write.
   */
  async #renew(segment: Segment): Promise<void> {
    const path = this.#directory.pathIn(segment, "ack");
    await this.#close(segment);
    const found = (await readWhole(this.#disk, path)).subarray(0, segment.sidecarBytes);
    const bytes = found.subarray(0, decodeSettlements(found, ignore));
    const copy = await createAnew(this.#disk, `${path}.new`);
    try {
      await copy.write(bytes, 0, bytes.length, 0);
      await copy.sync();
    } finally {
      await copy.close();
    }
    await this.#disk.rename(`${path}.new`, path);
    this.#directory.noteRename();
    if (bytes.length < segment.sidecarBytes) segment.lacksSettlements = true;
    segment.sidecarBytes = bytes.length;
    segment.isSidecarSuspect = false;
  }

  async #close(segment: Segment): Promise<void> {
    this.#open.delete(segment);
    const file = segment.sidecar;
    segment.sidecar = null;
    await file?.close();
  }
}

function ignore(): void {}
