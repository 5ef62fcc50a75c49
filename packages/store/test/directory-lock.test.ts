/**
 * Goal: of all processes that want a data directory one gets it, and whoever held it before and is
 * dead, in whatever way it died, does not stand in the way. With real processes.
 */

import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, afterEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { DataDirectoryError, lockDirectory } from "@haremq/store";

interface Answer {
  readonly held?: boolean;
  readonly nodeId?: string;
  readonly text?: string;
}

const script = fileURLToPath(new URL("lock-holder.ts", import.meta.url));
const command = [process.execPath, "--conditions=source", "--import", "tsx", script];

/** A process that takes the lock and lets go of it when it is told to. */
class Holder {
  readonly child: ChildProcess;
  readonly #answers: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.child = child;
    assert.ok(child.stdout !== null);
    this.#answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  static async start(): Promise<Holder> {
    const [program = "", ...args] = command;
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
    return await Holder.of(child);
  }

  static async of(child: ChildProcess): Promise<Holder> {
    running.push(child);
    const holder = new Holder(child);
    await holder.#hear();
    return holder;
  }

  get pid(): number {
    return this.child.pid ?? assert.fail("not started");
  }

  async lock(directory: string): Promise<Answer> {
    this.child.stdin?.write(`lock ${directory}\n`);
    return await this.#hear();
  }

  async free(): Promise<void> {
    this.child.stdin?.write("free\n");
    await this.#hear();
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await once(this.child, "exit");
  }

  async #hear(): Promise<Answer> {
    const { value, done } = await this.#answers.next();
    if (done === true) assert.fail("the process has ended");
    return JSON.parse(value) as Answer;
  }
}

const running: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), "haremq-lock-"));
let directories = 0;

function freshDirectory(): string {
  return mkdtempSync(join(folder, `${directories++}-`));
}

/** What is in a directory that has been locked, beside what is kept for the next lock. */
function namesIn(directory: string): string[] {
  const names = readdirSync(directory);
  assert.ok(names.includes("lock.spare"));
  return names.filter((name) => name !== "lock.spare").sort();
}

function lockIn(directory: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(directory, "lock"), "utf8"));
}

function forge(directory: string, change: object): void {
  const lock = { ...lockIn(directory), ...change };
  rmSync(join(directory, "lock"));
  writeFileSync(join(directory, "lock"), JSON.stringify(lock));
}

/** Locks and frees the directory in this process. */
function canLock(directory: string): boolean {
  try {
    lockDirectory(directory).release();
    return true;
  } catch (error) {
    assert.ok(error instanceof DataDirectoryError, String(error));
    assert.equal(error.problem, "locked");
    return false;
  }
}

const onlyLinux = { skip: process.platform === "linux" ? false : "needs /proc" };

