/**
 * What every metadata store has to do, wherever it keeps things: `metadataContract` is called by
 * the test file of each.
 */

import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import { SeededRandom } from "@haremq/kernel";
import type { MetadataChange, MetadataKey, MetadataStore } from "./metadata-store.ts";

/**
 * Opens an empty store that is closed when the test ends; thrown listener errors go to `errors`.
 */
export type OpenMetadataStore = (t: TestContext, errors?: unknown[]) => Promise<MetadataStore>;

export function metadataContract(kind: string, open: OpenMetadataStore): void {
  describe(`${kind}: reading and writing`, () => readingContract(open));
  describe(`${kind}: conditions`, () => conditionContract(open));
  describe(`${kind}: scans`, () => scanContract(open));
  describe(`${kind}: watches`, () => watchContract(open));
  describe(`${kind}: many at once`, () => loadContract(open));
  describe(`${kind}: the end`, () => endContract(open));
}

function put(key: MetadataKey, value: unknown): MetadataChange {
  return { key, value };
}

function remove(key: MetadataKey): MetadataChange {
  return { key, value: undefined };
}

function keysOf(store: MetadataStore, prefix: MetadataKey = []): MetadataKey[] {
  return Array.from(store.scan(prefix), ({ key }) => key);
}

function readingContract(open: OpenMetadataStore): void {
  it("what was committed is read, what was not is undefined", async (t) => {
    const store = await open(t);
    assert.equal(store.get(["a"]), undefined);
    assert.equal(await store.commit([put(["a"], { x: [1, null, "é"] })]), true);
    const entry = store.get(["a"]);
    assert.deepEqual(entry?.key, ["a"]);
    assert.deepEqual(entry?.value, { x: [1, null, "é"] });
    assert.ok((entry?.version ?? 0) > 0);
    assert.equal(store.get(["a", ""]), undefined);
    assert.equal(store.get([""]), undefined);
  });

  it("nothing is visible before the commit resolves", async (t) => {
    const store = await open(t);
    const commit = store.commit([put(["a"], 1)]);
    assert.equal(store.get(["a"]), undefined);
    await commit;
    assert.equal(store.get(["a"])?.value, 1);
  });

  it("a commit changes, adds and removes in one step, each key as it was told last", async (t) => {
    const store = await open(t);
    await store.commit([put(["a"], 1), put(["b"], 1), remove(["never there"])]);
    await store.commit([put(["a"], 2), remove(["b"]), put(["c"], 0), remove(["c"]), put(["c"], 3)]);
    assert.deepEqual(
      Array.from(store.scan([]), ({ key, value }) => [key[0], value]),
      [
        ["a", 2],
        ["c", 3],
      ],
    );
  });

  it("what is read shares nothing with what was written", async (t) => {
    const store = await open(t);
    const value = { list: [1], bytes: new Uint8Array([1, 2]) };
    const commit = store.commit([put(["a"], value)]);
    value.list.push(2);
    value.bytes[0] = 9;
    await commit;
    const first = store.get(["a"])?.value as typeof value;
    assert.deepEqual(first, { list: [1], bytes: new Uint8Array([1, 2]) });
    first.list.push(3);
    const second = store.get(["a"])?.value as typeof value;
    assert.deepEqual(second.list, [1]);
  });

  it("large values and long keys are kept", async (t) => {
    const store = await open(t);
    const bytes = new SeededRandom(1).bytes(3_000_000);
    const long = ["binding", "\udc80".repeat(255), "\u{1f407}".repeat(60), "x".repeat(1000)];
    await store.commit([
      put(long, new Uint8Array(bytes)),
      put(["text"], "\u{1f407}\0".repeat(300_000)),
    ]);
    assert.ok(bytes.equals(store.get(long)?.value as Uint8Array));
    assert.equal(store.get(["text"])?.value, "\u{1f407}\0".repeat(300_000));
    assert.deepEqual(keysOf(store, ["binding"]), [long]);
    await store.commit([remove(long), remove(["text"])]);
    assert.deepEqual(keysOf(store), []);
  });

  it("bad input rejects its commit alone, and nothing of it is done", async (t) => {
    const store = await open(t);
    const good = store.commit([put(["good"], 1)]);
    await assert.rejects(store.commit([put(["a"], 1), put([], 1)]), { code: "bad-key" });
    await assert.rejects(store.commit([put(["a"], 1), put(["x".repeat(9999)], 1)]), {
      code: "bad-key",
    });
    await assert.rejects(store.commit([put(["a"], 1), put(["b"], Number.NaN)]), {
      code: "bad-value",
    });
    await assert.rejects(store.commit([put(["a"], 1)], [{ key: [], version: 0 }]), {
      code: "bad-key",
    });
    assert.equal(await good, true);
    assert.deepEqual(keysOf(store), [["good"]]);
    assert.throws(() => store.get([]), { code: "bad-key" });
  });
}

