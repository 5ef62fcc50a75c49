/**
 * How much memory there is for the broker: what the machine has, or less when a container or a
 * service manager allows less. The relative memory watermark is a share of it. Called once at the
 * start.
 *
 * Linux tells by control groups. A process is in one group of each hierarchy, groups lie inside
 * groups, and the smallest limit on the way up counts. Inside a container the path that
 * /proc/self/cgroup names often does not exist, since the container's own group is mounted as the
 * root: then the root's limit is the one.
 *
 *   version 2   0::/a/b         /sys/fs/cgroup/a/b/memory.max and memory.high
 *   version 1   9:memory:/a/b   /sys/fs/cgroup/memory/a/b/memory.limit_in_bytes
 */

import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import type { DiskConfig, MemoryConfig } from "./config/broker-config.ts";

/** Above this, publishers have to wait. `availableBytes` as from availableMemoryBytes(). */
export function highWatermarkBytes(
  memory: Pick<MemoryConfig, "highWatermark" | "totalBytes">,
  availableBytes: number,
): number {
  if ("absoluteBytes" in memory.highWatermark) return memory.highWatermark.absoluteBytes;
  return Math.floor(memory.highWatermark.relative * (memory.totalBytes ?? availableBytes));
}

/** Below this much free space on disk, publishers have to wait. */
export function diskFreeLimitBytes(disk: DiskConfig, availableBytes: number): number {
  if ("absoluteBytes" in disk.freeLimit) return disk.freeLimit.absoluteBytes;
  return Math.floor(disk.freeLimit.relative * availableBytes);
}

/** The machine's memory, or the control groups' limit when that is smaller. */
export function availableMemoryBytes(
  readText: (path: string) => string | undefined = readTextOrNothing,
  machineBytes: number = totalmem(),
): number {
  return Math.min(machineBytes, ...controlGroupLimits(readText));
}

function controlGroupLimits(readText: (path: string) => string | undefined): number[] {
  const groups = readText("/proc/self/cgroup") ?? "";
  const limits: number[] = [];
  for (const line of groups.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path === undefined || controllers === undefined) continue;
    const isVersion2 = controllers === "";
    if (!isVersion2 && !controllers.split(",").includes("memory")) continue;
    const top = isVersion2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    const files = isVersion2 ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"];
    for (const folder of withParents(path)) {
      for (const file of files) limits.push(parseLimit(readText(`${top}${folder}/${file}`)));
    }
  }
  return limits;
}

/** "/a/b" gives "/a/b", "/a" and "", the root. */
function withParents(path: string): string[] {
  const words = path.split("/").filter((word) => word !== "");
  return words.map((_, index) => `/${words.slice(0, index + 1).join("/")}`).concat("");
}

/**
 * "max", an empty or a missing file say that there is no limit; version 1 says it with a number
 * near 2^63.
 */
function parseLimit(text: string | undefined): number {
  const trimmed = text?.trim() ?? "";
  return /^[1-9]\d*$/.test(trimmed) ? Number(trimmed) : Number.POSITIVE_INFINITY;
}

function readTextOrNothing(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
