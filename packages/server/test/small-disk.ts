/**
 * A disk with little room for the data of a real broker process: a small file system of its own
 * where one can be mounted, and a limit on the size of files, which needs no rights. Both are the
 * system's own refusals to write; a test makes room whenever it likes.
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { ServerProcess } from "../simulate/server-process.ts";

export type SmallDiskKind = "a full file system" | "the largest file there may be";

const mebibyte = 2 ** 20;
/** More than a segment of the log, so that a second one has been begun. */
const fileSystemBytes = 24 * mebibyte;
/** Less than a segment. */
const fileBytesMax = 6 * mebibyte;

export class SmallDisk {
  readonly kind: SmallDiskKind;
  readonly #folder: string;
  #server: ServerProcess | undefined;

  private constructor(kind: SmallDiskKind) {
    this.kind = kind;
    this.#folder = mkdtempSync(join(tmpdir(), "haremq-small-disk-"));
  }

  static create(t: TestContext, kind: SmallDiskKind): SmallDisk {
    const disk = new SmallDisk(kind);
    t.after(() => disk.#remove());
    if (disk.#isMounted) disk.#mount(`size=${fileSystemBytes}`);
    return disk;
  }

  /** More persistent messages than this are too many. */
  get roomBytes(): number {
    return this.#isMounted ? fileSystemBytes : fileBytesMax;
  }

  /** Starts the broker on it, which tells publishers to wait only once a write has failed. */
  async start(): Promise<string> {
    const options = {
      directory: join(this.#folder, "data"),
      settings: ["disk_free_limit.absolute=0"],
    };
    // A signal that would end the process is ignored, so that the write fails instead.
    const limit = `trap '' XFSZ; ulimit -S -f ${fileBytesMax / 1024}; exec "$@"`;
    const wrapper = this.#isMounted ? [] : ["bash", "-c", limit, "bash"];
    this.#server = new ServerProcess({ ...options, wrapper });
    return await this.#server.url;
  }

  get server(): ServerProcess {
    return this.#server ?? assert.fail("no broker");
  }

  makeRoom(): void {
    if (this.#isMounted) {
      this.#mount(`remount,size=${10 * fileSystemBytes}`);
    } else {
      run("prlimit", "--pid", String(this.server.pid), "--fsize=unlimited:");
    }
  }

  get #isMounted(): boolean {
    return this.kind === "a full file system";
  }

  #mount(options: string): void {
    run("mount", "-t", "tmpfs", "-o", options, "haremq-test", this.#folder);
  }

  async #remove(): Promise<void> {
    await this.#server?.kill();
    if (this.#isMounted) spawnSync("umount", [this.#folder]);
    rmSync(this.#folder, { recursive: true });
  }
}

/** What there is on this machine: in most containers nothing can be mounted. */
export function smallDiskKinds(): readonly SmallDiskKind[] {
  if (process.platform !== "linux") return [];
  const folder = mkdtempSync(join(tmpdir(), "haremq-small-disk-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "haremq-test", folder]);
  if (status === 0) run("umount", folder);
  rmSync(folder, { recursive: true });
  const always: SmallDiskKind = "the largest file there may be";
  return status === 0 ? ["a full file system", always] : [always];
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: "utf8" });
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${error?.message ?? stderr}`);
}
