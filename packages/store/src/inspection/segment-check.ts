/**
 * Verifies the files of one segment that recovery believes without reading them: every record that
 * the index lists, and what other indexes and the sidecar say. Called by the inspection of a log.
 */

import type { Disk } from "../disk/disk.ts";
import { readWhole } from "../log/log-directory.ts";
import { bytesWord, isRecord, referencesWord } from "../log/record.ts";
import type { FoundSegment } from "../log/recovery-files.ts";
import type { Segment } from "../log/segment.ts";
import { decodeSettlements, indexLengthOf, SegmentIndex } from "../log/segment-file.ts";

export interface SegmentCheck {
  /** What is wrong, each in a sentence without its subject. */
  readonly damage: readonly string[];
  /** Records that somebody wants and that cannot be read. */
  readonly lostRecords: number;
}

/** Checks the records behind the index that recovery has chosen. */
export async function checkRecords(
  disk: Disk,
  found: FoundSegment,
  segment: Segment,
): Promise<SegmentCheck> {
  const { generation } = segment;
  const index = SegmentIndex.read(await readWhole(disk, found.indexPath(generation)));
  if (index === undefined) return { damage: ["has an index that changes"], lostRecords: 0 };
  const bytes = await readWhole(disk, found.recordsPath(generation));
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >>> 2);
  const damage: string[] = [];
  let lostRecords = 0;
  let packed = 0;
  let record = 0;
  index.forEach((unit, length) => {
    const word = index.isCompact ? packed >>> 2 : unit << 1;
    packed += length;
    const isWhole =
      isRecord(words, word, words.length) &&
      words[word + bytesWord] === length &&
      (!index.isCompact || words[word + referencesWord] === unit);
    if (!isWhole) {
      const isLive = segment.livesAt(record);
      if (isLive) lostRecords++;
      const use = isLive ? "which is lost" : "which nobody wants";
      damage.push(`has a damaged record of ${length} bytes at byte ${word << 2}, ${use}`);
    }
    record++;
  });
  return { damage, lostRecords };
}

/**
 * Indexes that cannot be read, which costs a start time and nothing else. One that a crash has left
 * unfinished is no damage.
 */
export async function checkIndexes(disk: Disk, found: FoundSegment): Promise<string[]> {
  const damage: string[] = [];
  for (const generation of found.indexes) {
    const bytes = await readWhole(disk, found.indexPath(generation));
    if (SegmentIndex.read(bytes) !== undefined || isUnfinished(bytes)) continue;
    damage.push(`has a damaged index of its generation ${generation}`);
  }
  return damage;
}

/**
 * A batch at the end that was never finished is what a crash leaves. One that has whole ones behind
 * it is damage: what those say is not believed, and messages come back.
 */
export async function checkSidecar(disk: Disk, found: FoundSegment): Promise<string[]> {
  if (!found.hasSidecar) return [];
  const bytes = await readWhole(disk, found.sidecarPath);
  const end = decodeSettlements(bytes, () => undefined);
  for (let at = end + 4; at + 8 <= bytes.length; at += 4) {
    if (decodeSettlements(bytes.subarray(at), () => undefined) === 0) continue;
    return [`has settlements that are damaged from byte ${end} on, of ${bytes.length}`];
  }
  return [];
}

/** Shorter than it says, or without anything that was written. */
function isUnfinished(bytes: Buffer): boolean {
  const length = indexLengthOf(bytes);
  return length === undefined || length > bytes.length || bytes.every((byte) => byte === 0);
}
