/**
 * Goal: commits share writes, in order, and a write that fails takes its whole group along and
 * nothing else. The table is one whose writes end when the test says so.
 */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MemoryTable } from "./memory-table.ts";
import { MetadataError } from "./metadata-error.ts";
import type { MetadataChange } from "./metadata-store.ts";
import type { TableBatch } from "./metadata-table.ts";
import { TableMetadataStore } from "./table-metadata-store.ts";

interface PendingWrite {
  readonly keys: readonly string[];
  readonly finish: (error?: MetadataError) => void;
}

class ManualTable extends MemoryTable {
  readonly writes: PendingWrite[] = [];

  override async write(batch: TableBatch, version: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.writes.push({
        keys: [...batch.keys()].map((key) => key.replace("\0", "")),
        finish: (error) => (error === undefined ? resolve() : reject(error)),
      });
    });
    await super.write(batch, version);
  }
}

class Rig {
  readonly table = new ManualTable();
  readonly scheduled: (() => void)[] = [];
  readonly store = new TableMetadataStore({
    table: this.table,
    schedule: (gather) => this.scheduled.push(gather),
  });
  readonly outcomes: string[] = [];

  commit(name: string, conditions: { key: string[]; version: number }[] = []): void {
    this.commitAll(name, [{ key: [name], value: 1 }], conditions);
  }

  commitAll(
    name: string,
    changes: readonly MetadataChange[],
    conditions: { key: string[]; version: number }[] = [],
  ): void {
    this.store.commit(changes, conditions).then(
      (done) => this.outcomes.push(`${name} ${done}`),
      (error: MetadataError) => this.outcomes.push(`${name} ${error.code}`),
    );
  }

  async gather(): Promise<void> {
    this.scheduled.shift()?.();
    await settled();
  }

  async finish(error?: MetadataError): Promise<void> {
    this.table.writes.at(-1)?.finish(error);
    await settled();
  }

  get groups(): string[] {
    return this.table.writes.map(({ keys }) => keys.join(" "));
  }
}

/** When all that was resolved has had its consequences: none of them takes a turn of its own. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

const diskFull = new MetadataError("disk-full", "No space left");

describe("the metadata store over a table", () => {
  it("writes what was committed until it gathers in one batch, the rest in the next", async () => {
    const rig = new Rig();
    rig.commit("a");
    rig.commit("b");
    assert.equal(rig.scheduled.length, 1);
    await rig.gather();
    rig.commit("c");
    rig.commit("d");
    rig.commit("e");
    await settled();
    assert.deepEqual(rig.groups, ["a b"]);
    assert.deepEqual(rig.outcomes, []);
    await rig.finish();
    assert.deepEqual(rig.groups, ["a b", "c d e"]);
    assert.deepEqual(rig.outcomes, ["a true", "b true"]);
    await rig.finish();
    assert.deepEqual(rig.outcomes.slice(2), ["c true", "d true", "e true"]);
    assert.equal(rig.scheduled.length, 0);
    rig.commit("f");
    assert.equal(rig.scheduled.length, 1, "after a rest it has to be woken again");
  });

  it("rejects the whole group when its write fails, and goes on", async () => {
    const rig = new Rig();
    const heard: string[] = [];
    rig.store.watch([], (changes) => heard.push(...changes.map(({ key }) => key.join())));
    rig.commit("a");
    rig.commit("a2", [{ key: ["a"], version: 0 }]);
    await rig.gather();
    rig.commit("b", [{ key: ["a"], version: 0 }]);
    await rig.finish(diskFull);
    assert.deepEqual(rig.outcomes, ["a disk-full", "a2 disk-full"], "a2 may have failed through a");
    assert.equal(rig.store.get(["a"]), undefined);
    await rig.finish();
    assert.deepEqual(rig.outcomes.slice(2), ["b true"]);
    assert.deepEqual(heard, ["b"]);
    assert.ok((rig.store.get(["b"])?.version ?? 0) > 0);
  });

  it("resolves refusals and empty commits without a write, in their order", async () => {
    const rig = new Rig();
    rig.commit("a", [{ key: ["x"], version: 5 }]);
    rig.commitAll("empty", []);
    await rig.gather();
    assert.deepEqual(rig.groups, []);
    assert.deepEqual(rig.outcomes, ["a false", "empty true"]);
  });

  it("does not tell a refusal before the change that caused it is durable", async () => {
    const rig = new Rig();
    rig.commit("a");
    rig.commit("late", [{ key: ["a"], version: 0 }]);
    await rig.gather();
    assert.deepEqual(rig.outcomes, []);
    await rig.finish();
    assert.deepEqual(rig.outcomes, ["a true", "late false"]);
  });

  it("ends a group before it gets too large, but takes any commit alone", async () => {
    const rig = new Rig();
    const large = "x".repeat(5 * 2 ** 20);
    rig.commitAll("1", [{ key: ["1"], value: large }]);
    rig.commitAll("2", [{ key: ["2"], value: large }]);
    rig.commitAll("3", [{ key: ["3"], value: large + large }]);
    rig.commitAll(
      "many",
      Array.from({ length: 5000 }, (_, index) => ({ key: [String(index)], value: 0 })),
    );
    rig.commit("4");
    await rig.gather();
    for (let group = 0; group < 5; group++) await rig.finish();
    assert.deepEqual(
      rig.table.writes.map(({ keys }) => keys.length),
      [1, 1, 1, 5000, 1],
    );
    assert.deepEqual(rig.outcomes, ["1 true", "2 true", "3 true", "many true", "4 true"]);
  });

  it("throws a listener's error where nobody can overlook it", async () => {
    const thrown: unknown[] = [];
    const queueMicrotaskBefore = globalThis.queueMicrotask;
    globalThis.queueMicrotask = (callback) =>
      queueMicrotaskBefore(() => {
        try {
          callback();
        } catch (error) {
          thrown.push(error);
        }
      });
    try {
      const rig = new Rig();
      const mistake = new Error("a mistake");
      rig.store.watch([], () => {
        throw mistake;
      });
      rig.commit("a");
      await rig.gather();
      await rig.finish();
      assert.deepEqual(rig.outcomes, ["a true"]);
      assert.deepEqual(thrown, [mistake]);
    } finally {
      globalThis.queueMicrotask = queueMicrotaskBefore;
    }
  });

  it("closes after the group under way and those that wait", async () => {
    const rig = new Rig();
    rig.commit("a");
    await rig.gather();
    rig.commit("b");
    let isClosed = false;
    const closed = rig.store.close().then(() => {
      isClosed = true;
    });
    await rig.finish();
    assert.equal(isClosed, false);
    await rig.finish();
    await closed;
    assert.deepEqual(rig.outcomes, ["a true", "b true"]);
  });
});