function conditionContract(open: OpenMetadataStore): void {
  it("a commit whose condition does not hold does nothing and resolves with false", async (t) => {
    const store = await open(t);
    const absent = [{ key: ["a"], version: 0 }];
    assert.equal(await store.commit([put(["a"], 1)], absent), true);
    assert.equal(await store.commit([put(["a"], 2), put(["b"], 2)], absent), false);
    const version = store.get(["a"])?.version ?? 0;
    assert.equal(
      await store.commit([put(["a"], 3)], [{ key: ["a"], version: version + 1 }]),
      false,
    );
    assert.equal(await store.commit([put(["a"], 4)], [{ key: ["b"], version }]), false);
    assert.equal(store.get(["a"])?.value, 1);
    assert.equal(await store.commit([put(["a"], 5)], [{ key: ["a"], version }]), true);
    assert.deepEqual(keysOf(store), [["a"]]);
    assert.equal(store.get(["a"])?.value, 5);
  });

  it("all conditions must hold, also about keys that the commit does not change", async (t) => {
    const store = await open(t);
    await store.commit([put(["vhost"], 1)]);
    const vhost = { key: ["vhost"], version: store.get(["vhost"])?.version ?? 0 };
    const fresh = { key: ["queue"], version: 0 };
    assert.equal(await store.commit([put(["queue"], 1)], [vhost, fresh]), true);
    assert.equal(await store.commit([put(["queue"], 2)], [vhost, fresh]), false);
    await store.commit([remove(["vhost"])]);
    assert.equal(await store.commit([put(["other"], 1)], [vhost]), false);
    assert.equal(await store.commit([], [vhost]), false);
    assert.equal(await store.commit([], [{ key: ["vhost"], version: 0 }]), true);
  });

  it("of commits made at once each sees what those before it did", async (t) => {
    const store = await open(t);
    const absent = [{ key: ["name"], version: 0 }];
    const outcomes = await Promise.all([
      store.commit([put(["name"], "first")], absent),
      store.commit([put(["name"], "second")], absent),
      store.commit([remove(["name"])]),
      store.commit([put(["name"], "third")], absent),
      store.commit([put(["name"], "fourth")], absent),
    ]);
    assert.deepEqual(outcomes, [true, false, true, true, false]);
    assert.equal(store.get(["name"])?.value, "third");
  });

  it("versions grow with every commit and are never used again for a key", async (t) => {
    const store = await open(t);
    const seen = new Set<number>();
    let last = 0;
    for (let round = 0; round < 5; round++) {
      await store.commit([put(["a"], round), put(["b"], round)]);
      const version = store.get(["a"])?.version ?? 0;
      assert.equal(store.get(["b"])?.version, version, "a commit has one version");
      assert.ok(version > last);
      last = version;
      seen.add(version);
      await store.commit([remove(["a"])]);
    }
    assert.equal(seen.size, 5);
  });
}

