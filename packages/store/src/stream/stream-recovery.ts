/**
 * Finds out, when a stream opens, what is in its files. Of a full segment the head of its index is
 * read. Where there is none, and in the last segment, the heads of the chunks are followed from one
 * to the next; of the last segment, what was written after the last sync that is known of is
 * checked to the last byte. The file ends where the first chunk is not whole.
 */

import { type Disk, DiskError, type DiskFile } from "../disk/disk.ts";
import type { LogPlace } from "./stream-chunk.ts";
import { indexHeadBytes, readSummary, type SegmentSummary } from "./stream-index.ts";
import { type ScannedTail, scanChunks, scanUnsafeChunks } from "./stream-scan.ts";
import type { StreamSegment } from "./stream-segment.ts";

/**
 * The head of the segment's index, if it is whole and says that the segment ends where it must. Of
 * the last one, too: nothing has been appended to it since, and what may stand behind was given up.
 */
export async function findSummary(
  disk: Disk,
  segment: StreamSegment,
  nextOffset: number | undefined,
): Promise<SegmentSummary | undefined> {
  let file: DiskFile;
  try {
    file = await disk.open(segment.indexPath, "read");
  } catch (error) {
    if (error instanceof DiskError && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const head = Buffer.alloc(indexHeadBytes);
    await file.read(head, 0, head.length, 0);
    const summary = readSummary(head);
    const isRight = nextOffset === undefined || summary?.endOffset === nextOffset;
    return isRight ? summary : undefined;
  } finally {
    await file.close();
  }
}

export interface UnsafeTail {
  readonly fileBytes: number;
  /** What lies behind may never have reached the disk. */
  readonly syncedTo: number;
  /** What the file has behind its whole chunks. */
  readonly cut: StreamCut | undefined;
}

/**
 * What was cut off at the end of a stream. A write that was never finished leaves something like
 * that, and then the message log has what is missing; damage does, too, and then it has not.
 */
export interface StreamCut {
  /** The offset behind it; if its heads are not whole, one that has not been used. */
  readonly endOffset: number;
  /** How many records it had; undefined if its heads are not whole. */
  readonly count: number | undefined;
  /** Where the message log had the last of them. */
  readonly place: LogPlace | undefined;
}

/** More records than a write can have had that was never finished. */
const unknownRecords = 1_000_000;

/** Takes the chunks of a segment that another one follows, which begins with `nextOffset`. */
export async function takeChunks(
  disk: Disk,
  segment: StreamSegment,
  stream: number,
  nextOffset: number,
): Promise<void> {
  const file = await disk.open(segment.chunksPath, "read");
  try {
    const { chunks } = await scanChunks(file, stream, segment.firstOffset, nextOffset);
    for (const chunk of chunks) segment.addChunk(chunk);
  } finally {
    await file.close();
  }
}

/** Takes the whole chunks of the last segment. */
export async function takeLastChunks(
  disk: Disk,
  segment: StreamSegment,
  stream: number,
): Promise<UnsafeTail> {
  const file = await disk.open(segment.chunksPath, "read");
  try {
    const scanned = await scanUnsafeChunks(file, stream, segment.firstOffset);
    const { chunks, fileBytes } = scanned;
    for (const chunk of chunks) segment.addChunk(chunk);
    return { fileBytes, syncedTo: chunks.at(-1)?.syncedTo ?? 0, cut: cutOf(segment, scanned) };
  } finally {
    await file.close();
  }
}

/** What a file has behind its whole chunks, which end there. */
export function cutOf(
  whole: { readonly endOffset: number; readonly bytes: number },
  { torn, fileBytes }: ScannedTail,
): StreamCut | undefined {
  if (fileBytes <= whole.bytes) return undefined;
  const last = torn.at(-1);
  const from = whole.endOffset;
  if (last === undefined) {
    return { endOffset: from + unknownRecords, count: undefined, place: undefined };
  }
  return { endOffset: last.endOffset, count: last.endOffset - from, place: last.place };
}

/**
 * Cuts the file where its whole chunks end, and makes those safe that were not known to be. After a
 * sync that failed a file may show what is not on the disk, so these are written once more.
 */
export async function makeSafe(
  disk: Disk,
  segment: StreamSegment,
  { fileBytes, syncedTo }: UnsafeTail,
): Promise<void> {
  const file = await disk.open(segment.chunksPath, "write");
  try {
    if (fileBytes > segment.bytes) await file.truncate(segment.bytes);
    const bytes = Buffer.allocUnsafeSlow(segment.bytes - syncedTo);
    const length = await file.read(bytes, 0, bytes.length, syncedTo);
    await file.write(bytes, 0, length, syncedTo);
    await file.sync();
  } finally {
    await file.close();
  }
}
