/**
 * Opens the data directory of a broker: locks it, and opens metadata and messages in it. Called by
 * startBroker when a data directory is configured.
 *
 *     DIRECTORY/version     format and node id          DIRECTORY/lock     who uses it
 *     DIRECTORY/metadata/   topology, in LMDB           DIRECTORY/messages/   see the durable log
 */

import { join } from "node:path";
import { BrokerData, type Logger } from "@haremq/broker";
import type { Clock } from "@haremq/kernel";
import { LmdbMetadataStore, RealDisk } from "@haremq/store";
import type { BrokerConfig } from "./config/broker-config.ts";

/** Messages begin to leave memory at this share of what they may use. */
const pagingRatio = 0.5;
/** More memory than this does not make anything faster. */
const messageMemoryBytesMax = 128 * 1024 * 1024;

/** Undefined when nothing is to be kept. */
export async function openData(
  config: BrokerConfig,
  clock: Clock,
  memoryBytesMax: number,
  log: Logger,
): Promise<BrokerData | undefined> {
  const directory = config.dataDirectory;
  if (directory === undefined) return undefined;
  const metadata = await LmdbMetadataStore.open(join(directory, "metadata"));
  try {
    return await BrokerData.open({
      disk: new RealDisk(),
      metadata,
      directory,
      clock,
      confirmLevel: config.disk.confirmLevel,
      memoryBytes: Math.min(messageMemoryBytesMax, memoryBytesMax * pagingRatio),
      log,
    });
  } catch (error) {
    await metadata.close();
    throw error;
  }
}
