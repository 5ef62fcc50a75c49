/**
 * Goal: whatever is committed at whatever time, under whatever conditions, with restarts in
 * between, every metadata store agrees with a plain Map: in what it holds, in what it resolves, in
 * what its watches hear, and in the order of everything.
 */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { LmdbMetadataStore } from "./lmdb-metadata-store.ts";
import { MemoryMetadataStore } from "./memory-metadata-store.ts";
import { encodeKey } from "./metadata-key.ts";
import type { MetadataChange, MetadataKey, MetadataStore } from "./metadata-store.ts";

interface PlannedCommit {
  readonly changes: readonly MetadataChange[];
  /** On the version that the key has at the start of the step, or on one that it never has. */
  readonly conditions: readonly { readonly key: MetadataKey; readonly isTrue: boolean }[];
}

/** Commits that are made at once, or the store is closed and opened again. */
type Step = readonly PlannedCommit[] | "reopen";

const part = fc.constantFrom("", "a", "b", "\0", "a\0", "\xff", "\udc80", "\u{1f407}");
const key = fc.array(part, { minLength: 1, maxLength: 2 });
const value = fc.oneof(
  fc.nat(),
  fc.string(),
  fc.uint8Array({ maxLength: 4 }),
  fc.constant({ list: [null, true] }),
  fc.constant(undefined),
);
const change = fc.tuple(key, value).map(([key, value]) => ({ key, value }));
const isTrue = fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.boolean());
const condition = fc.tuple(key, isTrue).map(([key, isTrue]) => ({ key, isTrue }));
const plannedCommit: fc.Arbitrary<PlannedCommit> = fc.record({
  changes: fc.array(change, { maxLength: 4 }),
  conditions: fc.array(condition, { maxLength: 2 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.array(plannedCommit, { minLength: 1, maxLength: 6 }) },
  { weight: 1, arbitrary: fc.constant("reopen" as const) },
);

/** The Map. Keys are JSON; versions are its own count of commits. */
class Model {
  readonly entries = new Map<string, { key: MetadataKey; value: unknown; version: number }>();
  #commits = 0;

  versionOf(key: MetadataKey): number {
    return this.entries.get(JSON.stringify(key))?.version ?? 0;
  }

  apply(changes: readonly MetadataChange[]): void {
    this.#commits++;
    for (const { key, value } of changes) {
      const name = JSON.stringify(key);
      if (value === undefined) this.entries.delete(name);
      else this.entries.set(name, { key, value, version: this.#commits });
    }
  }

  /** In the order of the encoded keys, whose own test says that it is the right one. */
  sorted(): { key: MetadataKey; value: unknown; version: number }[] {
    const order = (key: MetadataKey): Buffer => Buffer.from(encodeKey(key), "latin1");
    return [...this.entries.values()].sort((a, b) => order(a.key).compare(order(b.key)));
  }
}

class Comparison {
  readonly model = new Model();
  /** The store's version for each of the model's. */
  readonly #versions = new Map<number, number>([[0, 0]]);
  readonly #heard: MetadataChange[] = [];
  readonly #expected: MetadataChange[] = [];
  #store: MetadataStore | undefined;

  watch(store: MetadataStore): void {
    if (this.#store === store) return;
    this.#store = store;
    store.watch(["a"], (changes) => this.#heard.push(...changes));
  }

  async run(commits: readonly PlannedCommit[]): Promise<void> {
    const { model } = this;
    const start = new Map(
      commits.flatMap(({ conditions }) =>
        conditions.map(({ key }) => [JSON.stringify(key), model.versionOf(key)]),
      ),
    );
    const store = this.#store as MetadataStore;
    const outcomes = commits.map(({ changes, conditions }) =>
      store.commit(
        changes,
        conditions.map(({ key, isTrue }) => {
          const version = store.get(key)?.version ?? 0;
          return { key, version: isTrue ? version : version + 1_000_000 };
        }),
      ),
    );
    const expected = commits.map(({ changes, conditions }) => {
      const holds = conditions.every(
        ({ key, isTrue }) => isTrue && model.versionOf(key) === start.get(JSON.stringify(key)),
      );
      if (holds && changes.length > 0) {
        model.apply(changes);
        this.#expected.push(...changes.filter(({ key }) => key[0] === "a"));
      }
      return holds;
    });
    assert.deepEqual(await Promise.all(outcomes), expected);
  }

  check(): void {
    const store = this.#store as MetadataStore;
    const stored = [...store.scan([])];
    const sorted = this.model.sorted();
    assert.deepEqual(
      stored.map(({ key, value }) => ({ key, value })),
      sorted.map(({ key, value }) => ({ key, value })),
    );
    for (const [index, { key, version }] of stored.entries()) {
      const own = sorted[index]?.version ?? 0;
      assert.equal(this.#versions.get(own) ?? version, version, "a version has changed");
      this.#versions.set(own, version);
      assert.deepEqual(store.get(key), stored[index]);
    }
    const inOrder = [...this.#versions].sort(([a], [b]) => a - b).map(([, version]) => version);
    assert.ok(inOrder.every((version, index) => index === 0 || version > inOrder[index - 1]!));
    assert.deepEqual(this.#heard, this.#expected);
  }
}

async function compare(
  steps: readonly Step[],
  open: (previous: MetadataStore | undefined) => Promise<MetadataStore>,
): Promise<void> {
  const comparison = new Comparison();
  let store = await open(undefined);
  try {
    comparison.watch(store);
    for (const each of steps) {
      if (each === "reopen") {
        store = await open(store);
        comparison.watch(store);
      } else {
        await comparison.run(each);
      }
      comparison.check();
    }
  } finally {
    await store.close();
  }
}

describe("metadata stores beside a Map", () => {
  it("in memory agrees", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), (steps) =>
        compare(steps, async (previous) => previous ?? new MemoryMetadataStore()),
      ),
      { numRuns: 200 },
    );
  });

  it("in LMDB agrees, also after restarts", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const folder = mkdtempSync(join(tmpdir(), "haremq-metadata-"));
        try {
          await compare(steps, async (previous) => {
            await previous?.close();
            return LmdbMetadataStore.open(folder);
          });
        } finally {
          rmSync(folder, { recursive: true, force: true });
        }
      }),
      { numRuns: 30 },
    );
  });
});
