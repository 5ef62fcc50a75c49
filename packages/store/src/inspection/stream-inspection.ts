/**
 * Looks through the files of streams at rest, without changing anything, and verifies every
 * checksum. What a crash leaves behind the last whole chunk is no damage.
 */

import { join } from "node:path";
import type { Disk } from "../disk/disk.ts";
import { beforeAllPlaces, type LogPlace } from "../stream/stream-chunk.ts";
import { cutOf, type StreamCut } from "../stream/stream-recovery.ts";
import { scanUnsafeChunks, verifyChunks } from "../stream/stream-scan.ts";
import { parseSegmentFileName, segmentFileStem } from "../stream/stream-segment.ts";

export interface StreamReport {
  /** Of its queue. */
  readonly number: number;
  readonly segments: number;
  readonly bytes: number;
  readonly firstOffset: number;
  /** The offset of the next message to be written. */
  readonly endOffset: number;
  /** Messages that cannot be read. */
  readonly lostMessages: number;
  readonly damage: readonly string[];
  /** Where the message log has the last of them. */
  readonly lastPlace: LogPlace;
  /** What the last file has behind its whole chunks. */
  readonly cut: StreamCut | undefined;
}

interface SegmentCheck {
  readonly endOffset: number;
  readonly bytes: number;
  readonly lostMessages: number;
  readonly damage: readonly string[];
  readonly lastPlace: LogPlace;
  readonly cut: StreamCut | undefined;
}

export async function inspectStreams(disk: Disk, directory: string): Promise<StreamReport[]> {
  const found = new Map<number, number[]>();
  for (const name of await disk.list(directory)) {
    const file = parseSegmentFileName(name);
    if (file?.kind !== "chunks") continue;
    const offsets = found.get(file.stream) ?? [];
    found.set(file.stream, offsets);
    offsets.push(file.firstOffset);
  }
  const reports: StreamReport[] = [];
  for (const [number, offsets] of [...found].sort(([one], [other]) => one - other)) {
    reports.push(await inspectStream(disk, directory, number, offsets));
  }
  return reports;
}

async function inspectStream(
  disk: Disk,
  directory: string,
  number: number,
  offsets: readonly number[],
): Promise<StreamReport> {
  const sorted = offsets.toSorted((one, other) => one - other);
  const checks: SegmentCheck[] = [];
  for (const [i, firstOffset] of sorted.entries()) {
    checks.push(await checkSegment(disk, directory, number, firstOffset, sorted[i + 1]));
  }
  const last = checks.findLast(({ bytes }) => bytes > 0);
  return {
    number,
    segments: checks.length,
    bytes: checks.reduce((sum, { bytes }) => sum + bytes, 0),
    firstOffset: sorted[0]!,
    endOffset: last?.endOffset ?? sorted[0]!,
    lostMessages: checks.reduce((sum, { lostMessages }) => sum + lostMessages, 0),
    damage: checks.flatMap(({ damage }) => damage),
    lastPlace: last?.lastPlace ?? beforeAllPlaces,
    cut: checks.at(-1)?.cut,
  };
}

/** `nextOffset` is where another segment follows. */
async function checkSegment(
  disk: Disk,
  directory: string,
  number: number,
  firstOffset: number,
  nextOffset: number | undefined,
): Promise<SegmentCheck> {
  const name = `${segmentFileStem(number, firstOffset)}.chunks`;
  const file = await disk.open(join(directory, name), "read");
  try {
    const scanned = await scanUnsafeChunks(file, number, firstOffset);
    const own = scanned.chunks.filter(({ endOffset }) => endOffset <= (nextOffset ?? endOffset));
    const damaged = await verifyChunks(file, own);
    const damage = damaged.map(({ position }) => `${name} is damaged in the chunk at ${position}`);
    let lostMessages = damaged.reduce((sum, each) => sum + each.endOffset - each.firstOffset, 0);
    const endOffset = own.at(-1)?.endOffset ?? firstOffset;
    const bytes = own.reduce((sum, chunk) => sum + chunk.bytes, 0);
    if (nextOffset !== undefined && endOffset < nextOffset) {
      damage.push(`${name} is damaged from ${bytes} on`);
      lostMessages += nextOffset - endOffset;
    }
    const lastPlace = own.at(-1)?.place ?? beforeAllPlaces;
    const cut = cutOf({ endOffset, bytes }, scanned);
    return { endOffset, bytes, lostMessages, damage, lastPlace, cut };
  } finally {
    await file.close();
  }
}
