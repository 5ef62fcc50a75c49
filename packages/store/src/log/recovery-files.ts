/** What recovery finds in the log's directory, segment by segment. */

import type { Disk } from "../disk/disk.ts";
import type { LogDirectory } from "./log-directory.ts";
import {
  type FileKind,
  parseSegmentFileName,
  type RecordsKind,
  segmentFileName,
} from "./segment-file.ts";

export class FoundSegment {
  readonly number: number;
  /** Files with records, by generation. */
  readonly records = new Map<number, RecordsKind>();
  /** Generations that have an index. */
  readonly indexes = new Set<number>();
  hasSidecar = false;
  readonly #directory: LogDirectory;

  constructor(number: number, directory: LogDirectory) {
    this.number = number;
    this.#directory = directory;
  }

  /** Generations with records, the newest first. */
  get generations(): number[] {
    return [...this.records.keys()].sort((a, b) => b - a);
  }

  get newestGeneration(): number {
    return Math.max(0, ...this.records.keys(), ...this.indexes);
  }

  recordsPath(generation: number): string {
    return this.#path(generation, this.records.get(generation)!);
  }

  indexPath(generation: number): string {
    return this.#path(generation, "idx");
  }

  get sidecarPath(): string {
    return this.#path(0, "ack");
  }

  /** All files but the sidecar and those of one generation. */
  pathsBut(generation: number | undefined): string[] {
    return [
      ...[...this.records.keys()]
        .filter((each) => each !== generation)
        .map((each) => this.recordsPath(each)),
      ...[...this.indexes]
        .filter((each) => each !== generation)
        .map((each) => this.indexPath(each)),
    ];
  }

  #path(generation: number, kind: FileKind): string {
    return this.#directory.pathOf(segmentFileName(this.number, generation, kind));
  }
}

/** All segments of which there is any file, in order. */
export async function findSegments(disk: Disk, directory: LogDirectory): Promise<FoundSegment[]> {
  const found = new Map<number, FoundSegment>();
  for (const name of await disk.list(directory.path)) {
    const parsed = parseSegmentFileName(name);
    if (parsed === undefined) {
      // A copy that was never finished.
      if (name.endsWith(".ack.new")) directory.remove([directory.pathOf(name)], 0);
      continue;
    }
    const { number, generation, kind } = parsed;
    let segment = found.get(number);
    if (segment === undefined) {
      segment = new FoundSegment(number, directory);
      found.set(number, segment);
    }
    if (kind === "ack") segment.hasSidecar = true;
    else if (kind === "idx") segment.indexes.add(generation);
    else segment.records.set(generation, kind);
  }
  return [...found.values()].sort((a, b) => a.number - b.number);
}
