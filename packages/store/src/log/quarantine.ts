/**
 * Keeps what was found damaged: bytes that can no longer be believed are copied into a file of
 * their own, for whoever wants to look into them, and reported. Called by recovery and by loads.
 */

import { join } from "node:path";
import { type Disk, DiskError } from "../disk/disk.ts";
import { createAnew, writeSafely } from "./log-directory.ts";

export interface QuarantineOptions {
  readonly disk: Disk;
  readonly directory: string;
  onDamage(description: string): void;
}

export class Quarantine {
  readonly #options: QuarantineOptions;

  constructor(options: QuarantineOptions) {
    this.#options = options;
  }

  /** Reports the bytes [from, from + bytes.length) of a segment. */
  async keep(segmentNumber: number, from: number, bytes: Buffer): Promise<void> {
    const { disk, directory, onDamage } = this.#options;
    if (bytes.length === 0) {
      onDamage(`segment ${segmentNumber} ends at byte ${from}, before its end`);
      return;
    }
    const to = from + bytes.length;
    const name = `${segmentNumber}-${from}-${to}`;
    const what = `segment ${segmentNumber} is damaged from byte ${from} to ${to}`;
    try {
      await disk.makeDirectory(directory);
      await writeSafely(await createAnew(disk, join(directory, name)), bytes);
      await disk.syncDirectory(directory);
      onDamage(`${what}: kept in quarantine as ${name}`);
    } catch (error) {
      if (!(error instanceof DiskError)) throw error;
      onDamage(`${what}, and could not be kept in quarantine: ${error.message}`);
    }
  }
}
