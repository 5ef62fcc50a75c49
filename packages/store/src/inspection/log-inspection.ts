/**
 * Looks through a message log at rest, without changing anything: runs the recovery that a start
 * would run, on a disk that takes no writes, and verifies besides what recovery takes on trust. So
 * the counts are those that a broker would find.
 */

import { join } from "node:path";
import { VirtualClock } from "@haremq/kernel";
import type { Disk } from "../disk/disk.ts";
import { LogDirectory } from "../log/log-directory.ts";
import { LogFiles } from "../log/log-files.ts";
import { defaultSizes } from "../log/log-sizes.ts";
import { MessageLog } from "../log/message-log.ts";
import { Quarantine } from "../log/quarantine.ts";
import { Recovery } from "../log/recovery.ts";
import { type FoundSegment, findSegments } from "../log/recovery-files.ts";
import type { Segment } from "../log/segment.ts";
import type { LogPlace } from "../stream/stream-chunk.ts";
import { ReadOnlyDisk } from "./read-only-disk.ts";
import { checkIndexes, checkRecords, checkSidecar } from "./segment-check.ts";

export interface SegmentReport {
  readonly number: number;
  readonly generation: number;
  readonly records: number;
  readonly liveRecords: number;
  readonly liveBytes: number;
  readonly garbageBytes: number;
  readonly isIndexed: boolean;
  readonly isCompact: boolean;
  readonly sidecarBytes: number;
}

export interface LogReport {
  readonly segments: readonly SegmentReport[];
  /** Messages by queue number, ready ones and those that may have been seen. */
  readonly messages: ReadonlyMap<number, { ready: number; delivered: number }>;
  readonly liveRecords: number;
  readonly liveBytes: number;
  readonly garbageBytes: number;
  /** Of all files of the log, whatever they are. */
  readonly diskBytes: number;
  /** Records that somebody wants and that cannot be read. */
  readonly lostRecords: number;
  readonly damage: readonly string[];
  /** What earlier starts have found damaged and kept. */
  readonly quarantined: readonly string[];
}

export interface LogInspectionOptions {
  readonly disk: Disk;
  /** The one that a DurableLog is opened with. */
  readonly directory: string;
  /** Whether there is a queue with this number, and it has not taken what is there elsewhere. */
  readonly isWanted: (queue: number, place: LogPlace) => boolean;
}

export async function inspectLog(options: LogInspectionOptions): Promise<LogReport> {
  const { directory, isWanted } = options;
  const disk = new ReadOnlyDisk(options.disk);
  const damage: string[] = [];
  const messages = new Map<number, { ready: number; delivered: number }>();
  const log = new MessageLog();
  const clock = new VirtualClock();
  // Never started, so it has nothing to write.
  const files = new LogFiles(log, {
    disk,
    clock,
    directory: join(directory, "log"),
    sizes: defaultSizes,
    onWritten: () => undefined,
    onDurable: () => undefined,
    onFault: () => undefined,
    onChange: () => undefined,
  });
  const quarantine = new Reporter({
    disk,
    directory: join(directory, "quarantine"),
    onDamage: (text) => damage.push(text),
  });
  const onMessage = (queue: number, handle: number, wasDelivered: boolean) => {
    const [segment, unit] = log.placeOf(handle);
    if (!isWanted(queue, { segment, unit })) return false;
    const counts = messages.get(queue) ?? { ready: 0, delivered: 0 };
    messages.set(queue, counts);
    if (wasDelivered) counts.delivered++;
    else counts.ready++;
    return true;
  };
  const logDirectory = new LogDirectory(disk, join(directory, "log"));
  const found = await findSegments(disk, logDirectory);
  await new Recovery({ log, disk, files, quarantine, onMessage }).run();
  const segments = new Map<number, Segment>();
  for (const segment of log.segments)
    if (segment !== undefined) segments.set(segment.number, segment);
  let lostRecords = 0;
  for (const each of found) {
    const check = await checkSegment(disk, each, segments.get(each.number));
    lostRecords += check.lostRecords;
    damage.push(...check.damage.map((text) => `segment ${each.number} ${text}`));
  }
  const reports = [...segments.values()].map(reportOf).sort((a, b) => a.number - b.number);
  const sum = (of: (report: SegmentReport) => number) =>
    reports.reduce((total, report) => total + of(report), 0);
  return {
    segments: reports,
    messages,
    liveRecords: sum((report) => report.liveRecords),
    liveBytes: sum((report) => report.liveBytes),
    garbageBytes: sum((report) => report.garbageBytes),
    diskBytes: await bytesOfFiles(disk, logDirectory.path),
    lostRecords,
    damage,
    quarantined: await disk.list(join(directory, "quarantine")),
  };
}

async function checkSegment(
  disk: Disk,
  found: FoundSegment,
  segment: Segment | undefined,
): Promise<{ damage: string[]; lostRecords: number }> {
  const damage = [...(await checkIndexes(disk, found)), ...(await checkSidecar(disk, found))];
  const isOnTrust = segment?.isIndexed === true && found.indexes.has(segment.generation);
  if (!isOnTrust) return { damage, lostRecords: 0 };
  const records = await checkRecords(disk, found, segment);
  return { damage: [...damage, ...records.damage], lostRecords: records.lostRecords };
}

function reportOf(segment: Segment): SegmentReport {
  const bytes = segment.isCompact ? segment.fileBytes : segment.tail;
  return {
    number: segment.number,
    generation: segment.generation,
    records: segment.recordCount,
    liveRecords: segment.liveRecords,
    liveBytes: segment.liveBytes,
    garbageBytes: bytes - segment.liveBytes,
    isIndexed: segment.isIndexed,
    isCompact: segment.isCompact,
    sidecarBytes: segment.sidecarBytes,
  };
}

async function bytesOfFiles(disk: Disk, directory: string): Promise<number> {
  let bytes = 0;
  for (const name of await disk.list(directory)) {
    const file = await disk.open(join(directory, name), "read");
    try {
      bytes += await file.size();
    } finally {
      await file.close();
    }
  }
  return bytes;
}

/** Tells of damage, and keeps none of it. */
class Reporter extends Quarantine {
  readonly #tell: (text: string) => void;

  constructor(options: ConstructorParameters<typeof Quarantine>[0]) {
    super(options);
    this.#tell = (text) => options.onDamage(text);
  }

  override async keep(segmentNumber: number, from: number, bytes: Buffer): Promise<void> {
    const to = from + bytes.length;
    this.#tell(
      bytes.length === 0
        ? `segment ${segmentNumber} ends at byte ${from}, before its end`
        : `segment ${segmentNumber} is damaged from byte ${from} to ${to}`,
    );
  }
}
