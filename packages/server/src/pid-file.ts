/**
 * The file that tells service managers and scripts which process the broker is: its number and a
 * line end, as RabbitMQ writes it. Written once the broker accepts connections, so that its
 * appearance means "ready"; put in place with a rename, so that nobody can read half of it.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";

export function writePidFile(path: string, pid: number): void {
  const target = resolve(path);
  const unfinished = `${target}.${pid}`;
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(unfinished, `${pid}\n`);
  renameSync(unfinished, target);
}

/** Leaves the file alone when another broker has taken it over since. */
export function removePidFile(path: string, pid: number): void {
  try {
    if (readFileSync(path, "utf8").trim() === String(pid)) rmSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
