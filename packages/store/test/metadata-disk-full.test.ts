/**
 * Goal: on a full disk commits are refused with an error that says so, nothing of them is visible,
 * what was committed stays, and the same store works again when there is room. A limit on the size
 * of files stands for the disk: the system refuses to make a file longer in the same call and
 * almost with the same error, it needs no special rights, and it can be lifted from outside.
 */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { LmdbMetadataStore } from "../src/metadata/lmdb-metadata-store.ts";

const fixture = fileURLToPath(new URL("metadata-filler.fixture.ts", import.meta.url));
const limitBytes = 6 * 2 ** 20;

function scratchFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "haremq-metadata-full-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A process under the limit, whose signal is ignored so that writing fails instead. */
class Filler {
  readonly #child;
  readonly #lines;
  stderr = "";

  constructor(directory: string, mode: string) {
    const command = `trap '' XFSZ; ulimit -S -f ${limitBytes / 1024}; exec "$@"`;
    const node = [process.execPath, ...process.execArgv, fixture, directory, mode];
    this.#child = spawn("bash", ["-c", command, "bash", ...node]);
    this.#child.stderr.on("data", (chunk) => {
      this.stderr += chunk;
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async report(): Promise<Record<string, unknown>> {
    const { value } = await this.#lines.next();
    if (value === undefined) assert.fail(`the process ended: ${this.stderr}`);
    return JSON.parse(value);
  }

  makeRoom(): void {
    const pid = String(this.#child.pid);
    const { status, stderr } = spawnSync("prlimit", ["--pid", pid, "--fsize=unlimited:"]);
    assert.equal(status, 0, String(stderr));
    this.#child.stdin.write("go on\n");
  }

  async end(): Promise<void> {
    const [code, signal] = await once(this.#child, "close");
    assert.deepEqual([code, signal], [0, null], this.stderr);
  }
}

async function fillAndGoOn(t: TestContext, mode: string): Promise<Filler> {
  const directory = scratchFolder(t);
  const filler = new Filler(directory, mode);
  const full = await filler.report();
  assert.equal(full.code, "disk-full", filler.stderr);
  assert.deepEqual(full.outcomes, ["disk-full", "disk-full", "disk-full"]);
  assert.ok((full.committed as number) > 100, `only ${full.committed} fitted`);
  assert.equal(full.visible, full.committed);
  assert.equal(full.again, "disk-full");
  filler.makeRoom();
  const after = await filler.report();
  assert.equal(after.visible, after.committed);
  await filler.end();

  const store = await LmdbMetadataStore.open(directory);
  const values = Array.from(store.scan(["n"]), ({ value }) => (value as string).length);
  assert.equal(values.length, after.committed);
  assert.ok(values.every((length) => length === 20_000));
  await store.close();
  return filler;
}

describe("metadata in LMDB, out of space", {
  skip: process.platform !== "linux" && "needs prlimit",
}, () => {
  it("refuses commits and works again when there is room", async (t) => {
    const { stderr } = await fillAndGoOn(t, "prepared");
    assert.equal(stderr, "", "LMDB was not bothered");
  });

  it("does so too when LMDB finds no room where it should", async (t) => {
    const { stderr } = await fillAndGoOn(t, "unprepared");
    assert.notEqual(stderr, "", "LMDB met the limit itself, and its binding complained");
  });

  it("refuses to be made where there is no room, and works there when there is", (t) => {
    const directory = scratchFolder(t);
    const store = new URL("../src/metadata/lmdb-metadata-store.ts", import.meta.url).href;
    const script = `
      import { LmdbMetadataStore } from "${store}";
      try {
        const store = await LmdbMetadataStore.open(${JSON.stringify(directory)});
        process.stdout.write("open ");
        const [{ status, reason }] = await Promise.allSettled([
          store.commit([{ key: ["a"], value: 1 }]),
        ]);
        process.stdout.write(reason?.code ?? status);
        await store.close();
      } catch (error) {
        process.stdout.write(error.code);
      }`;
    const openWith = (limitKiB: string): string => {
      const command = `trap '' XFSZ; ulimit -S -f ${limitKiB}; exec "$@"`;
      const node = [process.execPath, ...process.execArgv, "--input-type=module", "--eval", script];
      return spawnSync("bash", ["-c", command, "bash", ...node], { encoding: "utf8" }).stdout;
    };
    assert.equal(openWith("4"), "disk-full", "no lock file");
    assert.equal(openWith("16"), "disk-full", "no first record");
    assert.equal(openWith("64"), "open disk-full", "no second");
    assert.equal(openWith("unlimited"), "open fulfilled");
  });
});