function scanContract(open: OpenMetadataStore): void {
  const inOrder: MetadataKey[] = [
    [""],
    ["", ""],
    ["", "a"],
    ["\0"],
    ["\0", "x"],
    ["\0\0"],
    ["\x01"],
    ["a"],
    ["a", ""],
    ["a", "", "z"],
    ["a", "\0"],
    ["a", "b"],
    ["a", "b", "c"],
    ["a", "b\0"],
    ["a", "b\x01"],
    ["a\0"],
    ["a\0", "b"],
    ["a\x01"],
    ["ab"],
    ["b"],
    ["\x7f"],
    ["é"],
    ["\ud7ff"],
    ["\ud800"],
    ["\udc80"],
    ["\ue000"],
    ["\uffff"],
    ["\u{10000}"],
    ["\u{10ffff}"],
  ];

  it("keys come part by part and in the order of code points", async (t) => {
    const store = await open(t);
    const random = new SeededRandom(7);
    const shuffled = [...inOrder];
    for (let index = shuffled.length - 1; index > 0; index--) {
      const other = random.below(index + 1);
      [shuffled[index], shuffled[other]] = [shuffled[other]!, shuffled[index]!];
    }
    for (const key of shuffled) await store.commit([put(key, key)]);
    assert.deepEqual(keysOf(store), inOrder);
    for (const { key, value } of store.scan([])) assert.deepEqual(value, key);
  });

  it("a prefix selects whole parts, and is selected by itself", async (t) => {
    const store = await open(t);
    await store.commit(inOrder.map((key) => put(key, 0)));
    for (const prefix of [...inOrder, ["none"], ["a", "b", "c", "d"]]) {
      const expected = inOrder.filter((key) => prefix.every((part, at) => part === key[at]));
      assert.deepEqual(keysOf(store, prefix), expected, JSON.stringify(prefix));
    }
  });

  it("a scan can be left at any point and begun again", async (t) => {
    const store = await open(t);
    await store.commit(inOrder.map((key) => put(key, 0)));
    for (let stop = 0; stop < inOrder.length; stop++) {
      const seen: MetadataKey[] = [];
      for (const { key } of store.scan([])) {
        if (seen.length === stop) break;
        seen.push(key);
      }
      assert.deepEqual(seen, inOrder.slice(0, stop));
    }
  });

  it("a scan across commits goes on in order, and loses nothing that stays", async (t) => {
    const store = await open(t);
    const name = (index: number): MetadataKey => ["q", String(index).padStart(4, "0")];
    await store.commit(Array.from({ length: 2000 }, (_, index) => put(name(index), index)));
    const seen: string[] = [];
    for (const { key } of store.scan(["q"])) {
      seen.push(key[1]!);
      if (seen.length % 100 === 50) {
        // One behind, which goes, and one before, which comes.
        await store.commit([remove(name(seen.length - 1)), put(["q", ` ${seen.length}`], 0)]);
      }
    }
    assert.deepEqual(
      seen,
      Array.from({ length: 2000 }, (_, index) => name(index)[1]),
    );
    assert.equal(keysOf(store, ["q"]).length, 2000);
  });
}