describe("data directory lock", () => {
  afterEach(() => {
    for (const child of running.splice(0)) child.kill("SIGKILL");
  });
  after(() => rmSync(folder, { recursive: true }));

  test("keeps a second process out, which is told who is in", async () => {
    const directory = freshDirectory();
    const [first, second] = [await Holder.start(), await Holder.start()];
    const { held, nodeId } = await first.lock(directory);
    assert.equal(held, true);
    const refused = await second.lock(directory);
    assert.equal(refused.held, false);
    assert.match(
      refused.text ?? "",
      new RegExp(`^DataDirectoryError: .*${directory} is in use by process ${first.pid}\\. Stop`),
    );
    await first.free();
    assert.deepEqual(await second.lock(directory), { held: true, nodeId });
    assert.deepEqual(namesIn(directory), ["haremq.json", "lock"]);
    await second.free();
    assert.deepEqual(namesIn(directory), ["haremq.json"]);
  });

  test("is taken over after kill -9", async () => {
    const directory = freshDirectory();
    const [first, second] = [await Holder.start(), await Holder.start()];
    const { nodeId } = await first.lock(directory);
    await first.kill();
    assert.equal(lockIn(directory).pid, first.pid, "the dead left its lock");
    assert.deepEqual(await second.lock(directory), { held: true, nodeId });
    assert.equal(lockIn(directory).pid, second.pid);
    assert.deepEqual(namesIn(directory), ["haremq.json", "lock"]);
  });

  test("is taken over from a zombie", onlyLinux, async () => {
    const directory = freshDirectory();
    // The shell becomes a process that never asks what became of its child.
    const orders = 'exec 3<&0; "$@" <&3 & echo "{\\"pid\\":$!}" >&2; exec sleep 1000';
    const child = spawn("sh", ["-c", orders, "sh", ...command], {
      stdio: ["pipe", "pipe", "pipe"],
    });
    assert.ok(child.stderr !== null);
    const [told] = (await once(createInterface({ input: child.stderr }), "line")) as [string];
    const { pid } = JSON.parse(told) as { pid: number };
    const holder = await Holder.of(child);
    assert.equal((await holder.lock(directory)).held, true);
    assert.equal(lockIn(directory).pid, pid);
    assert.equal(canLock(directory), false);
    process.kill(pid, "SIGKILL");
    const isZombie = (): boolean => /\) Z /.test(readFileSync(`/proc/${pid}/stat`, "latin1"));
    while (!isZombie()) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(canLock(directory), true);
  });

  test(
    "is taken over when the dead one's number is somebody else's by now",
    onlyLinux,
    async () => {
      const directory = freshDirectory();
      const holder = await Holder.start();
      await holder.lock(directory);
      assert.equal(canLock(directory), false);
      forge(directory, { startTicks: Number(lockIn(directory).startTicks) - 1 });
      assert.equal(canLock(directory), true);
    },
  );

  test("is taken over after the machine was started anew", onlyLinux, async () => {
    const directory = freshDirectory();
    const holder = await Holder.start();
    await holder.lock(directory);
    forge(directory, { boot: "00000000-0000-0000-0000-000000000000" });
    assert.equal(canLock(directory), true);
  });

  test("is taken over in a container that was started anew", onlyLinux, async () => {
    const directory = freshDirectory();
    const holder = await Holder.start();
    await holder.lock(directory);
    forge(directory, { pidNamespace: "pid:[1]" });
    assert.equal(canLock(directory), true);
  });

  test("goes by the number alone where nothing more is known", async () => {
    const directory = freshDirectory();
    const holder = await Holder.start();
    await holder.lock(directory);
    forge(directory, { boot: null, startTicks: null, pidNamespace: null });
    assert.throws(() => lockDirectory(directory), /in use by process \d+\. .* remove .*\/lock\.$/);
    await holder.kill();
    assert.equal(canLock(directory), true);
  });

  test("is held against the same process too", () => {
    const directory = freshDirectory();
    const lock = lockDirectory(directory);
    assert.throws(() => lockDirectory(directory), /in use by this very process/);
    lock.release();
    const next = lockDirectory(directory);
    lock.release();
    assert.equal(canLock(directory), false, "a second release does not free another's lock");
    next.release();
    assert.deepEqual(namesIn(directory), []);
  });

  test("is taken over when nobody can read it", () => {
    for (const text of ["", "\0\0\0\0", "{", "null", '{"pid":1}', '{"pid":1,"id":"../x"}']) {
      const directory = freshDirectory();
      writeFileSync(join(directory, "lock"), text);
      assert.equal(canLock(directory), true);
      assert.deepEqual(namesIn(directory), []);
    }
  });

  test("is taken over from heirs that died, and from wrecks all the way down", async () => {
    const directory = freshDirectory();
    const holder = await Holder.start();
    await holder.lock(directory);
    await holder.kill();
    const dead = lockIn(directory);
    const leave = (name: string, content: string): void =>
      writeFileSync(join(directory, name), content);
    leave(`lock.heir-${dead.id}`, JSON.stringify({ ...dead, id: "second" }));
    leave("lock.heir-second", JSON.stringify({ ...dead, id: "third" }));
    leave("lock.heir-third", "");
    leave("lock.claim-fourth", JSON.stringify({ ...dead, id: "fourth" }));
    leave("lock.claim-unwritten", "");
    const { ino } = statSync(join(directory, "lock.heir-third"));
    leave(`lock.heir-inode-${ino}`, "\0");
    assert.equal(canLock(directory), true);
    assert.deepEqual(namesIn(directory), ["haremq.json", "lock.claim-unwritten"]);
  });

  test("is left to a living heir", () => {
    const directory = freshDirectory();
    const heir = lockDirectory(directory);
    const living = lockIn(directory);
    heir.release();
    const gone = { ...living, pid: 2 ** 22 + 1, id: "gone" };
    writeFileSync(join(directory, "lock"), JSON.stringify(gone));
    writeFileSync(join(directory, "lock.heir-gone"), JSON.stringify(living));
    assert.equal(canLock(directory), false);
    assert.deepEqual(namesIn(directory), ["lock", "lock.heir-gone"]);
  });

  test("goes to exactly one of many that come at once, whatever they find", async () => {
    const dead = await Holder.start();
    const before = freshDirectory();
    await dead.lock(before);
    await dead.kill();
    const leftBehind = readFileSync(join(before, "lock"));
    const holders = await Promise.all(Array.from({ length: 4 }, () => Holder.start()));
    for (let round = 0; round < 90; round++) {
      const directory = freshDirectory();
      if (round % 3 === 1) writeFileSync(join(directory, "lock"), leftBehind);
      if (round % 3 === 2) writeFileSync(join(directory, "lock"), "");
      const answers = await Promise.all(holders.map((holder) => holder.lock(directory)));
      const winners = holders.filter((_, index) => answers[index]?.held === true);
      assert.equal(winners.length, 1, `round ${round}: ${JSON.stringify(answers)}`);
      for (const { held, text } of answers) if (held === false) assert.match(text ?? "", /in use/);
      await winners[0]?.free();
    }
  });
});
