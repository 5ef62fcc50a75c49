/**
 * Looks through a data directory at rest, and changes nothing in it. `haremq store inspect` prints
 * the report. Refuses a directory that a broker has open, and one that is none of HareMQ's.
 */

import { join, resolve } from "node:path";
import { readVersion } from "../disk/data-directory.ts";
import { DataDirectoryError } from "../disk/data-directory-error.ts";
import { demandUnlocked } from "../disk/directory-lock.ts";
import { RealDisk } from "../disk/real-disk.ts";
import { inspectMetadata, type MetadataReport } from "../metadata/lmdb-inspection.ts";
import { MetadataError } from "../metadata/metadata-error.ts";
import { prepareTopology, queueRecords } from "../metadata/topology-records.ts";
import { beforeAllPlaces, isAfter } from "../stream/stream-chunk.ts";
import { inspectLog, type LogReport } from "./log-inspection.ts";
import { inspectStreams, type StreamReport } from "./stream-inspection.ts";

export interface QueueReport {
  readonly number: number;
  /** Both undefined if the metadata cannot say. */
  readonly vhost: string | undefined;
  readonly name: string | undefined;
  readonly ready: number;
  /** Messages that a consumer may have seen; they come back as redelivered. */
  readonly delivered: number;
}

export interface StoreReport {
  readonly path: string;
  readonly format: number;
  readonly nodeId: string;
  /** Undefined if there is none yet, or it is damaged. */
  readonly metadata: MetadataReport | undefined;
  readonly queues: readonly QueueReport[];
  /** What has been written of streams; what has not is in the log, as that of other queues. */
  readonly streams: readonly StreamReport[];
  readonly log: LogReport;
  /** Bytes of the log's files for each byte that is wanted; undefined if nothing is. */
  readonly spaceAmplification: number | undefined;
  /** Everything that is wrong, in words; empty for a sound directory. */
  readonly damage: readonly string[];
}

/** Throws a DataDirectoryError if there is nothing to inspect, or somebody is at it. */
export async function inspectStore(directory: string): Promise<StoreReport> {
  const path = resolve(directory);
  demandUnlocked(path);
  const disk = new RealDisk();
  const version = await readVersion(disk, path);
  if (version === undefined) {
    throw new DataDirectoryError("foreign", `${path} is no data directory of HareMQ.`);
  }
  const damage: string[] = [];
  const named = new Map<number, { vhost: string; name: string }>();
  let metadata: MetadataReport | undefined;
  try {
    metadata = await inspectMetadata(join(path, "metadata"), async (store) => {
      await prepareTopology(store);
      for (const { id, vhost, name } of queueRecords.scan(store)) named.set(id, { vhost, name });
    });
  } catch (error) {
    if (!(error instanceof MetadataError)) throw error;
    damage.push(error.message);
  }
  // Without metadata nobody knows which queues there are, so that none may be taken for gone.
  const isKnown = damage.length === 0;
  const found = await inspectStreams(disk, join(path, "streams"));
  const taken = new Map(found.map(({ number, lastPlace }) => [number, lastPlace]));
  const log = await inspectLog({
    disk,
    directory: join(path, "messages"),
    isWanted: (queue, place) =>
      (!isKnown || named.has(queue)) && isAfter(place, taken.get(queue) ?? beforeAllPlaces),
  });
  const streams = found.map((each) => withEnd(each, log.messages.get(each.number)?.ready ?? 0));
  // Should a broker have started meanwhile, what was read means nothing.
  demandUnlocked(path);
  const numbers = new Set([...named.keys(), ...log.messages.keys()]);
  const queues = [...numbers].sort((a, b) => a - b);
  return {
    path,
    ...version,
    metadata,
    queues: queues.map((number) => {
      const { ready, delivered } = log.messages.get(number) ?? { ready: 0, delivered: 0 };
      const { vhost, name } = named.get(number) ?? {};
      return { number, vhost, name, ready, delivered };
    }),
    streams,
    log,
    spaceAmplification: log.liveBytes === 0 ? undefined : log.diskBytes / log.liveBytes,
    damage: [...damage, ...streams.flatMap((stream) => stream.damage), ...log.damage],
  };
}

/** A write that was never finished is no damage if the log has the messages, as a start finds. */
function withEnd(stream: StreamReport, ready: number): StreamReport {
  const { cut, number } = stream;
  const lost = cut === undefined ? 0 : (cut.count ?? 1) - ready;
  if (lost <= 0) return stream;
  const damage = [...stream.damage, `the end of stream ${number} is damaged`];
  return { ...stream, damage, lostMessages: stream.lostMessages + lost };
}
