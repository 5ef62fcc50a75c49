/**
 * Who a process is, beyond its number, which the next process can get: the boot that it lives in
 * and the moment it began, from /proc where there is one. With it a directory's lock tells
 * whether whoever holds it still lives.
 */

import { readFileSync, readlinkSync } from "node:fs";

export interface ProcessIdentity {
  readonly pid: number;
  /** Of this boot of the machine; null where nobody tells. */
  readonly boot: string | null;
  /** When it began, in clock ticks since the boot; null where nobody tells. */
  readonly startTicks: number | null;
  /** The space its number is valid in; containers have their own. Null where nobody tells. */
  readonly pidNamespace: string | null;
}

export function ownIdentity(): ProcessIdentity {
  return {
    pid: process.pid,
    boot: orNull(() => readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()),
    startTicks: readProcess("self")?.startTicks ?? null,
    pidNamespace: orNull(() => readlinkSync("/proc/self/ns/pid")),
  };
}

/** Whether that very process lives, as far as `own`, the identity of this process, can see. */
export function isAlive(identity: ProcessIdentity, own: ProcessIdentity): boolean {
  if (differ(identity.boot, own.boot)) return false;
  // A container that was killed and started anew finds the lock of its former self, whose number
  // means nothing here. One that still runs elsewhere on the same files cannot be seen from here.
  if (differ(identity.pidNamespace, own.pidNamespace)) return false;
  if (!hasProcess(identity.pid)) return false;
  const found = readProcess(String(identity.pid));
  if (found === undefined) return true;
  // A zombie has let go of everything and only waits for its parent to notice.
  return !differ(identity.startTicks, found.startTicks) && !/[ZX]/.test(found.state);
}

/** Unknown on either side, they do not count as different. */
function differ<T>(one: T | null, other: T | null): boolean {
  return one !== null && other !== null && one !== other;
}

function hasProcess(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there, but somebody else's.
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/**
 * /proc/PID/stat is "PID (NAME) STATE ... START ...", and the name may hold anything, also
 * parentheses. State is the third field, the start time the 22nd (proc(5)).
 */
function readProcess(pid: string): { state: string; startTicks: number } | undefined {
  const stat = orNull(() => readFileSync(`/proc/${pid}/stat`, "latin1"));
  if (stat === null) return undefined;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", startTicks: Number(fields[19]) };
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}