function watchContract(open: OpenMetadataStore): void {
  it("a watch hears of the changes below its prefix, before the commit resolves", async (t) => {
    const store = await open(t);
    const heard: (readonly MetadataChange[])[] = [];
    store.watch(["queue", "/"], (changes) => heard.push(changes));
    const change = put(["queue", "/", "a"], { bytes: new Uint8Array([1]) });
    await store.commit([put(["exchange", "/", "x"], 1), change, put(["queue", "/2", "b"], 1)]);
    assert.deepEqual(heard, [[change]]);
    await store.commit([put(["queue"], 1)]);
    assert.equal(heard.length, 1);
    await store.commit([remove(["queue", "/", "a"]), remove(["queue", "/", "never"])]);
    assert.deepEqual(heard[1], [remove(["queue", "/", "a"]), remove(["queue", "/", "never"])]);
  });

  it("commits are heard in their order, and the store already shows each", async (t) => {
    const store = await open(t);
    const heard: unknown[] = [];
    store.watch([], (changes) => {
      heard.push(changes[0]?.value);
      assert.ok((store.get(["n"])?.value as number) >= (changes[0]?.value as number));
    });
    const resolved: number[] = [];
    const commits = Array.from({ length: 50 }, async (_, index) => {
      await store.commit([put(["n"], index)]);
      resolved.push(index);
    });
    await Promise.all(commits);
    const order = Array.from({ length: 50 }, (_, index) => index);
    assert.deepEqual(heard, order);
    assert.deepEqual(resolved, order);
  });

  it("nothing is heard of commits that did not happen", async (t) => {
    const store = await open(t);
    let heard = 0;
    store.watch([], () => heard++);
    await store.commit([put(["a"], 1)], [{ key: ["a"], version: 1 }]);
    await assert.rejects(store.commit([put(["a"], Number.NaN)]));
    await store.commit([]);
    assert.equal(heard, 0);
  });

  it("a watch ends when told, also from a listener and during a notification", async (t) => {
    const store = await open(t);
    const heard: string[] = [];
    const endFirst = store.watch([], () => {
      heard.push("first");
      endFirst();
      endSecond();
    });
    const endSecond = store.watch([], () => heard.push("second"));
    store.watch([], () => heard.push("third"));
    await store.commit([put(["a"], 1)]);
    await store.commit([put(["a"], 2)]);
    assert.deepEqual(heard, ["first", "third", "third"]);
    endFirst();
  });

  it("a listener may commit, and hears of that next", async (t) => {
    const store = await open(t);
    const heard: unknown[] = [];
    const followUps: Promise<boolean>[] = [];
    store.watch(["a"], ([change]) => {
      heard.push(change?.value);
      if (change?.value === 1) followUps.push(store.commit([put(["a"], 2)]));
    });
    await store.commit([put(["a"], 1)]);
    assert.deepEqual(await Promise.all(followUps), [true]);
    assert.deepEqual(heard, [1, 2]);
  });

  it("a listener that throws harms neither the commit nor the other listeners", async (t) => {
    const errors: unknown[] = [];
    const store = await open(t, errors);
    const heard: unknown[] = [];
    const mistake = new Error("a mistake");
    store.watch([], () => {
      throw mistake;
    });
    store.watch([], ([change]) => heard.push(change?.value));
    assert.equal(await store.commit([put(["a"], 1)]), true);
    assert.equal(await store.commit([put(["a"], 2)]), true);
    assert.deepEqual(heard, [1, 2]);
    assert.deepEqual(errors, [mistake, mistake]);
  });
}

function loadContract(open: OpenMetadataStore): void {
  it("counters that many increment at once lose nothing", async (t) => {
    const store = await open(t);
    const increment = async (): Promise<void> => {
      for (;;) {
        const { value = 0, version = 0 } = store.get(["counter"]) ?? {};
        const condition = { key: ["counter"], version };
        if (await store.commit([put(["counter"], (value as number) + 1)], [condition])) return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, increment));
    assert.equal(store.get(["counter"])?.value, 20);
  });

  it("commits by the thousand, more than one group takes, all arrive", async (t) => {
    const store = await open(t);
    const count = 10_000;
    const key = (index: number): MetadataKey => ["q", String(index).padStart(5, "0")];
    await Promise.all(
      Array.from({ length: count }, (_, index) => store.commit([put(key(index), index)])),
    );
    assert.deepEqual(
      Array.from(store.scan(["q"]), ({ value }) => value),
      Array.from({ length: count }, (_, index) => index),
    );
    await store.commit(Array.from({ length: count - 1 }, (_, index) => remove(key(index))));
    assert.deepEqual(keysOf(store), [key(count - 1)]);
  });
}

function endContract(open: OpenMetadataStore): void {
  it("close waits for the commits under way and takes no more", async (t) => {
    const store = await open(t);
    const commits = [store.commit([put(["a"], 1)]), store.commit([put(["b"], 1)])];
    const closed = store.close();
    await assert.rejects(store.commit([put(["c"], 1)]), { code: "closed" });
    await closed;
    assert.deepEqual(await Promise.all(commits), [true, true]);
    assert.throws(() => store.get(["a"]), { code: "closed" });
    assert.throws(() => [...store.scan([])], { code: "closed" });
    assert.throws(() => store.watch([], () => {}), { code: "closed" });
    await store.close();
  });
}
