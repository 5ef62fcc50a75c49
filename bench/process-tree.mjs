// What /proc says about a broker's processes: who listens on a port, and how much memory a process
// and its descendants take. Linux only: elsewhere nothing is found, and the report says so.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export const hasProcessFigures = process.platform === "linux";

/**
 * The process that listens on this port of the loopback, or undefined when there is none or we may
 * not see it (another user's, without root).
 */
export function findListener(port) {
  const sockets = new Set(
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap((path) => listeningSockets(read(path), port)),
  );
  if (sockets.size === 0) return undefined;
  return processIds().find((pid) =>
    list(`/proc/${pid}/fd`).some((fd) => sockets.has(link(`/proc/${pid}/fd/${fd}`))),
  );
}

/**
 * The listeners on a port in the text of /proc/net/tcp, as "socket:[INODE]". Lines read
 * "0: 0100007F:1629 00000000:0000 0A ...", with 0A for listening and the inode tenth.
 */
export function listeningSockets(text, port) {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return text
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === "0A" && local?.endsWith(suffix))
    .map((fields) => `socket:[${fields[9]}]`);
}

/** The name of a process; "" when it is gone. */
export function processName(pid) {
  return read(`/proc/${pid}/comm`).trim();
}

/** Resident memory of the process and all its descendants, in MB; undefined without a /proc. */
export function residentMb(pid) {
  return sumOfStatus(pid, /^VmRSS:\s+(\d+) kB/m);
}

/** The most that each of them has ever had, as the kernel has counted. */
export function peakResidentMb(pid) {
  return sumOfStatus(pid, /^VmHWM:\s+(\d+) kB/m);
}

function sumOfStatus(pid, pattern) {
  if (!hasProcessFigures) return undefined;
  const kib = withDescendants(pid).map((each) => {
    const [, text = "0"] = pattern.exec(read(`/proc/${each}/status`)) ?? [];
    return Number(text);
  });
  return Math.round((kib.reduce((sum, each) => sum + each, 0) * 1024) / 1e6);
}

function withDescendants(pid) {
  const children = new Map();
  for (const each of processIds()) {
    const [, parent] = /^PPid:\s+(\d+)/m.exec(read(`/proc/${each}/status`)) ?? [];
    children.set(Number(parent), [...(children.get(Number(parent)) ?? []), each]);
  }
  const found = [pid];
  for (const each of found) found.push(...(children.get(each) ?? []));
  return found;
}

function processIds() {
  return list("/proc").map(Number).filter(Number.isInteger);
}

// Processes come and go while we look: what cannot be read is not there.

function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function list(path) {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function link(path) {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}
