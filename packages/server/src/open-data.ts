/**
 * Opens the data directory of a broker: locks it, and opens metadata and messages in it. Called by
 * startBroker when a data directory is configured.
 *
 *     DIRECTORY/haremq.json   format and node id          DIRECTORY/lock        who uses it
 *     DIRECTORY/metadata/     topology, users, in LMDB    DIRECTORY/messages/   see the durable log
 *
 * Whatever goes wrong half way, what was opened is closed and the lock released.
 */

import { join } from "node:path";
import { BrokerData, type Logger } from "@haremq/broker";
import type { Clock, Random } from "@haremq/kernel";
import { DataDirectory, LmdbMetadataStore, lockDirectory, RealDisk } from "@haremq/store";
import type { BrokerConfig } from "./config/broker-config.ts";

/**
 * Undefined when nothing is to be kept. Throws a DataDirectoryError if another broker is there.
 * Publishers have to wait above `memoryBytesMax`.
 */
export async function openData(
  config: BrokerConfig,
  clock: Clock,
  random: Random,
  memoryBytesMax: number,
  log: Logger,
): Promise<BrokerData | undefined> {
  const path = config.dataDirectory;
  if (path === undefined) return undefined;
  const pagingBytes = Math.floor(config.memory.pagingRatio * memoryBytesMax);
  const disk = new RealDisk();
  const directory = await DataDirectory.open({ disk, path, random, lock: lockDirectory });
  try {
    const metadata = await LmdbMetadataStore.open(join(directory.path, "metadata"));
    try {
      return await BrokerData.open({
        disk,
        metadata,
        directory: directory.path,
        clock,
        memoryBytes: Math.min(config.memory.messageBytesMax, pagingBytes),
        pagingBytes,
        log,
        onClosed: () => directory.close(),
      });
    } catch (error) {
      await metadata.close();
      throw error;
    }
  } catch (error) {
    directory.close();
    throw error;
  }
}
