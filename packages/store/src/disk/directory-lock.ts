/**
 * Keeps a second process out of a directory. Node offers no flock, so the lock is a file that says
 * who made it, and it counts for nothing once that process is dead: whoever comes next takes it
 * over, after kill -9 and after a power loss. It goes past the Disk, being about real processes.
 *
 *   lock            held; made by link(2), so it appears whole, and for one process only
 *   lock.claim-ID   what is linked, a moment before and after
 *   lock.heir-ID    held by the one process that may remove the lock ID, whose holder is dead
 *   lock.spare      becomes the claim of a process that finds the disk full, where it could not
 *                   write another: what fills the disk may be what it is started to consume
 *
 * Without the third file two newcomers could both find the dead one's lock, and the slower would
 * remove what the faster has just made. It is itself a lock, and is taken over in the same way when
 * an heir dies.
 */

import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { DataDirectoryError } from "./data-directory-error.ts";
import type { ProcessIdentity } from "./process-identity.ts";
import { isAlive, ownIdentity } from "./process-identity.ts";

/** Files whose names begin so are the lock's. */
export const lockName = "lock";

/** More than any claim has: the rest is blank, so that each fits over each. */
const claimBytes = 512;

export interface DirectoryLock {
  /** Fine if it was released before. */
  release(): void;
}

/** What stands in a lock. */
interface Claim extends ProcessIdentity {
  /** Different every time, so that nobody mistakes one lock for another in the same place. */
  readonly id: string;
}

/**
 * What is found in place of a lock whose text a power loss took, as it was never synced. A living
 * process's claim can be read: it was whole before it got its name.
 */
interface Wreck {
  readonly id: string;
  readonly pid?: never;
}

/** Throws a DataDirectoryError if a living process holds it, this one included. */
export function lockDirectory(directory: string): DirectoryLock {
  const own: Claim = { ...ownIdentity(), id: randomUUID() };
  const path = join(directory, lockName);
  const claimPath = `${path}.claim-${own.id}`;
  const sparePath = `${path}.spare`;
  try {
    writeClaim(claimPath, sparePath, own);
    acquire(directory, path, claimPath, own);
  } finally {
    rmSync(claimPath, { force: true });
  }
  removeLeftovers(directory, own);
  keepSpare(sparePath);
  return {
    release: () => {
      if (readClaim(path)?.id === own.id) rmSync(path);
    },
  };
}

/**
 * Throws a DataDirectoryError if a living process holds the directory. Changes nothing: for those
 * who only look, before they look and once more when they have.
 */
export function demandUnlocked(directory: string): void {
  const path = join(directory, lockName);
  const holder = readClaim(path);
  if (holder?.pid !== undefined && isAlive(holder, ownIdentity())) {
    throw inUse(directory, path, holder);
  }
}

function writeClaim(path: string, sparePath: string, own: Claim): void {
  const text = `${JSON.stringify(own)}\n`.padStart(claimBytes);
  try {
    writeFileSync(path, text);
  } catch (error) {
    // Another newcomer may have taken the spare.
    if (!isSpaceError(error) || !tryRename(sparePath, path)) throw error;
    const file = openSync(path, "r+");
    try {
      writeSync(file, text, 0);
    } finally {
      closeSync(file);
    }
  }
}

function tryRename(from: string, to: string): boolean {
  try {
    renameSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Without one the lock is held all the same. */
function keepSpare(path: string): void {
  if (existsSync(path)) return;
  try {
    writeFileSync(path, " ".repeat(claimBytes));
  } catch (error) {
    rmSync(path, { force: true });
    if (!isSpaceError(error)) throw error;
  }
}

function isSpaceError(error: unknown): boolean {
  return /^(ENOSPC|EDQUOT)$/.test((error as NodeJS.ErrnoException).code ?? "");
}

function acquire(directory: string, path: string, claimPath: string, own: Claim): void {
  while (!linkNew(claimPath, path)) {
    const holder = readClaim(path);
    if (holder === undefined) continue;
    if (holder.pid !== undefined && isAlive(holder, own)) throw inUse(directory, path, holder);
    // As its heir nobody but us may remove it. It may have gone before we became that, though, and
    // another's may be in its place.
    const heirPath = join(directory, `${lockName}.heir-${holder.id}`);
    acquire(directory, heirPath, claimPath, own);
    try {
      if (readClaim(path)?.id === holder.id) rmSync(path);
    } finally {
      rmSync(heirPath, { force: true });
    }
  }
}

/** False if there is something of that name. */
function linkNew(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") return false;
    if (!/^(EPERM|ENOTSUP|EOPNOTSUPP|ENOSYS)$/.test(code)) throw error;
    return copyNew(from, to);
  }
}

/**
 * For file systems without hard links. The copy has its name before it has its content: who comes
 * in that very moment takes it for a wreck.
 */
function copyNew(from: string, to: string): boolean {
  try {
    writeFileSync(to, readFileSync(from), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function readClaim(path: string): Claim | Wreck | undefined {
  try {
    const claim = parseClaim(readFileSync(path, "utf8"));
    return claim ?? { id: `inode-${statSync(path).ino}` };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

function parseClaim(text: string): Claim | undefined {
  try {
    const claim = JSON.parse(text) as Claim;
    // The id becomes part of a path.
    return claim.pid > 0 && /^[\w-]+$/.test(claim.id) ? claim : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Removes what processes left that were killed while they took the lock. As long as we hold it no
 * heir can do anything with what it inherited. A claim that cannot be read may be one that is being
 * written at this moment.
 */
function removeLeftovers(directory: string, own: Claim): void {
  for (const name of readdirSync(directory)) {
    if (!/^lock\.(claim|heir)-/.test(name)) continue;
    const path = join(directory, name);
    const left = readClaim(path);
    const isInUse = left?.pid === undefined ? name.startsWith("lock.claim-") : isAlive(left, own);
    if (!isInUse) rmSync(path, { force: true });
  }
}

function inUse(directory: string, path: string, holder: ProcessIdentity): DataDirectoryError {
  const who = holder.pid === process.pid ? "this very process" : `process ${holder.pid}`;
  // Where processes cannot be told apart but by their number, only a human can know better.
  const doubt = holder.startTicks === null ? ` If that is something else, remove ${path}.` : "";
  return new DataDirectoryError(
    "locked",
    `The data directory ${directory} is in use by ${who}. ` +
      `Stop it first, or choose another directory.${doubt}`,
  );
}
